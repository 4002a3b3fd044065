package node

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// When a vantage distrusts itself.
const (
	aloneLeast = 3                // targets that it must see down and others up; fewer may be out of its reach alone
	aloneFor   = 30 * time.Second // for which it is one with the others again until it is believed
)

// References are probed like any target, by every probe node of their region.
const (
	referencePrefix   = "reference/"
	referenceInterval = 5 * time.Second
	referenceFall     = 3
	referenceRise     = 3
)

// A doubt is why this node's vantage gives no verdicts, or some.
type doubt struct {
	references bool
	alone      bool
	agreed     time.Time // since when it is not alone any more; zero: it is
	families   [2]bool   // that it can't reach at all
}

// referencesOf returns what a probe node of a region probes to know whether it sees the world at all.
func referencesOf(p *zones.Plan, region geo.RegionID) (targets []*health.Target) {
	i := slices.IndexFunc(p.World.Regions, func(r zones.Region) bool { return r.ID == region })
	if i < 0 {
		return nil
	}
	for _, address := range p.World.Regions[i].References {
		targets = append(targets, &health.Target{
			ID: health.CheckID(fmt.Sprintf("%s%s/%v", referencePrefix, region, address)), Endpoint: address.String(), Region: region,
			Kind: health.KindTCP, Address: address, Interval: referenceInterval, Fall: referenceFall, Rise: referenceRise,
		})
	}
	return targets
}

// reason returns why this node gives no verdict on a target; ReasonNone: it does.
func (d *doubt) reason(t *health.Target) health.Reason {
	switch {
	case d.references:
		return health.ReasonReferences
	case d.families[familyOf(t)]:
		return health.ReasonNoFamily
	case d.alone:
		return health.ReasonAlone
	}
	return health.ReasonNone
}

func familyOf(t *health.Target) int {
	if t.Address.Addr().Is4() {
		return zones.IPv4
	}
	return zones.IPv6
}

// reconsider looks whether this vantage is to be believed, by what it sees itself and what the others say.
//
//	more than half of its reference targets are down                                 it says nothing
//	every target of a family is down for want of a route                             it says nothing of that family
//	more than half of its targets, 3 at least, are down that are up as seen from     it says nothing
//	two other regions; until for 30 s it has seen most up, or two other
//	regions have seen down most of what it sees down
//
// A vantage that is cut off from all others does not know what they see: it goes on, and is not heard.
func (n *Node) reconsider() {
	if !n.cfg.Roles.Has(health.RoleProbe) {
		return
	}
	before := n.doubt
	failing, references := n.failingReferences()
	n.doubt.references = 2*failing > references
	if before.references && !n.doubt.references {
		n.unsee()
	}
	c := n.census()
	for family := range c.lost {
		n.doubt.families[family] = c.lost[family] > 0 && c.lost[family] == c.seen[family]
	}
	switch alone := c.contradicted >= aloneLeast && 2*c.contradicted > c.all; {
	case n.doubt.references:
		n.doubt.alone = false
	case alone:
		n.doubt.alone, n.doubt.agreed = true, time.Time{}
	case n.doubt.alone && 2*c.down > c.all && 2*c.confirmed <= c.down:
		n.doubt.agreed = time.Time{} // that nobody is left to contradict it proves nothing
	case n.doubt.alone && n.doubt.agreed.IsZero():
		n.doubt.agreed = n.now
	case n.doubt.alone && n.now.Sub(n.doubt.agreed) >= aloneFor:
		n.doubt.alone = false
	}
	n.tellDoubt(&before, [...]string{
		fmt.Sprintf("%d of its %d reference targets fail", failing, references),
		fmt.Sprintf("it sees %d of its %d targets down that two other regions see up", c.contradicted, c.all),
	})
}

func (n *Node) failingReferences() (failing, all int) {
	for _, a := range n.voice.assigned {
		if a.reference {
			all++
			if a.detector.State() == health.Down {
				failing++
			}
		}
	}
	return failing, all
}

// A census is what this vantage sees of its targets, whether it says so or not, and what others see of those that are down here.
type census struct {
	all, down    int
	contradicted int    // of the down ones: up as seen from two other regions
	confirmed    int    // of the down ones: down as seen from two other regions; counted while this vantage is alone
	seen, lost   [2]int // of each family; lost: down for want of a route
}

func (n *Node) census() (c census) {
	for _, a := range n.voice.assigned {
		state := a.detector.State()
		if a.reference || state == health.Unknown {
			continue
		}
		family := familyOf(a.target)
		c.all++
		c.seen[family]++
		if state != health.Down {
			continue
		}
		c.down++
		if a.detector.Reason() == health.ReasonNoRoute {
			c.lost[family]++
		}
		elsewhere := func(s health.State) bool { return n.table.SeenElsewhere(a.target.ID, s, n.cfg.Region, n.now) }
		switch {
		case elsewhere(health.Up):
			c.contradicted++
		case n.doubt.alone && elsewhere(health.Down):
			c.confirmed++
		}
	}
	return c
}

// unsee forgets what was seen down while the references failed: it says nothing of the targets.
func (n *Node) unsee() {
	for _, a := range n.voice.assigned {
		if !a.reference && a.detector.State() == health.Down {
			a.detector = health.NewDetector(a.target.Fall, a.target.Rise, a.target.Rules.Damping)
		}
	}
}

// tellDoubt makes events of what changed, and has every verdict said as it is to be now. Why is of the references, and of being alone.
func (n *Node) tellDoubt(before *doubt, why [2]string) {
	changed := false
	tell := func(was, is bool, of, begins, ends string) {
		if was == is {
			return
		}
		changed = true
		text := "gives verdicts" + of + " again: " + ends
		if is {
			text = "gives no verdicts" + of + ": " + begins
		}
		n.event(health.EventAbstain, string(n.cfg.Name), text)
	}
	tell(before.references, n.doubt.references, "", why[0], "its reference targets answer")
	tell(before.alone && !n.doubt.references, n.doubt.alone, "", why[1], "it sees what the others see")
	for family, name := range zones.FamilyNames {
		tell(before.families[family], n.doubt.families[family], " on "+name+" targets", "it has no route to any", "it has a route")
	}
	if !changed {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(n.voice.assigned)) {
		n.sayAsSeen(n.voice.assigned[id])
	}
	n.viewChanged = true
}
