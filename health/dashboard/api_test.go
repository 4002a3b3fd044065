package dashboard

import (
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a fake world on a listener until the test ends.
func start(t *testing.T, f *fake, listener net.Listener) *Server {
	t.Helper()
	return startSource(t, f.source(), listener)
}

func startSource(t *testing.T, src Source, listener net.Listener) *Server {
	t.Helper()
	registry := prometheus.NewRegistry()
	s, err := Start(Config{Listener: listener, Hosts: []string{"status.example.com"}, Gatherer: registry, Logger: slog.New(slog.DiscardHandler),
		Extra: map[string]http.Handler{"/v1/fake/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reply(w, "made up") })}}, src)
	if err != nil {
		t.Fatal(err)
	}
	registry.MustRegister(s)
	t.Cleanup(func() {
		if err := s.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask makes a request of text: "GET /v1/status", headers as "Name: value" lines, an empty line, a body.
func ask(s *Server, text string) *httptest.ResponseRecorder {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8053"
	r.RemoteAddr = "127.0.0.1:40000"
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r)
	return w
}

const (
	postJSON = "POST /v1/controls\nContent-Type: application/json\n"

	postChallenge = "POST /v1/challenges\nContent-Type: application/json\n\n"

	postEndpoints = "POST /v1/endpoints\nContent-Type: application/json\n\n"
	postResume    = "POST /v1/pools/resume\nContent-Type: application/json\n\n"

	turnOff = `{"set": {"api-us-east": "off"}, "reason": "test", "actor": "mia"}`
)

// Every bad request is refused with a problem document that says what is wrong, and changes nothing.
func TestRefusals(t *testing.T) {
	f := newFake(t)
	s := start(t, f, loopback(t))
	for _, test := range []struct {
		name, request string
		status        int
		want          string // in the detail
	}{
		{"a name that resolves here", "GET /v1/status\nHost: evil.example", 421, `unknown host "evil.example"`},
		{"with a port", "GET /\nHost: evil.example:8053", 421, `(have 127.0.0.1, ::1, localhost, status.example.com)`},
		{"no host", "GET /v1/status\nHost: ", 421, `unknown host ""`},
		{"a name that begins well", "GET /v1/status\nHost: localhost.evil.example", 421, "unknown host"},
		{"a user before the host", "GET /v1/status\nHost: localhost@evil.example", 421, "unknown host"},
		{"metrics are guarded as well", "GET /metrics\nHost: evil.example", 421, "unknown host"},
		{"and what is mounted beside", "GET /v1/fake/x\nHost: evil.example", 421, "unknown host"},
		{"a page of another origin writes", postJSON + "Origin: http://evil.example\n\n" + turnOff, 403, "another origin"},
		{"another port is another origin", postJSON + "Origin: http://127.0.0.1:9999\n\n" + turnOff, 403, "another origin"},
		{"a sandboxed page", postJSON + "Origin: null\n\n" + turnOff, 403, "another origin"},
		{"the browser says cross-site", postJSON + "Sec-Fetch-Site: cross-site\n\n" + turnOff, 403, "another origin"},
		{"the browser says same-site", postJSON + "Sec-Fetch-Site: same-site\n\n" + turnOff, 403, "another origin"},
		{"another site reads", "GET /v1/status\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors", 403, "another origin"},
		{"a form", "POST /v1/controls\nContent-Type: text/plain\n\n" + turnOff, 415, `"text/plain", want application/json`},
		{"no type", "POST /v1/controls\n\n" + turnOff, 415, `"", want application/json`},
		{"another charset", "POST /v1/controls\nContent-Type: application/json; charset=latin1\n\n" + turnOff, 415, "want application/json"},
		{"a form to what is mounted beside", "POST /v1/fake/x\nContent-Type: application/x-www-form-urlencoded\n\na=b", 415, "want application/json"},
		{"too large", postJSON + "\n{\"reason\": \"" + strings.Repeat("a", maxBodyBytes) + "\"}", 413, "exceeds 65536 bytes"},
		{"empty body", postJSON + "\n", 400, "not a JSON object"},
		{"no object", postJSON + "\n[1]", 400, "not a JSON object"},
		{"broken off", postJSON + "\n{\"set\": {", 400, "unexpected end"},
		{"something behind it", postJSON + "\n" + turnOff + "{}", 400, "invalid character"},
		{"unknown field", postJSON + "\n" + `{"sett": {}}`, 400, `unknown field "sett" (have set, reason, actor, override, key, expect)`},
		{"spelled in another case", postJSON + "\n" + strings.Replace(turnOff, "reason", "Reason", 1), 400, `unknown field "Reason"`},
		{"a field twice", postJSON + "\n" + strings.Replace(turnOff, "{", `{"actor": "eve", `, 1), 400, `field "actor" is there twice`},
		{"a control twice", postJSON + "\n" + strings.Replace(turnOff, `"off"`, `"on", "api-us-east": "off"`, 1), 400, `set: "api-us-east" is there twice`},
		{"every mistake at once", postJSON + "\n" + `{"set": {"a": "of", "b": true}, "expect": {"c": 1}}`, 400,
			`actor: missing; expect: control "c" is not set; reason: missing; set: control "a": want "on" or "off", not "of"; set: control "b": want "on" or "off", not true`},
		{"nothing set", postJSON + "\n" + `{"reason": "r", "actor": "a", "set": {}}`, 400, "set: no control is named"},
		{"a version that is no number", postJSON + "\n" + strings.Replace(turnOff, "{", `{"expect": {"api-us-east": -1}, `, 1), 400, "does not decode"},
		{"unknown control", postJSON + "\n" + strings.Replace(turnOff, "api-us-east", "api-us-west", 1), 422, `unknown control: "api-us-west" (have`},
		{"unknown rule", postJSON + "\n" + strings.Replace(turnOff, "{", `{"override": ["keep-none"], `, 1), 422, "keep-none"},
		{"a control character", postJSON + "\n" + strings.Replace(turnOff, "mia", `m\u0007a`, 1), 422, "control character"},
		{"refused by a rule", postJSON + "\n" + strings.Replace(turnOff, `"off"`, `"off", "api-eu-west": "off"`, 1), 409,
			`unsafe: rule "keep-two" needs at least 2 of 3 on, 1 would be`},
		{"another version", postJSON + "\n" + strings.Replace(turnOff, "{", `{"expect": {"api-us-east": 7}, `, 1), 409, "is at version 1, not 7"},
		{"endpoints with every mistake", postEndpoints + `{"set": {"a": "up", "b": 1, "c": "auto"}, "for_seconds": 0, "expires": "soon", "until": 1}`, 400,
			`actor: missing; expires: "soon" is not a time like "2026-03-01T18:00:00Z"; for_seconds and expires: want one of them; for_seconds: 0, want 1 to 31622400; reason: missing; ` +
				`set: endpoint "a": want one of "auto", "force_up", "force_down", "drain", not "up"; set: endpoint "b": want one of "auto", "force_up", "force_down", "drain", not 1; ` +
				`set: endpoint "c": "auto" takes away what it was set to, and can't expire; unknown field "until" (have set, for_seconds, expires, reason, actor, key)`},
		{"no endpoint", postEndpoints + `{"set": {}, "reason": "r", "actor": "a"}`, 400, "set: no endpoint is named"},
		{"endpoints that no pool has", postEndpoints + `{"set": {"euw2": "drain", "use2": "auto", "use1": "drain"}, "reason": "r", "actor": "a"}`, 422,
			`unknown endpoint: "euw2", "use2" (have aps1, euw1, use1)`},
		{"an expiry that has passed", postEndpoints + `{"set": {"euw1": "drain"}, "expires": "2001-01-01T00:00:00Z", "reason": "r", "actor": "a"}`, 422,
			`endpoint "euw1": expires at 2001-01-01T00:00:00Z, want a time after`},
		{"an expiry that is no expiry", postEndpoints + `{"set": {"euw1": "drain"}, "expires": "0001-01-01T00:00:00Z", "reason": "r", "actor": "a"}`, 400, `expires: "0001-01-01T00:00:00Z" is not`},
		{"resume of nothing", postResume + `{"reasons": "r"}`, 400, `actor: missing; pool: missing; reason: missing; unknown field "reasons" (have pool, endpoint, reason, actor, key)`},
		{"resume of a pool that there is not", postResume + `{"pool": "apu", "reason": "r", "actor": "a"}`, 422, `unknown pool: "apu" (have admin, api, canary)`},
		{"resume of an endpoint of another pool", postResume + `{"pool": "admin", "endpoint": "aps1", "reason": "r", "actor": "a"}`, 422,
			`unknown endpoint: "aps1" in pool "admin" (have euw1, use1)`},
		{"a challenge with every mistake", postChallenge + `{"name": "www.example.com", "life_seconds": -1, "key": "k"}`, 400,
			`actor: missing; life_seconds: -1, want 1 to 86400; name: "www.example.com." is not _acme-challenge.HOST; reason: missing; ` +
				`unknown field "key" (have name, value, clear, life_seconds, reason, actor); value: missing`},
		{"a challenge of others", postChallenge + `{"name": "_acme-challenge.example.net", "value": "v", "reason": "r", "actor": "a"}`, 400, "is in no zone of ours"},
		{"a value that is not printable", postChallenge + `{"name": "_acme-challenge.www.example.com", "value": "a b", "reason": "r", "actor": "a"}`, 422, "printable"},
		{"a challenge that one nameserver does not confirm", postChallenge + `{"name": "_acme-challenge.www.example.com", "value": "deaf", "reason": "r", "actor": "a"}`, 503,
			"but nameservers have not confirmed: eu1"},
		{"unknown check", "GET /v1/checks/nothing/at/all", 404, `unknown check "nothing/at/all"`},
		{"unknown path", "GET /v2/status", 404, "nothing is at /v2/status"},
		{"the page's folder", "GET /page/", 404, "nothing is at /page"},
		{"no write here", "POST /v1/status\nContent-Type: application/json\n\n{}", 405, "method POST, want GET, HEAD"},
		{"no reading of what resumes", "GET /v1/pools/resume", 405, "method GET, want POST"},
		{"no delete there", "DELETE /v1/controls\nContent-Type: application/json", 405, "method DELETE, want GET, HEAD, POST"},
		{"explain what", "GET /v1/explain", 400, "name: missing"},
		{"explain all mistakes", "GET /v1/explain?name=a&type=AX&client=1.2.3&subnet=10.0.0.1/8&random=-1&colour=red", 400,
			`client: "1.2.3" is not an IP address; random: "-1" is not a number from 0 to 4294967295; ` +
				`subnet: "10.0.0.1/8" has bits set past its length (want 10.0.0.0/8); type: unknown type "AX" (have A, NS, `},
		{"explain no name", "GET /v1/explain?name=" + strings.Repeat("a", 64), 400, "name: "},
		{"explain at no time", "GET /v1/explain?name=api.example.com&at=soon", 400, `at: "soon" is no time, want one like 2026-01-31T03:12:00Z (RFC 3339), 03:12 or 03:12:30 (when it was last so late, UTC), or how long ago like 15m`},
		{"explain at a time that is not kept", "GET /v1/explain?name=api.example.com&at=2025-01-31T03:12:00%2B02:00", 404, "no replay of that time: 2025-01-31 01:12:00"},
		{"explain at a time that can't be read", "GET /v1/explain?name=api.example.com&at=-1h15m", 500, "damaged"},
		{"suppositions with every mistake", "GET /v1/explain?name=api.example.com&if=kill+use1,on&if=off+a+b", 400,
			`if: "kill use1": unknown word "kill": want down ENDPOINT, `},
		{"supposition about nothing", "GET /v1/explain?name=api.example.com&if=down+use2&if=lose+eu", 400, `if: "down use2": unknown endpoint "use2" (have aps1, euw1, use1); "lose eu": unknown region`},
		{"events of no kind", "GET /v1/events?kind=status,stat", 400, `kind: unknown kind "stat" (have verdict, status, held, `},
		{"events from behind to", "GET /v1/events?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 400, "from: 2026-01-02T00:00:00Z is after to, 2026-01-01T00:00:00Z"},
		{"events of a run and of the disk", "GET /v1/events?after=3&subject=euw1", 400, "after: it is of this run of the node alone; use cursor"},
		{"events at no cursor", "GET /v1/events?cursor=x", 400, `cursor: no cursor of this journal: "x"`},
		{"events of a long subject", "GET /v1/events?subject=" + strings.Repeat("x", 600), 400, "subject: 600 bytes, want at most 512"},
		{"a journal that can't be read", "GET /v1/events?subject=damaged", 500, "journal: read error"},
		{"why of nothing", "GET /v1/why", 400, "subject: missing, want the name of an endpoint or check"},
		{"why of an unknown name", "GET /v1/why?subject=eu", 404, `no check or endpoint "eu", now or in the journal (have `},
		{"why in the future", "GET /v1/why?subject=euw1&at=2222-01-31T03:12:00Z", 400, "at: 2222-01-31T03:12:00Z is in the future, it is "},
		{"why at no time", "GET /v1/why?subject=euw1&at=24:00", 400, `at: "24:00" is no time, want one like`},
		{"why of a journal that can't be read", "GET /v1/why?subject=damaged", 500, "journal: read error"},
		{"a parameter twice", "GET /v1/events?after=1&after=2", 400, `parameter "after" is given 2 times`},
		{"too many events", "GET /v1/events?limit=1001", 400, `limit: "1001" is not a number from 0 to 1000`},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, overlays := f.control.Controls(), len(f.control.Overlays())
			w := ask(s, test.request)
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("body %q: %v", w.Body, err)
			}
			if w.Code != test.status || p.Status != test.status || !strings.Contains(p.Detail, test.want) {
				t.Errorf("status %d, problem %+v, want %d and %q", w.Code, p, test.status, test.want)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			if w.Code == 405 && w.Header().Get("Allow") != strings.TrimPrefix(test.want[strings.Index(test.want, "want "):], "want ") {
				t.Errorf("Allow: %q, want as in %q", w.Header().Get("Allow"), test.want)
			}
			if n := len(f.control.Overlays()); n != overlays {
				t.Errorf("%d endpoints set by hand, want %d as before", n, overlays)
			}
			for i, c := range f.control.Controls() {
				if c != before[i] {
					t.Errorf("control changed to %+v", c)
				}
			}
		})
	}
}

func TestRefusalNamesTheRules(t *testing.T) {
	s := start(t, newFake(t), loopback(t))
	all := `{"set": {"api-us-east": "off", "api-eu-west": "off", "api-ap-south": "off"}, "reason": "test", "actor": "mia"`
	w := ask(s, postJSON+"\n"+all+"}")
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, v := range p.Rules {
		rules = append(rules, ruleID(v))
	}
	if got, want := strings.Join(rules, " "), "api/keep-two last-on:api"; w.Code != 409 || p.Code != "unsafe" || got != want {
		t.Errorf("status %d, code %q, rules %q, want 409, unsafe, %q", w.Code, p.Code, got, want)
	}
	w = ask(s, postJSON+"\n"+all+`, "override": ["api/keep-two", "last-on:api"]}`)
	var result control.Result
	if err := json.Unmarshal(w.Body.Bytes(), &result); err != nil || w.Code != 200 || len(result.Changed) != 3 || len(result.Rules) != 2 {
		t.Errorf("with overrides: status %d, %s", w.Code, w.Body)
	}
}

func TestNoQuorum(t *testing.T) {
	f := newFake(t)
	s := start(t, f, loopback(t))
	f.noQuorum = true
	w := ask(s, postJSON+"\n"+turnOff)
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if w.Code != 503 || p.Code != "no_quorum" || !strings.Contains(p.Detail, errNoLeader.Error()) || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, %+v, want 503 and %v", w.Code, p, errNoLeader)
	}
	f.noQuorum = false
	again := postJSON + "\n" + strings.Replace(turnOff, "{", `{"key": "`+p.Key+`", `, 1)
	for range 2 {
		if w = ask(s, again); w.Code != 200 {
			t.Errorf("with the same key: status %d: %s", w.Code, w.Body)
		}
	}
	if !strings.Contains(w.Body.String(), `"repeat": true`) {
		t.Errorf("a repeated key is not said: %s", w.Body)
	}
}

func TestAccepted(t *testing.T) {
	s := start(t, newFake(t), loopback(t))
	for _, test := range []struct{ name, request, want string }{
		{"IPv6 loopback", "GET /v1/status\nHost: [::1]:8053", `"summary": "All 6 checks up, all 3 nodes agree"`},
		{"IPv6 loopback without port", "GET /healthz\nHost: [::1]", "ok"},
		{"localhost in capitals", "GET /healthz\nHost: LOCALHOST", "ok"},
		{"a configured name", "GET /healthz\nHost: status.example.com:443", "ok"},
		{"a link from elsewhere", "GET /\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate", "<title>Meridian</title>"},
		{"the page's own write", postJSON + "Sec-Fetch-Site: same-origin\nOrigin: http://127.0.0.1:8053\n\n" + turnOff, `"changed": [`},
		{"what is mounted beside", "GET /v1/fake/x", "made up"},
		{"a stylesheet", "GET /page/style.css", "prefers-color-scheme"},
		{"metrics", "GET /metrics", "meridian_dashboard_streams 0"},
		{"explain as text", "GET /v1/explain?name=canary.example.com&client=8.8.8.8&random=0\nAccept: text/plain", "└─ answer: NOERROR scope /0: canary.example.com. 30 IN A 192.0.2.10"},
		{"explain a subnet", "GET /v1/explain?name=api.example.com&type=aaaa&subnet=91.0.0.0/24", "2001:db8:2::10"},
		{"explain a type by number", "GET /v1/explain?name=api.example.com&type=TYPE65", `"rcode": "NOERROR"`},
		{"explain a time", "GET /v1/explain?name=api.example.com&client=8.8.8.8&at=-10m\nAccept: text/plain", "├─ replay of 20"},
		{"what is not as it was", "GET /v1/explain?name=api.example.com&client=8.8.8.8&at=-10m\nAccept: text/plain", "├─ the zone example.com. is copied\n├─ zone example.com.\n"},
		{"explain a time as JSON", "GET /v1/explain?name=api.example.com&at=2222-01-31T03:12:00%2B02:00", `"at": "2222-01-31T03:12:00+02:00"`},
		{"explain what would be", "GET /v1/explain?name=api.example.com&client=8.8.8.8&if=down+use1\nAccept: text/plain", "api.example.com. 30 IN A 192.0.2.20"},
		{"what is supposed", "GET /v1/explain?name=api.example.com&client=8.8.8.8&if=down+use1,off+api-eu-west&if=lose+us-east\nAccept: text/plain",
			"├─ supposed: down use1, off api-eu-west, lose us-east\n├─ zone"},
		{"what is supposed as JSON", "GET /v1/explain?name=api.example.com&if=down+use1,off+api-eu-west", "\"if\": [\n    \"down use1\",\n    \"off api-eu-west\"\n  ]"},
		{"what would have been", "GET /v1/explain?name=api.example.com&client=8.8.8.8&at=-10m&if=down+use1\nAccept: text/plain", "is copied\n├─ supposed: down use1\n├─ zone"},
		{"history", "GET /v1/controls/history?limit=1", `"kind": "set"`},
		{"newest events", "GET /v1/events?limit=1", `"more": true`},
		{"events after the last", "GET /v1/events?after=1000000", `"events": []`},
	} {
		if w := ask(s, test.request); w.Code != 200 || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: status %d, want 200 and %q in\n%s", test.name, w.Code, test.want, w.Body)
		}
	}
}

func TestHeaders(t *testing.T) {
	s := start(t, newFake(t), loopback(t))
	for _, request := range []string{"GET /", "HEAD /v1/status", "GET /page/main.js", "GET /nothing", "GET /\nHost: evil.example"} {
		h := ask(s, request).Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s: %q, want %q", request, name, h.Get(name), want)
			}
		}
	}
}

// A node that knows nothing yet says so and does not fall over.
func TestEmptyNode(t *testing.T) {
	src := newFake(t).source()
	src.Health = func() *health.View { return nil }
	src.Control = func() *control.State { return nil }
	src.Snapshot = func() *zones.Snapshot { return nil }
	s := startSource(t, src, loopback(t))
	for _, test := range []struct {
		request string
		status  int
		want    string
	}{
		{"GET /v1/status", 200, "Node us1 answers nothing: no configuration is compiled yet"},
		{"GET /v1/checks", 200, `"checks": []`},
		{"GET /v1/pools", 200, `"pools": []`},
		{"GET /v1/controls", 200, `"known": false`},
		{"GET /v1/controls/history", 200, `"history": []`},
		{"GET /v1/endpoints", 200, `"endpoints": []`},
		{postEndpoints + `{"set": {"euw1": "drain"}, "reason": "r", "actor": "a"}`, 503, "no endpoint is known"},
		{postResume + `{"pool": "api", "reason": "r", "actor": "a"}`, 503, "no pool is known"},
		{"GET /v1/rules", 200, `"rules": []`},
		{"GET /v1/explain?name=api.example.com", 503, "no configuration is compiled yet"},
	} {
		if w := ask(s, test.request); w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: status %d, want %d and %q in\n%s", test.request, w.Code, test.status, test.want, w.Body)
		}
	}
}

func TestReference(t *testing.T) {
	golden(t, "reference.md", Reference())
}

// The page reads these by name; a field that is renamed must be renamed in page/*.js.
func TestShapes(t *testing.T) {
	f := newFake(t)
	f.spill = zones.NewSpill([]zones.Kept{{Pool: "canary", Member: "use1", PerMille: 620}})
	s := start(t, f, loopback(t))
	for _, body := range []string{`{"set": {"euw1": "force_down"}, "for_seconds": 7200, "reason": "disk replaced", "actor": "mia"}`,
		`{"set": {"aps1": "drain"}, "reason": "full", "actor": "mia"}`} {
		if w := ask(s, postEndpoints+body); w.Code != 200 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
	}
	f.submit(t.Context(), control.Command{Kind: control.KindLatch, Actor: "us1", Reason: "failed away from", Latch: []control.Member{{Pool: "admin", Endpoint: "use1"}, {Pool: "admin", Endpoint: "zz1"}}})
	for _, name := range []string{"checks/gateway/euw1/ipv4", "pools", "controls", "endpoints"} {
		var body any
		if err := json.Unmarshal(ask(s, "GET /v1/"+name).Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(withoutTimes(body), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, strings.ReplaceAll(name, "/", "-")+".json", string(text)+"\n")
	}
}

// withoutTimes replaces what differs from run to run.
func withoutTimes(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = withoutTimes(v[name])
			switch name {
			case "since", "changed", "time", "expires":
				v[name] = "TIME"
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutTimes(v[i])
		}
	}
	return v
}

// What an endpoint was set to can be taken away when no pool has it any more, and so can a latch; a key stands for one command.
func TestEndpointsThatTheWorldLost(t *testing.T) {
	f := newFake(t)
	s := start(t, f, loopback(t))
	f.submit(t.Context(), control.Command{Kind: control.KindOverlay, Actor: "us1", Reason: "x", Overlays: []control.OverlaySet{{Endpoint: "zz1", State: control.ForceDown}}})
	f.submit(t.Context(), control.Command{Kind: control.KindLatch, Actor: "us1", Reason: "x", Latch: []control.Member{{Pool: "old", Endpoint: "zz1"}, {Pool: "admin", Endpoint: "zz2"}}})
	if body := ask(s, "GET /v1/endpoints").Body.String(); !strings.Contains(body, `"endpoint": "zz1",
      "pools": [],
      "checks": [],`) || strings.Count(body, `"unused": true`) != 2 {
		t.Errorf("what no pool has is shown as %s", body)
	}
	for _, test := range []struct{ name, request, want string }{
		{"it is not set to something else", postEndpoints + `{"set": {"zz1": "drain"}, "reason": "r", "actor": "a"}`, `"code": "unknown_endpoint"`},
		{"it is taken away", postEndpoints + `{"set": {"zz1": "auto"}, "reason": "r", "actor": "a", "key": "m"}`, `"zz1"`},
		{"once for a key that names what is gone now", postEndpoints + `{"set": {"zz1": "auto"}, "reason": "r", "actor": "a", "key": "m"}`, `"repeat": true`},
		{"then it is unknown", postEndpoints + `{"set": {"zz1": "auto"}, "reason": "r", "actor": "a"}`, `"code": "unknown_endpoint"`},
		{"a latch of a pool that is no more", postResume + `{"pool": "old", "endpoint": "zz1", "reason": "r", "actor": "a"}`, `"zz1"`},
		{"then the pool is unknown", postResume + `{"pool": "old", "reason": "r", "actor": "a"}`, `"code": "unknown_pool"`},
		{"a latch of an endpoint that is no more", postResume + `{"pool": "admin", "endpoint": "zz2", "reason": "r", "actor": "a", "key": "k"}`, `"zz2"`},
		{"once for a key", postResume + `{"pool": "admin", "endpoint": "zz2", "reason": "r", "actor": "a", "key": "k"}`, `"repeat": true`},
		{"and for a while", postEndpoints + `{"set": {"use1": "drain"}, "for_seconds": 60, "reason": "r", "actor": "a", "key": "l"}`, `"use1"`},
		{"once for a key, however late", postEndpoints + `{"set": {"use1": "drain"}, "for_seconds": 60, "reason": "r", "actor": "a", "key": "l"}`, `"repeat": true`},
	} {
		if w := ask(s, test.request); !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: status %d, want %s in\n%s", test.name, w.Code, test.want, w.Body)
		}
	}
	if len(f.control.Latches()) > 0 || len(f.control.Overlays()) != 1 {
		t.Errorf("left are %v and %v", f.control.Overlays(), f.control.Latches())
	}
}

// Every example of the reference works.
func TestExamples(t *testing.T) {
	for _, r := range routes {
		if r.path == "/v1/stream" {
			continue // it does not end
		}
		head, body, _ := strings.Cut(r.example, "\n")
		if w := ask(start(t, newFake(t), loopback(t)), head+"\nContent-Type: application/json\n\n"+body); w.Code != 200 {
			t.Errorf("%s: status %d: %s", r.example, w.Code, w.Body)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}
