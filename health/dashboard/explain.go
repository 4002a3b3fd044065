package dashboard

import (
	"fmt"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/zones"
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
	Client netip.Addr `json:"client"`
	Subnet string     `json:"subnet,omitempty"`
	Random uint32     `json:"random"`
	*zones.Explanation
	Text string `json:"text"` // the explanation for a terminal
}

func (s *Server) getExplain(w http.ResponseWriter, r *http.Request) {
	p := query(r, "name", "type", "client", "subnet", "random")
	q := zones.Question{Name: p.values.Get("name"), Type: p.queryType("type"),
		Client: zones.Client{Source: p.address("client"), Subnet: p.prefix("subnet")},
		Random: uint32(p.number("random", uint64(rand.Uint32()), 1<<32-1))}
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
	snapshot := s.src.Snapshot()
	if snapshot == nil {
		refuse(w, http.StatusServiceUnavailable, "no configuration is compiled yet")
		return
	}
	e, err := snapshot.Explain(q)
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("name: %q: %v", q.Name, err))
		return
	}
	if wantsText(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprint(w, e)
		return
	}
	x := explained{Client: q.Client.Source, Random: q.Random, Explanation: e, Text: e.String()}
	if q.Client.Subnet.IsValid() {
		x.Subnet = q.Client.Subnet.String()
	}
	reply(w, x)
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
