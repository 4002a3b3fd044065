package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/gateway/echo"
)

// What goes in as bytes, and what the upstream then sees.
func TestHeads(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east")), nil)
	const host = "Host: api.test\r\n"
	header := func(name, want string) func(echo.Answer) string {
		return func(a echo.Answer) string {
			if got := strings.Join(a.Headers[name], "|"); got != want {
				return fmt.Sprintf("upstream got %s: %q, want %q", name, got, want)
			}
			return ""
		}
	}
	path := func(want string) func(echo.Answer) string {
		return func(a echo.Answer) string {
			if got := a.Path + "?" + a.Query; got != want {
				return fmt.Sprintf("upstream got %s, want %s", got, want)
			}
			return ""
		}
	}
	for _, test := range []struct {
		reason, request string
		status          int
		check           func(echo.Answer) string
	}{
		{"a plain request", "GET /a?b=c&d HTTP/1.1\r\n" + host, 200, path("/a?b=c&d")},
		{"host with case, dot and port", "GET / HTTP/1.1\r\nHost: API.test.:8080\r\n", 200, path("/?")},
		{"a path is forwarded normalised", "GET /a/../%41/./b%2fc?x=/../ HTTP/1.1\r\n" + host, 200, path("/A/b%2fc?x=/../")},
		{"two slashes are forwarded", "GET //a//b HTTP/1.1\r\n" + host, 200, path("//a//b?")},
		{"absolute form", "GET http://api.test/a?b HTTP/1.1\r\nHost: other.test\r\n", 200, path("/a?b")},
		{"absolute form without path", "GET http://api.test?b HTTP/1.1\r\n" + host, 200, path("/?b")},
		{"HTTP/1.0", "GET /a HTTP/1.0\r\n" + host, 200, path("/a?")},
		{"CONNECT", "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n", 501, nil},
		{"an unknown host", "GET / HTTP/1.1\r\nHost: evil.test\r\n", 404, nil},
		{"no host", "GET / HTTP/1.1\r\n", 400, nil},
		{"no host in HTTP/1.0", "GET / HTTP/1.0\r\n", 400, nil},
		{"an empty host", "GET / HTTP/1.1\r\nHost:\r\n", 400, nil},
		{"two hosts", "GET / HTTP/1.1\r\n" + host + host, 400, nil},
		{"NUL in the path", "GET /%00 HTTP/1.1\r\n" + host, 400, nil},
		{"a path with two readings", "GET /admin%2Fx HTTP/1.1\r\n" + host, 400, nil},
		{"a fragment", "GET /a#b HTTP/1.1\r\n" + host, 400, nil},
		{"an asterisk with GET", "GET * HTTP/1.1\r\n" + host, 400, nil},
		{"a service without upstreams", "GET /admin HTTP/1.1\r\n" + host, 503, nil},
		{"unequal lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n", 400, nil},
		{"an unknown transfer coding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n", 501, nil},
		{"an upgrade to anything else is ignored", "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
			200, header("Upgrade", "")},
		{"its settings too", "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
			200, header("Http2-Settings", "")},
		{"WebSocket without a handshake is an ordinary request", "POST / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n",
			200, header("Upgrade", "")},
		{"what Connection names", "GET / HTTP/1.1\r\n" + host + "Connection: X-Secret\r\nX-Secret: 1\r\n", 200, header("X-Secret", "")},
		{"not what others trust", "GET / HTTP/1.1\r\n" + host + "Connection: X-Forwarded-For\r\n", 200, header("X-Forwarded-For", "127.0.0.1")},
		{"a lookalike", "GET / HTTP/1.1\r\n" + host + "X_Forwarded_For: 9.9.9.9\r\n", 200, header("X_forwarded_for", "")},
		{"a name with an underscore passes", "GET / HTTP/1.1\r\n" + host + "X_Other: 1\r\n", 200, header("X_other", "1")},
		{"forwarded fields are not believed", "GET / HTTP/1.1\r\n" + host + "X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\n",
			200, header("X-Forwarded-For", "127.0.0.1")},
		{"nor Forwarded", "GET / HTTP/1.1\r\n" + host + "Forwarded: for=9.9.9.9\r\n", 200, header("Forwarded", "")},
		{"proto", "GET / HTTP/1.1\r\n" + host + "X-Forwarded-Proto: https\r\n", 200, header("X-Forwarded-Proto", "http")},
		{"TE: trailers", "GET / HTTP/1.1\r\n" + host + "Connection: TE\r\nTE: gzip, trailers\r\n", 200, header("Te", "trailers")},
		{"no agent of the gateway's own", "GET / HTTP/1.1\r\n" + host, 200, header("User-Agent", "")},
		{"no coding the client did not ask for", "GET / HTTP/1.1\r\n" + host, 200, header("Accept-Encoding", "")},
		{"a loop", "GET / HTTP/1.1\r\n" + host + "CDN-Loop: other, meridian-one; a=b\r\n", 508, nil},
		{"others' loops", "GET / HTTP/1.1\r\n" + host + "CDN-Loop: other\r\n", 200, header("Cdn-Loop", "other, meridian-one")},
		{"via", "GET / HTTP/1.0\r\n" + host, 200, header("Via", "1.0 meridian-one")},
		{"a bare LF in a head", "GET / HTTP/1.1\nHost: api.test\nX-A: b\n", 200, header("X-A", "b")},
	} {
		got := h.raw(t, test.request+"\r\n")
		if got.StatusCode != test.status {
			t.Errorf("%s: status = %d, want %d: %s", test.reason, got.StatusCode, test.status, got.body)
			continue
		}
		if test.check == nil {
			continue
		}
		if wrong := test.check(got.echo(t)); wrong != "" {
			t.Errorf("%s: %s", test.reason, wrong)
		}
	}
	if got := h.metric(t, "headers_dropped_total"); got != 1 {
		t.Errorf("headers_dropped_total = %v, want 1", got)
	}
	if got := h.raw(t, "OPTIONS * HTTP/1.1\r\n"+host+"\r\n"); got.StatusCode != 200 || got.body != "" {
		t.Errorf("OPTIONS * = %d %q, want an empty 200", got.StatusCode, got.body)
	}
}

// A body framed twice reaches the upstream once, chunked, and what follows is not read as part of it.
func TestLengthAndChunked(t *testing.T) {
	heads := make(chan string, 2)
	addr, _ := newRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		heads <- fmt.Sprintf("%s %v %d %q", req.URL, req.TransferEncoding, req.ContentLength, body)
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	h := newHouse(t, in("east", addr), nil)
	c, r := h.dial(t)
	io.WriteString(c, "POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"3\r\nabc\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: api.test\r\n\r\n")
	if got := readReply(t, r, "POST"); got.StatusCode != 204 {
		t.Errorf("status = %d, want 204", got.StatusCode)
	}
	if got, want := <-heads, `/a [chunked] -1 "abc"`; got != want {
		t.Errorf("upstream got %s, want %s", got, want)
	}
	if got := readReply(t, r, "GET"); got.StatusCode != 200 || !strings.Contains(got.body, `"ok"`) {
		t.Errorf("second request: %d %s", got.StatusCode, got.body)
	}
	if got := h.raw(t, "POST /a HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"); got.StatusCode != 400 {
		t.Errorf("bare LF in a chunk: status = %d, want 400", got.StatusCode)
	}
}

func TestTrustedPeer(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east")), func(c *Config) {
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	got := h.get(t, "/", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Request-Id: abc", "Connection: X-Request-Id").echo(t)
	for name, want := range map[string]string{"X-Forwarded-For": "192.0.2.1, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Request-Id": "abc"} {
		if have := strings.Join(got.Headers[name], "|"); have != want {
			t.Errorf("upstream got %s: %q, want %q", name, have, want)
		}
	}
}

// Each request for a host of ours is told once, with who asked for it: by the gateway that it came to first.
func TestRequestIsTold(t *testing.T) {
	for _, test := range []struct {
		reason, request string
		peers           string // that are trusted
		want            string // nothing: it is not told
	}{
		{"a request", "GET /a HTTP/1.1\r\nHost: API.test:80\r\n\r\n", "127.0.0.0/8", "api.test 127.0.0.1"},
		{"behind a balancer", "GET /a HTTP/1.1\r\nHost: api.test\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", "127.0.0.0/8", "api.test 192.0.2.1"},
		{"told by the gateway before", "GET /a HTTP/1.1\r\nHost: api.test\r\nCDN-Loop: meridian-two\r\n\r\n", "127.0.0.0/8", ""},
		{"who is not trusted says that a gateway told before", "GET /a HTTP/1.1\r\nHost: api.test\r\nCDN-Loop: meridian-two\r\n\r\n", "192.0.2.0/24", "api.test 127.0.0.1"},
		{"nobody's host", "GET /a HTTP/1.1\r\nHost: other.test\r\n\r\n", "127.0.0.0/8", ""},
		{"the gateway's own health", "GET /healthz HTTP/1.1\r\nHost: api.test\r\n\r\n", "127.0.0.0/8", ""},
	} {
		told := make(chan string, 2)
		h := newHouse(t, in("east", newEcho(t, "east")), func(c *Config) {
			c.Trusted = []netip.Prefix{netip.MustParsePrefix(test.peers)}
			c.Request = func(host string, client netip.Addr) { told <- host + " " + client.String() }
		})
		h.raw(t, test.request)
		close(told)
		if got := <-told; got != test.want {
			t.Errorf("%s: told of %q, want %q", test.reason, got, test.want)
		}
		if again, more := <-told; more {
			t.Errorf("%s: told twice, of %q too", test.reason, again)
		}
	}
}

func TestResponseHead(t *testing.T) {
	h := newHouse(t, in("east", newUpstreamServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("X-End", "2")
		w.Header().Set("Meridian-Drain", "1")
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(201)
		if r.Method != "HEAD" {
			io.WriteString(w, "<p>hi")
		}
	}))), nil)
	for _, method := range []string{"GET", "HEAD"} {
		got := h.raw(t, method+" / HTTP/1.1\r\nHost: api.test\r\n\r\n")
		got.Header.Del("Date")
		want := http.Header{"X-End": {"2"}, "Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"5"}}
		if got.StatusCode != 201 || fmt.Sprint(got.Header) != fmt.Sprint(want) {
			t.Errorf("%s: %d %v, want 201 %v", method, got.StatusCode, got.Header, want)
		}
	}
}

func TestProblemDocument(t *testing.T) {
	h := newHouse(t, in("east", refusing(t)), nil)
	got := h.get(t, "/")
	id := got.Header.Get("X-Request-Id")
	want := `{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"no upstream could be reached","requestId":"` + id + `"}` + "\n"
	if got.body != want || id == "" || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %v %s, want %s", got.Header, got.body, want)
	}
}

// Both directions flow before either has ended.
func TestStreaming(t *testing.T) {
	h := newHouse(t, in("east", newUpstreamServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintln(w, "heard "+lines.Text())
			rc.Flush()
		}
		w.Header().Set("X-Sum", "from "+r.Trailer.Get("X-Request-Sum")+r.Trailer.Get("X-Unknown"))
		w.Header().Set(http.TrailerPrefix+"X-More", "2")
	}))), nil)
	c, r := h.dial(t)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Request-Sum, X-Forwarded-For\r\n\r\n4\r\none\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(resp.Body)
	if line, _ := body.ReadString('\n'); line != "heard one\n" {
		t.Fatalf("first line = %q", line)
	}
	io.WriteString(c, "4\r\ntwo\n\r\n")
	if line, _ := body.ReadString('\n'); line != "heard two\n" {
		t.Fatalf("second line = %q", line)
	}
	io.WriteString(c, "0\r\nX-Request-Sum: client\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n")
	if rest, err := io.ReadAll(body); len(rest) > 0 || err != nil {
		t.Errorf("rest = %q, %v", rest, err)
	}
	want := http.Header{"X-Sum": {"from client"}, "X-More": {"2"}}
	if fmt.Sprint(resp.Trailer) != fmt.Sprint(want) {
		t.Errorf("trailer = %v, want %v", resp.Trailer, want)
	}
}

// A response that breaks off does not look whole.
func TestTruncatedResponse(t *testing.T) {
	for _, framing := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
		addr, _ := newRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n4\r\nabcd\r\n")
		})
		h := newHouse(t, in("east", addr), nil)
		c, r := h.dial(t)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: read %q to its end, want an error", framing, body)
		}
		if got := h.metric(t, "requests_total", "aborted"); got != 1 {
			t.Errorf("%s: aborted = %v, want 1", framing, got)
		}
	}
}

func TestSplitTarget(t *testing.T) {
	for _, test := range []struct{ in, path, query string }{
		{"/", "/", ""},
		{"/a?", "/a", "?"},
		{"/a?b?c", "/a", "?b?c"},
		{"//h/a?b", "//h/a", "?b"},
		{"http://h", "/", ""},
		{"http://h?x", "/", "?x"},
		{"http://h/a//b", "/a//b", ""},
		{"/http://h/a", "/http://h/a", ""},
		{"*", "*", ""},
		{"h:443", "h:443", ""},
	} {
		path, query := splitTarget(test.in)
		if !slices.Equal([]string{path, query}, []string{test.path, test.query}) {
			t.Errorf("splitTarget(%q) = %q, %q, want %q, %q", test.in, path, query, test.path, test.query)
		}
	}
}
