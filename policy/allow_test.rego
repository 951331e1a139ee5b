package scbte_test

api_gateway := "spiffe://cluster.local/ns/production/sa/api-gateway"

order_service := "spiffe://cluster.local/ns/production/sa/order-service"

now_ms := time.now_ns() / 1000000

read_users := {
	"sub": api_gateway,
	"ctx": "read:users",
	"method": "GET",
	"path": "/api/v1/users",
	"timestamp": now_ms,
}

write_orders := {
	"sub": order_service,
	"ctx": "write:orders",
	"method": "POST",
	"path": "/api/v1/orders",
	"timestamp": now_ms,
}

test_api_gateway_reads_users if {
	data.scbte.allow == {"allow": true} with input as read_users
}

test_order_service_writes_orders if {
	data.scbte.allow == {"allow": true} with input as write_orders
}

test_unknown_workload if {
	denied("unknown_workload", {"sub": "spiffe://cluster.local/ns/production/sa/other"})
	denied("unknown_workload", {"sub": "spiffe://example.org/ns/production/sa/api-gateway"})
}

test_context_of_another_workload if {
	denied("context_not_granted", {"sub": order_service})
	denied("context_not_granted", {"ctx": "write:orders"})
	denied("context_not_granted", {"ctx": "read:users2"})
}

test_other_method if {
	denied("not_permitted", {"method": "POST"})
	denied("not_permitted", {"method": "get"})
}

test_other_path if {
	denied("not_permitted", {"path": "/api/v1/orders"})
	denied("not_permitted", {"path": "/api/v1/users/"})
	denied("not_permitted", {"path": "/api/v1/users/7"})
}

test_clock_skew_is_tolerated if {
	data.scbte.allow.allow with input as object.union(read_users, {"timestamp": now_ms + 240000})
}

test_timestamp_far_ahead if {
	denied("not_permitted", {"timestamp": now_ms + 360000})
}

test_missing_input if {
	data.scbte.allow.allow == false with input as {}
}

denied(reason, change) if {
	decision := data.scbte.allow with input as object.union(read_users, change)
	decision == {"allow": false, "reason": reason}
}
