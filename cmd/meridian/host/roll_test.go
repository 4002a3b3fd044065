package host

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/keyring"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/dashboard"
)

const rolled = "example.com."

// A parent is a server of the zone above.
type parent struct {
	server  *dns.Server // nil: it is down
	key     *dns.DNSKEY
	private ed25519.PrivateKey

	mu    sync.Mutex
	ds    []dns.RR
	lies  []func(*dns.Msg)
	asked int
}

func newParent(t *testing.T) *parent {
	t.Helper()
	p := &parent{key: &dns.DNSKEY{Hdr: dns.RR_Header{Name: "com.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600}, Flags: 256, Protocol: 3, Algorithm: dns.ED25519}}
	private, err := p.key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	p.private = private.(ed25519.PrivateKey)
	return p
}

// listen begins to answer over TCP.
func (p *parent) listen(t *testing.T, at string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	p.server = &dns.Server{Listener: l, Handler: p}
	ended := make(chan error, 1)
	go func() { ended <- p.server.ActivateAndServe() }()
	t.Cleanup(func() {
		if err := errors.Join(p.server.Shutdown(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// ServeDNS answers for the zone above.
func (p *parent) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	switch name, qtype := q.Question[0].Name, q.Question[0].Qtype; {
	case name == rolled && qtype == dns.TypeDS:
		p.asked++
		m.Answer = slices.Clone(p.ds)
	case name == "com." && qtype == dns.TypeDNSKEY:
		m.Answer = []dns.RR{p.key}
	default:
		m.Rcode = dns.RcodeRefused
	}
	for _, lie := range p.lies {
		lie(m)
	}
	_ = w.WriteMsg(m) // or the asker is gone
}

// has gives a server DS records, which it signs. The lies are told with each answer.
func (p *parent) has(t *testing.T, ds []string, lies ...func(*dns.Msg)) {
	t.Helper()
	set := p.sign(t, ds)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ds, p.lies = set, lies
}

func (p *parent) sign(t *testing.T, ds []string) (set []dns.RR) {
	t.Helper()
	for _, text := range ds {
		rr, err := dns.NewRR(strings.Replace(text, " IN ", " 86400 IN ", 1))
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, rr)
	}
	if len(set) == 0 {
		return nil
	}
	s := &dns.RRSIG{Hdr: dns.RR_Header{Ttl: 86400}, Algorithm: dns.ED25519, KeyTag: p.key.KeyTag(), SignerName: "com.",
		Inception: uint32(time.Now().Add(-time.Hour).Unix()), Expiration: uint32(time.Now().Add(time.Hour).Unix())}
	if err := s.Sign(p.private, set); err != nil {
		t.Fatal(err)
	}
	return append(set, s)
}

// again waits until a server was asked so many times more.
func (p *parent) again(t *testing.T, times int) {
	t.Helper()
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.asked
	}
	until := count() + times
	eventually(t, "the parent is asked again", func() bool { return count() >= until })
}

// A roll is a cluster whose keys are replaced, the servers of the zone above, and what resolvers hold of both.
type roll struct {
	t       *testing.T
	hosts   []*Host
	parents []*parent
	held    map[string][]holding // by kind: ds, keys, data
}

// A holding is what a resolver may hold, until an instant of the keys' own clock.
type holding struct {
	rrs   []dns.RR
	until time.Time
}

func (r *roll) state() (*dnssec.State, control.ZoneKeys) {
	r.t.Helper()
	keys, there := r.hosts[0].replica.State().Keys(rolled)
	if !there {
		return &dnssec.State{}, keys
	}
	s, err := dnssec.Decode(keys.State)
	if err != nil {
		r.t.Fatal(err)
	}
	return s, keys
}

func (r *roll) at(stage dnssec.Stage) {
	r.t.Helper()
	eventually(r.t, "the keys are at "+string(stage), func() bool {
		s, _ := r.state()
		return s.Stage == stage
	})
	eventually(r.t, "every nameserver serves them", func() bool { return whole(r.hosts) })
	r.validate()
}

// pass lets the time of the keys pass until their stage is over, while all servers stay as they are. That time is the replicated
// state's own: nothing else in the nodes waits for it.
func (r *roll) pass(to dnssec.Stage) {
	r.t.Helper()
	eventually(r.t, "the time that leads to "+string(to)+" has passed", func() bool {
		s, keys := r.state()
		began, from, wall := s.Clock, s.Stage, s.Wall
		for s.Stage == from && s.Clock.Sub(began) < 30*time.Hour {
			wall = wall.Add(10 * time.Minute)
			for _, e := range append(r.heard(s), dnssec.Event{Kind: dnssec.Tick}) {
				if s.Stage != from {
					break
				}
				var err error
				if s, err = s.Step(wall, e); err != nil {
					r.t.Fatal(err)
				}
			}
		}
		if s.Stage != to {
			return false // not all has been heard
		}
		s.Wall = time.Now()
		r.validateAt(s.Clock)
		_, err := r.hosts[0].replica.Submit(r.t.Context(), control.Command{Kind: control.KindKeys, Actor: "test", Reason: "time passed",
			Keys: &control.NewKeys{Zone: rolled, State: s.Encode(), Expect: keys.Index}})
		if err != nil && !errors.Is(err, control.ErrVersion) {
			r.t.Fatal(err)
		}
		return err == nil
	})
	r.at(to)
}

// heard is what a leader knows of all servers.
func (r *roll) heard(s *dnssec.State) (events []dnssec.Event) {
	for _, p := range r.hosts[0].view.Load().Peers {
		if generation, known := p.Serving.Generation(rolled); known && slices.ContainsFunc(s.Nodes, func(n dnssec.Node) bool { return n.Name == string(p.Node) }) {
			events = append(events, dnssec.Event{Kind: dnssec.Reported, Node: string(p.Node), Generation: generation})
		}
	}
	for _, seen := range r.seen() {
		events = append(events, dnssec.Event{Kind: dnssec.SeenDS, Server: seen.Server, DS: seen.DS, TTL: seen.TTL})
	}
	return events
}

// seen is what the leader saw at the servers of the parent.
func (r *roll) seen() []keyring.Seen {
	for _, h := range r.hosts {
		if seen := h.parents.Load(); seen != nil {
			return *seen
		}
	}
	return nil
}

func (r *roll) order(do string) {
	r.t.Helper()
	eventually(r.t, "the order is taken at a node that may lag", func() bool {
		_, err := r.hosts[1].takeOrder(r.t.Context(), dashboard.KeyOrder{Zone: rolled, Do: do, Actor: "mia", Reason: "test"})
		if err != nil && !errors.Is(err, dashboard.ErrKeysBusy) && !errors.Is(err, control.ErrVersion) {
			r.t.Fatal(err)
		}
		return err == nil
	})
}

// wanted are the DS records that the parent should have now, so many.
func (r *roll) wanted(count int) (ds []string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%d DS records are wanted", count), func() bool {
		ds = nil
		for _, k := range r.hosts[0].shownKeys() {
			ds = append(ds, k.DS...)
		}
		return len(ds) == count
	})
	return ds
}

// validate checks all that a resolver may have put together: DS of any server of the parent, keys and data of any nameserver, each
// as it is now or as it was up to a TTL ago.
func (r *roll) validate() {
	r.t.Helper()
	s, _ := r.state()
	r.validateAt(s.Clock)
}

func (r *roll) validateAt(now time.Time) {
	r.t.Helper()
	hold := func(kind string, rrs []dns.RR) {
		if len(rrs) > 0 {
			r.held[kind] = append(r.held[kind], holding{rrs, now.Add(time.Duration(rrs[0].Header().Ttl) * time.Second)})
		}
	}
	for kind, all := range r.held {
		r.held[kind] = slices.DeleteFunc(all, func(h holding) bool { return h.until.Before(now) })
	}
	for _, p := range r.parents {
		p.mu.Lock()
		hold("ds", p.ds)
		p.mu.Unlock()
	}
	for _, h := range r.hosts {
		hold("keys", askSigned(r.t, h, rolled, dns.TypeDNSKEY).Answer)
		hold("data", askSigned(r.t, h, rolled, dns.TypeTXT).Answer)
		hold("data", askSigned(r.t, h, "none."+rolled, dns.TypeA).Ns)
	}
	s, _ := r.state()
	for _, keys := range r.held["keys"] {
		for _, data := range r.held["data"] {
			if err := chain(data.rrs, keys.rrs); err != nil {
				r.t.Fatalf("at %s: data and keys that resolvers hold: %v\n%v\n%v", s.Stage, err, data.rrs, keys.rrs)
			}
		}
		for _, ds := range r.held["ds"] {
			if err := chain(keys.rrs, trusted(keys.rrs, ds.rrs)); err != nil {
				r.t.Fatalf("at %s: keys and DS that resolvers hold: %v\n%v\n%v", s.Stage, err, keys.rrs, ds.rrs)
			}
		}
	}
}

// trusted are the keys that a DS set vouches for.
func trusted(keys, ds []dns.RR) (some []dns.RR) {
	for _, rr := range keys {
		key, ok := rr.(*dns.DNSKEY)
		if ok && slices.ContainsFunc(ds, func(rr dns.RR) bool {
			ds, ok := rr.(*dns.DS)
			return ok && strings.EqualFold(ds.Digest, key.ToDS(ds.DigestType).Digest)
		}) {
			some = append(some, key)
		}
	}
	return some
}

// chain reports whether every set has a signature that one of the keys made and that is valid now.
func chain(rrs, keys []dns.RR) error {
	sets := make(map[string][]dns.RR)
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeRRSIG {
			set := fmt.Sprint(rr.Header().Name, " ", dns.Type(rr.Header().Rrtype))
			sets[set] = append(sets[set], rr)
		}
	}
	if len(sets) == 0 {
		return errors.New("nothing was answered")
	}
	for name, set := range sets {
		if !slices.ContainsFunc(rrs, func(rr dns.RR) bool {
			s, ok := rr.(*dns.RRSIG)
			return ok && fmt.Sprint(s.Hdr.Name, " ", dns.Type(s.TypeCovered)) == name && s.ValidityPeriod(time.Now()) &&
				slices.ContainsFunc(keys, func(rr dns.RR) bool {
					key, ok := rr.(*dns.DNSKEY)
					return ok && key.KeyTag() == s.KeyTag && s.Verify(key, set) == nil
				})
		}) {
			return fmt.Errorf("%s has no signature that holds", name)
		}
	}
	return nil
}

// unseen stands for the number of DS records at a server whose answer does not count.
const unseen = -1

// waits fails unless the leader sees so many DS records at each server of the parent, and leaves the keys where they are.
func (r *roll) waits(why string, stage dnssec.Stage, at []netip.AddrPort, want ...int) {
	r.t.Helper()
	look := func() []int {
		counts := slices.Repeat([]int{unseen}, len(at))
		for _, seen := range r.seen() {
			counts[slices.Index(at, netip.MustParseAddrPort(seen.Server))] = len(seen.DS)
		}
		return counts
	}
	sees := func() {
		for end := time.Now().Add(60 * time.Second); !slices.Equal(look(), want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				r.t.Fatalf("%s: the leader sees %v DS records, want %v", why, look(), want)
			}
		}
	}
	r.parents[0].again(r.t, 1) // one that is asked now may have been asked for what was so before
	sees()
	r.parents[0].again(r.t, 2)
	sees()
	if s, _ := r.state(); s.Stage != stage {
		r.t.Fatalf("%s: at %s with %v DS records seen, want %s", why, s.Stage, want, stage)
	}
}

// The keys of a running cluster get into the chain of trust, and a ZSK and a KSK are replaced. The leader asks the real servers of the
// parent, of which one lags, one is down and one lies; at every stage all that resolvers may hold validates.
func TestRollsToTheirEnd(t *testing.T) {
	nodes := newCluster(t)
	signWorld(t, nodes[0].World)
	r := &roll{t: t, parents: []*parent{newParent(t), newParent(t), newParent(t)}, held: make(map[string][]holding)}
	down := reserve(t)
	at := []netip.AddrPort{r.parents[0].listen(t, "127.0.0.1:0"), r.parents[1].listen(t, "127.0.0.1:0"), down}
	for i := range nodes {
		nodes[i].Parents = []nodefile.Parent{{Zone: "com.", Servers: at}}
	}
	r.hosts = startAll(t, nodes)
	defer func() { closeHosts(t, r.hosts) }()
	all := func(ds []string) {
		for _, p := range r.parents {
			p.has(t, ds)
		}
	}

	r.at(dnssec.Sign)
	r.pass(dnssec.Announce)
	first := r.wanted(1)
	r.parents[0].has(t, first)
	r.waits("one lags, one is down", dnssec.Announce, at, 1, 0, unseen)
	r.parents[2].has(t, first)
	r.parents[2].listen(t, down.String())
	r.waits("one lags", dnssec.Announce, at, 1, 0, 1)
	for why, lie := range map[string]func(*dns.Msg){
		"a DS without a signature": func(m *dns.Msg) {
			m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG })
		},
		"no authority": func(m *dns.Msg) { m.Authoritative = false },
	} {
		r.parents[1].has(t, first, lie)
		r.waits(why, dnssec.Announce, at, 1, unseen, 1)
	}
	all(first)
	r.at(dnssec.Steady)

	r.order("roll-zsk")
	r.at(dnssec.ZSKPublish)
	r.pass(dnssec.ZSKSign)
	r.pass(dnssec.ZSKRemove)
	r.at(dnssec.Steady)

	r.order("roll-ksk")
	r.at(dnssec.KSKAnnounce)
	both := r.wanted(2)
	r.waits("the parent has the old DS alone", dnssec.KSKAnnounce, at, 1, 1, 1)
	r.parents[0].has(t, both)
	r.parents[2].has(t, both)
	r.waits("one lags", dnssec.KSKAnnounce, at, 2, 1, 2)
	all(both)
	r.waits("caches hold the old DS", dnssec.KSKAnnounce, at, 2, 2, 2)
	r.pass(dnssec.KSKSwap)
	r.pass(dnssec.KSKWithdraw)
	last := r.wanted(1)
	if last[0] == first[0] {
		t.Fatalf("DS wanted %q, want that of the new key and not %q", last, first)
	}
	r.parents[0].has(t, last)
	r.parents[2].has(t, last)
	r.waits("one keeps the old DS", dnssec.KSKWithdraw, at, 1, 2, 1)
	all(last)
	r.at(dnssec.Steady)
	r.order("roll-zsk") // once more: nothing is left of the one before
	r.at(dnssec.ZSKPublish)
}
