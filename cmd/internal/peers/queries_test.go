//go:build linux

package peers_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A query is one question with all that a client may turn.
type query struct {
	name  string
	qtype uint16
	tcp   bool
	edns  int // size that the client takes; 0: no OPT record
	do    bool
	rd    bool
	cd    bool
	ad    bool
}

func (q query) String() string {
	text := q.name + " " + dns.Type(q.qtype).String()
	if q.tcp {
		text += " +tcp"
	}
	if q.edns > 0 {
		text += fmt.Sprintf(" +bufsize=%d", q.edns)
	} else {
		text += " +noedns"
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{{q.do, "do"}, {q.rd, "rd"}, {q.cd, "cd"}, {q.ad, "ad"}} {
		if flag.on {
			text += " +" + flag.name
		}
	}
	return text
}

// limit is the most bytes that the answer may have.
func (q query) limit() int {
	switch {
	case q.tcp:
		return dns.MaxMsgSize
	case q.edns == 0:
		return dns.MinMsgSize
	}
	return min(q.edns, 1232)
}

func (q query) pack(id uint16) ([]byte, error) {
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.qtype)
	m.Id, m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = id, q.rd, q.cd, q.ad
	if q.edns > 0 {
		m.SetEdns0(uint16(q.edns), q.do)
	}
	return m.Pack()
}

var types = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeTXT, dns.TypeCNAME, dns.TypeDNAME, dns.TypeSRV, dns.TypeCAA,
	dns.TypeTLSA, dns.TypeNAPTR, dns.TypeLOC, dns.TypeSSHFP, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeDS, dns.TypeDNSKEY, dns.TypeNSEC,
	dns.TypeRRSIG, dns.TypeNSEC3PARAM, dns.TypeCDS, dns.TypePTR, dns.TypeHINFO, dns.TypeANY, 65280, 65534,
}

// Names that no record suggests.
var strangers = []string{
	".", "test.", "example.net.", "www.example.net.", "xample.test.", "eexample.test.", "example.test.example.", "*.", "*.test.", "other.tes.",
}

// generate makes queries for all names that the zones hold or imply, for names beside and below each, in all types, with
// everything else drawn. The same seed gives the same queries.
func generate(worlds []zone, count int, seed uint64) []query {
	random := rand.New(rand.NewPCG(seed, 2))
	set := make(map[string]bool)
	for _, name := range strangers {
		set[name] = true
	}
	for _, z := range worlds {
		for _, rr := range z.records {
			for _, name := range append(targets(rr), rr.Header().Name) {
				addAround(set, strings.ToLower(name), z.Apex)
			}
		}
	}
	names := slices.Sorted(maps.Keys(set))
	var queries []query
	for len(queries) < count {
		for _, name := range names {
			for _, qtype := range types {
				q := query{name: spell(random, name), qtype: qtype, tcp: random.IntN(8) == 0, edns: []int{0, 512, 1232, 4096}[random.IntN(4)]}
				q.do = q.edns > 0 && random.IntN(2) == 0
				q.rd, q.cd, q.ad = random.IntN(4) == 0, random.IntN(8) == 0, random.IntN(8) == 0
				queries = append(queries, q)
			}
		}
	}
	return append(queries, query{name: "big.example.test.", qtype: dns.TypeTXT, ad: true}) // AD with truncation is rare
}

// addAround adds a name of the zone, those above it, and some below them.
func addAround(set map[string]bool, name, apex string) {
	for ; dns.IsSubDomain(apex, name); name = name[dns.Split(name)[1]:] {
		for _, prefix := range []string{"", "x.", "*.", "x.y.", "a." + strings.Repeat("long-label.", 17)} {
			if fits(prefix + name) {
				set[prefix+name] = true
			}
		}
		if name == apex {
			return
		}
	}
}

// fits reports whether a name has 255 bytes at most, which the library does not tell.
func fits(name string) bool {
	var wire [300]byte
	n, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	return err == nil && n <= 255
}

// targets are the names in a record's data that may be asked for next.
func targets(rr dns.RR) []string {
	switch rr := rr.(type) {
	case *dns.CNAME:
		return []string{rr.Target}
	case *dns.NS:
		return []string{rr.Ns}
	case *dns.MX:
		return []string{rr.Mx}
	case *dns.SRV:
		return []string{rr.Target}
	}
	return nil
}

// spell writes one name in five in letters of random case, but for its escapes.
func spell(random *rand.Rand, name string) string {
	if random.IntN(5) > 0 {
		return name
	}
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' && random.IntN(2) == 0 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}
