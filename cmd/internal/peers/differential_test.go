//go:build linux

package peers_test

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
	"github.com/meridian-gslb/meridian/dns/freeport"
	"github.com/meridian-gslb/meridian/dns/server"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

var update = flag.Bool("update", false, "write docs/differences.md")

const (
	queries = 40_000 // at least; all names are asked for in all types, and again
	askers  = 4      // at the same time
	shown   = 12     // differences without an explanation that a failure shows
)

// apexes are the zones that all servers serve.
var apexes = []string{
	"example.test.", "child.example.test.", "child2.example.test.", "other.test.", "sub.other.test.", "dname.test.", "nsec.test.", "nsec3.test.",
}

// signed are those that are signed beforehand.
var signed = map[string]peers.Denial{"nsec.test.": peers.NSEC, "nsec3.test.": peers.NSEC3}

type zone struct {
	peers.Zone
	records []dns.RR
}

// A comparer asks all servers the same and keeps what it found.
type comparer struct {
	servers []served // ours is the first
	zones   []string // their apexes

	mu          sync.Mutex
	counts      []map[string]int  // how often each rule explains something, by server
	outvoted    []int             // how often it explains the same of two peers at least
	examples    []string          // for each rule, the first query
	unexplained map[string]string // the shortest of each kind
	left        int               // how many they are in all
	asked       int
}

type served struct {
	name    string
	address netip.AddrPort
}

// TestDifferences compares our answers with those of NSD, Knot DNS and BIND. A difference is explained by a rule, or the
// test fails.
func TestDifferences(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the comparison with other nameservers takes a quarter of a minute")
	}
	peers.Need(t, "nsd", "knotd", "named", "ldns-keygen", "ldns-signzone")
	for _, version := range [][2]string{{"nsd", "-v"}, {"knotd", "-V"}, {"named", "-v"}} {
		t.Log(peers.Version(t, version[0], version[1]))
	}
	served := readZones(t, apexes)
	c := &comparer{servers: serve(t, served), unexplained: map[string]string{}}
	for _, z := range served {
		c.zones = append(c.zones, z.Apex)
	}
	for range rules {
		c.counts, c.outvoted, c.examples = append(c.counts, map[string]int{}), append(c.outvoted, 0), append(c.examples, "")
	}
	begin := time.Now()
	all := generate(served, queries, 1)
	c.run(t, all)
	t.Logf("%d queries to each of %d servers in %v", c.asked, len(c.servers), time.Since(begin).Round(time.Millisecond))
	c.report(t)
}

// readZones returns the zones that we serve; one that does not load is left out everywhere.
func readZones(t *testing.T, apexes []string) []zone {
	t.Helper()
	var loaded []zone
	for _, apex := range apexes {
		text, err := os.ReadFile("testdata/" + apex + "zone")
		if err != nil {
			t.Fatal(err)
		}
		z := zone{Zone: peers.Zone{Apex: apex, Text: string(text)}}
		if denial, ok := signed[apex]; ok {
			z.Zone, _ = peers.Sign(t, z.Zone, denial)
		}
		if _, err := parse([]zone{z}); err != nil {
			t.Fatalf("zone %s: %v", apex, err)
		}
		z.records = records(t, z.Zone)
		loaded = append(loaded, z)
	}
	return loaded
}

// records reads a zone by the DNS library.
func records(t *testing.T, z peers.Zone) (rrs []dns.RR) {
	t.Helper()
	parser := dns.NewZoneParser(strings.NewReader(z.Text), z.Apex, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		rrs = append(rrs, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return rrs
}

func parse(served []zone) (*zones.World, error) {
	world, files := "regions: {here: {coordinates: [0, 0]}}\nzones:\n", map[string][]byte{}
	for _, z := range served {
		world += fmt.Sprintf("  %s: {file: %[1]s.zone}\n", strings.TrimSuffix(z.Apex, "."))
		files[z.Apex+"zone"] = []byte(z.Text)
	}
	files["world.yaml"] = []byte(world)
	return zones.Parse(files)
}

// serve starts all servers.
func serve(t *testing.T, loaded []zone) []served {
	t.Helper()
	var files []peers.Zone
	for _, z := range loaded {
		files = append(files, z.Zone)
	}
	all := []served{{"meridian", serveOurs(t, loaded)}}
	for _, peer := range []struct {
		name  string
		start func(netip.AddrPort)
	}{
		{"NSD", func(a netip.AddrPort) { peers.StartNSD(t, nil, a, files) }},
		{"Knot", func(a netip.AddrPort) { peers.StartKnot(t, nil, a, files, "") }},
		{"BIND", func(a netip.AddrPort) { peers.StartBIND(t, nil, a, files) }},
	} {
		address, err := freeport.Draw()
		if err != nil {
			t.Fatal(err)
		}
		peer.start(address)
		all = append(all, served{peer.name, address})
	}
	return all
}

func serveOurs(t *testing.T, served []zone) netip.AddrPort {
	t.Helper()
	world, err := parse(served)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(new(geo.Builder).Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	snapshot := plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, time.Now())
	s, err := server.Listen(server.Config{
		Listen:   []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Snapshot: func() *zones.Snapshot { return snapshot }, Logger: slog.New(slog.DiscardHandler), UDPWorkers: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(s.Serve)
	t.Cleanup(func() { s.Close(); running.Wait() })
	return s.Addrs()[0]
}

// run shares the queries out.
func (c *comparer) run(t *testing.T, all []query) {
	t.Helper()
	var running sync.WaitGroup
	for part := range slices.Chunk(all, (len(all)+askers-1)/askers) {
		running.Go(func() {
			clients := make([]*client, len(c.servers))
			for i, s := range c.servers {
				clients[i] = &client{address: s.address}
				defer clients[i].close()
			}
			for _, q := range part {
				if err := c.compare(clients, q); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}

// compare asks all servers one query.
func (c *comparer) compare(clients []*client, q query) error {
	answers := make([]*answer, len(clients))
	for i, client := range clients {
		var err error
		if answers[i], err = client.ask(q); err != nil {
			return fmt.Errorf("%s: %v: %w", c.servers[i].name, q, err)
		}
	}
	fired := make([]int, len(rules))
	for i, theirs := range answers[1:] {
		d := &difference{query: q, ours: answers[0].clone(), theirs: theirs.clone(), peer: c.servers[i+1].name}
		if d.ours.tc || d.theirs.tc {
			whole := q
			whole.tcp = true
			var err error
			if d.wholeOurs, err = clients[0].ask(whole); err != nil {
				return fmt.Errorf("%s: %v: %w", c.servers[0].name, whole, err)
			}
			if d.wholeTheirs, err = clients[i+1].ask(whole); err != nil {
				return fmt.Errorf("%s: %v: %w", d.peer, whole, err)
			}
		}
		used, explained := d.explain()
		c.mu.Lock()
		for _, rule := range used {
			c.counts[rule][d.peer]++
			fired[rule]++
			c.examples[rule] = simpler(c.examples[rule], q.String())
		}
		if !explained {
			c.left++
			if kind, text := d.kind(), c.show(q, answers, d); c.unexplained[kind] == "" || len(text) < len(c.unexplained[kind]) {
				c.unexplained[kind] = text
			}
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	for rule, n := range fired {
		if n > 1 {
			c.outvoted[rule]++
		}
	}
	return nil
}

// simpler chooses the shorter of two queries, whatever comes first.
func simpler(a, b string) string {
	if a == "" || len(b) < len(a) || len(b) == len(a) && b < a {
		return b
	}
	return a
}

// show tells of a difference and how many of the peers say the same as this one.
func (c *comparer) show(q query, answers []*answer, d *difference) string {
	var agree []string
	theirs := answers[slices.IndexFunc(c.servers, func(s served) bool { return s.name == d.peer })]
	for i, other := range answers[1:] {
		if other.equal(theirs) {
			agree = append(agree, c.servers[i+1].name)
		}
	}
	return fmt.Sprintf("%v\nmeridian: %v%s: %vleft of ours: %vleft of theirs: %v", q, answers[0], strings.Join(agree, ", "), theirs, d.ours, d.theirs)
}

// report logs how often each rule was used, and fails on what no rule explains and on rules that explain nothing.
func (c *comparer) report(t *testing.T) {
	t.Helper()
	for i, r := range rules {
		total, text := 0, ""
		for _, s := range c.servers[1:] {
			total += c.counts[i][s.name]
			text += fmt.Sprintf(" %s %d", s.name, c.counts[i][s.name])
		}
		t.Logf("%-28s%s; of two or more at once %d; for example %s", r.name, text, c.outvoted[i], c.examples[i])
		if total == 0 {
			t.Errorf("rule %q explains nothing", r.name)
		}
	}
	if c.left == 0 {
		c.document(t)
	}
	kinds := slices.Sorted(maps.Keys(c.unexplained))
	for _, kind := range kinds[:min(shown, len(kinds))] {
		t.Errorf("no rule explains %s:\n%s", kind, c.unexplained[kind])
	}
	if c.left > 0 {
		t.Errorf("%d differences of %d kinds that no rule explains", c.left, len(kinds))
	}
}

const documentHead = `# Where other nameservers answer otherwise

The test of ` + "`cmd/internal/peers`" + ` asks Meridian, NSD, Knot DNS and BIND, as Debian 12 packages them, the same %d questions about the
same zone files, and compares response code, flags and records. Each difference falls under one of these rules, or the test
fails. It prints how often each was used. This page is written by it (-update).

| rule | who differs | why | for example |
|---|---|---|---|
`

// document compares the rules that were used with the page that tells of them.
func (c *comparer) document(t *testing.T) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, documentHead, c.asked)
	for i, r := range rules {
		var who []string
		for _, s := range c.servers[1:] {
			if c.counts[i][s.name] > 0 {
				who = append(who, s.name)
			}
		}
		if len(who) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", r.name, strings.Join(who, ", "), r.reason, strings.ReplaceAll(c.examples[i], "|", `\|`))
	}
	const path = "../../../docs/differences.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if page, err := os.ReadFile(path); err != nil || string(page) != b.String() {
		t.Errorf("%s (%v) is not\n%s", path, err, b.String())
	}
}
