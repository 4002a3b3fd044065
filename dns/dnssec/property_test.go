package dnssec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A world is a zone with its nameservers, its parent and all that caches may hold, on true time in minutes. The machine
// sees it through reports that are late or lost, and by a clock that jumps.
type world struct {
	random  *rand.Rand
	state   *State
	minute  int
	offset  time.Duration // of the machine's clock
	jumped  int           // minute of the last jump ahead
	nodes   []*served[*State]
	parents []*served[[][]byte]
	bag     []KeyState // keys to come
	paused  []int      // per nameserver, the minute until which it hears and says nothing
	wanted  []int      // per server of the parent, the minute at which it is set to pending
	pending [][]byte
	mind    []EventKind // of the operator
}

// served is what a server answered, with the minutes at which it changed.
type served[T any] struct {
	name string
	now  T
	past []earlier[T]
}

type earlier[T any] struct {
	what T
	to   int // minute
}

func (s *served[T]) set(minute int, what T) {
	s.past = append(s.past, earlier[T]{s.now, minute})
	s.now = what
}

// cached returns all that a cache may hold of a server that keeps it for ttl minutes, at most 6 hours.
func (s *served[T]) cached(minute, ttl int) []T {
	for len(s.past) > 0 && s.past[0].to+6*60 < minute {
		s.past = s.past[1:]
	}
	held := []T{s.now}
	for _, p := range s.past {
		if p.to+ttl >= minute {
			held = append(held, p.what)
		}
	}
	return held
}

var propertyLimits = Limits{TTLs: TTLs{DNSKEY: 2 * 3600, Zone: 4 * 3600, DS: 6 * 3600}, Propagation: 30 * time.Minute,
	Silence: 20 * time.Minute, ParentSilence: time.Hour, MaxStep: 25 * time.Minute}

func newWorld(t *testing.T, seed uint64, csk bool) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 1)), jumped: -1 << 20,
		mind: []EventKind{RollZSK, RollKSK, RollCSK, DeleteDS, AnnounceDS, Remove, Introduce}}
	s, err := NewState("example.", day0)
	if err != nil {
		t.Fatal(err)
	}
	w.state = s
	for i := range 3 {
		w.nodes = append(w.nodes, &served[*State]{name: fmt.Sprint("ns", i), now: s})
		w.parents = append(w.parents, &served[[][]byte]{name: fmt.Sprint("p", i)})
	}
	w.paused, w.wanted = make([]int, 3), make([]int, 3)
	w.step(t, Event{Kind: Configure, Nodes: []string{"ns0", "ns1", "ns2"}, Parents: []string{"p0", "p1", "p2"}, Limits: &propertyLimits})
	for i := range byte(12) {
		w.bag = append(w.bag, propertyKeys[i])
	}
	keys := []KeyState{w.take(FlagsKSK)}
	if !csk {
		keys = append(keys, w.take(FlagsZSK))
	}
	w.step(t, Event{Kind: Introduce, Keys: keys})
	return w
}

// take returns a new key.
func (w *world) take(flags uint16) KeyState {
	i := slices.IndexFunc(w.bag, func(k KeyState) bool { return k.Flags == flags })
	k := w.bag[i]
	w.bag = append(slices.Delete(w.bag, i, i+1), k) // much later it comes again
	return k
}

// Made once: keys are what takes time.
var propertyKeys = func() (keys []KeyState) {
	for i := range byte(12) {
		k, err := New("example.", FlagsZSK+uint16(i%2), ED25519, seeded(i), day0)
		if err != nil {
			panic(err)
		}
		keys = append(keys, NewKeyState(k))
	}
	return keys
}()

func (w *world) clock() time.Time {
	return day0.Add(time.Duration(w.minute)*time.Minute + w.offset)
}

// step hands an event to the machine. Now and then it is started anew from what it has written.
func (w *world) step(t *testing.T, e Event) {
	next, err := w.state.Step(w.clock(), e)
	if err != nil && e.Kind != Remove && e.Kind != RollZSK && e.Kind != RollKSK && e.Kind != RollCSK && e.Kind != DeleteDS && e.Kind != AnnounceDS && e.Kind != Introduce {
		t.Fatal(err)
	}
	if w.random.IntN(20) == 0 {
		if next, err = Decode(next.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	w.state = next
}

func (w *world) run(t *testing.T) {
	w.minute += 1 + w.random.IntN(15)
	if w.random.IntN(200) == 0 && w.minute-w.jumped > 24*60 {
		w.jumped = w.minute
		w.offset += time.Duration(w.random.IntN(96)-48) * time.Hour
	}
	for i, n := range w.nodes {
		if w.random.IntN(400) == 0 {
			w.paused[i] = w.minute + w.random.IntN(3*24*60)
		}
		if w.paused[i] > w.minute {
			continue
		}
		if w.random.IntN(6) == 0 && n.now != w.state && n.now.Generation != w.state.Generation {
			n.set(w.minute, w.state)
		}
		if w.random.IntN(3) > 0 {
			w.step(t, Event{Kind: Reported, Node: n.name, Generation: n.now.Generation})
		}
	}
	w.runParents(t)
	w.step(t, Event{Kind: Tick})
	if w.random.IntN(50) == 0 {
		kind := w.mind[w.random.IntN(len(w.mind))]
		var keys []KeyState
		switch kind {
		case RollZSK:
			keys = []KeyState{w.take(FlagsZSK)}
		case RollKSK, RollCSK:
			keys = []KeyState{w.take(FlagsKSK)}
		case Introduce:
			keys = []KeyState{w.take(FlagsKSK), w.take(FlagsZSK)}
		case DeleteDS:
			if w.random.IntN(4) > 0 {
				return
			}
		}
		w.step(t, Event{Kind: kind, Keys: keys})
	}
}

// runParents lets the registry read CDS at some nameserver and change its servers one by one, and the machine look at them.
func (w *world) runParents(t *testing.T) {
	if w.random.IntN(30) == 0 {
		from := w.nodes[w.random.IntN(len(w.nodes))].now
		var want [][]byte
		for _, k := range from.announced() {
			key, err := k.Key("example.")
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, key.ds256())
		}
		if (len(want) > 0 || from.withdraws()) && w.chainOf(want) {
			w.pending = want
			for i := range w.wanted {
				w.wanted[i] = w.minute + w.random.IntN(300)
			}
		}
	}
	for i, p := range w.parents {
		if w.wanted[i] > 0 && w.wanted[i] <= w.minute {
			p.set(w.minute, w.pending)
			w.wanted[i] = 0
		}
		if w.random.IntN(4) == 0 {
			w.step(t, Event{Kind: SeenDS, Server: p.name, DS: p.now, TTL: propertyLimits.DS})
		}
	}
}

// chainOf reports whether the registry takes a DS set: it must not break the chain (RFC 7344, section 4.1).
func (w *world) chainOf(want [][]byte) bool {
	return !slices.ContainsFunc(w.nodes, func(n *served[*State]) bool { return len(want) > 0 && !signedBy(n.now, want) })
}

// signedBy reports whether a DS is that of a published key that signs the DNSKEY set.
func signedBy(s *State, ds [][]byte) bool {
	return slices.ContainsFunc(s.Keys, func(k KeyState) bool {
		return k.Published && k.SignsKeys && (&Parent{DS: ds}).has("example.", k)
	})
}

// broken looks for a cache from which a validator finds no path: any DS set, any DNSKEY set with its signatures, any
// data with its signatures, each not older than its TTL.
func (w *world) broken() string {
	gather := func(ttl int) (held []*State) {
		for _, n := range w.nodes {
			held = append(held, n.cached(w.minute, ttl)...)
		}
		slices.SortFunc(held, func(a, b *State) int { return int(a.Generation) - int(b.Generation) })
		return slices.CompactFunc(held, func(a, b *State) bool { return a.Generation == b.Generation })
	}
	keys, data := gather(int(propertyLimits.DNSKEY)/60), gather(int(propertyLimits.Zone)/60)
	secure := false
	for _, p := range w.parents {
		for _, ds := range p.cached(w.minute, int(propertyLimits.TTLs.DS)/60) {
			if len(ds) == 0 {
				continue // the zone counts as unsigned
			}
			secure = true
			for _, k := range keys {
				if !signedBy(k, ds) {
					return fmt.Sprintf("the DNSKEY set of generation %d (%s) has no key with one of %d DS", k.Generation, k.Stage, len(ds))
				}
			}
		}
	}
	for _, k := range keys {
		for _, d := range data {
			verified := slices.ContainsFunc(d.Keys, func(signer KeyState) bool {
				return signer.SignsData && slices.ContainsFunc(k.Keys, func(have KeyState) bool {
					return have.Published && bytes.Equal(have.Public, signer.Public)
				})
			})
			if secure && !verified {
				return fmt.Sprintf("data of generation %d (%s) has no signature by a key of the DNSKEY set of generation %d (%s)", d.Generation, d.Stage, k.Generation, k.Stage)
			}
		}
	}
	return ""
}

// Whatever nameservers, parent, clock and operator do: no cache is left without a path. And the rolls come to an end.
func TestAlwaysAPath(t *testing.T) {
	worlds, steps := 40, 2500
	if testing.Short() {
		worlds = 10
	}
	reached := make(map[Stage]int)
	for seed := range uint64(worlds) {
		w := newWorld(t, seed, seed%2 == 0)
		last := w.state.Stage
		for range steps {
			w.run(t)
			if stage := w.state.Stage; stage != last {
				reached[stage]++
				last = stage
			}
			if why := w.broken(); why != "" {
				t.Fatalf("seed %d, minute %d, at %s: %s", seed, w.minute, w.state.Stage, why)
			}
		}
	}
	for stage := range stages {
		if reached[stage] == 0 && !testing.Short() {
			t.Errorf("no world came to %s", stage)
		}
	}
	t.Logf("stages reached: %v", reached)
}

// The test above must be able to fail: each wait that is left out breaks some cache.
func TestPathNeedsEveryWait(t *testing.T) {
	for _, tt := range []struct {
		stage Stage
		csk   bool
		mind  EventKind
		waits func(*State) []Wait
	}{
		{Sign, false, RollZSK, (*State).waitReports},
		{ZSKPublish, false, RollZSK, (*State).waitReports},
		{ZSKSign, false, RollZSK, (*State).waitReports},
		{KSKAnnounce, false, RollKSK, (*State).waitReports},
		{KSKAnnounce, false, RollKSK, (*State).waitChain},
		{KSKSwap, false, RollKSK, (*State).waitReports},
		{CSKPublish, true, RollCSK, (*State).waitKeys},
		{CSKPublish, true, RollCSK, (*State).waitBoth},
		{CSKSign, true, RollCSK, (*State).waitReports},
		{Delete, true, DeleteDS, (*State).waitReports},
	} {
		t.Run(string(tt.stage), func(t *testing.T) {
			whole := stages[tt.stage]
			defer func() { stages[tt.stage] = whole }()
			hasty := whole
			hasty.waits = tt.waits
			stages[tt.stage] = hasty
			for seed := range uint64(60) {
				w := newWorld(t, seed, tt.csk)
				w.mind = []EventKind{tt.mind, Remove}
				for range 1500 {
					if w.run(t); w.broken() != "" {
						return
					}
				}
			}
			t.Errorf("nothing breaks without the whole wait of %s", tt.stage)
		})
	}
}
