//go:build linux

package validate_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
)

const queryLog = "query_log: {file: state/queries.log, sample: 1}"

// A logged query is a line of Meridian's query log.
type logged struct {
	Client netip.AddrPort `json:"client"`
	Subnet string         `json:"subnet"`
	Name   string         `json:"name"`
	Type   string         `json:"type"`
}

// logged returns the queries that Meridian has got from a resolver, as they were written: those of one round in any order, for each of
// its workers has a queue of its own.
func (l *lab) logged(t *testing.T, from netip.Addr) (all []logged) {
	t.Helper()
	// The log is written a moment after the answers, in rounds. The round after the one with the first mark has all before it.
	for range 2 {
		l.mark(t)
	}
	for _, q := range l.log(t) {
		if q.Client.Addr() == from {
			all = append(all, q)
		}
	}
	return all
}

// mark asks Meridian for a name of its own and waits until the log has it.
func (l *lab) mark(t *testing.T) {
	t.Helper()
	l.marks++
	name := fmt.Sprintf("mark%d.%s", l.marks, apex)
	if _, err := l.ask(subjectAddress, name, dns.TypeA); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); len(about(l.log(t), name)) == 0; time.Sleep(10 * time.Millisecond) { // the program lives in real time
		if time.Now().After(end) {
			t.Fatalf("the log does not come to %s", name)
		}
	}
}

func (l *lab) log(t *testing.T) (all []logged) {
	t.Helper()
	f, err := os.Open(filepath.Join(l.dir, "state/queries.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil { // the end, behind what is being written
			return all
		}
		var q logged
		if err := json.Unmarshal(line, &q); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, q)
	}
}

// about are the names of the queries at or below a name, in lower case.
func about(all []logged, name string) (names []string) {
	for _, q := range all {
		if dns.IsSubDomain(name, dns.CanonicalName(q.Name)) {
			names = append(names, dns.CanonicalName(q.Name))
		}
	}
	return names
}

// What the resolvers are told to do does reach the nameserver, or keeps from it what it should not be asked: otherwise the lab would
// prove less than it says.
func TestResolversAskAsTheyShould(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the lab of validating resolvers takes half a minute")
	}
	presigned := subject{name: "Meridian with NSEC of others", serve: func(t *testing.T, l *lab, z peers.Zone) {
		signed, _ := peers.Sign(t, z, peers.NSEC)
		startMeridian(t, l, static, signed.Text, "}\ndns: {"+queryLog)
	}}
	online := subject{name: "Meridian", compact: true, serve: meridian(
		"    dnssec: {algorithm: ECDSAP256SHA256}\n", "}\ndns: {keys: keys, "+queryLog, "key make shop.example --dir keys")}
	for _, s := range []subject{presigned, online} {
		t.Run(s.name, func(t *testing.T) {
			l := build(t, s, minutes)
			for i, at := range l.resolve(t) {
				l.watch(t, s, i, at)
			}
		})
	}
}

// watch asks a resolver, and looks at what it asks. A compact denial denies nothing beside its own name.
func (l *lab) watch(t *testing.T, s subject, i int, at netip.AddrPort) {
	r, denied := resolvers[i], dns.RcodeNameError
	if s.compact {
		denied = dns.RcodeSuccess
	}
	ask := func(name string, qtype uint16, rcode int) {
		t.Helper()
		if m, err := l.ask(at, name, qtype); err != nil || m.Rcode != rcode || !m.AuthenticatedData {
			t.Errorf("%s: %s %s = %v, %v, want %s, secure", r.name, name, dns.Type(qtype), m, err, dns.RcodeToString[rcode])
		}
	}
	ask("a.deep.ent.shop.example.", dns.TypeTXT, dns.RcodeSuccess)
	ask("www.shop.example.", dns.TypeA, dns.RcodeSuccess)
	ask("nothing.shop.example.", dns.TypeA, denied) // between mail and ns
	before := l.logged(t, at.Addr())
	ask("nobody.shop.example.", dns.TypeA, denied)
	ask("nothing.shop.example.", dns.TypeMX, denied)
	ask("zero.shop.example.", dns.TypeA, denied) // behind all
	after := l.logged(t, at.Addr())

	mixed := slices.ContainsFunc(after, func(q logged) bool {
		return strings.ToLower(q.Name) != q.Name && strings.ToUpper(q.Name) != q.Name
	})
	if mixed != r.mixes {
		t.Errorf("%s: names in mixed case: %t, want %t", r.name, mixed, r.mixes)
	}
	subnet := slices.ContainsFunc(after, func(q logged) bool { return q.Subnet != "" })
	if subnet != r.subnets {
		t.Errorf("%s: client subnets: %t, want %t", r.name, subnet, r.subnets)
	}
	const whole = "a.deep.ent.shop.example."
	names := about(before, "ent.shop.example.")
	if !slices.Contains(names, whole) || !slices.ContainsFunc(names, func(name string) bool { return name != whole }) {
		t.Errorf("%s: asks for %q, want a shorter name and the whole one", r.name, names)
	}
	if names := about(before, "nothing.shop.example."); len(names) == 0 {
		t.Errorf("%s: does not ask for a name that nothing denied", r.name)
	}
	news := after[len(before):]
	denies := r.denies && !s.compact
	names = about(news, "nobody.shop.example.")
	if !s.compact {
		names = append(names, about(news, "nothing.shop.example.")...)
	}
	if (len(names) == 0) != denies {
		t.Errorf("%s: asks for %q beside a denial; should use that: %t", r.name, names, denies)
	}
	if len(about(news, "zero.shop.example.")) == 0 {
		t.Errorf("%s: does not ask for a name that nothing denied", r.name)
	}
}
