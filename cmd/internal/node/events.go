package node

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

// Compiled takes a newly compiled world over.
func (n *Node) Compiled(p *zones.Plan, now time.Time) {
	n.at(now)
	first := n.plan == nil
	if n.plan == nil || n.plan.World.Digest != p.World.Digest {
		n.event(health.EventConfig, "world", fmt.Sprintf("configuration %v taken: %d zones, %d pools, %d targets",
			p.World.Digest, len(p.World.Zones), len(p.World.Pools), len(p.Targets)))
	}
	n.plan = p
	if !n.capped() { // whoever was full is not when capacities come back
		n.ledger, n.loads = demand.NewLedger(string(n.cfg.Name), now), nil
	}
	var regions []zones.Region
	for _, r := range p.World.Regions {
		if r.Vantage {
			regions = append(regions, r)
		}
	}
	n.table.SetTargets(p.Targets, regionIDs(regions), now)
	n.table.SetGroups(p.Groups, p.Needs)
	if n.model.Adopt(p.Orders) {
		n.out.Orders = n.model.Orders()
	}
	n.reassign()
	n.change.All, n.stale, n.viewChanged = true, true, true
	n.urgent = n.urgent || first
}

// Refused notes that a changed configuration was not taken: the one in force stays.
func (n *Node) Refused(err error, now time.Time) {
	n.at(now)
	n.event(health.EventConfig, "world", fmt.Sprintf("configuration refused, the one in force stays: %v", err))
}

// Transferred notes what became of a zone that moves between this node and others.
func (n *Node) Transferred(zone, text string, now time.Time) {
	n.at(now)
	n.event(health.EventZone, zone, text)
}

// Controls takes the replicated state of the voters, of which the newest counts.
func (n *Node) Controls(s *control.State, now time.Time) {
	n.at(now)
	if !s.Newer(n.control) {
		return
	}
	for _, c := range s.Controls() {
		if before := n.control.On(c.Name); before != c.On {
			n.change.Controls = append(n.change.Controls, c.Name)
			n.event(health.EventControl, string(c.Name), fmt.Sprintf("%s by %s: %s", onOff(c.On), c.Actor, c.Reason))
		}
	}
	for _, c := range n.control.Controls() {
		if _, stays := s.Control(c.Name); !stays && !c.On {
			n.change.Controls = append(n.change.Controls, c.Name)
		}
	}
	for _, k := range s.AllKeys() {
		if before, _ := n.control.Keys(k.Zone); before.Index != k.Index && before.Reason != k.Reason {
			n.event(health.EventKeys, k.Zone, fmt.Sprintf("%s (by %s)", k.Reason, k.Actor))
		}
	}
	n.noteRestraints(s)
	n.noteOverlays(s)
	n.noteLatches(s)
	n.noteChallenges(s)
	n.control, n.unsaved = s, true
	n.stale, n.urgent, n.viewChanged = true, true, true
}

// noteRestraints follows a freeze and a release, and makes events of them.
func (n *Node) noteRestraints(s *control.State) {
	freeze, on := s.Frozen()
	before, was := n.control.Frozen()
	switch {
	case on && !was:
		n.event(health.EventFreeze, "statuses", fmt.Sprintf("all automatic change is frozen by %s: %s", freeze.Actor, freeze.Reason))
	case was && !on:
		n.event(health.EventFreeze, "statuses", fmt.Sprintf("no longer frozen as by %s since %s", before.Actor, before.Since.Format(time.RFC3339)))
	}
	n.table.Freeze(on)
	if at := s.Released(); at.After(n.control.Released()) {
		n.table.Release(n.now) // by this node's clock, as all in its table
	}
}

// noteChallenges makes events of the names whose challenges a new state has others of.
func (n *Node) noteChallenges(s *control.State) {
	values := make(map[string][2]string)
	for i, state := range []*control.State{n.control, s} {
		challenges, _ := state.Challenges(n.now)
		for _, c := range challenges {
			v := values[c.Name]
			v[i] += c.Value + " "
			values[c.Name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch before, after := values[name][0], values[name][1]; {
		case before == after:
		case after == "":
			n.event(health.EventZone, name, "challenge cleared")
		default:
			n.event(health.EventZone, name, "challenge set")
		}
	}
}

// expire has a snapshot made without what has ended in the one in force.
func (n *Node) expire() {
	if n.snapshot == nil {
		return
	}
	if end := n.snapshot.Expires(); !end.IsZero() && !n.now.Before(end) {
		n.stale, n.urgent = true, true
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// Answers tells the node how many answers it gave with endpoints of each region since it started.
func (n *Node) Answers(answers []health.RegionAnswers, now time.Time) {
	n.at(now)
	n.answers = answers
}

// publish makes a snapshot of what changed, not more often than people or resolvers could tell.
func (n *Node) publish() {
	if n.plan == nil || !n.stale || !n.urgent && n.now.Before(n.lastPublish.Add(publishEvery)) {
		return
	}
	before := n.snapshot
	n.snapshot = n.plan.Publish(before, zones.Inputs{Health: n.table.View(), Control: n.control, Spill: n.ledger.Spill()}, n.change, n.now)
	n.noteRungs(before)
	n.change, n.stale, n.urgent, n.lastPublish = zones.Change{}, false, false, n.now
	n.out.Snapshot, n.viewChanged = n.snapshot, true
}

// noteRungs makes an event of every pool that answers some clients from another rung than before.
func (n *Node) noteRungs(before *zones.Snapshot) {
	rungs := make(map[string]zones.Rung)
	if before != nil {
		for _, pool := range before.Pools {
			rungs[pool.Plan.Pool.Name] = pool.Worst()
		}
	}
	for _, pool := range n.snapshot.Pools {
		was := rungs[pool.Plan.Pool.Name]
		if is := pool.Worst(); is != was {
			n.event(health.EventRung, pool.Plan.Pool.Name, fmt.Sprintf("answers from rung %q, was %q", is, was))
		}
	}
}

// holdText says why a status is held where it is not for want of fresh vantages, which the summary shows. A freeze is an event of its own, and
// none of every check.
var holdText = map[health.Hold]string{
	health.HoldUnproven: ", for nothing was ever up under this definition of the check",
	health.HoldMass:     ", for most targets went down at once",
}

// held reports whether a status is held for a reason that the journal is to have: of its own, and for more than some seconds.
func held(s *health.Status) bool {
	return s.Held && s.Hold != health.HoldFrozen && s.Hold != health.HoldSlim
}

// noteMass makes events of a mass change that is held, or no longer.
func (n *Node) noteMass(before *health.View) {
	was, is := before.Mass(), n.table.View().Mass()
	if was == is {
		return
	}
	if was != nil {
		n.event(health.EventMass, "targets", "mass change no longer held")
	}
	if is != nil {
		n.event(health.EventMass, "targets", fmt.Sprintf("%d of %d targets went down within a minute, held up to %v where a pool would lose what it needs: %s",
			is.Down, is.Of, is.Until.Sub(is.Since), is.Why))
	}
	n.viewChanged = true
}

// noteStatuses makes events of the statuses that changed and marks what they touch.
func (n *Node) noteStatuses(before *health.View, changed []health.CheckID) {
	for _, id := range changed {
		s := n.table.View().Status(id, health.Global)
		was := before.Status(id, health.Global)
		fromDisk := s.Held && was.Since.IsZero()
		if was.State != s.State && !fromDisk {
			n.eventBy(health.EventStatus, id, fmt.Sprintf("%v, was %v: %s", s.State, was.State, s.Summary()), health.EvidenceOf(was, s))
		} else if (held(&was) != held(&s) || holdText[was.Hold] != holdText[s.Hold]) && s.State != health.Unknown {
			text := "no longer held: " + s.Summary()
			if held(&s) {
				text = fmt.Sprintf("held as %v%s: %s", s.State, holdText[s.Hold], s.Summary())
			}
			n.eventBy(health.EventHeld, id, text, health.EvidenceOf(was, s))
		}
	}
	if len(changed) > 0 {
		n.change.Checks = append(n.change.Checks, changed...)
		n.stale, n.viewChanged = true, true
	}
}
