package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/cmd/internal/outgoing"
	"github.com/meridian-gslb/meridian/cmd/meridian/zonekeys"
	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/replica"
)

func TestUseOf(t *testing.T) {
	signed, unsigned, bad := &dnssec.KeySet{Generation: 2, Published: []*dnssec.Key{{}}}, &dnssec.KeySet{Generation: 9}, errors.New("mode 0644")
	for _, tt := range []struct {
		why           string
		set           *dnssec.KeySet
		err           error
		voters, known bool
		want          keyUse
	}{
		{"keys are here, and nothing was heard", signed, nil, true, false, useThese},
		{"keys are here, without voters", signed, nil, false, false, useThese},
		{"the cluster has left the chain of trust", unsigned, nil, true, true, useNone},
		{"the keys of the directory are not active yet", unsigned, nil, false, false, useNone},
		{"keys are here that can't be used", nil, bad, true, true, useOthers},
		{"the directory can't be read, and there is nobody to ask", nil, bad, false, false, useOthers},
		{"a new disk, and no word from the voters", nil, nil, true, false, useOthers},
		{"the voters say that there are none", nil, nil, true, true, useNone},
		{"nobody can have keys of it", nil, nil, false, false, useNone},
	} {
		if got := useOf(tt.set, tt.err, tt.voters, tt.known); got != tt.want {
			t.Errorf("%s: useOf(%v, %v, %t, %t) = %d, want %d", tt.why, tt.set, tt.err, tt.voters, tt.known, got, tt.want)
		}
	}
}

func TestAsNewAsLeader(t *testing.T) {
	status := func(leader health.NodeID, reached bool) replica.Status {
		return replica.Status{Leader: leader, Voters: []replica.VoterStatus{{ID: "a", Reached: true, Epoch: 1, Index: 3}, {ID: "b", Reached: reached, Epoch: 2, Index: 7}}}
	}
	for _, tt := range []struct {
		why          string
		epoch, index uint64
		status       replica.Status
		want         bool
	}{
		{"the same", 2, 7, status("b", true), true},
		{"newer: the leader's last word is a second old", 2, 8, status("b", true), true},
		{"older by an entry", 2, 6, status("b", true), false},
		{"of an epoch before", 1, 9, status("b", true), false},
		{"the leader is not reached", 2, 9, status("b", false), false},
		{"there is no leader", 2, 9, status("", true), false},
		{"behind another voter, but not behind the leader", 1, 3, status("a", true), true},
	} {
		if got := asNewAsLeader(&control.State{Epoch: tt.epoch, Index: tt.index}, tt.status); got != tt.want {
			t.Errorf("%s: asNewAsLeader = %t", tt.why, got)
		}
	}
}

// say is what a host answers in a word: unsigned, signed or not ready. Any goroutine may ask.
func say(t *testing.T, h *Host, name string) string {
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	q.SetEdns0(1232, true)
	m, _, err := (&dns.Client{Net: "tcp", Timeout: 20 * time.Second}).Exchange(q, h.dns.Addrs()[0].String())
	if err != nil {
		t.Error(err)
		return "silent"
	}
	ready := true
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok && e.InfoCode == dns.ExtendedErrorCodeNotReady {
				ready = false
			}
		}
	}
	switch {
	case m.Rcode == dns.RcodeServerFailure && !ready && len(m.Answer) == 0:
		return "not ready"
	case m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 || !ready:
		t.Errorf("%s answers %v", h.cfg.Name, m)
		return "something else"
	case strings.Contains(m.String(), "RRSIG"):
		return "signed"
	}
	return "unsigned"
}

// A nameserver that has no keys of a signed zone, and can't know that there are none, gives no answer from it: on a new disk, and
// on one that was lost, until it hears of the keys.
func TestSignedZoneWithoutItsKeys(t *testing.T) {
	nodes := newCluster(t)
	signWorld(t, nodes[0].World)
	alone, _, err := start(t, nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	alone.giveKeys(time.Now())
	for _, name := range []string{"static.example.com.", "api.example.com."} {
		if got := say(t, alone, name); got != "not ready" {
			t.Errorf("one of three voters on a new disk: %s is %s, want it not ready", name, got)
		}
	}
	closeHosts(t, []*Host{alone})
	hosts := startAll(t, nodes)
	eventually(t, "every nameserver serves the keys", func() bool { return whole(hosts) })
	before := keysIn(askSigned(t, hosts[0], "example.com.", dns.TypeDNSKEY))
	closeHosts(t, hosts)

	for _, lost := range []struct {
		name string
		disk bool
		want string
	}{{"with its disk", false, "signed"}, {"without it", true, "not ready"}} {
		if lost.disk {
			if err := os.RemoveAll(nodes[0].Data); err != nil {
				t.Fatal(err)
			}
		}
		if alone, _, err = start(t, nodes[0]); err != nil {
			t.Fatal(err)
		}
		if got := say(t, alone, "static.example.com."); got != lost.want {
			t.Errorf("alone %s: %s, want %s", lost.name, got, lost.want)
		}
		if !lost.disk {
			closeHosts(t, []*Host{alone})
		}
	}
	hosts = append(startAll(t, nodes[1:]), alone)
	defer func() { closeHosts(t, hosts) }()
	eventually(t, "the one that lost its disk has the keys again", func() bool {
		got := say(t, alone, "static.example.com.")
		if got == "unsigned" {
			t.Errorf("unsigned on the way to the state with the keys")
		}
		return got == "signed"
	})
	if got := keysIn(askSigned(t, alone, "example.com.", dns.TypeDNSKEY)); got != before {
		t.Errorf("keys\n%s, want those of before\n%s", got, before)
	}
}

// A zone that is served unsigned loses no answer when it is to be signed, with voters that make its keys and with none in reach; nor
// by keys that can't be used.
func TestServedZoneIsSigned(t *testing.T) {
	nodes := newCluster(t)
	cut := nodes[0] // has voters that it never reaches
	cut.Name, cut.Data, cut.Gossip, cut.Seeds = nodes[0].Name, filepath.Join(t.TempDir(), "data"), reserve(t), nil
	cut.Voters = append(cut.Voters[:0:0], nodes[0].Voters...)
	for i := range cut.Voters {
		cut.Voters[i].Address = reserve(t).String()
	}
	cut.Control = reserve(t)
	misled := cut // and keys that others can read
	misled.Data, misled.Gossip, misled.Control = filepath.Join(t.TempDir(), "data"), reserve(t), reserve(t)
	misled.Nameserver.Keys = t.TempDir()
	write(t, filepath.Join(misled.Nameserver.Keys, "Kexample.com.+013+00001.key"), "no key")
	hosts := startAll(t, append(nodes, cut, misled))
	defer func() { closeHosts(t, hosts) }()
	eventually(t, "the voters are heard", func() bool {
		return hosts[0].view.Load().Control != nil && hosts[1].view.Load().Control != nil && hosts[2].view.Load().Control != nil
	})

	stop, answers := make(chan struct{}), make([]int, len(hosts))
	var askers sync.WaitGroup
	for i, h := range hosts {
		askers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if say(t, h, "static.example.com.") == "not ready" {
					t.Errorf("%d: not ready after %d answers", i, answers[i])
					return
				}
				answers[i]++
				time.Sleep(2 * time.Millisecond) // in real time, for others to have theirs
			}
		})
	}
	signWorld(t, nodes[0].World)
	for _, h := range hosts {
		h.Reload()
	}
	eventually(t, "every nameserver serves the keys", func() bool { return whole(hosts[:3]) })
	for i, h := range hosts {
		eventually(t, "the new world is in force", func() bool {
			z, _ := h.snapshot.Load().Plan.Zone([]byte("\x07example\x03com\x00"))
			return z.Sign != ""
		})
		want := "signed"
		if i >= 3 {
			want = "unsigned"
		}
		if got := say(t, h, "static.example.com."); got != want {
			t.Errorf("%d: %s in the end, want %s", i, got, want)
		}
	}
	close(stop)
	askers.Wait()
	for i, n := range answers {
		if n < 10 {
			t.Errorf("%d was asked %d times", i, n)
		}
	}
}

// While new keys can't be taken, those before are known to be in use: the leader makes none for a zone that has own ones, and people
// are told why the zone does not go out anew.
func TestKeysBeforeAreKnownToBeInUse(t *testing.T) {
	n := newTransferNode(t, "zones:\n  given.example: {file: given.zone, dnssec: {}, transfer: {allow: [{key: peer.example}]}}\n")
	write(t, filepath.Join(n.World, "given.zone"), fmt.Sprintf(givenZone, 1, 1))
	n.Nameserver.Keys = t.TempDir()
	key, err := dnssec.New("given.example.", dnssec.FlagsKSK, dnssec.ECDSAP256SHA256, rand.NewChaCha8([32]byte{1}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := zonekeys.Create(n.Nameserver.Keys, key); err != nil {
		t.Fatal(err)
	}
	h, end := startGood(t, n)
	eventually(t, "the zone goes out signed", func() bool {
		return strings.Contains(took(h.dns.Addrs()[0], new(dns.Msg).SetAxfr("given.example."), true), "RRSIG")
	})
	end() // so that nothing judges the clock or looks at the keys but this test
	want := []health.ServedKeys{{Zone: health.ZoneKey("given.example.")}}
	trusted := h.view.Load()
	distrusted := *trusted
	distrusted.Clock.Fit = false
	private, err := filepath.Glob(filepath.Join(n.Nameserver.Keys, "*.private"))
	if err != nil || len(private) != 1 {
		t.Fatal(private, err)
	}
	for _, tt := range []struct {
		name string
		view *node.View
		mode os.FileMode // of the key's file
		why  error       // it does not go out anew
	}{
		{"all is well", trusted, 0o600, nil},
		{"the clock can't be trusted", &distrusted, 0o600, outgoing.ErrClock},
		{"nor at the next look", &distrusted, 0o600, outgoing.ErrClock},
		{"nor the keys be read", &distrusted, 0o644, outgoing.ErrClock},
		{"the clock can be trusted again", trusted, 0o644, nil},
		{"all is well again", trusted, 0o600, nil},
	} {
		h.view.Store(tt.view)
		if err := os.Chmod(private[0], tt.mode); err != nil {
			t.Fatal(err)
		}
		h.giveKeys(time.Now())
		if got := h.served(); !slices.Equal(got, want) {
			t.Errorf("%s: serves %v, want %v", tt.name, got, want)
		}
		s := h.snapshot.Load()
		why := h.transfers.renewAll(t.Context(), s, basis{s.Plan.World, s.Control, h.given.Load()})
		if got := why["given.example."]; !errors.Is(got, tt.why) {
			t.Errorf("%s: it does not go out anew for: %v, want %v", tt.name, got, tt.why)
		}
	}
}
