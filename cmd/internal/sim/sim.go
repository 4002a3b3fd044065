// Package sim is the world of a mesh of nodes: virtual clock, links, faults, scenario scripts.
//
// It decides when a message arrives, how a probe ends, who reaches whom, what is left on a
// disk after a crash, and which faults happen; and it looks over the shoulder of every node
// after every event, for what must never be.
//
// It runs the nodes' own code and none of the edges': no socket, no file, no goroutine, no
// real time. What happens is a function of the setting and its seed, so a run that went
// wrong goes wrong again.
package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

// epoch is the time at which every simulation begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A Setting is what a simulation begins with.
type Setting struct {
	Seed  uint64
	Plan  *zones.Plan
	Nodes int           // in each region that is a vantage; below 1 counts as 1
	Skew  time.Duration // clocks are off by up to this, both ways
	Quiet time.Duration // how long nothing happens after chaos, if that is longer than it takes most to agree
	Past  bool          // hosts keep what their answers followed from
	Blind bool          // nobody looks for what must never be: for figures, of meshes too large for that
}

// A Sim is one simulation. The zero value is not usable; one goroutine owns it.
type Sim struct {
	now     time.Duration // since epoch
	queue   queue
	rnd     *rand.Rand
	aside   *rand.Rand    // for what was added later
	most    time.Duration // that a clock is off
	plan    *zones.Plan
	hosts   []*host
	links   [][]Faults        // by index of sender and receiver
	far     [][]time.Duration // likewise
	paths   map[path]bool
	blinded map[path]bool // for probes only
	ends    map[string]End
	wants   []want
	voters  voters
	check   *checker
	past    bool // hosts keep theirs
	blind   bool // see Setting

	Events int                            // how many have happened
	tap    func(to *host, message []byte) // sees what arrives; nil: nobody looks
	log    []line
}

// A line is one thing that happened, for people.
type line struct {
	at   time.Duration
	who  string // empty: the world
	kind health.EventKind
	text string
}

// New starts all nodes of a setting, with empty disks and a perfect network.
func New(set Setting) *Sim {
	s := &Sim{
		rnd: rand.New(rand.NewPCG(set.Seed, 0)), aside: rand.New(rand.NewPCG(set.Seed, 1)), plan: set.Plan, most: set.Skew,
		paths: make(map[path]bool), blinded: make(map[path]bool), ends: make(map[string]End), past: set.Past, blind: set.Blind,
	}
	s.check = newChecker(s, set.Seed)
	for _, r := range set.Plan.World.Regions {
		for i := range max(set.Nodes, 1) {
			if !r.Vantage {
				continue
			}
			name := health.NodeID(r.ID)
			if set.Nodes > 1 {
				name = health.NodeID(fmt.Sprintf("%s-%d", r.ID, i+1))
			}
			h := s.newHost(name, r)
			h.skew = s.skew()
		}
	}
	for i, a := range s.hosts {
		s.links = append(s.links, make([]Faults, len(s.hosts)))
		s.far = append(s.far, nil)
		for _, b := range s.hosts {
			s.far[i] = append(s.far[i], distance(a, b))
		}
	}
	s.voters.begin(s)
	for _, h := range s.hosts {
		h.reached = make([]time.Duration, len(s.hosts))
		h.start()
	}
	s.every(time.Second, s.mingle)
	s.every(time.Second, s.voters.turn)
	if s.past {
		s.every(replay.AliveEvery, s.stayAlive)
	}
	return s
}

// Now returns how long the simulation has run.
func (s *Sim) Now() time.Duration { return s.now }

// RunUntil lets everything happen up to a time, that time included.
func (s *Sim) RunUntil(at time.Duration) {
	for {
		e, ok := s.queue.next(at)
		if !ok {
			s.now = at
			return
		}
		if e.host != nil && e.run != e.host.run {
			continue // it has crashed since
		}
		s.now = e.at
		s.Events++
		e.do()
	}
}

// after lets something happen later. With a host it does not happen if the host has crashed by then.
func (s *Sim) after(d time.Duration, h *host, do func()) {
	e := event{at: s.now + d, host: h, do: do}
	if h != nil {
		e.run = h.run
	}
	s.queue.add(e)
}

func (s *Sim) every(d time.Duration, do func()) {
	s.after(d, nil, func() {
		do()
		s.every(d, do)
	})
}

func (s *Sim) chance(p float64) bool { return p > 0 && s.rnd.Float64() < p }

// upTo returns a random duration from 0 to d.
func (s *Sim) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(s.rnd.Int64N(int64(d) + 1))
}

// skew returns how far the clock of some machine is off.
func (s *Sim) skew() time.Duration { return s.upTo(2*s.most) - s.most }

// note writes down what the world did.
func (s *Sim) note(format string, args ...any) {
	s.log = append(s.log, line{at: s.now, text: fmt.Sprintf(format, args...)})
}

// Violations returns what was seen that must never be; at most a few.
func (s *Sim) Violations() []string { return s.check.violations }

// Log returns what happened, a line each: the faults and the journals of all nodes.
func (s *Sim) Log() string {
	var b strings.Builder
	for _, l := range s.log {
		who := l.who
		if who == "" {
			who = "THE WORLD"
		}
		fmt.Fprintf(&b, "%10s  %-12s %s\n", clock(l.at), who, l.text)
	}
	return b.String()
}

// clock writes a time of the simulation, to the millisecond where it is not a whole second.
func clock(d time.Duration) string {
	text := fmt.Sprintf("%d:%02d", d/time.Minute, d%time.Minute/time.Second)
	if ms := d % time.Second / time.Millisecond; ms > 0 {
		text += fmt.Sprintf(".%03d", ms)
	}
	return text
}

// find returns the hosts that a name means: a node, a region or "all".
func (s *Sim) find(name string) []*host {
	var found []*host
	for _, h := range s.hosts {
		if name == "all" || string(h.name) == name || string(h.region) == name {
			found = append(found, h)
		}
	}
	return found
}

func (s *Sim) host(name health.NodeID) *host {
	i := slices.IndexFunc(s.hosts, func(h *host) bool { return h.name == name })
	if i < 0 {
		return nil
	}
	return s.hosts[i]
}

// A queue holds what will happen, in the order in which it does: by time, and at the same time as it was added.
type queue struct {
	heap  []event
	added uint64
}

type event struct {
	at    time.Duration
	order uint64
	host  *host // nil: the world's
	run   int   // of the host
	do    func()
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.order < o.order }

func (q *queue) add(e event) {
	q.added++
	e.order = q.added
	q.heap = append(q.heap, e)
	for i := len(q.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.heap[i].before(&q.heap[parent]) {
			return
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

// next takes the first event out, unless it is after a time.
func (q *queue) next(at time.Duration) (event, bool) {
	if len(q.heap) == 0 || q.heap[0].at > at {
		return event{}, false
	}
	first := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0], q.heap[last] = q.heap[last], event{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.heap[child].before(&q.heap[least]) {
				least = child
			}
		}
		if least == i {
			return first, true
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}

// A path is the network from a region's vantages to another region's endpoints.
type path struct{ from, to geo.RegionID }
