package dashboard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
	"github.com/meridian-gslb/meridian/zones/whatif"
)

// queryTypes are the types that may be asked by name; any other by number, as TYPE65534 (RFC 3597, section 5).
var queryTypes = []struct {
	name  string
	value uint16
}{
	{"A", 1}, {"NS", 2}, {"CNAME", 5}, {"SOA", 6}, {"PTR", 12}, {"MX", 15}, {"TXT", 16}, {"AAAA", 28}, {"SRV", 33},
	{"NAPTR", 35}, {"DS", 43}, {"SSHFP", 44}, {"DNSKEY", 48}, {"TLSA", 52}, {"SVCB", 64}, {"HTTPS", 65}, {"CAA", 257},
}

func (p *parameters) queryType(name string) uint16 {
	text := strings.ToUpper(p.values.Get(name))
	if text == "" {
		text = queryTypes[0].name
	}
	var names []string
	for _, t := range queryTypes {
		if t.name == text {
			return t.value
		}
		names = append(names, t.name)
	}
	if digits, ok := strings.CutPrefix(text, "TYPE"); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
			return uint16(n)
		}
	}
	p.bad("%s: unknown type %q (have %s, or TYPE and its number)", name, text, strings.Join(names, ", "))
	return 0
}

// An explained answer names all that it depends on, so that it can be asked for again.
type explained struct {
	Client    netip.Addr `json:"client"`
	Subnet    string     `json:"subnet,omitempty"`
	Random    uint32     `json:"random"`
	At        time.Time  `json:"at,omitzero"` // the time that is replayed; zero: the present
	Published time.Time  `json:"published"`   // when what is answered by was published
	If        []string   `json:"if,omitempty"`
	*zones.Explanation
	Text string `json:"text"` // the explanation for a terminal
}

func (s *Server) getExplain(w http.ResponseWriter, r *http.Request) {
	p := query(r, "name", "type", "client", "subnet", "random", "at", "if")
	q := zones.Question{Name: p.values.Get("name"), Type: p.queryType("type"),
		Client: zones.Client{Source: p.address("client"), Subnet: p.prefix("subnet")},
		Random: uint32(p.number("random", uint64(rand.Uint32()), 1<<32-1))}
	at := p.past("at", time.Now())
	supposed, err := whatif.Parse(p.values["if"])
	if err != nil {
		p.bad("if: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if q.Name == "" {
		p.bad("name: missing")
	}
	if p.refused(w) {
		return
	}
	if !q.Client.Source.IsValid() {
		q.Client.Source = q.Client.Subnet.Addr()
	}
	if !q.Client.Source.IsValid() {
		q.Client.Source = remote(r)
	}
	x := explained{Client: q.Client.Source, Random: q.Random, At: at}
	if q.Client.Subnet.IsValid() {
		x.Subnet = q.Client.Subnet.String()
	}
	for _, one := range supposed {
		x.If = append(x.If, one.String())
	}
	if refusal := s.explain(r.Context(), &x, q, supposed); refusal != nil {
		refusal.write(w)
		return
	}
	if wantsText(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprint(w, x.Text)
		return
	}
	reply(w, x)
}

// explain explains an answer of the present or of x.At, if something is supposed.
func (s *Server) explain(ctx context.Context, x *explained, q zones.Question, supposed whatif.Hypothesis) *problem {
	past := Past{Snapshot: s.src.Snapshot()}
	if !x.At.IsZero() {
		var err error
		switch past, err = s.src.Past(ctx, x.At); {
		case errors.Is(err, replay.ErrOutside):
			return &problem{Status: http.StatusNotFound, Detail: err.Error()}
		case err != nil:
			return &problem{Status: http.StatusInternalServerError, Detail: err.Error()}
		}
	}
	snapshot := past.Snapshot
	if snapshot == nil {
		return &problem{Status: http.StatusServiceUnavailable, Detail: "no configuration is compiled yet"}
	}
	x.Published = snapshot.Published
	var premises []string
	if len(supposed) > 0 {
		in := zones.Inputs{Health: snapshot.Health, Control: snapshot.Control, Spill: snapshot.Spill}
		as, err := supposed.Apply(snapshot.Plan, in)
		if err != nil {
			return &problem{Status: http.StatusBadRequest, Detail: "if: " + strings.ReplaceAll(err.Error(), "\n", "; ")}
		}
		premises = append(append(premises, "supposed: "+supposed.String()), supposed.Notes(snapshot.Plan, in)...)
		snapshot = snapshot.Plan.Publish(nil, as, zones.Change{All: true}, snapshot.Published)
	}
	e, err := snapshot.Explain(q)
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("name: %q: %v", q.Name, err)}
	}
	if !x.At.IsZero() {
		e.Premises = append(e.Premises, replay.Premise(x.At, x.Published))
		e.Premises = append(e.Premises, past.Notes(e)...)
	}
	e.Premises = append(e.Premises, premises...)
	x.Explanation, x.Text = e, e.String()
	return nil
}

func remote(r *http.Request) netip.Addr {
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return a.Addr().Unmap()
	}
	return netip.IPv6Unspecified()
}

// wantsText reports whether the request names text/plain and not JSON.
func wantsText(r *http.Request) bool {
	var accepted []string
	for _, item := range strings.Split(r.Header.Get("Accept"), ",") {
		if media, _, err := mime.ParseMediaType(item); err == nil {
			accepted = append(accepted, media)
		}
	}
	return slices.Contains(accepted, "text/plain") && !slices.Contains(accepted, "application/json")
}
