package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// A checker watches all nodes for what must never be. What a node may believe it works out from what was sent and what
// arrived, never from the node's own reasoning.
type checker struct {
	sim        *Sim
	violations []string
	nodes      []*watched // by index of host
	keys       map[uint64]health.CheckID
	snapshots  []kept
	rnd        *rand.Rand // its own: looking must not change what happens
	asked      map[*zones.Plan][]question
	buffer     []byte
}

// watched is what the checker knows of one node.
type watched struct {
	heard   []time.Duration // by index: when a new heartbeat of a node last arrived; never: negative
	got     map[beat]bool
	obeyed  *control.State // before the last crash
	started time.Duration
	said    map[health.CheckID][]verdict // what its vantage has published, in order
	seen    map[health.CheckID]*seen     // in its views
}

// A beat names a heartbeat.
type beat struct {
	from                  int
	incarnation, sequence uint64
}

// A verdict is what a vantage said from one time to another.
type verdict struct {
	health.Record
	incarnation uint64
	until       time.Duration // negative: it still says so
}

// seen is what views have shown of a check.
type seen struct {
	state   health.State
	upSince time.Duration // since when measured up; negative: it is not
}

// kept is a snapshot that was published, and what it was then.
type kept struct {
	host     *host
	at       time.Duration
	snapshot *zones.Snapshot
	digest   uint64
}

const publishEvery = 100 * time.Millisecond

const never = -time.Hour

func newChecker(s *Sim, seed uint64) *checker {
	c := &checker{
		sim: s, keys: make(map[uint64]health.CheckID), rnd: rand.New(rand.NewPCG(seed, 1)), asked: make(map[*zones.Plan][]question),
	}
	c.learn(s.plan)
	return c
}

// learn takes the names of a plan's checks in.
func (c *checker) learn(p *zones.Plan) {
	for _, t := range p.Targets {
		c.keys[t.ID.Key()] = t.ID
	}
}

func (c *checker) questions(p *zones.Plan) []question {
	if c.asked[p] == nil {
		c.asked[p] = questions(p, Clients())
	}
	return c.asked[p]
}

// A few violations say all.
const maxViolations = 5

func (c *checker) violation(h *host, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.sim.note("VIOLATION at %s: %s", h.name, text)
	if len(c.violations) < maxViolations {
		c.violations = append(c.violations, fmt.Sprintf("%s %s: %s", clock(c.sim.now), h.name, text))
	}
}

func (c *checker) start(h *host) {
	for len(c.nodes) <= h.index {
		c.nodes = append(c.nodes, &watched{said: make(map[health.CheckID][]verdict)})
	}
	w := c.nodes[h.index]
	w.started, w.seen = c.sim.now, make(map[health.CheckID]*seen)
	w.heard = slices.Repeat([]time.Duration{never}, len(c.sim.hosts))
	w.got = make(map[beat]bool)
	if w.obeyed.Newer(h.control) {
		c.violation(h, "obeyed controls of index %d before it crashed, and has forgotten them", w.obeyed.Index)
	}
}

// crash ends what the vantage says; peers may count it until its last heartbeat is old.
func (c *checker) crash(h *host, obeyed *control.State) {
	w := c.nodes[h.index]
	w.obeyed = obeyed
	for _, history := range w.said {
		if last := &history[len(history)-1]; last.until < 0 {
			last.until = c.sim.now
		}
	}
}

// sent notes what a vantage publishes.
func (c *checker) sent(h *host, m health.Message) {
	if m.Kind != health.KindVerdicts {
		return
	}
	_, origin, body, err := health.Open(m.Bytes, func(health.NodeID, []byte, []byte) bool { return true })
	if err != nil || origin != h.name {
		return // passed on
	}
	batch, err := health.ParseBatch(origin, body)
	if err != nil {
		c.violation(h, "sends a batch that can't be read: %v", err)
		return
	}
	w, there := c.nodes[h.index], make(map[health.CheckID]bool)
	for _, r := range batch.Records {
		id := c.keys[r.Check]
		there[id] = true
		w.publish(id, verdict{r, batch.Incarnation, -1}, c.sim.now)
	}
	for id, history := range w.said {
		if last := &history[len(history)-1]; batch.Full && !there[id] && last.until < 0 {
			last.until = c.sim.now
		}
	}
}

func (w *watched) publish(id health.CheckID, v verdict, now time.Duration) {
	history := w.said[id]
	if n := len(history); n > 0 {
		last := &history[n-1]
		if last.incarnation == v.incarnation && last.Record == v.Record {
			last.until = -1
			return
		}
		if last.until < 0 {
			last.until = now
		}
	}
	w.said[id] = append(history, v)
}

// received notes whose heartbeat arrived. One that came before is a replay.
func (c *checker) received(h *host, message []byte) {
	kind, origin, body, err := health.Open(message, func(origin health.NodeID, message, signature []byte) bool {
		o := c.sim.host(origin)
		return o != nil && verify(o.key, message, signature)
	})
	if err != nil || kind != health.KindHeartbeat {
		return
	}
	heartbeat, err := health.ParseHeartbeat(origin, body)
	if err != nil {
		c.violation(h, "got a heartbeat of %s that can't be read: %v", origin, err)
		return
	}
	w, from := c.nodes[h.index], c.sim.host(origin).index
	b := beat{from, heartbeat.Incarnation, heartbeat.Sequence}
	if !w.got[b] {
		w.got[b], w.heard[from] = true, c.sim.now
	}
}

// after looks at a node after an event.
func (c *checker) after(h *host, ready *node.Ready) {
	if !ready.Wake.After(h.now()) {
		c.violation(h, "wants to be woken at %v, and it is %v", ready.Wake, h.now())
	}
	if ready.Snapshot != nil {
		c.snapshots = append(c.snapshots, kept{h, c.sim.now, ready.Snapshot, deepDigest(ready.Snapshot)})
	}
	for _, e := range ready.Events {
		c.moved(h, e)
	}
	if ready.View != nil {
		c.statuses(h, ready.View)
		c.current(h, ready.View.Health)
	}
	if h.snapshot != nil {
		c.ask(h)
	}
}

// statuses looks at what a node believes.
func (c *checker) statuses(h *host, v *node.View) {
	w := c.nodes[h.index]
	w.heard[h.index] = c.sim.now
	recent := 0
	for _, at := range w.heard {
		if c.sim.now-at <= health.FreshFor {
			recent++
		}
	}
	for _, id := range v.Health.Checks() {
		s := v.Health.Status(id, health.Global)
		if fault := faultOf(&s); fault != "" {
			c.violation(h, "%s is shown as %+v: %s", id, s, fault)
		}
		if s.Fresh > recent {
			c.violation(h, "%s: %d vantages are shown as fresh, and heartbeats of %d arrived in time", id, s.Fresh, recent)
		}
		if !s.Held && 2*recent <= s.Assigned {
			c.violation(h, "%s is not held: heartbeats of %d of %d vantages arrived in time", id, recent, s.Assigned)
		}
		c.opinions(h, v.Plan, &s)
		c.step(h, w, &s)
	}
}

// faultOf says what is wrong with a status in itself; empty: nothing.
func faultOf(s *health.Status) string {
	fresh := 0
	for _, vote := range s.Regions {
		for _, o := range vote.Vantages {
			if o.Fresh {
				fresh++
			}
			if o.Fresh != (o.Stale == "") {
				return fmt.Sprintf("vantage %s is fresh or has a reason not to be", o.Vantage)
			}
		}
	}
	switch {
	case fresh != s.Fresh:
		return fmt.Sprintf("%d vantages are fresh", fresh)
	case !s.Held && 2*fresh <= s.Assigned:
		return "half or fewer are not enough"
	case s.Held != (s.Hold != health.HoldNone):
		return "held for no reason, or not held for one"
	case (s.Hold == health.HoldSilent || s.Hold == health.HoldUnsteady) && s.Measured != health.Unknown || s.Held && s.HeldBack:
		return "held, and yet measured"
	case s.Hold != health.HoldSilent && s.Hold != health.HoldUnsteady && s.Measured != obviousQuorum(s.Regions):
		return fmt.Sprintf("the votes say %v", obviousQuorum(s.Regions))
	}
	return ""
}

// opinions checks that whatever counts as fresh its vantage did say, of the same definition and not long ago.
func (c *checker) opinions(h *host, plan *zones.Plan, s *health.Status) {
	target := targetOf(plan, s.Check)
	if target == nil {
		return
	}
	definition := target.Digest()
	for _, vote := range s.Regions {
		for _, o := range vote.Vantages {
			vantage := c.sim.host(o.Vantage)
			if !o.Fresh || vantage == h {
				continue
			}
			said := slices.ContainsFunc(c.nodes[vantage.index].said[s.Check], func(v verdict) bool {
				// A heartbeat says what was true when it was sent, and it may have been on its way for long.
				return v.State == o.State && v.Reason == o.Reason && v.Definition == definition &&
					(v.until < 0 || c.sim.now-v.until <= health.FreshFor+holdUp+10*time.Second)
			})
			if !said {
				c.violation(h, "%s: %s is taken to say %v, %v, and it did not", s.Check, o.Vantage, o.State, o.Reason)
			}
		}
	}
}

// step checks that a status changed as it may.
func (c *checker) step(h *host, w *watched, s *health.Status) {
	before := w.seen[s.Check]
	if before == nil {
		w.seen[s.Check] = &seen{s.State, never}
		before = w.seen[s.Check]
	}
	if s.Measured == health.Up && before.upSince < 0 {
		before.upSince = c.sim.now
	}
	if s.Measured != health.Up {
		before.upSince = never
	}
	target := targetOf(h.plan, s.Check)
	switch {
	case before.state == s.State || target == nil:
	case s.State == health.Unknown:
		c.violation(h, "%s was %v and is now unknown", s.Check, before.state)
	case s.State == health.Up && before.state == health.Down && c.sim.now-w.started > health.ColdStart &&
		c.sim.now-before.upSince < target.HoldDown-2*time.Second:
		c.violation(h, "%s is up after only %v of %v", s.Check, c.sim.now-before.upSince, target.HoldDown)
	}
	before.state = s.State
}

func targetOf(p *zones.Plan, id health.CheckID) *health.Target {
	i := slices.IndexFunc(p.Targets, func(t *health.Target) bool { return t.ID == id })
	if i < 0 {
		return nil
	}
	return p.Targets[i]
}

// moved checks that a status changes by the word of most vantages, and gets worse by the word of most that were heard
// within the last seconds; or of two in the endpoint's own region.
func (c *checker) moved(h *host, e health.Event) {
	if e.Kind != health.EventStatus || h.view == nil {
		return
	}
	w, id := c.nodes[h.index], health.CheckID(e.Subject)
	fresh, lately, failing := 0, 0, 0
	target := targetOf(h.plan, id)
	for i, at := range w.heard {
		o := c.sim.hosts[i]
		if o != h && c.sim.now-at > health.FreshFor {
			continue
		}
		fresh++
		if o == h || c.sim.now-at <= health.SteadyFor {
			lately++
		}
		history := c.nodes[i].said[id]
		if target != nil && target.Region == h.region && o.region == h.region && len(history) > 0 && history[len(history)-1].Reason.Positive() {
			failing++
		}
	}
	assigned := h.view.Health.Status(id, health.Global).Assigned
	switch {
	case failing >= 2:
	case 2*fresh <= assigned:
		c.violation(h, "%s is %s, but only %d of %d vantages were heard in time", id, e.Text, fresh, assigned)
	case 2*lately <= assigned && strings.Contains(e.Text, ", was up: "):
		c.violation(h, "%s is %s, but only %d of %d vantages were heard lately", id, e.Text, lately, assigned)
	}
}
