package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/keyring"
	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/keys"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/deploy"
	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/dns/freeport"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// reserve draws an address for a listener that others must know before it listens.
func reserve(t *testing.T) netip.AddrPort {
	t.Helper()
	at, err := freeport.Draw()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// newCluster is three nodes with all roles and the example's world, which is unsigned.
func newCluster(t *testing.T) (nodes []nodefile.Node) {
	t.Helper()
	dir := t.TempDir()
	example, err := fs.Sub(deploy.Example, "example")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, example); err != nil {
		t.Fatal(err)
	}
	secrets := filepath.Join(dir, "keys")
	if err := keys.Init(secrets, "test"); err != nil {
		t.Fatal(err)
	}
	free := netip.MustParseAddrPort("127.0.0.1:0")
	names := []string{"ap-south", "eu-west", "us-east"}
	var seeds []string
	var voters []nodefile.Voter
	for _, name := range names {
		issue(t, secrets, pki.Identity{Name: health.NodeID(name), Region: geo.RegionID(name), Roles: everyRole})
		gossip, control := reserve(t), reserve(t)
		seeds = append(seeds, gossip.String())
		voters = append(voters, nodefile.Voter{Name: health.NodeID(name), Address: control.String()})
		nodes = append(nodes, nodefile.Node{
			Name: health.NodeID(name), Region: geo.RegionID(name), Roles: everyRole, World: filepath.Join(dir, "world"), Data: filepath.Join(dir, "data-"+name),
			DNS: []netip.AddrPort{free}, Gossip: gossip, Control: control, Gateway: []netip.AddrPort{free}, API: free,
			GossipKey: filepath.Join(secrets, keys.Gossip), CA: filepath.Join(secrets, keys.CACertificate),
			Certificate: filepath.Join(secrets, name+".crt"), Key: filepath.Join(secrets, name+".key"), Timing: nodefile.Local,
			Journal: nodefile.Journal{Keep: 24 * time.Hour, SizeMiB: 1},
		})
	}
	for i := range nodes {
		nodes[i].Seeds, nodes[i].Voters = seeds, voters
	}
	return nodes
}

// signWorld puts the key dnssec to the example's zone.
func signWorld(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "file: example.com.zone") {
			write(t, file, strings.Replace(string(text), "file: example.com.zone", "file: example.com.zone\n    dnssec: {}", 1))
			return
		}
	}
	t.Fatalf("no zone example.com in %s", dir)
}

func startAll(t *testing.T, nodes []nodefile.Node) (hosts []*Host) {
	t.Helper()
	for _, n := range nodes {
		h, _, err := start(t, n)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	return hosts
}

func closeHosts(t *testing.T, hosts []*Host) {
	t.Helper()
	for _, h := range slices.Backward(hosts) {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// askSigned asks a nameserver over TCP, and returns the answer without what differs from one to the next by design.
func askSigned(t *testing.T, h *Host, name string, qtype uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(4096, true)
	q.Id = 1
	m, _, err := (&dns.Client{Net: "tcp", Timeout: 20 * time.Second}).Exchange(q, h.dns.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// whole reports whether all hosts know that each of them serves the present keys.
func whole(hosts []*Host) bool {
	for _, h := range hosts {
		keys, there := h.view.Load().Control.Keys("example.com.")
		if !there {
			return false
		}
		state, err := dnssec.Decode(keys.State)
		if err != nil {
			return false
		}
		for _, p := range h.view.Load().Peers {
			if generation, known := p.Serving.Generation("example.com."); !known || generation != state.Generation {
				return false
			}
		}
	}
	return true
}

// The leader makes the keys of a signed zone, and every nameserver signs by them, alike to the bit; an order at any node begins
// a roll; and after all nodes ended they start with the keys that they had.
func TestClusterKeys(t *testing.T) {
	nodes := newCluster(t)
	signWorld(t, nodes[0].World)
	hosts := startAll(t, nodes)
	eventually(t, "every nameserver serves the keys", func() bool { return whole(hosts) })
	alike := func() (published string) {
		t.Helper()
		for _, qtype := range []uint16{dns.TypeDNSKEY, dns.TypeSOA, dns.TypeTXT} {
			var first string
			for i, h := range hosts {
				m := askSigned(t, h, "example.com.", qtype)
				text := fmt.Sprint(m.Answer, m.Ns)
				if qtype == dns.TypeDNSKEY && i == 0 {
					published = keysIn(m)
				}
				if !strings.Contains(text, "RRSIG") {
					t.Errorf("%s answers %s unsigned:\n%v", h.cfg.Name, dns.Type(qtype), m)
				}
				if i == 0 {
					first = text
				} else if text != first {
					t.Errorf("%s answers\n%s, and %s\n%s", h.cfg.Name, text, hosts[0].cfg.Name, first)
				}
				verifyAll(t, m, askSigned(t, hosts[(i+1)%len(hosts)], "example.com.", dns.TypeDNSKEY))
			}
		}
		return published
	}
	before := alike()
	if strings.Count(before, "DNSKEY") != 2 {
		t.Errorf("keys %s, want a KSK and a ZSK", before)
	}
	for i, h := range hosts { // each at another node
		_, err := h.orderKeys(t.Context(), keyring.Order{Zone: "example.com.", Do: "roll-zsk", Actor: "mia", Reason: "test"}, "")
		if !errors.Is(err, dnssec.ErrBusy) {
			t.Errorf("order %d: %v, want %v: caches may hold what was unsigned", i, err, dnssec.ErrBusy)
		}
	}
	closeHosts(t, hosts)
	hosts = startAll(t, nodes)
	defer func() { closeHosts(t, hosts) }()
	for _, h := range hosts {
		if got := keysIn(askSigned(t, h, "example.com.", dns.TypeDNSKEY)); got != before {
			t.Errorf("%s starts with the keys\n%s, want\n%s", h.cfg.Name, got, before)
		}
	}
	eventually(t, "every nameserver serves the keys again", func() bool { return whole(hosts) })
	if after := alike(); after != before {
		t.Errorf("keys after all nodes started anew\n%s, before\n%s", after, before)
	}
}

// keysIn are the keys of an answer, in no order.
func keysIn(m *dns.Msg) string {
	var all []string
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeDNSKEY {
			all = append(all, rr.String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// verifyAll checks every signature of an answer by the keys of another.
func verifyAll(t *testing.T, m, keys *dns.Msg) {
	t.Helper()
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			sig, ok := rr.(*dns.RRSIG)
			if !ok {
				continue
			}
			var set []dns.RR
			for _, other := range section {
				if h := other.Header(); h.Rrtype == sig.TypeCovered && h.Name == sig.Hdr.Name {
					set = append(set, other)
				}
			}
			good := false
			for _, key := range keys.Answer {
				if key, ok := key.(*dns.DNSKEY); ok && key.KeyTag() == sig.KeyTag {
					good = sig.Verify(key, set) == nil && sig.ValidityPeriod(time.Now())
				}
			}
			if !good {
				t.Errorf("%v does not hold", sig)
			}
		}
	}
}
