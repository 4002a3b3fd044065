//go:build linux

package validate_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
)

// A question is what a resolver is asked, and what it must say.
type question struct {
	why   string
	name  string
	qtype uint16
	rcode int
	count int // records in the answer, without signatures

	denied bool // the answer is a denial, or ends with one
	plain  bool // it comes from a zone that is not signed
}

const minutes = 300 // seconds, longer than a test

const some = -1 // of a count: whatever it is

var questions = []question{
	{"an address", "www.shop.example.", dns.TypeA, dns.RcodeSuccess, 1, false, false},
	{"another type of the name", "www.shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 1, false, false},
	{"the apex", "shop.example.", dns.TypeMX, dns.RcodeSuccess, 1, false, false},
	{"the SOA", "shop.example.", dns.TypeSOA, dns.RcodeSuccess, 1, false, false},
	{"the nameservers", "shop.example.", dns.TypeNS, dns.RcodeSuccess, 1, false, false},
	{"no such name", "nothing.shop.example.", dns.TypeA, dns.RcodeNameError, 0, true, false},
	{"no such name, nor one above", "a.b.c.nothing.shop.example.", dns.TypeA, dns.RcodeNameError, 0, true, false},
	{"no such name beside a wildcard that does not cover it", "below.plain.wild.shop.example.", dns.TypeA, dns.RcodeNameError, 0, true, false},
	{"no such name below an empty non-terminal", "b.deep.ent.shop.example.", dns.TypeA, dns.RcodeNameError, 0, true, false},
	{"no such type", "only4.shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 0, true, false},
	{"no such type at the apex", "shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 0, true, false},
	{"a type without a name", "www.shop.example.", 65280, dns.RcodeSuccess, 0, true, false},
	{"an empty non-terminal", "ent.shop.example.", dns.TypeA, dns.RcodeSuccess, 0, true, false},
	{"one below it", "deep.ent.shop.example.", dns.TypeTXT, dns.RcodeSuccess, 0, true, false},
	{"the name below that", "a.deep.ent.shop.example.", dns.TypeTXT, dns.RcodeSuccess, 1, false, false},
	{"a wildcard", "x.wild.shop.example.", dns.TypeA, dns.RcodeSuccess, 1, false, false},
	{"a wildcard, two labels", "x.y.wild.shop.example.", dns.TypeA, dns.RcodeSuccess, 1, false, false},
	{"the wildcard itself", "*.wild.shop.example.", dns.TypeA, dns.RcodeSuccess, 1, false, false},
	{"a wildcard without the type", "z.wild.shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 0, true, false},
	{"a name beside the wildcard", "plain.wild.shop.example.", dns.TypeA, dns.RcodeSuccess, 0, true, false},
	{"the name above the wildcard", "wild.shop.example.", dns.TypeA, dns.RcodeSuccess, 0, true, false},
	{"an alias", "alias.shop.example.", dns.TypeA, dns.RcodeSuccess, 2, false, false},
	{"the alias itself", "alias.shop.example.", dns.TypeCNAME, dns.RcodeSuccess, 1, false, false},
	{"two aliases", "twice.shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 3, false, false},
	{"an alias without the type", "alias.shop.example.", dns.TypeTXT, dns.RcodeSuccess, 1, true, false},
	{"an alias to nothing", "gone.shop.example.", dns.TypeA, dns.RcodeNameError, 1, true, false},
	{"an alias to a wildcard", "to-wild.shop.example.", dns.TypeA, dns.RcodeSuccess, 2, false, false},
	{"a wildcard that is an alias", "x.alias-wild.shop.example.", dns.TypeA, dns.RcodeSuccess, 2, false, false},
	{"an alias into another signed zone", "away.shop.example.", dns.TypeA, dns.RcodeSuccess, 2, false, false},
	{"an alias to nothing in another zone", "gone-away.shop.example.", dns.TypeA, dns.RcodeNameError, 1, true, false},
	{"an alias into an unsigned zone", "to-plain.shop.example.", dns.TypeA, dns.RcodeSuccess, 2, false, true},
	{"an answer that needs TCP", "big.shop.example.", dns.TypeTXT, dns.RcodeSuccess, 20, false, false},
	{"a steered address", "api.shop.example.", dns.TypeA, dns.RcodeSuccess, 1, false, false},
	{"a family that no member has", "api.shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 0, true, false},
	{"an alias of it", "to-api.shop.example.", dns.TypeA, dns.RcodeSuccess, 2, false, false},
	{"such an alias without the family", "to-api.shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 1, true, false},
	{"a steered wildcard", "x.pool.shop.example.", dns.TypeA, dns.RcodeSuccess, 1, false, false},
	{"a family that it does not have", "y.pool.shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 0, true, false},
	{"the DS of a delegation", "secure.shop.example.", dns.TypeDS, dns.RcodeSuccess, 1, false, false},
	{"no DS", "unsigned.shop.example.", dns.TypeDS, dns.RcodeSuccess, 0, true, false},
	{"no DS where nothing is delegated", "www.shop.example.", dns.TypeDS, dns.RcodeSuccess, 0, true, false},
	{"below a signed delegation", "www.secure.shop.example.", dns.TypeA, dns.RcodeSuccess, 1, false, false},
	{"no such name below it", "nothing.secure.shop.example.", dns.TypeA, dns.RcodeNameError, 0, true, false},
	{"below an unsigned delegation", "www.unsigned.shop.example.", dns.TypeA, dns.RcodeSuccess, 1, false, true},
	{"no such name below that", "nothing.unsigned.shop.example.", dns.TypeA, dns.RcodeNameError, 0, true, true},
	{"no such type below that", "www.unsigned.shop.example.", dns.TypeAAAA, dns.RcodeSuccess, 0, true, true},
}

// Questions that only a signed zone answers.
var signedQuestions = []question{
	{"the keys", apex, dns.TypeDNSKEY, dns.RcodeSuccess, some, false, false},
	{"the DS above", apex, dns.TypeDS, dns.RcodeSuccess, some, false, false},
	{"the NSEC of the apex", apex, dns.TypeNSEC, dns.RcodeSuccess, some, false, false},
}

func TestValidation(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the lab of validating resolvers takes half a minute")
	}
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			l := build(t, s, minutes)
			l.judge(t, s)
		})
	}
}

// judge asks every resolver everything, in an order of its own, and then once more, from what it remembers.
func (l *lab) judge(t *testing.T, s subject) {
	t.Helper()
	all := questions
	if s.signed {
		all = append(slices.Clone(all), signedQuestions...)
	}
	for i, at := range l.resolve(t) {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		for range 2 {
			for _, n := range random.Perm(len(all)) {
				l.put(t, s, resolvers[i].name, at, all[n])
			}
		}
	}
}

// resolve starts the resolvers and returns their addresses.
func (l *lab) resolve(t *testing.T) []netip.AddrPort {
	t.Helper()
	var addresses []netip.AddrPort
	for i, at := 0, resolver; i < len(resolvers); i, at = i+1, netip.AddrPortFrom(at.Addr().Next(), at.Port()) {
		resolvers[i].start(t, l, at)
		addresses = append(addresses, at)
	}
	return addresses
}

// put asks one resolver one question.
func (l *lab) put(t *testing.T, s subject, name string, at netip.AddrPort, q question) {
	t.Helper()
	m, err := l.ask(at, q.name, q.qtype)
	if err != nil {
		t.Errorf("%s: %s: %s %s: %v", name, q.why, q.name, dns.Type(q.qtype), err)
		return
	}
	rcode := q.rcode
	if s.compact && rcode == dns.RcodeNameError && s.denies(q) {
		rcode = dns.RcodeSuccess
	}
	secure := s.signed && !q.plain
	count := len(m.Answer) - signatures(m.Answer)
	// BIND takes a denial that minimised queries met on the way down for a secure one, whatever the zone.
	excused := name == "BIND" && !s.signed && strings.Contains(q.name, ".nothing.")
	if m.Rcode != rcode || m.AuthenticatedData != secure && !excused || count != q.count && q.count != some {
		t.Errorf("%s: %s: %s %s = %s, %d records, AD %t, want %s, %d, %t\n%v", name, q.why, q.name, dns.Type(q.qtype),
			dns.RcodeToString[m.Rcode], count, m.AuthenticatedData, dns.RcodeToString[rcode], q.count, secure, m)
	}
}

// denies reports whether it is for the subject to say that the name, or what it is an alias of, does not exist.
func (s subject) denies(q question) bool {
	return !strings.Contains(q.name, "secure.") && !strings.Contains(q.name, "unsigned.") && !strings.Contains(q.name, "away.")
}

func signatures(rrs []dns.RR) (n int) {
	for _, rr := range rrs {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			n++
		}
	}
	return n
}

// A zone whose parent vouches for another key is no zone to a resolver that validates.
func TestWrongKey(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the lab of validating resolvers takes half a minute")
	}
	l := build(t, subjects[0], minutes)
	l.delegate(t, wrongKey)
	for i, at := range l.resolve(t) {
		for _, q := range questions {
			m, err := l.ask(at, q.name, q.qtype)
			if err != nil {
				t.Errorf("%s: %s: %v", resolvers[i].name, q.name, err)
			} else if m.Rcode != dns.RcodeServerFailure {
				t.Errorf("%s: %s: %s %s = %s, want SERVFAIL", resolvers[i].name, q.why, q.name, dns.Type(q.qtype), dns.RcodeToString[m.Rcode])
			}
		}
		m, err := l.ask(at, "www.other.example.", dns.TypeA)
		if err != nil || m.Rcode != dns.RcodeSuccess || !m.AuthenticatedData {
			t.Errorf("%s: the zone beside it: %v, %v, want it secure", resolvers[i].name, m, err)
		}
	}
}

// TestDelv has delv validate what those that sign online say, without a resolver between.
func TestDelv(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the lab of validating resolvers takes half a minute")
	}
	peers.Need(t, "delv")
	for _, s := range subjects {
		if !s.compact {
			continue
		}
		l := build(t, s, minutes)
		dir, anchors := peers.Dir(t), ""
		for line := range strings.Lines(l.delegationSigner(t, apex)) {
			f := strings.Fields(line) // owner, TTL, IN, DS, key tag, algorithm, digest type, digest
			anchors += fmt.Sprintf("trust-anchors { %s static-ds %s %s %s %q; };\n", f[0], f[4], f[5], f[6], f[7])
		}
		file := peers.Write(t, dir, "anchors", anchors)
		for _, q := range questions {
			if q.plain || !s.denies(q) || !q.denied && !strings.Contains(q.name, "wild") {
				continue // one program for each question takes long
			}
			args := []string{"@" + subjectAddress.Addr().String(), "-a", file, "+root=" + apex, "-q", q.name, "-t", dns.Type(q.qtype).String()}
			out := peers.Run(t, peers.Program{Name: "delv", Args: args, Dir: dir, Space: l.space})
			if !strings.Contains(out, "fully validated") || strings.Contains(out, "negative response") != (q.count == 0) {
				t.Errorf("%s: %s: delv %s prints\n%s", s.name, q.why, strings.Join(args, " "), out)
			}
		}
	}
}
