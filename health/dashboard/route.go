package dashboard

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meridian-gslb/meridian/zones/whatif"
)

//go:embed page
var pageFiles embed.FS

// A route is one method of one path, with what the reference says of it.
type route struct {
	method  string
	path    string // a pattern of http.ServeMux
	doc     string
	params  []param
	example string // "GET /v1/status", and a body on the next line
	handle  func(*Server, http.ResponseWriter, *http.Request)
}

type param struct{ name, doc string }

var routes = []route{
	{"GET", "/v1/status", "The node, its peers, what is wrong (worst first), and where nodes differ.", nil,
		"GET /v1/status", (*Server).getStatus},
	{"GET", "/v1/checks", "The status of every check, with the verdict of every vantage.", nil,
		"GET /v1/checks", (*Server).getChecks},
	{"GET", "/v1/checks/{id...}", "The status of one check.", []param{
		{"id", "name of the check: check/endpoint/family"}},
		"GET /v1/checks/gateway/euw1/ipv4", (*Server).getCheck},
	{"GET", "/v1/pools", "Every pool: its members, the rung it answers from, and who is answered with what.", nil,
		"GET /v1/pools", (*Server).getPools},
	{"GET", "/v1/controls", "The panels with their routing controls and safety rules.", nil,
		"GET /v1/controls", (*Server).getControls},
	{"POST", "/v1/controls", "Switches controls of one panel, all or none. A refusal is a problem document that names the rules.", []param{
		{"set", "object: name of a control to `on` or `off`; required"},
		{"reason", "why; required"},
		{"actor", "who; required"},
		{"override", "array of the rules that may be broken, by name or panel/name"},
		{"key", "idempotency key: the same command again gives the first result; default a new one"},
		{"expect", "object: name of a control to the version it must be at"}},
		"POST /v1/controls\n" + `{"set": {"api-us-east": "off"}, "reason": "disk replaced in us-east", "actor": "mia"}`, (*Server).postControls},
	{"GET", "/v1/endpoints", "Every endpoint: what is measured of it and what it is set to by hand; and the members of pools that wait to be resumed.", nil,
		"GET /v1/endpoints", (*Server).getEndpoints},
	{"POST", "/v1/endpoints", "Sets what endpoints count as in every pool, whatever is measured, all or none. A routing control that is off still wins.", []param{
		{"set", "object: name of an endpoint to `force_up` (counts as up), `force_down` (is not answered), `drain` (takes no new clients: answered before any that " +
			"is down, never before one that is up) or `auto` (what is measured counts again); required"},
		{"for_seconds", "after which it ends, 1 to 31622400"},
		{"expires", "when it ends, as in `2026-03-01T18:00:00Z`; with neither of the two it stays until `auto`. Without a quorum of voters it lasts longer, and is shown as overdue"},
		{"reason", "why; required"},
		{"actor", "who; required"},
		{"key", "idempotency key: the same command again gives the first result; default a new one"}},
		"POST /v1/endpoints\n" + `{"set": {"euw1": "drain"}, "for_seconds": 7200, "reason": "disk replaced", "actor": "mia"}`, (*Server).postEndpoints},
	{"POST", "/v1/pools/resume", "Lets clients of a pool with failback by hand go back to members that they were failed away from.", []param{
		{"pool", "name of the pool; required"},
		{"endpoint", "name of one member; default all of the pool"},
		{"reason", "why; required"},
		{"actor", "who; required"},
		{"key", "idempotency key; default a new one"}},
		"POST /v1/pools/resume\n" + `{"pool": "admin", "endpoint": "use1", "reason": "well again", "actor": "mia"}`, (*Server).postResume},
	{"POST", "/v1/freeze", "Stops all automatic change of statuses, or lets it go on. Controls and what is set by hand are obeyed all the same.", []param{
		{"frozen", "`true` or `false`; required"},
		{"reason", "why; required"},
		{"actor", "who; required"},
		{"key", "idempotency key; default a new one"}},
		"POST /v1/freeze\n" + `{"frozen": true, "reason": "the probes' new version is wrong", "actor": "mia"}`, (*Server).postFreeze},
	{"POST", "/v1/release", "Ends the hold of a mass change: what went down until now is obeyed.", []param{
		{"reason", "why; required"},
		{"actor", "who; required"},
		{"key", "idempotency key; default a new one"}},
		"POST /v1/release\n" + `{"reason": "the outage is real", "actor": "mia"}`, (*Server).postRelease},
	{"GET", "/v1/challenges", "The ACME challenges that nameservers answer.", nil,
		"GET /v1/challenges", (*Server).getChallenges},
	{"POST", "/v1/challenges", "Sets or clears a value of an ACME challenge, and answers when every nameserver that can be reached has it. It can be sent again.", []param{
		{"name", "`_acme-challenge.HOST` in one of the zones; required"},
		{"value", "1 to 255 printable ASCII bytes without space, quote and backslash; required to set. To clear, none is every value of the name"},
		{"clear", "`true` to clear; default `false`"},
		{"life_seconds", "after which it expires, 1 to 86400; default 3600"},
		{"reason", "why; required"},
		{"actor", "who; required"}},
		"POST /v1/challenges\n" + `{"name": "_acme-challenge.www.example.com", "value": "LoqXcYV8", "reason": "renewal", "actor": "mia"}`, (*Server).postChallenges},
	{"GET", "/v1/controls/history", "The audit log of commands, newest first. `changes` of controls, `overlays` of endpoints, `latches` of members, or `zone` and `order`, say what was wanted; `refused` is why it was not done.", []param{
		{"limit", "at most so many entries; default 100, at most 1000"}},
		"GET /v1/controls/history?limit=20", (*Server).getHistory},
	{"GET", "/v1/rules", "The safety rules, the built-in ones included, and whether they hold.", nil,
		"GET /v1/rules", (*Server).getRules},
	{"GET", "/v1/keys", "The DNSSEC keys of every zone, the stage of their roll and what it waits for.", nil,
		"GET /v1/keys", (*Server).getKeys},
	{"POST", "/v1/keys", "Rolls the keys of a zone, or says something of them. What is under way must be over first: otherwise the answer is 409.", []param{
		{"zone", "name of the zone, lower case, with the last dot; required"},
		{"do", "`roll-zsk`, `roll-ksk`, `roll-csk`: replace that key; `ds-seen`: the parent has just the DS that it should; `delete-ds`, `announce-ds`: leave " +
			"the chain of trust, come back; `remove`: stop signing; `introduce`: sign again by new keys; `import`: sign by `keys`; `forget`: `nameserver` is gone for good; " +
			"`drop`: forget the keys of a zone that the world does not want signed; required"},
		{"reason", "why; required"},
		{"actor", "who; required"},
		{"nameserver", "of `forget`: name of the node"},
		{"keys", "of `import`: array of keys, sealed as `meridian key import` does it"},
		{"key", "idempotency key; default a new one"}},
		"POST /v1/keys\n" + `{"zone": "example.com.", "do": "roll-zsk", "reason": "yearly", "actor": "mia"}`, (*Server).postKeys},
	{"GET", "/v1/explain", "Why a question is answered as it is, was answered at a time, or would be. With `Accept: text/plain` as text, whose last line is the answer. " +
		"`premises` says what holds in place of the present state, and what of a replay is not sure; 404 where nothing is kept of that time.", []param{
		{"name", "the name asked; required"},
		{"type", "the type asked; default `A`"},
		{"client", "address the query comes from; default that of the subnet, or else of the request"},
		{"subnet", "EDNS client subnet, as a prefix"},
		{"random", "number from 0 to 4294967295 that decides between equals; default drawn"},
		{"at", "replay this time: " + timesTaken},
		{"if", "what is supposed: " + whatif.Usage + "; commas join several, and it can be given several times"}},
		"GET /v1/explain?name=api.example.com&type=A&client=203.0.113.9&subnet=198.51.100.0/24&random=0", (*Server).getExplain},
	{"GET", "/v1/events", "The journal, oldest first. With `after` alone it is that of this run of the node, as far back as it is in memory; with any of the others what is on disk, of earlier runs too. " +
		"Events about checks have `evidence`: of a `status` or `held` the vote of every region and the opinion of every vantage, of a `verdict` the last probes of this vantage.", []param{
		{"after", "only events of this run after this sequence; default 0"},
		{"from", "only events since then: " + timesTaken},
		{"to", "only events until then; likewise"},
		{"subject", "only events about this check, endpoint, pool, control, zone or node; `euw1` is about `api/euw1/ipv4` too"},
		{"kind", "only events of this kind, or of several with commas between: " + kindNames()},
		{"cursor", "go on behind the last event of an earlier answer, of which it is the `cursor`"},
		{"limit", "at most so many; default 200, at most 1000. Without `after`, `from` and `cursor` they are the newest"}},
		"GET /v1/events?subject=euw1&from=2h&kind=status,held", (*Server).getEvents},
	{"GET", "/v1/why", "Why a check, or every check of an endpoint, was in the state that it was in: since when, by which votes and probes, until when, and what was set by hand. " +
		"With `Accept: text/plain` as text. It is the view of this node, by its journal on disk.", []param{
		{"subject", "name of an endpoint or check; required"},
		{"at", "when: " + timesTaken + "; default now"}},
		"GET /v1/why?subject=euw1&at=14:03", (*Server).getWhy},
	{"GET", "/v1/stream", "Server-sent events: `status` (as `/v1/status`, whenever something changed) and `event` (a line of the journal without its evidence; the " +
		"newest 100 at first, those that were missed with `Last-Event-ID`).", nil,
		"GET /v1/stream", (*Server).getStream},
	{"GET", "/metrics", "Metrics in the formats of Prometheus.", nil, "GET /metrics", nil},
	{"GET", "/healthz", "Answers `ok` while the server serves.", nil, "GET /healthz", (*Server).getHealthz},
	{"GET", "/{$}", "The web page.", nil, "GET /", nil},
}

// Reference returns every route of the API as Markdown.
func Reference() string {
	var b strings.Builder
	for i, r := range routes {
		if i > 0 {
			b.WriteByte('\n')
		}
		shown := strings.NewReplacer("{$}", "", "...}", "}").Replace(r.path)
		fmt.Fprintf(&b, "## `%s %s`\n\n%s\n\n", r.method, shown, r.doc)
		if len(r.params) > 0 {
			kind := "parameter"
			if r.method == http.MethodPost {
				kind = "field of the body"
			}
			fmt.Fprintf(&b, "| %s | meaning |\n|---|---|\n", kind)
			for _, p := range r.params {
				fmt.Fprintf(&b, "| `%s` | %s |\n", p.name, p.doc)
			}
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "```\n%s\n```\n", r.example)
	}
	return b.String()
}

// handler puts the routes behind the guards.
func (s *Server) handler(cfg Config) (http.Handler, error) {
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{
		ErrorLog: prometheusLog{s}, MaxRequestsInFlight: 4, Timeout: replyWait / 2})
	methods := make(map[string]map[string]http.Handler)
	for _, r := range routes {
		if methods[r.path] == nil {
			methods[r.path] = make(map[string]http.Handler)
		}
		var h http.Handler
		switch r.path {
		case "/metrics":
			h = metrics
		case "/{$}":
			h = asset("index.html")
		default:
			h = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.handle(s, w, req) })
		}
		methods[r.path][r.method] = h
	}
	files, err := fs.ReadDir(pageFiles, "page")
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	for _, f := range files {
		if f.Name() == "index.html" {
			continue
		}
		methods["/page/"+f.Name()] = map[string]http.Handler{"GET": asset(f.Name())}
	}
	for pattern, handlers := range methods {
		mux.Handle(pattern, byMethod(handlers))
	}
	for prefix, h := range cfg.Extra {
		if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") || prefix == "/" {
			return nil, fmt.Errorf("dashboard: extra path %q does not begin and end with a slash", prefix)
		}
		mux.Handle(prefix, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Sprintf("nothing is at %s", path.Clean(r.URL.Path)))
	})
	return s.guard(mux), nil
}

func byMethod(handlers map[string]http.Handler) http.Handler {
	allowed := slices.Collect(maps.Keys(handlers))
	if handlers["GET"] != nil {
		allowed = append(allowed, "HEAD")
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		h := handlers[method]
		if h == nil {
			w.Header().Set("Allow", allow)
			refuse(w, http.StatusMethodNotAllowed, fmt.Sprintf("method %s, want %s", r.Method, allow))
			return
		}
		h.ServeHTTP(w, r)
	})
}

func asset(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pageFiles, "page/"+name)
	})
}

func (s *Server) getHealthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// prometheusLog passes on what /metrics has to complain of.
type prometheusLog struct{ s *Server }

func (l prometheusLog) Println(v ...any) {
	l.s.logger.Warn("metrics incomplete", "err", errors.New(strings.TrimSpace(fmt.Sprintln(v...))))
}
