package sim

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

// A host is a machine with a node on it. What it wants done is done here, as an edge would.
type host struct {
	sim     *Sim
	index   int
	name    health.NodeID
	region  geo.RegionID
	at      geo.Coordinates
	roles   health.Roles
	key     [32]byte
	address netip.Addr
	skew    time.Duration // of its clock
	plan    *zones.Plan   // what is in its directory
	disk    []*cell
	past    *past // on the disk too; nil: the setting keeps none

	run     int        // rises with each start and crash
	node    *node.Node // nil while it is down
	started time.Duration
	dying   bool     // it crashes before it sends what it has just persisted
	stalled bool     // its node waits for the disk, or for a processor
	waiting []func() // events that came meanwhile
	wake    time.Duration

	joined  bool
	members map[*host]bool
	reached []time.Duration // by index

	vantage   vantage
	snapshot  *zones.Snapshot
	view      *node.View
	control   *control.State // as last told
	pushPull  [][]byte
	published time.Duration
}

// A cell is one record on disk.
type cell struct {
	name    string
	durable []byte // nil: there is none
	behind  []byte // written behind: a crash may lose it
}

func (s *Sim) newHost(name health.NodeID, region zones.Region) *host {
	h := &host{
		sim: s, index: len(s.hosts), name: name, region: region.ID, at: region.At, plan: s.plan,
		roles:   health.RoleDNS | health.RoleProbe | health.RoleGateway | health.RoleControl,
		address: netip.AddrFrom4([4]byte{10, 0, byte(len(s.hosts)), 1}),
	}
	binary.BigEndian.PutUint64(h.key[:], s.rnd.Uint64())
	s.hosts = append(s.hosts, h)
	return h
}

func (h *host) up() bool { return h.node != nil }

// now is the time by the host's own clock.
func (h *host) now() time.Time { return epoch.Add(h.sim.now + h.skew) }

// compileTakes is how long a node has no plan after its start.
const compileTakes = 300 * time.Millisecond

// start runs a node from what is on disk.
func (h *host) start() {
	if h.up() {
		return
	}
	h.run++
	h.started, h.dying, h.wake, h.joined = h.sim.now, false, -1, false
	h.members, h.vantage.probers = make(map[*host]bool), nil
	h.snapshot, h.view, h.control, h.pushPull = nil, nil, nil, nil
	var saved []node.Record
	for _, c := range h.disk {
		if c.durable != nil {
			saved = append(saved, node.Record{Name: c.name, Data: c.durable})
		}
		if c.name == node.RecordControls && c.durable != nil {
			state, err := control.Decode(c.durable)
			if err != nil {
				panic(fmt.Sprintf("sim: %s kept a control state that does not decode: %v", h.name, err))
			}
			h.control = state
		}
	}
	h.sim.check.start(h)
	if h.sim.past {
		if h.past == nil {
			h.past = &past{}
		}
		h.past.start(h.now())
	}
	config := node.Config{
		Name: h.name, Region: h.region, Roles: h.roles, Key: h.key, Verify: verify,
		Sign: func(message []byte) []byte { return sign(h.key, message) },
	}
	h.node = node.New(config, saved, h.now())
	h.drive(func() {})
	h.sim.after(compileTakes, h, func() { h.compiled(h.plan) })
}

func (h *host) compiled(plan *zones.Plan) {
	h.drive(func() { h.node.Compiled(plan, h.now()) })
}

// crash stops the node at once. Half of what was written behind is lost, and everything with the disk.
func (h *host) crash(diskLost bool) {
	if !h.up() {
		return
	}
	obeyed := h.control
	if diskLost {
		obeyed = nil
	}
	h.run++
	h.stalled, h.waiting = false, nil
	h.node, h.view, h.snapshot, h.control = nil, nil, nil, nil
	for _, c := range h.disk {
		if c.behind != nil && h.sim.chance(0.5) {
			c.durable = c.behind
		}
		c.behind = nil
	}
	if h.past != nil {
		h.past.tear(h.sim.aside.IntN(300), h.now())
	}
	if diskLost {
		h.disk, h.past = nil, nil
		h.skew = h.sim.skew() // it is another machine
	}
	h.sim.check.crash(h, obeyed)
}

// stall keeps the node from its events for a while: its disk takes so long to write, or the machine sleeps. Its clock goes on, and its probes.
func (h *host) stall(d time.Duration) {
	if !h.up() || h.stalled {
		return
	}
	h.stalled = true
	h.sim.after(d, h, h.wakeUp)
}

func (h *host) wakeUp() {
	waiting := h.waiting
	h.stalled, h.waiting = false, nil
	for _, event := range waiting {
		h.drive(event)
	}
}

// crashHalfway lets the node crash the next time that it has something to send, after it has persisted.
func (h *host) crashHalfway() { h.dying = true }

// drive gives the node an event and does what it then wants done, in the order of Ready.
func (h *host) drive(event func()) {
	if !h.up() {
		return
	}
	if h.stalled {
		h.waiting = append(h.waiting, event)
		return
	}
	event()
	ready := h.node.Ready()
	for _, r := range ready.Persist {
		h.persist(r)
	}
	if h.dying && len(ready.Messages) > 0 {
		h.sim.note("%s crashes halfway", h.name)
		h.crash(false)
		return
	}
	for _, m := range ready.Messages {
		h.send(m)
	}
	if ready.Probes != nil {
		h.probe(ready.Probes)
	}
	h.retry(ready.Retry)
	if ready.Snapshot != nil {
		h.snapshot, h.published = ready.Snapshot, h.sim.now
		if h.past != nil {
			h.past.published(ready.Snapshot)
		}
	}
	if ready.View != nil {
		h.view = ready.View
	}
	if ready.PushPull != nil {
		h.pushPull = ready.PushPull
	}
	if ready.Exchange != "" {
		h.sim.exchange(h, h.sim.host(ready.Exchange))
	}
	for _, e := range ready.Events {
		text := fmt.Sprintf("%-9s %s: %s", e.Kind, e.Subject, e.Text)
		h.sim.log = append(h.sim.log, line{h.sim.now, string(h.name), e.Kind, text})
	}
	if !h.sim.blind {
		h.sim.check.after(h, &ready)
	}
	h.sleep(ready.Wake)
	if ready.Count {
		h.drive(func() { h.node.Counted(h.counted(), h.now()) })
	}
}

// A want is how many requests per second come from a client's group, to all gateways together.
type want struct {
	client netip.Addr
	rate   int
}

// noise is by how many percent what one host counts differs from its part, at most.
const noise = 10

// counted is what came to this host in the epoch that ended: of all that is wanted an equal part with those that are up, and a little more
// or less.
func (h *host) counted() (counts []demand.Count) {
	up := 0
	for _, o := range h.sim.hosts {
		if o.up() {
			up++
		}
	}
	for _, pool := range h.snapshot.Plan.Capped() {
		for _, w := range h.sim.wants {
			g, _ := pool.Group(zones.Client{Source: w.client})
			n := uint64(w.rate*int(demand.EpochLength/time.Second)*(100-noise+h.sim.aside.IntN(2*noise+1))) / uint64(100*up)
			counts = append(counts, demand.Count{Pool: pool.Pool.Name, Group: pool.Groups[g].Key, Answers: n, Requests: n})
		}
	}
	return counts
}

// sleep lets the node tick when it wants to be woken; a little later if that has passed, or it would be for ever now.
func (h *host) sleep(until time.Time) {
	d := max(until.Sub(h.now()), time.Millisecond)
	if at := h.sim.now + d; at != h.wake {
		h.wake = at
		h.sim.after(d, h, func() {
			if h.wake == at {
				h.wake = -1
				h.drive(func() { h.node.Tick(h.now()) })
			}
		})
	}
}

// persist writes a record. What is synced is safe; what is not may be lost until the next record of its name.
func (h *host) persist(r node.Record) {
	i := slices.IndexFunc(h.disk, func(c *cell) bool { return c.name == r.Name })
	if i < 0 {
		h.disk = append(h.disk, &cell{name: r.Name})
		i = len(h.disk) - 1
	}
	c := h.disk[i]
	if r.Sync {
		c.durable, c.behind = r.Data, nil
		return
	}
	if c.behind != nil {
		c.durable = c.behind
	}
	c.behind = r.Data
}

func (h *host) send(m health.Message) {
	if !h.sim.blind {
		h.sim.check.sent(h, m)
	}
	for _, o := range h.sim.hosts {
		if o != h && (m.To == "" && h.members[o] || m.To == o.name) {
			h.sim.transmit(h, o, m.Bytes)
		}
	}
}

func (h *host) receive(message []byte) {
	if !h.up() {
		return
	}
	if h.sim.tap != nil {
		h.sim.tap(h, message)
	}
	if !h.sim.blind {
		h.sim.check.received(h, message)
	}
	arrived := h.now()
	h.drive(func() { h.node.Receive(message, arrived, h.now()) })
}
