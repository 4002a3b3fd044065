package dashboard

import (
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	s := start(t, newFake(t), loopback(t))
	post := func(body string) string { return "POST /v1/keys\nContent-Type: application/json\n\n" + body }
	order := func(do string) string {
		return post(`{"zone": "example.com.", "do": "` + do + `", "reason": "yearly", "actor": "mia"}`)
	}
	for _, tt := range []struct {
		name, request string
		status        int
		want          string
	}{
		{"the keys", "GET /v1/keys", 200, `"role": "KSK"`},
		{"an order", order("roll-zsk"), 200, `"index": 9`},
		{"one that must wait", order("roll-ksk"), 409, `"code": "busy"`},
		{"one that is wrong", order("roll"), 422, `"code": "order"`},
		{"one that comes too late", order("late"), 409, `"code": "version"`},
		{"no quorum", order("away"), 503, `"code": "no_quorum"`},
		{"nothing said", post(`{}`), 400, `actor: missing; do: missing; reason: missing; zone: missing`},
		{"a field that nobody knows", post(`{"zone": "a.", "do": "roll-zsk", "reason": "r", "actor": "a", "force": true}`), 400, `unknown field \"force\"`},
		{"no JSON", "POST /v1/keys\nContent-Type: text/plain\n\n{}", 415, "content type"},
		{"another method", "DELETE /v1/keys\nContent-Type: application/json\n\n", 405, "want GET, HEAD, POST"},
	} {
		got := ask(s, tt.request)
		if body := got.Body.String(); got.Code != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %s, want %d with %s", tt.name, got.Code, body, tt.status, tt.want)
		}
	}
}
