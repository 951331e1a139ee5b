# What the example policy decides, with the token verified here.
package bench

default allow := false

allow if {
	claims.ctx in data.grants[claims.sub]
	claims.ctx == "read:users"
	request.method == "GET"
	request.path == "/api/v1/users"
}

request := input.attributes.request.http

claims := verified[2] if verified[0]

verified := io.jwt.decode_verify(token, data.trust)

token := substring(request.headers.authorization, count("Bearer "), -1)
