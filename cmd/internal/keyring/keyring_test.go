package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/dns/signer"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

const (
	apex     = "example.com."
	wireApex = "\x07example\x03com\x00"

	testWorld = "regions: {eu: {coordinates: [50, 8]}}\nzones: {example.com: {file: zone, dnssec: {}}}\n"
	testZone  = "$TTL 300\n@ SOA ns1 admin 7 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\nmail A 192.0.2.25\n"
)

var clusterKey = bytes.Repeat([]byte{7}, dnssec.ClusterKeySize)

// A fleet is three nameservers, with voters and a leader in their midst, by the bubble's clock.
type fleet struct {
	t        *testing.T
	snapshot *zones.Snapshot
	state    *control.State
	leader   *Ring
	random   *rand.ChaCha8
	servers  []*server
	zone     Zone
	seen     func() []Seen
	journal  []string
}

// A server is one nameserver. One that is down neither learns nor says anything.
type server struct {
	name    health.NodeID
	cluster []byte
	signer  *signer.Signer
	index   uint64
	set     *dnssec.KeySet
	down    bool
	refused error
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	world, err := zones.Parse(zones.FileMap{"w.yaml": []byte(testWorld), "zone": []byte(testZone)})
	if err != nil {
		t.Fatal(err)
	}
	var places geo.Builder
	plan, err := world.Compile(places.Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, state: control.New(1), random: rand.NewChaCha8([32]byte{1}), zone: Zone{Apex: apex, Algorithm: dnssec.ECDSAP256SHA256, TTL: 300},
		snapshot: plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, time.Now()), seen: func() []Seen { return nil }}
	f.elect("eu1")
	for _, name := range []health.NodeID{"eu1", "in1", "us1"} {
		s := &server{name: name, cluster: clusterKey}
		f.start(s)
		f.servers = append(f.servers, s)
	}
	return f
}

// elect makes a node the leader, which remembers nothing.
func (f *fleet) elect(name health.NodeID) { f.leader = New(name, clusterKey, f.random) }

// start runs a nameserver from nothing but what the voters have.
func (f *fleet) start(s *server) {
	f.t.Helper()
	if s.signer != nil {
		s.signer.Close()
	}
	var err error
	if s.signer, err = signer.New(signer.Config{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		f.t.Fatal(err)
	}
	s.signer.Published(f.snapshot)
	s.index, s.set = 0, nil
}

func (f *fleet) close() {
	for _, s := range f.servers {
		s.signer.Close()
	}
}

// obey gives a nameserver the keys that the voters have, as they would travel.
func (f *fleet) obey(s *server) {
	state, err := control.Decode(f.state.Encode())
	if err != nil {
		f.t.Fatal(err)
	}
	keys, there := state.Keys(apex)
	if !there || keys.Index == s.index {
		return
	}
	set, err := Set(s.cluster, keys)
	if s.refused = err; err != nil {
		return
	}
	if s.index = keys.Index; s.set != nil && s.set.Generation == set.Generation {
		return
	}
	if s.set = set; !set.Signed() {
		set = nil
	}
	s.signer.SetKeys(wireApex, set)
}

func (s *server) serving() *health.Serving {
	if s.down {
		return nil
	}
	serving := new(health.Serving)
	if generation, whole := s.signer.Generation(wireApex); whole {
		serving.Keys = []health.ServedKeys{{Zone: health.ZoneKey(apex), Generation: generation}}
	}
	return serving
}

// pass lets time pass, minute by minute, and has every answer checked.
func (f *fleet) pass(d time.Duration) {
	f.t.Helper()
	for range d / time.Minute {
		time.Sleep(time.Minute)
		f.step()
	}
}

func (f *fleet) step() {
	f.t.Helper()
	for _, s := range f.servers {
		if !s.down {
			f.obey(s)
		}
	}
	synctest.Wait()
	in := Input{Now: time.Now(), State: f.state, Zones: []Zone{f.zone}, Complete: true, Seen: f.seen()}
	for _, s := range f.servers {
		in.Nameservers = append(in.Nameservers, Nameserver{s.name, s.serving()})
	}
	commands, notes := f.leader.Step(in)
	for _, c := range commands {
		f.apply(c)
	}
	for _, n := range notes {
		f.journal = append(f.journal, n.Text)
	}
	f.validate()
}

func (f *fleet) apply(c control.Command) {
	f.t.Helper()
	c.Time = time.Now()
	var result control.Result
	if f.state, result = f.state.Apply(f.state.Index+1, c); result.Err() != nil {
		f.t.Fatalf("command refused: %v", result.Err())
	}
}

func (f *fleet) order(do string) error {
	c, err := f.leader.Order(f.state, Order{Zone: apex, Do: do, Actor: "mia", Reason: "test"}, &f.zone, func(string) bool { return true }, time.Now())
	if err == nil {
		f.apply(*c)
	}
	return err
}

func (f *fleet) stage() dnssec.Stage { return f.decoded().Stage }

func (f *fleet) decoded() *dnssec.State {
	f.t.Helper()
	keys, there := f.state.Keys(apex)
	if !there {
		return &dnssec.State{}
	}
	s, err := dnssec.Decode(keys.State)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// until lets time pass until a stage is reached, and returns how long that took.
func (f *fleet) until(stage dnssec.Stage, most time.Duration) time.Duration {
	f.t.Helper()
	began := time.Now()
	for f.stage() != stage {
		if time.Since(began) > most {
			f.t.Fatalf("at %s after %v, want %s: %v", f.stage(), most, stage, f.decoded().Waits())
		}
		f.pass(time.Minute)
	}
	return time.Since(began)
}

// ask returns the answer of a nameserver.
func (s *server) ask(t *testing.T, snapshot *zones.Snapshot, name string, qtype uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(4096, true)
	packed, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := wire.Answer(nil, snapshot, nil, &wire.Request{Query: packed, Source: netip.MustParseAddr("192.0.2.200"),
		Limit: wire.MaxMessage, Signer: s.signer.Maker(func() bool { return true })})
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatal(err)
	}
	return m
}

// validate checks what the nameservers that are up answer against the keys that any of them publishes: a resolver may have had
// the keys from one and the data from another.
func (f *fleet) validate() {
	f.t.Helper()
	for _, s := range f.servers {
		if s.set == nil || !s.set.Signed() {
			continue
		}
		for _, from := range f.servers {
			if from.set == nil || !from.set.Signed() {
				continue
			}
			published := from.ask(f.t, f.snapshot, apex, dns.TypeDNSKEY).Answer
			for name, qtype := range map[string]uint16{"mail." + apex: dns.TypeA, "none." + apex: dns.TypeA, apex: dns.TypeSOA} {
				m := s.ask(f.t, f.snapshot, name, qtype)
				if err := proven(slices.Concat(m.Answer, m.Ns), published); err != nil {
					f.t.Fatalf("%s of %s with the keys of %s, at %s: %v", name, s.name, from.name, f.stage(), err)
				}
			}
			if err := proven(published, published); err != nil {
				f.t.Fatalf("keys of %s: %v", from.name, err)
			}
		}
	}
}

// proven reports whether every set among records has a signature by a published key that is valid now.
func proven(records, published []dns.RR) error {
	sets := make(map[string][]dns.RR)
	for _, rr := range records {
		if rr.Header().Rrtype != dns.TypeRRSIG {
			k := fmt.Sprint(rr.Header().Name, rr.Header().Rrtype)
			sets[k] = append(sets[k], rr)
		}
	}
	if len(sets) == 0 {
		return errors.New("no records")
	}
	for k, set := range sets {
		good := false
		for _, rr := range records {
			sig, ok := rr.(*dns.RRSIG)
			if !ok || fmt.Sprint(sig.Hdr.Name, sig.TypeCovered) != k {
				continue
			}
			for _, key := range published {
				if key, ok := key.(*dns.DNSKEY); ok && key.KeyTag() == sig.KeyTag {
					good = good || sig.Verify(key, set) == nil && sig.ValidityPeriod(time.Now())
				}
			}
		}
		if !good {
			return fmt.Errorf("%s has no signature that holds", k)
		}
	}
	return nil
}

// alike checks that all nameservers answer the same, signatures included, to the bit.
func (f *fleet) alike() {
	f.t.Helper()
	for _, qtype := range []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeSOA, dns.TypeTXT} {
		var first string
		for i, s := range f.servers {
			m := s.ask(f.t, f.snapshot, apex, qtype)
			m.Id = 0
			if i == 0 {
				first = m.String()
			} else if got := m.String(); got != first {
				f.t.Errorf("%s answers\n%s, and %s\n%s", s.name, got, f.servers[0].name, first)
			}
		}
	}
}

// steady makes a fleet with keys that are in the chain of trust.
func steady(t *testing.T) *fleet {
	f := newFleet(t)
	f.until(dnssec.Announce, 3*time.Hour)
	if err := f.order(DSSeen); err != nil {
		t.Fatal(err)
	}
	f.until(dnssec.Steady, 2*time.Minute)
	return f
}

func TestKeysAppearEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		f.pass(2 * time.Minute)
		for _, s := range f.servers {
			if generation, whole := s.signer.Generation(wireApex); generation != f.decoded().Generation || !whole {
				t.Errorf("%s serves generation %d, whole %v, want %d", s.name, generation, whole, f.decoded().Generation)
			}
		}
		f.alike()
		if took := f.until(dnssec.Announce, 3*time.Hour); took < 55*time.Minute {
			t.Errorf("the DS may come after %v, want no sooner than caches forget what was unsigned", took)
		}
		f.alike()
	})
}

func TestZSKRollPausesForWhoIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := steady(t)
		defer f.close()
		old := f.decoded().Keys
		if err := f.order("roll-zsk"); err != nil {
			t.Fatal(err)
		}
		if err := f.order("roll-ksk"); !errors.Is(err, dnssec.ErrBusy) {
			t.Errorf("a second roll: %v, want %v", err, dnssec.ErrBusy)
		}
		in := f.servers[1]
		in.down = true // and it still answers by the old keys
		f.pass(12 * time.Hour)
		if f.stage() != dnssec.ZSKPublish {
			t.Fatalf("at %s while a nameserver is down, want %s", f.stage(), dnssec.ZSKPublish)
		}
		if told := strings.Join(f.journal, "\n"); strings.Count(told, "nameserver in1") != 1 {
			t.Errorf("journal:\n%s\nwant one line that names in1", told)
		}
		in.down = false
		for _, stage := range []dnssec.Stage{dnssec.ZSKSign, dnssec.ZSKRemove, dnssec.Steady} {
			f.until(stage, 5*time.Hour)
		}
		f.pass(2 * time.Minute)
		f.alike()
		now := f.decoded().Keys
		if len(now) != 2 || now[0].Tag != old[0].Tag || now[1].Tag == old[1].Tag {
			t.Errorf("keys %v after, %v before: want the KSK to stay and the ZSK to go", tagsOf(now), tagsOf(old))
		}
	})
}

// A roll of the KSK goes through a change of leader halfway, which costs it no more than an hour.
func TestKSKRollThroughAnotherLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := steady(t)
		defer f.close()
		if err := f.order("roll-ksk"); err != nil {
			t.Fatal(err)
		}
		f.pass(5 * time.Hour)
		if f.stage() != dnssec.KSKAnnounce {
			t.Fatalf("at %s though nobody said that the parent has the DS, want %s", f.stage(), dnssec.KSKAnnounce)
		}
		if err := f.order(DSSeen); err != nil {
			t.Fatal(err)
		}
		f.pass(20 * time.Hour)
		f.elect("us1")
		if took := f.until(dnssec.KSKSwap, 7*time.Hour) + 20*time.Hour; took < 24*time.Hour {
			t.Errorf("swapped %v after the DS was seen, want no sooner than its TTL has passed", took)
		}
		f.until(dnssec.KSKWithdraw, 4*time.Hour)
		if err := f.order(DSSeen); err != nil {
			t.Fatal(err)
		}
		f.until(dnssec.Steady, 10*time.Minute)
		f.pass(time.Minute)
		f.alike()
		for _, e := range f.state.History() {
			if e.Zone != apex || e.Actor == "" || e.Reason == "" {
				t.Errorf("audited as %+v, want the zone, who and why", e)
			}
		}
		if n := len(f.state.History()); n > 20 {
			t.Errorf("%d lines of history, want one for each step alone", n)
		}
	})
}

// The servers of the parent are asked where they are configured; a person's word then does not count.
func TestParentIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		f.zone.Parents = []string{"192.0.2.1"}
		f.until(dnssec.Announce, 3*time.Hour)
		if err := f.order(DSSeen); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v, want %v", DSSeen, err, ErrOrder)
		}
		f.seen = func() []Seen { return []Seen{{Zone: apex, Server: "192.0.2.1"}, {Zone: apex, Server: "192.0.2.9"}} }
		f.pass(10 * time.Minute)
		if f.stage() != dnssec.Announce {
			t.Fatalf("at %s with no DS at the parent, want %s", f.stage(), dnssec.Announce)
		}
		f.seen = func() []Seen {
			set, err := ForParent(f.decoded())
			if err != nil {
				t.Fatal(err)
			}
			return []Seen{{apex, "192.0.2.1", set, 7200}}
		}
		f.until(dnssec.Steady, 2*time.Minute)
	})
}

// All nodes start anew from what the voters have: the keys are the same. A node with another cluster key can't read them.
func TestRestartKeepsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := steady(t)
		defer f.close()
		before := f.servers[0].ask(t, f.snapshot, apex, dns.TypeDNSKEY).String()
		history := len(f.state.History())
		f.elect("in1")
		for _, s := range f.servers {
			f.start(s)
		}
		f.pass(2 * time.Minute)
		f.alike()
		if got := f.servers[0].ask(t, f.snapshot, apex, dns.TypeDNSKEY); len(got.Answer) != strings.Count(before, "\tDNSKEY\t")+1 {
			t.Errorf("keys\n%v\nwant\n%s", got, before)
		}
		if n := len(f.state.History()); n != history || f.stage() != dnssec.Steady {
			t.Errorf("%d commands since, at %s, want none at %s", n-history, f.stage(), dnssec.Steady)
		}
		stranger := &server{name: "xx1", cluster: bytes.Repeat([]byte{8}, dnssec.ClusterKeySize)}
		f.start(stranger)
		defer stranger.signer.Close()
		if f.obey(stranger); !errors.Is(stranger.refused, dnssec.ErrSeal) || stranger.set != nil {
			t.Errorf("with another cluster key: %v, want %v", stranger.refused, dnssec.ErrSeal)
		}
		for _, k := range f.decoded().Keys {
			key, err := dnssec.OpenKey(clusterKey, apex, k)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(string(key.PrivateFile()), "\n") {
				if secret, ok := strings.CutPrefix(line, "PrivateKey: "); ok && bytes.Contains(f.state.Encode(), []byte(secret)) {
					t.Error("a private key is in the state in the clear")
				}
			}
		}
	})
}

func TestNoKeysAreMade(t *testing.T) {
	serving := func(generation uint64) *health.Serving {
		return &health.Serving{Keys: []health.ServedKeys{{Zone: health.ZoneKey(apex), Generation: generation}}}
	}
	good := Zone{Apex: apex, Algorithm: dnssec.ECDSAP256SHA256, TTL: 300}
	own := good
	own.Own = true
	for _, tt := range []struct {
		name     string
		zone     Zone
		servers  []Nameserver
		complete bool
		want     int
	}{
		{"all is known", good, []Nameserver{{"a", new(health.Serving)}, {"b", nil}}, true, 1},
		{"this node has keys of its own", own, []Nameserver{{"a", new(health.Serving)}}, true, 0},
		{"another has keys of its own", good, []Nameserver{{"a", new(health.Serving)}, {"b", serving(0)}}, true, 0},
		{"somebody has not said yet", good, []Nameserver{{"a", new(health.Serving)}}, false, 0},
		{"there is no nameserver", good, nil, true, 0},
	} {
		commands, notes := New("a", clusterKey, rand.NewChaCha8([32]byte{2})).Step(Input{Now: time.Unix(1e9, 0), State: control.New(1),
			Zones: []Zone{tt.zone}, Nameservers: tt.servers, Complete: tt.complete})
		if len(commands) != tt.want || len(notes) != 0 {
			t.Errorf("%s: %d commands and %v, want %d", tt.name, len(commands), notes, tt.want)
		}
	}
}

func tagsOf(keys []dnssec.KeyState) (tags []uint16) {
	for _, k := range keys {
		tags = append(tags, k.Tag)
	}
	return tags
}
