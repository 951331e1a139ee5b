# Who may do what. Asked for every request, once its token has been verified:
#
#   input.sub        the caller's SPIFFE ID, proven by its certificate
#   input.ctx        what the token is for. The caller chose it: data.grants says who may choose what
#   input.method     the request's method
#   input.path       the request's path, without the query
#   input.timestamp  now, in milliseconds
package scbte

# The decision. What nothing below permits is denied, with the first reason that fits.
allow := {"allow": true} if permitted

else := {"allow": false, "reason": "unknown_workload"} if not data.grants[input.sub]

else := {"allow": false, "reason": "context_not_granted"} if not granted

else := {"allow": false, "reason": "not_permitted"}

# api-gateway reads users.
permitted if {
	granted
	input.ctx == "read:users"
	input.method == "GET"
	input.path == "/api/v1/users"

	# Milliseconds to nanoseconds; not more than five minutes ahead of the clock.
	input.timestamp * 1000000 < time.now_ns() + 300000000000
}

# order-service writes orders.
permitted if {
	granted
	input.ctx == "write:orders"
	input.method == "POST"
	input.path == "/api/v1/orders"
}

# The caller may use this context.
granted if input.ctx in data.grants[input.sub]
