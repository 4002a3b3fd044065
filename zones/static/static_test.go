package static_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/static"
)

func wire(tb testing.TB, name string) []byte {
	tb.Helper()
	var b [256]byte
	n, err := dns.PackDomainName(strings.ToLower(dns.Fqdn(name)), b[:], 0, nil, false)
	if err != nil {
		tb.Fatalf("name %q: %v", name, err)
	}
	return slices.Clone(b[:n])
}

// parse reads records of example.com.
func parse(tb testing.TB, text string) (rrs []dns.RR) {
	tb.Helper()
	p := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+text), "example.com.", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		rrs = append(rrs, rr)
	}
	if p.Err() != nil {
		tb.Fatal(p.Err())
	}
	return rrs
}

const head = "@ SOA ns1 admin 7 7200 900 1209600 300\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.1\nns2 A 198.51.100.2\n"

// build makes a zone of records; the line of each is its place among them, from 1.
func build(tb testing.TB, rrs []dns.RR, steers ...string) (z *static.Zone, mistakes, warnings []string) {
	tb.Helper()
	note := func(list *[]string) static.Report {
		return func(line int, format string, args ...any) {
			*list = append(*list, fmt.Sprintf("%d: ", line)+fmt.Sprintf(format, args...))
		}
	}
	var b static.Builder
	b.Begin(string(wire(tb, "example.com.")), "example.com.", 0, note(&mistakes), note(&warnings))
	for i, rr := range rrs {
		buffer := make([]byte, dns.Len(rr)+16)
		n, err := dns.PackRR(rr, buffer, 0, nil, false)
		if err != nil {
			tb.Fatal(err)
		}
		_, owner, err := dns.UnpackDomainName(buffer, 0)
		if err != nil {
			tb.Fatal(err)
		}
		if err := b.Add(buffer[:owner], rr.Header().Rrtype, rr.Header().Ttl, buffer[owner+10:n], i+1); err != nil {
			tb.Fatal(err)
		}
	}
	for i, name := range steers {
		b.Steer(wire(tb, name), i)
	}
	z, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	return z, mistakes, warnings
}

func TestFind(t *testing.T) {
	z, mistakes, warnings := build(t, parse(t, head+`
a.ent A 192.0.2.3
*.wild A 192.0.2.4
exists.wild AAAA 2001:db8::1
sub NS ns.sub
sub NS ns.next
next NS ns.next
ns.next A 192.0.2.8
ns.sub A 192.0.2.9
sub DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000
old DNAME new.example.net.
alias CNAME a.ent
`), "pool.example.com.", "deep.steer.example.com.")
	if len(mistakes)+len(warnings) > 0 {
		t.Fatalf("mistakes %q, warnings %q, want none", mistakes, warnings)
	}
	for _, row := range []struct {
		why, name, want string // types, and what else the match says
	}{
		{"the apex", "example.com.", "NS SOA at 0"},
		{"a name", "ns1.example.com.", "A at 0"},
		{"an empty non-terminal", "ent.example.com.", "at 0"},
		{"below one", "b.ent.example.com.", "none at 2"},
		{"a wildcard", "x.y.wild.example.com.", "A at 4 wildcard"},
		{"the wildcard itself", "*.wild.example.com.", "A at 0"},
		{"below a wildcard that is asked for", "x.*.wild.example.com.", "none at 2"},
		{"a name that hides the wildcard", "exists.wild.example.com.", "AAAA at 0"},
		{"below a name that hides the wildcard", "x.exists.wild.example.com.", "none at 2"},
		{"a delegation", "sub.example.com.", "NS DS at 0 cut"},
		{"below a delegation", "x.y.sub.example.com.", "NS DS at 4 cut"},
		{"glue", "ns.sub.example.com.", "NS DS at 3 cut"},
		{"a DNAME", "old.example.com.", "DNAME at 0"},
		{"below a DNAME", "x.y.old.example.com.", "DNAME at 4 redirected"},
		{"nowhere", "no.such.example.com.", "none at 8"},
		{"deeper than any", strings.Repeat("x.", 100) + "example.com.", "none at 200"},
		{"a steered name", "pool.example.com.", "at 0 steer 0"},
		{"a steered name below an empty non-terminal", "deep.steer.example.com.", "at 0 steer 1"},
		{"the empty non-terminal", "steer.example.com.", "at 0"},
	} {
		m := z.Find(wire(t, row.name))
		var got []string
		if m.Name.Exists() {
			for set := range m.Name.Sets {
				got = append(got, dns.TypeToString[set.Type])
			}
		} else {
			got = append(got, "none")
		}
		got = append(got, fmt.Sprint("at ", m.Offset))
		if m.Wildcard {
			got = append(got, "wildcard")
		}
		if m.Redirected {
			got = append(got, "redirected")
		}
		if m.Name.Exists() && m.Name.Cut() {
			got = append(got, "cut")
		}
		if m.Name.Exists() && m.Name.Steer() >= 0 {
			got = append(got, fmt.Sprint("steer ", m.Name.Steer()))
		}
		if text := strings.Join(got, " "); text != row.want {
			t.Errorf("%s: Find(%s) = %s, want %s", row.why, row.name, text, row.want)
		}
	}
	if own, sibling := z.Find(wire(t, "sub.example.com.")).Name.Glue(); own.Count != 1 || sibling.Count != 1 {
		t.Errorf("glue of sub = %d records, and %d of its sibling, want one of each", own.Count, sibling.Count)
	}
	if z.Serial != 7 {
		t.Errorf("serial %d, want 7", z.Serial)
	}
}

// What a zone must not have, and what is dropped. The head is five records.
func TestProblems(t *testing.T) {
	for _, row := range []struct{ why, lines, want string }{
		{"a record twice, apart", "a A 192.0.2.1\nb A 192.0.2.1\nA A 192.0.2.1", "w 8: a.example.com. A: the same record as on line 6, dropped: a set has a record once (RFC 2181, section 5)"},
		{"names that differ in case", "a NS X.example.net.\na NS x.example.NET.", "w 7: a.example.com. NS: the same record as on line 6, dropped: a set has a record once (RFC 2181, section 5)"},
		{"texts that differ in case", "a TXT \"X\"\na TXT \"x\"", ""},
		{"TTLs that differ", "a 5 A 192.0.2.1\nb A 192.0.2.9\na 7 A 192.0.2.2", "w 6: a.example.com. A: the records have different TTLs, all get the least, 5, as caches would else keep only some of them (RFC 2181, section 5.2)"},
		{"beside a DNAME", "d DNAME x.\nx.d A 192.0.2.1", "m 7: x.d.example.com. A: lies below the DNAME of d.example.com. (RFC 6672, section 2.4)"},
		{"a DNAME at a delegation", "d DNAME x.\nd NS ns.example.net.", "w 6: d.example.com. DNAME: belongs to the delegated zone, not to this one, dropped: resolvers ask the nameservers of that zone for it"},
		{"two DNAMEs", "d DNAME x.\nd DNAME y.", "m 7: d.example.com. DNAME: a name has one DNAME record (first on line 6)"},
		{"no glue", "sub NS ns.sub", "m 6: sub.example.com. NS: nameserver ns.sub.example.com. lies in the zone that is delegated to it and has no address here (glue)"},
		{"an alias", "a MX 5 b\nb CNAME c\nc A 192.0.2.1", "w 6: a.example.com. MX: target b.example.com. is an alias, which those who look it up may refuse to follow (RFC 2181, section 10.3)"},
		{"below a delegation", "sub NS ns.example.net.\nx.sub TXT \"x\"\nsub TXT \"y\"", "w 7: x.sub.example.com. TXT: lies below the delegation of sub.example.com. and is no address of a nameserver, dropped: resolvers ask the nameservers of that zone for it\nw 8: sub.example.com. TXT: belongs to the delegated zone, not to this one, dropped: resolvers ask the nameservers of that zone for it"},
		{"a name beside a wildcard", "*.w A 192.0.2.1\nx.w MX 5 ns1", "w 7: x.w.example.com.: exists, but has no address, so *.w.example.com. does not answer it and whoever asks for its address gets none (RFC 4592, section 2.2.1)"},
		{"a name between, beside a wildcard", "*.w CNAME ns1\na.x.w A 192.0.2.1", "w 0: x.w.example.com.: exists, as others lie below it, so *.w.example.com. does not answer it and whoever asks for its address gets none (RFC 4592, section 2.2.1)"},
		{"beside a wildcard, and well", "*.w A 192.0.2.1\na.w A 192.0.2.2\nb.w CNAME a.w\nc.w NS ns.example.net.\nd.w DNAME x.\n_e.w TXT x\na.b.c.d TXT x", ""},
		{"beside a wildcard without addresses", "*.w TXT x\nx.w MX 5 ns1", ""},
	} {
		checkProblems(t, row.why, head+row.lines+"\n", row.want)
	}
	const together = "@ SOA ns1 admin 7 7200 900 1209600 300\n@ NS ns1\n@ NS ns2\n"
	for _, row := range []struct{ why, lines, want string }{
		{"nameservers in one network", "ns1 A 192.0.2.1\nns2 A 192.0.2.200", "192.0.2.0/24"},
		{"in one of each family", "ns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\nns2 A 192.0.2.200\nns2 AAAA 2001:db8:0:f::1", "192.0.2.0/24 and 2001:db8::/48"},
		{"one has only the other family", "ns1 A 192.0.2.1\nns2 AAAA 2001:db8::1", "192.0.2.0/24 and 2001:db8::/48"},
		{"in two", "ns1 A 192.0.2.1\nns2 A 192.0.3.1", ""},
		{"one in two", "ns1 A 192.0.2.1\nns2 A 192.0.2.2\nns2 A 192.0.3.1", ""},
		{"in one of IPv4 and in two of IPv6", "ns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\nns2 A 192.0.2.2\nns2 AAAA 2001:db8:1::1", ""},
		{"one is elsewhere", "@ NS ns.example.net.\nns1 A 192.0.2.1\nns2 A 192.0.2.2", ""},
	} {
		want := row.want
		if want != "" {
			want = "w 2: example.com. NS: all nameservers are in " + want + ": when that is out of reach, nobody can look up anything (RFC 2182, section 3.1)"
		}
		checkProblems(t, row.why, together+row.lines+"\n", want)
	}
	checkProblems(t, "of one no address is known", together+"ns1 A 192.0.2.1\nns2 TXT x\n", "w 3: example.com. NS: target ns2.example.com. has no address in this zone, so nobody can reach it")
}

func checkProblems(t *testing.T, why, text, want string) {
	t.Helper()
	_, mistakes, warnings := build(t, parse(t, text))
	var got []string
	for _, m := range mistakes {
		got = append(got, "m "+m)
	}
	for _, w := range warnings {
		got = append(got, "w "+w)
	}
	slices.Sort(got)
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("%s:\n%s\nwant\n%s", why, text, want)
	}
}

// A zone is the same however its records come, and says what a list of records says that is searched from front to back.
func TestTwin(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		rrs := parse(t, head)
		labels := []string{"a", "b", "c", "*", "d"}
		name := func() string {
			n := "example.com."
			for range 1 + rnd.IntN(4) {
				n = labels[rnd.IntN(len(labels))] + "." + n
			}
			return n
		}
		for range rnd.IntN(200) {
			text := []string{"A 192.0.2." + fmt.Sprint(rnd.IntN(9)), "TXT \"" + strings.Repeat("x", rnd.IntN(200)) + "\"", "MX 1 ns1.example.com."}[rnd.IntN(3)]
			rr, err := dns.NewRR(name() + " 300 IN " + text)
			if err != nil {
				t.Fatal(err)
			}
			rrs = append(rrs, rr)
		}
		rnd.Shuffle(len(rrs), func(i, j int) { rrs[i], rrs[j] = rrs[j], rrs[i] })
		z, mistakes, _ := build(t, rrs)
		if len(mistakes) > 0 {
			t.Fatalf("seed %d: mistakes %q", seed, mistakes)
		}
		rrs = dns.Dedup(rrs, nil)
		count := 0
		for range z.Records {
			count++
		}
		if count != len(rrs) || z.Count != count {
			t.Errorf("seed %d: %d records, counted %d, want %d", seed, count, z.Count, len(rrs))
		}
		for range 200 {
			asked := name()
			if rnd.IntN(4) == 0 {
				asked = "q." + asked
			}
			m := z.Find(wire(t, asked))
			want, exists := slowFind(rrs, asked)
			if m.Name.Exists() != exists {
				t.Fatalf("seed %d: Find(%s) exists %v, want %v", seed, asked, m.Name.Exists(), exists)
			}
			var got []string
			for set := range setsOf(m.Name) {
				list, err := set.RRs(asked)
				if err != nil {
					t.Fatal(err)
				}
				for _, rr := range list {
					got = append(got, rr.String())
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d: Find(%s) = %q, want %q", seed, asked, got, want)
			}
		}
	}
}

func setsOf(n static.Name) func(func(static.RecordSet) bool) {
	return func(yield func(static.RecordSet) bool) {
		if n.Exists() {
			n.Sets(yield)
		}
	}
}

// slowFind returns the records that a name has, by itself or by a wildcard.
func slowFind(rrs []dns.RR, name string) (texts []string, exists bool) {
	has := func(name string) bool {
		return slices.ContainsFunc(rrs, func(rr dns.RR) bool { return dns.IsSubDomain(name, rr.Header().Name) })
	}
	source := name
	if !has(name) {
		closest := name
		for !has(closest) {
			next, _ := dns.NextLabel(closest, 0)
			closest = closest[next:]
		}
		if source = "*." + closest; !has(source) {
			return nil, false
		}
	}
	for _, rr := range rrs {
		if strings.EqualFold(rr.Header().Name, source) {
			rr = dns.Copy(rr)
			rr.Header().Name = name
			texts = append(texts, rr.String())
		}
	}
	return texts, true
}

// Names and sets that are too large for one piece of the arena, and too many for the first.
func TestLarge(t *testing.T) {
	rrs := parse(t, head)
	for set := range 20 {
		for i := range 240 {
			rr := &dns.RFC3597{Hdr: dns.RR_Header{Name: "big.example.com.", Rrtype: 65280 + uint16(set), Class: 1, Ttl: 5}, Rdata: fmt.Sprintf("%0500x", i)}
			rrs = append(rrs, rr)
		}
	}
	for i := range 20_000 {
		rrs = append(rrs, &dns.A{Hdr: dns.RR_Header{Name: fmt.Sprintf("h%d.x.example.com.", i), Rrtype: dns.TypeA, Class: 1, Ttl: 5}, A: []byte{10, 0, byte(i >> 8), byte(i)}})
	}
	z, mistakes, _ := build(t, rrs)
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	if n := z.Find(wire(t, "big.example.com.")).Name; !n.Exists() {
		t.Fatal("big is not there")
	} else if set, ok := n.Set(65299); !ok || set.Count != 240 {
		t.Errorf("set of big: %d records, %v", set.Count, ok)
	}
	for i := range 20_000 {
		set, ok := z.Find(wire(t, fmt.Sprintf("h%d.x.example.com.", i))).Name.Set(dns.TypeA)
		if !ok || set.Bytes[static.FixedSize+3] != byte(i) {
			t.Fatalf("h%d is not there", i)
		}
	}
	if z.Names != 20_000+5 || z.Count != len(rrs) {
		t.Errorf("%d names, %d records, want %d, %d", z.Names, z.Count, 20_005, len(rrs))
	}
}

func TestFindAllocs(t *testing.T) {
	z, _, _ := build(t, parse(t, head+"*.wild A 192.0.2.4\n"))
	name, absent := wire(t, "x.wild.example.com."), wire(t, "no.such.example.com.")
	if n := testing.AllocsPerRun(100, func() { z.Find(name); z.Find(absent) }); n > 0 {
		t.Errorf("Find allocates %v times", n)
	}
}

func BenchmarkFind(b *testing.B) {
	rrs := parse(b, head)
	var names [][]byte
	for i := range 100_000 {
		name := fmt.Sprintf("h%d.example.com.", i)
		rrs = append(rrs, &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: 1, Ttl: 5}, A: []byte{10, 0, 0, 1}})
		names = append(names, wire(b, name))
	}
	z, _, _ := build(b, rrs)
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := z.Find(names[i%len(names)]).Name.Set(dns.TypeA); !ok {
			b.Fatal("not there")
		}
	}
}
