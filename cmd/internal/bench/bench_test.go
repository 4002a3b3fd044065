//go:build linux

package main

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/meridian-gslb/meridian/dns/freeport"
)

func TestNewQuery(t *testing.T) {
	for _, test := range []struct {
		reason string
		name   string
		form   form
		want   func(*dns.Msg) bool
	}{
		{"no EDNS", "h1.bench.example", plain, func(m *dns.Msg) bool { return m.IsEdns0() == nil }},
		{"a client subnet", "geo1.bench.example", withSubnet, func(m *dns.Msg) bool {
			o, ok := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
			return ok && o.Family == 1 && o.SourceNetmask == 24 && o.SourceScope == 0 && o.Address.To4()[0] != 0 && o.Address.To4()[0] < 224
		}},
		{"DO", "h1.bench.example", withDO, func(m *dns.Msg) bool { return m.IsEdns0().Do() && m.IsEdns0().UDPSize() == 1232 }},
		{"a label that is drawn", "?.bench.example", withDO, func(m *dns.Msg) bool { return len(dns.SplitDomainName(m.Question[0].Name)[0]) == randomLabel }},
	} {
		q := newQuery(test.name, typeA, test.form, positive)
		b := make([]byte, packetSize)
		n := q.put(b, 4711, rand.NewPCG(1, 2))
		m := new(dns.Msg)
		if err := m.Unpack(b[:n]); err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		if m.Id != 4711 || m.Question[0].Qtype != dns.TypeA || !test.want(m) {
			t.Errorf("%s: the query is\n%v", test.reason, m)
		}
		if name := m.Question[0].Name; !strings.HasPrefix(test.name, "?") && name != test.name+"." {
			t.Errorf("%s: asks for %s, want %s.", test.reason, name, test.name)
		}
	}
}

// What is drawn differs from one sending to the next.
func TestPutDraws(t *testing.T) {
	random := rand.NewPCG(1, 2)
	for _, q := range []query{newQuery("?.bench.example", typeA, plain, denied), newQuery("a.bench.example", typeA, withSubnet, positive)} {
		one, other := make([]byte, packetSize), make([]byte, packetSize)
		n := q.put(one, 1, random)
		q.put(other, 1, random)
		if bytes.Equal(one[:n], other[:n]) {
			t.Errorf("%q was sent twice", one[:n])
		}
	}
}

func TestWantRight(t *testing.T) {
	response := func(rcode, records, authority byte) []byte {
		return []byte{0, 0, 0x84, rcode, 0, 1, 0, records, 0, authority, 0, 0}
	}
	for _, test := range []struct {
		response []byte
		right    []want
	}{
		{response(0, 1, 0), []want{positive}},
		{response(0, 2, 0), []want{positive, signedPositive}},
		{response(0, 0, 1), []want{nodata, denied}},
		{response(0, 0, 4), []want{nodata, denied, signedNodata, signedDenied}},
		{response(3, 0, 1), []want{nxdomain, denied}},
		{response(3, 0, 6), []want{nxdomain, denied, signedDenied}},
		{response(2, 0, 4), nil},
		{response(5, 2, 0), nil},
	} {
		for w := positive; w <= signedDenied; w++ {
			if got := w.right(test.response); got != slices.Contains(test.right, w) {
				t.Errorf("want %d: right(%v) = %v", w, test.response, got)
			}
		}
	}
}

func TestPercentile(t *testing.T) {
	var h histogram
	if got := h.percentile(50); got != 0 {
		t.Errorf("of nothing: %v, want 0", got)
	}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for _, test := range []struct {
		p    float64
		want time.Duration
	}{{0, time.Microsecond}, {50, 500 * time.Microsecond}, {99, 990 * time.Microsecond}, {100, time.Millisecond}} {
		if got := h.percentile(test.p); got < test.want || got > test.want*104/100 {
			t.Errorf("percentile(%v) = %v, want %v to 4 %%", test.p, got, test.want)
		}
	}
	var sum histogram
	sum.merge(&h)
	sum.merge(&h)
	if sum.total != 2000 || sum.max != time.Millisecond || sum.percentile(50) != h.percentile(50) {
		t.Errorf("merged: %d, %v, %v", sum.total, sum.max, sum.percentile(50))
	}
}

// Every duration is counted in a step that ends at it or behind it, and not far behind.
func TestSteps(t *testing.T) {
	for d := time.Duration(0); d < 10*time.Second; d += 1 + d/77 {
		i := step(d)
		if end := stepEnd(i); end < d || end > d+d/steps || i > 0 && stepEnd(i-1) >= d {
			t.Fatalf("%v is in step %d, which ends at %v", d, i, end)
		}
	}
	var h histogram
	h.add(-time.Second)
	h.add(time.Hour)
	if h.total != 2 {
		t.Errorf("%d counted, want 2", h.total)
	}
}

func TestParseStat(t *testing.T) {
	s, err := parseStat("4711 (a) (b c) S 17 4711 4711 0 -1 4194304 1 2 3 4 250 31 0 0 20 0 9 0")
	if want := (stat{4711, 17, 2500 * time.Millisecond, 310 * time.Millisecond}); err != nil || s != want {
		t.Errorf("parseStat = %+v, %v, want %+v", s, err, want)
	}
	for _, bad := range []string{"", "1 (a", "1 (a) S 2", "x (a) S 17 4711 4711 0 -1 4194304 1 2 3 4 250 31 0 0"} {
		if s, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q) = %+v, want an error", bad, s)
		}
	}
}

func TestParseKilobytes(t *testing.T) {
	text := "Name:\tx\nVmHWM:\t  1234 kB\nVmRSS:\t   999 kB\n"
	if got := parseKilobytes(text, "VmHWM:"); got != 1234 {
		t.Errorf("VmHWM = %d, want 1234", got)
	}
	if got := parseKilobytes(text, "VmSwap:"); got != 0 {
		t.Errorf("VmSwap = %d, want 0", got)
	}
}

// A process's own clock runs with the work that it does.
func TestUsage(t *testing.T) {
	pids := []int{os.Getpid()}
	before := usageOf(pids)
	for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
	}
	if spent := usageOf(pids).minus(before); spent.total < 5*time.Millisecond || spent.total > 10*time.Second {
		t.Errorf("20 ms of work cost %v", spent.total)
	}
	if now, peak := memory(pids); now < 1000 || peak < now/2 {
		t.Errorf("memory is %d kB, at most %d kB", now, peak)
	}
}

func TestTable(t *testing.T) {
	table := table{head: []string{"server", "× floor"}}
	table.add("a", spread("%.2f", []float64{3, 1, 2}))
	table.add("b", spread("%.1f", []float64{1, 2}))
	table.add("c", spread("%.1f", []float64{4}))
	table.add("d", spread("%.1f", nil))
	want := "| server | × floor |\n|---|---|\n| a | 2.00 (1.00–3.00) |\n| b | 1.5 (1.0–2.0) |\n| c | 4.0 |\n| d | – |\n"
	if got := table.String(); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}

func TestChosen(t *testing.T) {
	got, err := chosen("mix,geo flood")
	if want := []string{"mix", "geo", "flood"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("chosen = %v, %v, want %v", got, err, want)
	}
	if _, err := chosen("mix,goe"); err == nil || !strings.Contains(err.Error(), `unknown load "goe"`) {
		t.Errorf("chosen said %v of goe", err)
	}
}

func TestDraw(t *testing.T) {
	l := &loads[0]
	count := map[want]int{}
	for _, q := range l.draw(1) {
		count[q.want]++
	}
	if count[positive] != drawn*9/10 || count[nxdomain] != drawn/10 {
		t.Errorf("%s draws %v of %d", l.name, count, drawn)
	}
	if bytes.Equal(l.draw(1)[0].wire, l.draw(2)[0].wire) && bytes.Equal(l.draw(1)[1].wire, l.draw(2)[1].wire) {
		t.Error("two rounds draw the same")
	}
}

// The zone file and its numbers are what queries for it expect.
func TestBigZone(t *testing.T) {
	dir := t.TempDir()
	for _, z := range append(oneBigZone(6), manyZones(3)...) {
		if err := z.write(dir, z.file()); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join(dir, z.file()))
		if err != nil {
			t.Fatal(err)
		}
		addresses := 0
		parser := dns.NewZoneParser(f, "", "")
		for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
			if a, ok := rr.(*dns.A); ok && a.A.String() == numbered(z.first+z.count-1) {
				addresses++
			}
		}
		f.Close()
		if parser.Err() != nil || addresses != 1 {
			t.Errorf("%+v: %d last hosts, %v", z, addresses, parser.Err())
		}
	}
}

func TestCityDatabase(t *testing.T) {
	db, err := maxminddb.OpenBytes(cityDatabase(citySize{100_000, 20_000, 2_000}))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Verify(); err != nil {
		t.Error(err)
	}
	var record struct {
		Continent struct {
			Code string `maxminddb:"code"`
		} `maxminddb:"continent"`
		Location struct {
			Latitude float64 `maxminddb:"latitude"`
		} `maxminddb:"location"`
	}
	seen := map[string]bool{}
	for i := range 200 {
		if err := db.Lookup(netip.AddrFrom4([4]byte{byte(i + 1), 7, 7, 7})).Decode(&record); err != nil {
			t.Fatal(err)
		}
		if record.Location.Latitude == 0 {
			t.Fatalf("%d.7.7.7 has no place", i+1)
		}
		seen[record.Continent.Code] = true
	}
	if len(seen) != len(centers) {
		t.Errorf("continents are %v, want %d", seen, len(centers))
	}
}

// The floor and the generator understand each other.
func TestFloor(t *testing.T) {
	at, err := freeport.Draw()
	if err != nil {
		t.Fatal(err)
	}
	go floor(at) // until the process ends
	s := &server{name: "floor", to: at}
	begun := &process{begun: time.Now(), ended: make(chan struct{})}
	q := newQuery("h1.bench.example", typeA, withSubnet, positive)
	if err := s.await(begun, q); err != nil {
		t.Fatal(err)
	}
	marks := 0
	mark := func() { marks++ }
	tallies, err := run{to: at, warm: 20 * time.Millisecond, measure: 300 * time.Millisecond, cpu: -1, begin: mark, end: mark, streams: []stream{
		{from: client1, queries: []query{q}},
		{from: client2, queries: []query{newQuery("h1.bench.example", typeA, plain, nxdomain)}, rate: 1000},
	}}.do()
	if err != nil {
		t.Fatal(err)
	}
	full, paced := &tallies[0], &tallies[1]
	if full.answered < 300 || full.wrong != 0 || full.latency.percentile(50) <= 0 || marks != 2 {
		t.Errorf("at full load: %d answered, %d wrong, median %v, %d marks", full.answered, full.wrong, full.latency.percentile(50), marks)
	}
	if paced.answered < 30 || paced.answered > 400 {
		t.Errorf("paced: %d answered, want about 300", paced.answered)
	}
	if paced.wrong < paced.answered {
		t.Errorf("paced: %d of %d answers were right, which can't be", paced.answered-paced.wrong, paced.answered)
	}
}
