package head

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// fields reads "Name: value" lines, set apart by |.
func fields(text string) Fields {
	var f Fields
	for line := range strings.SplitSeq(text, "|") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			f = append(f, Field{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return f
}

func text(f Fields) string {
	var lines []string
	for _, field := range f {
		lines = append(lines, field.Name+": "+field.Value)
	}
	return strings.Join(lines, " | ")
}

func TestEndToEnd(t *testing.T) {
	for _, test := range []struct{ reason, in, want string }{
		{"hop-by-hop fields go", "Connection: close | Keep-Alive: 5 | Upgrade: h2c | Trailer: X | Transfer-Encoding: chunked | " +
			"Proxy-Authorization: x | Proxy-Connection: y | HTTP2-Settings: z | Proxy: p | A: 1", "A: 1"},
		{"what Connection names goes", "Connection: X-One, x-two | X-One: 1 | X-Two: 2 | X-Three: 3", "X-Three: 3"},
		{"of two Connection fields as well", "Connection: X-One | connection: X-Two | X-One: 1 | X-Two: 2 | A: 1", "A: 1"},
		{"Connection cannot name what others trust", "Connection: X-Forwarded-For, CDN-Loop, Host, X-Request-Id | X-Forwarded-For: 1 | CDN-Loop: a",
			"X-Forwarded-For: 1 | CDN-Loop: a"},
		{"nor by other names", "Connection: X-Client-IP, X-Original-URL | X-Client-IP: 1 | X-Original-URL: /", "X-Client-IP: 1 | X-Original-URL: /"},
		{"TE keeps trailers only", "TE: gzip, trailers | A: 1", "A: 1 | Te: trailers"},
		{"TE without trailers goes", "TE: gzip | A: 1", "A: 1"},
		{"Proxy-Status is for everybody", "Proxy-Status: x", "Proxy-Status: x"},
	} {
		if got := text(EndToEnd(fields(test.in))); got != test.want {
			t.Errorf("%s: EndToEnd(%s) = %s, want %s", test.reason, test.in, got, test.want)
		}
	}
}

func TestDropLookalikes(t *testing.T) {
	for _, test := range []struct{ reason, in, want string }{
		{"one the gateway sets", "X_Forwarded_For: 1 | A: 1", "A: 1"},
		{"with a dot", "X.Forwarded-Proto: 1 | A: 1", "A: 1"},
		{"one it trusts by another name", "X_Original_URL: /admin | True_Client.IP: 1", ""},
		{"one it frames by", "Content_Length: 1 | Transfer.Encoding: chunked | HOST_: x", "HOST_: x"},
		{"one that connections own", "Proxy_Connection: 1", ""},
		{"its own voice", "Meridian_Drain: 1", ""},
		{"one already present", "X_User: evil | X-User: me", "X-User: me"},
		{"present after it as well", "X-User: me | x.user: evil", "X-User: me"},
		{"another spelling came first", "A_B: 1 | A.B: 2 | A_B: 3", "A_B: 1 | A_B: 3"},
		{"a name of its own passes", "X_Api_Key: 1 | my.header: 2", "X_Api_Key: 1 | my.header: 2"},
	} {
		in := fields(test.in)
		want := len(in) - len(fields(test.want))
		got, dropped := DropLookalikes(in)
		if text(got) != test.want || dropped != want {
			t.Errorf("%s: DropLookalikes(%s) = %s, %d, want %s, %d", test.reason, test.in, text(got), dropped, test.want, want)
		}
	}
}

func TestApply(t *testing.T) {
	hop := Hop{Gateway: "meridian-x", Version: "1.1", Peer: netip.MustParseAddr("::ffff:192.0.2.1"), Proto: "http",
		Host: "api.example", RequestID: "new"}
	trusted := hop
	trusted.Trusted = true
	six := trusted
	six.Peer = netip.MustParseAddr("2001:db8::1")
	brought := "X-Forwarded-For: 9.9.9.9 | X-Forwarded-For: 8.8.8.8 | X-Forwarded-Proto: https | X-Forwarded-Host: o.example | X-Forwarded-Port: 1 | " +
		"X-Real-Ip: 9.9.9.9 | Forwarded: for=9.9.9.9 | X-Request-Id: old | Via: 1.0 p | CDN-Loop: other | Meridian-X: 1"
	const others = "X-Original-URL: /admin | X-Rewrite-URL: /admin | X-Original-Host: h | True-Client-IP: 9.9.9.9 | X-Client-IP: 9.9.9.9 | " +
		"X-Cluster-Client-IP: 9.9.9.9 | CF-Connecting-IP: 9.9.9.9 | Fastly-Client-IP: 9.9.9.9"
	for _, test := range []struct {
		reason   string
		hop      Hop
		in, want string
	}{
		{"nothing brought", hop, "", "X-Forwarded-For: 192.0.2.1 | X-Forwarded-Proto: http | X-Forwarded-Host: api.example | " +
			"X-Request-Id: new | Via: 1.1 meridian-x | Cdn-Loop: meridian-x"},
		{"not believed", hop, brought, "X-Forwarded-For: 192.0.2.1 | X-Forwarded-Proto: http | X-Forwarded-Host: api.example | " +
			"X-Request-Id: new | Via: 1.0 p, 1.1 meridian-x | Cdn-Loop: other, meridian-x"},
		{"believed", trusted, brought, "X-Forwarded-Port: 1 | X-Real-Ip: 9.9.9.9 | X-Forwarded-For: 9.9.9.9, 8.8.8.8, 192.0.2.1 | " +
			"X-Forwarded-Proto: https | X-Forwarded-Host: o.example | X-Request-Id: old | Via: 1.0 p, 1.1 meridian-x | " +
			"Cdn-Loop: other, meridian-x | Forwarded: for=9.9.9.9, for=192.0.2.1;proto=http"},
		{"not believed by other names", hop, others, "X-Forwarded-For: 192.0.2.1 | X-Forwarded-Proto: http | X-Forwarded-Host: api.example | " +
			"X-Request-Id: new | Via: 1.1 meridian-x | Cdn-Loop: meridian-x"},
		{"believed by other names", trusted, others, others + " | X-Forwarded-For: 192.0.2.1 | X-Forwarded-Proto: http | " +
			"X-Forwarded-Host: api.example | X-Request-Id: new | Via: 1.1 meridian-x | Cdn-Loop: meridian-x"},
		{"believed but malformed", six, "X-Forwarded-Proto: gopher | X-Forwarded-Host: a, b | X-Request-Id: a b | Forwarded: for=_a",
			"X-Forwarded-For: 2001:db8::1 | X-Forwarded-Proto: http | X-Forwarded-Host: api.example | X-Request-Id: new | " +
				`Via: 1.1 meridian-x | Cdn-Loop: meridian-x | Forwarded: for=_a, for="[2001:db8::1]";proto=http`},
	} {
		if got := text(test.hop.Apply(fields(test.in))); got != test.want {
			t.Errorf("%s: Apply(%s)\n got %s\nwant %s", test.reason, test.in, got, test.want)
		}
	}
}

func TestLoop(t *testing.T) {
	for _, test := range []struct {
		in            string
		self, sibling bool
	}{
		{"A: 1", false, false},
		{"CDN-Loop: meridian-x", true, false},
		{"CDN-Loop: other, Meridian-X ; a=1", true, false},
		{"CDN-Loop: other | cdn-loop: meridian-x", true, false},
		{"CDN-Loop: meridian-y", false, true},
		{`CDN-Loop: o; a=", meridian-x,"`, false, false},
		{"CDN-Loop: meridian-xy, meridian-x", true, true},
		{"CDN-Loop: meridian-", false, false},
	} {
		if self, sibling := Loop(fields(test.in), "meridian-x", "meridian-"); self != test.self || sibling != test.sibling {
			t.Errorf("Loop(%s) = %v, %v, want %v, %v", test.in, self, sibling, test.self, test.sibling)
		}
	}
}

const key = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455, section 1.3

func TestHandshake(t *testing.T) {
	const good = "Connection: keep-alive, Upgrade | Upgrade: WebSocket | Sec-WebSocket-Version: 13 | Sec-WebSocket-Key: " + key
	for _, test := range []struct {
		reason, method, version, in string
		body, want                  bool
	}{
		{"proper", "GET", "1.1", good, false, true},
		{"not GET", "POST", "1.1", good, false, false},
		{"HTTP/1.0", "GET", "1.0", good, false, false},
		{"a body", "GET", "1.1", good, true, false},
		{"Connection does not name it", "GET", "1.1", strings.Replace(good, "Upgrade |", "x |", 1), false, false},
		{"another protocol", "GET", "1.1", strings.Replace(good, "WebSocket |", "h2c |", 1), false, false},
		{"another version", "GET", "1.1", strings.Replace(good, "13", "8", 1), false, false},
		{"no key", "GET", "1.1", strings.Replace(good, key, "", 1), false, false},
		{"two keys", "GET", "1.1", good + "| Sec-WebSocket-Key: " + key, false, false},
	} {
		if got := Handshake(test.method, test.version, test.body, fields(test.in)); (got == key) != test.want {
			t.Errorf("%s: Handshake = %q, want one: %v", test.reason, got, test.want)
		}
	}
	if got, want := Accept(key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want { // RFC 6455, section 1.3
		t.Errorf("Accept = %q, want %q", got, want)
	}
}

func TestResponseAndTrailer(t *testing.T) {
	in := "Content-Length: 3 | Meridian-Drain: 1 | Connection: X-A | X-A: 1 | TE: trailers | Etag: x"
	if got, want := text(Response(fields(in))), "Etag: x"; got != want {
		t.Errorf("Response(%s) = %s, want %s", in, got, want)
	}
	in = "Host: x | Content-Length: 1 | X-Forwarded-For: 1 | X_Forwarded_For: 1 | Upgrade: x | Grpc-Status: 0"
	if got, want := text(Trailer(fields(in))), "Grpc-Status: 0"; got != want {
		t.Errorf("Trailer(%s) = %s, want %s", in, got, want)
	}
}

func FuzzTokens(f *testing.F) {
	f.Add(`a, "b, \"c" ,,d`)
	f.Fuzz(func(t *testing.T, value string) {
		got := slices.Collect(Fields{{"X", value}}.Tokens("x"))
		again := slices.Collect(Fields{{"X", strings.Join(got, ",")}}.Tokens("X"))
		if !slices.Equal(got, again) {
			t.Errorf("Tokens(%q) = %q, of these %q", value, got, again)
		}
	})
}
