package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

// How long a run of chaos is, and how long after it all nodes must agree. The slowest to agree is a vantage that owes ten
// successes at an interval of 5 s after the second failure of an endpoint, and then its hold_down.
const (
	chaosFrom = 2 * time.Second
	chaosFor  = 120 * time.Second
	quietFor  = 90 * time.Second
)

// Chaos lets random faults happen, ends them, and looks whether all nodes come to agree with the world and with each
// other. It returns what was seen that must never be. The other plan is what some reloads take.
func Chaos(set Setting, other *zones.Plan) (*Sim, []string) {
	s := New(set)
	for _, p := range places {
		s.wants = append(s.wants, want{netip.MustParsePrefix(p.prefixes[0]).Addr(), 100})
	}
	c := chaos{s, rand.New(rand.NewPCG(set.Seed, 2)), other}
	c.stalls(rand.New(rand.NewPCG(set.Seed, 4)))
	for at := chaosFrom; at < chaosFor && len(s.Violations()) == 0; at += time.Duration(c.rnd.Int64N(int64(8 * time.Second))) {
		s.RunUntil(at)
		c.fault()
	}
	s.RunUntil(chaosFor)
	s.calm()
	s.RunUntil(chaosFor + max(set.Quiet, quietFor))
	for until := s.Now() + demand.EpochLength; s.Now() < until && !s.spillAlike(); { // nodes whose clocks are off change some seconds before the others
		s.RunUntil(s.Now() + time.Second)
	}
	s.quiet()
	s.mutated()
	return s, s.Violations()
}

// chaos chooses faults.
type chaos struct {
	*Sim
	rnd   *rand.Rand
	other *zones.Plan
}

func (c *chaos) fault() {
	faults := []struct {
		weight int
		do     func()
	}{
		{6, c.failSome}, {6, c.heal}, {4, c.cutSome}, {2, c.cutOneWay}, {3, c.mend}, {5, c.degrade},
		{3, c.lie}, {4, c.crashSome}, {1, c.crashAll}, {6, c.control}, {4, c.byHand}, {2, c.reload},
	}
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	at := c.rnd.IntN(total)
	for _, f := range faults {
		if at -= f.weight; at < 0 {
			f.do()
			return
		}
	}
}

func pick[T any](c *chaos, list []T) T { return list[c.rnd.IntN(len(list))] }

// some returns a random part of the hosts, neither none nor all, and the rest.
func (c *chaos) some() (part, rest []*host) {
	n := 1 + c.rnd.IntN(len(c.hosts)-1)
	for i, at := range c.rnd.Perm(len(c.hosts)) {
		if i < n {
			part = append(part, c.hosts[at])
		} else {
			rest = append(rest, c.hosts[at])
		}
	}
	return part, rest
}

func names(hosts []*host) (list string) {
	for i, h := range hosts {
		if i > 0 {
			list += " "
		}
		list += string(h.name)
	}
	return list
}

func (c *chaos) failSome() {
	for range 1 + c.rnd.IntN(2) {
		endpoint, how := pick(c, c.endpoints()), pick(c, ends)
		c.note("fail %s %s", endpoint, how)
		c.ends[endpoint] = how
	}
}

func (c *chaos) heal() {
	endpoint := pick(c, c.endpoints())
	c.note("heal %s", endpoint)
	c.ends[endpoint] = Fine
}

func (c *chaos) cutSome() {
	a, b := c.some()
	c.note("cut %s | %s", names(a), names(b))
	c.cut(a, b, true)
	c.cut(b, a, true)
}

func (c *chaos) cutOneWay() {
	a, b := c.some()
	c.note("cut %s -> %s", names(a), names(b))
	c.cut(a, b, true)
}

func (c *chaos) mend() {
	c.note("heal links")
	c.healLinks()
}

func (c *chaos) degrade() {
	f := Faults{
		Delay: time.Duration(c.rnd.IntN(500)) * time.Millisecond, Jitter: time.Duration(c.rnd.IntN(3000)) * time.Millisecond,
		Loss: 0.4 * c.rnd.Float64(), Duplicate: 0.3 * c.rnd.Float64(), Hold: 0.1 * c.rnd.Float64(), Corrupt: 0.1 * c.rnd.Float64(),
	}
	a, b := c.some()
	c.note("degrade %s | %s: %+v", names(a), names(b), f)
	for _, from := range a {
		for _, to := range b {
			cut := c.links[from.index][to.index].Cut
			c.links[from.index][to.index] = f
			c.links[from.index][to.index].Cut = cut
		}
	}
}

func (c *chaos) lie() {
	h, lie := pick(c, c.hosts), pick(c, []Lie{Honest, Honest, SaysDown, SaysUp, Frozen})
	c.note("%s lies: %q", h.name, lie)
	h.vantage.lie = lie
}

// stalls has now one node, now another wait for its disk. Drawn apart, it leaves the seeds of old failures their meaning.
func (c *chaos) stalls(rnd *rand.Rand) {
	for at := chaosFrom; at < chaosFor; at += time.Duration(rnd.Int64N(int64(40 * time.Second))) {
		h, takes := c.hosts[rnd.IntN(len(c.hosts))], time.Duration(rnd.Int64N(int64(20*time.Second)))
		c.after(at, nil, func() {
			c.note("%s stalls for %v", h.name, takes)
			h.stall(takes)
		})
	}
}

func (c *chaos) crashSome() {
	h := pick(c, c.hosts)
	diskLost := c.rnd.IntN(3) == 0
	if c.rnd.IntN(3) == 0 {
		c.note("%s will crash halfway", h.name)
		h.crashHalfway()
	} else {
		c.note("crash %s, disk lost: %t", h.name, diskLost)
		h.crash(diskLost)
	}
	c.restart(h)
}

func (c *chaos) crashAll() {
	diskLost := c.rnd.IntN(2) == 0
	c.note("crash all, disks lost: %t", diskLost)
	for _, h := range c.hosts {
		h.crash(diskLost)
		c.restart(h)
	}
}

func (c *chaos) restart(h *host) {
	c.after(time.Duration(c.rnd.Int64N(int64(25*time.Second))), nil, func() {
		if !h.up() {
			c.note("start %s", h.name)
			h.start()
		}
	})
}

func (c *chaos) control() {
	var switches []control.Switch
	for _, state := range c.voters.state.Controls() {
		if c.rnd.IntN(3) == 0 {
			switches = append(switches, control.Switch{Control: state.Name, On: c.rnd.IntN(2) == 0})
		}
	}
	if len(switches) == 0 {
		return
	}
	_, err := c.voters.set("chaos", "a random change", switches...)
	c.note("set %v: %v", switches, err)
}

// byHand sets some endpoints by hand, half of them for so short a time that the voters have to end it.
func (c *chaos) byHand() {
	cmd := control.Command{Kind: control.KindOverlay, Actor: "chaos", Reason: "a random change"}
	for _, endpoint := range c.endpoints() {
		if c.rnd.IntN(3) > 0 {
			continue
		}
		set := control.OverlaySet{Endpoint: endpoint, State: pick(c, control.Manuals())}
		if set.State != control.Auto && c.rnd.IntN(2) == 0 {
			set.For = time.Second + time.Duration(c.rnd.IntN(40))*time.Second
		}
		cmd.Overlays = append(cmd.Overlays, set)
	}
	if len(cmd.Overlays) == 0 {
		return
	}
	_, err := c.voters.decide(cmd)
	c.note("set by hand %v: %v", cmd.Overlays, err)
}

// reload gives the other plan, or the first one, to some nodes; calm gives the first one to all.
func (c *chaos) reload() {
	hosts, _ := c.some()
	p := pick(c, []*zones.Plan{c.plan, c.other})
	c.note("reload %s: configuration %v", names(hosts), p.World.Digest)
	for _, h := range hosts {
		if c.rnd.IntN(4) == 0 {
			h.drive(func() { h.node.Refused(fmt.Errorf("a mistake"), h.now()) })
			continue
		}
		h.reload(p)
	}
}
