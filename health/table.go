package health

import (
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// Times that decide when evidence counts.
const (
	// FreshFor is how long verdicts count after a heartbeat confirmed them.
	FreshFor = 15 * time.Second
	// SteadyFor is how long a vantage must have been heard, without a longer gap than this, to be believed when it says
	// that things got worse.
	SteadyFor = 5 * time.Second
	// ColdStart is how long after the start a held status may become up without hold_down.
	ColdStart = 2 * time.Minute
	// graceIntervals is for how many intervals an unknown endpoint keeps its rank.
	graceIntervals = 3
	// freshIntervals is within how many intervals every vantage completes a probe, if it does at all.
	freshIntervals = 3
)

// A Table holds the verdicts of all vantages and the status that follows. One goroutine owns it.
//
// Merge and Hear take evidence in; Advance decides what it means at a time. Times must not go back.
type Table struct {
	region  geo.RegionID // of the node whose table this is
	started time.Time

	regions  []geo.RegionID // that ought to have vantages
	vantages []Vantage      // ordered
	checks   map[CheckID]*entry
	keys     map[uint64]CheckID
	origins  map[NodeID]*vector
	loaded   map[CheckID]SavedStatus // of checks that the world has not named yet
	groups   map[CheckID]*gathering
	partOf   map[CheckID][]*gathering // the groups of a check
	needs    map[CheckID][]*Need      // the pools' that it is in
	proven   map[uint64]bool          // definitions under which a target was up, by Target.Proof

	frozen   bool
	flips    map[CheckID]flip // that went down lately
	mass     *Mass            // nil: none is held
	quiet    time.Time        // until then no other one begins
	released time.Time

	dirty   map[CheckID]bool
	pending map[CheckID]time.Time // when time alone may change a status
	view    *View
}

// An entry is what a table knows of one check.
type entry struct {
	target     *Target
	definition uint32
	assigned   []Vantage
	missing    int // regions that ought to have a vantage and have none
	status     Status
	first      time.Time // when the table learnt of the check
	upSince    time.Time // since when the votes say up; zero: they do not
	recovering bool      // it was down since it was last up
	fromDisk   bool      // the state was loaded and no vote has been counted since
	defined    time.Time // when its definition changed; zero: never
	slimSince  time.Time // since when it would go down by a slim majority; zero: it would not
}

// NewTable returns an empty table for a node in a region.
func NewTable(region geo.RegionID, now time.Time) *Table {
	return &Table{
		region: region, started: now,
		checks: make(map[CheckID]*entry), keys: make(map[uint64]CheckID),
		origins: make(map[NodeID]*vector), loaded: make(map[CheckID]SavedStatus),
		groups: make(map[CheckID]*gathering), proven: make(map[uint64]bool), flips: make(map[CheckID]flip),
		dirty: make(map[CheckID]bool), pending: make(map[CheckID]time.Time), view: &View{},
	}
}

// SetTargets says what is to be decided. Checks that stay keep their status, even where their definition changed:
// the status is held until verdicts under the new one arrive.
func (t *Table) SetTargets(targets []*Target, regions []geo.RegionID, now time.Time) {
	t.regions = regions
	old := t.checks
	t.checks, t.keys = make(map[CheckID]*entry, len(targets)), make(map[uint64]CheckID, len(targets))
	for _, target := range targets {
		e := old[target.ID]
		if e == nil {
			e = &entry{first: now, status: Status{Check: target.ID, Since: now}}
			if s, ok := t.loaded[target.ID]; ok {
				e.status.State, e.status.Since, e.status.Held, e.fromDisk = s.State, s.Since, true, true
				e.status.Hold, e.status.Recovered = HoldSilent, s.Recovered
				if s.Proven && s.Definition == target.Digest() {
					t.proven[target.Proof] = true
				}
			}
			delete(t.loaded, target.ID)
		}
		definition := target.Digest()
		if e.target != nil && e.definition != definition {
			e.defined = now
		}
		e.target, e.definition = target, definition
		t.checks[target.ID], t.keys[target.ID.Key()] = e, target.ID
	}
	for id := range old {
		t.dirty[id] = true // those that are gone leave the view
	}
	current := make(map[uint64]bool)
	for _, e := range t.checks {
		current[e.target.Proof] = true
	}
	for _, v := range t.origins {
		for key, r := range v.records {
			if id, ok := t.keys[key]; ok {
				t.believe(r, t.checks[id])
			}
		}
	}
	maps.DeleteFunc(t.proven, func(proof uint64, _ bool) bool { return !current[proof] })
	t.assign()
}

// SetGroups says which groups there are over the targets, and what pools need of both. It follows SetTargets.
func (t *Table) SetGroups(groups []*Group, needs []*Need) {
	old := t.groups
	t.groups, t.partOf, t.needs = make(map[CheckID]*gathering, len(groups)), make(map[CheckID][]*gathering), make(map[CheckID][]*Need)
	for _, group := range groups {
		g := &gathering{group: group}
		if before := old[group.ID]; before != nil {
			g.status = before.status
		}
		t.groups[group.ID] = g
		delete(old, group.ID)
		for _, term := range group.Terms {
			t.partOf[term.Check] = append(t.partOf[term.Check], g)
		}
	}
	for id := range old {
		t.dirty[id] = true // as those of checks
	}
	for _, need := range needs {
		for _, checks := range need.Members {
			for _, id := range checks {
				t.needs[id] = append(t.needs[id], need)
			}
		}
	}
	t.dirtyAll()
}

// SetVantages says which nodes probe, dead ones that may come back included.
func (t *Table) SetVantages(vantages []Vantage) {
	vantages = slices.SortedFunc(slices.Values(vantages), compareVantages)
	if slices.Equal(vantages, t.vantages) {
		return
	}
	t.vantages = vantages
	for node := range t.origins {
		if !slices.ContainsFunc(t.vantages, func(v Vantage) bool { return v.Node == node }) {
			delete(t.origins, node)
		}
	}
	t.assign()
}

func (t *Table) assign() {
	missing := 0
	for _, region := range t.regions {
		if !slices.ContainsFunc(t.vantages, func(v Vantage) bool { return v.Region == region }) {
			missing++
		}
	}
	for id, e := range t.checks {
		e.assigned, e.missing = vantagesOf(id, e.target.Rules.Vantages, t.vantages), missing
		t.dirty[id] = true
	}
}

// Assigned returns what a vantage probes, ordered by check.
func (t *Table) Assigned(node NodeID) []*Target {
	var targets []*Target
	for _, id := range slices.Sorted(maps.Keys(t.checks)) {
		if e := t.checks[id]; slices.ContainsFunc(e.assigned, func(v Vantage) bool { return v.Node == node }) {
			targets = append(targets, e.target)
		}
	}
	return targets
}

// Merge takes a batch of verdicts in. It may come late, twice, or by way of another node. Batches of nodes that are not
// vantages are ignored.
func (t *Table) Merge(b *Batch) {
	v := t.vector(b.Origin)
	if v == nil {
		return
	}
	for _, key := range v.merge(b) {
		if id, ok := t.keys[key]; ok {
			t.dirty[id] = true
			t.believe(v.records[key], t.checks[id])
		}
	}
}

// believe takes from a verdict that its definition is proven.
func (t *Table) believe(r Record, e *entry) {
	if r.Proven && r.Definition == e.definition {
		t.prove(e)
	}
}

// Proven reports whether a target was ever up, as far as is known, under the definition that a check has now.
func (t *Table) Proven(id CheckID) bool { return t.checks[id] != nil && t.isProven(t.checks[id]) }

// Hear takes a heartbeat in and reports whether the table lacks verdicts of its origin, so that they must be pulled.
// A heartbeat that is not newer than the last one is a replay and counts for nothing.
func (t *Table) Hear(h *Heartbeat, now time.Time) (behind bool) {
	v := t.vector(h.Origin)
	if v == nil || h.Incarnation < v.incarnation || h.Incarnation == v.incarnation && h.Sequence <= v.heartbeat {
		return false
	}
	if h.Incarnation > v.incarnation {
		t.Merge(&Batch{Origin: h.Origin, Incarnation: h.Incarnation})
	}
	if v.heartbeat == 0 && !v.heard.IsZero() {
		v.restarted = now
	}
	v.heartbeat = h.Sequence
	if !v.heard.IsZero() && now.Sub(v.heard) > FreshFor {
		v.back, v.old = now, h.Verdicts
	}
	if v.heard.IsZero() || now.Sub(v.heard) > SteadyFor {
		v.unbroken = now
	}
	v.heard = now
	if v.digest != h.Digest {
		return true
	}
	if !v.fresh(now) {
		t.touch(v)
	}
	v.synced, v.live = now, true
	v.complete = max(v.complete, h.Verdicts) // whatever older turns up from now on is withdrawn
	return false
}

func (t *Table) vector(node NodeID) *vector {
	v := t.origins[node]
	if v == nil && slices.ContainsFunc(t.vantages, func(o Vantage) bool { return o.Node == node }) {
		v = &vector{}
		v.reset(0)
		t.origins[node] = v
	}
	return v
}

// touch marks every check that a vantage has a say in.
func (t *Table) touch(v *vector) {
	for key := range v.records {
		if id, ok := t.keys[key]; ok {
			t.dirty[id] = true
		}
	}
}

// Vector returns the newest incarnation and sequence that the table knows of a node's verdicts, and their digest.
func (t *Table) Vector(node NodeID) (incarnation, sequence, digest uint64) {
	v := t.origins[node]
	if v == nil {
		return 0, 0, 0
	}
	return v.incarnation, v.latest, v.digest
}

// Records returns the verdicts of a node that the table knows, oldest change first.
func (t *Table) Records(node NodeID) []Record {
	v := t.origins[node]
	if v == nil {
		return nil
	}
	return v.published()
}

// Since returns the verdicts of a node that are newer than a sequence, withdrawn ones included, oldest change first.
func (t *Table) Since(node NodeID, sequence uint64) []Record {
	v := t.origins[node]
	if v == nil {
		return nil
	}
	return v.since(sequence)
}

// Record returns a node's verdict on one check; known is false where there is none or it was withdrawn.
func (t *Table) Record(node NodeID, check uint64) (r Record, known bool) {
	if v := t.origins[node]; v != nil {
		r, known = v.records[check]
	}
	return r, known && !r.withdrawn()
}

func (v *vector) fresh(now time.Time) bool { return v.live && now.Sub(v.synced) <= FreshFor }

// steady is about heartbeats alone: one that overtakes the verdicts it speaks of, or is overtaken by them, is a sign of life too.
func (v *vector) steady(now time.Time) bool {
	return v.fresh(now) && now.Sub(v.heard) <= SteadyFor && now.Sub(v.unbroken) >= SteadyFor
}

// Advance decides every check that new evidence or the time touches. It returns the ids of the checks whose status
// changed for answers, in order, and when it must be called again at the latest (zero: only on new evidence).
func (t *Table) Advance(now time.Time) (changed []CheckID, next time.Time) {
	for _, v := range t.origins {
		if v.live && !v.fresh(now) {
			v.live = false
			t.touch(v)
		}
	}
	for id, at := range t.pending {
		if !at.After(now) {
			t.dirty[id] = true
		}
	}
	if t.mass != nil && !now.Before(t.mass.Until) {
		t.endMass()
	}
	if len(t.dirty) > 0 {
		changed = t.decideDirty(now)
	}
	for _, v := range t.origins {
		if v.live {
			next = earliest(next, v.synced.Add(FreshFor+time.Millisecond))
		}
	}
	for _, at := range t.pending {
		next = earliest(next, at)
	}
	if t.mass != nil {
		next = earliest(next, t.mass.Until)
	}
	return changed, next
}

func (t *Table) decideDirty(now time.Time) (changed []CheckID) {
	before := t.view.statuses
	view := &View{statuses: maps.Clone(before)}
	if view.statuses == nil {
		view.statuses = make(map[CheckID]*Status)
	}
	touched := make(map[CheckID]bool)
	for len(t.dirty) > 0 { // a definition that is proven makes others dirty
		ids := slices.Sorted(maps.Keys(t.dirty))
		clear(t.dirty)
		for _, id := range ids {
			touched[id] = true
			if e := t.checks[id]; e != nil {
				if at := t.decide(e, now); at.IsZero() {
					delete(t.pending, id)
				} else {
					t.pending[id] = at
				}
			}
		}
	}
	for _, id := range t.massChange(now) {
		touched[id] = true
	}
	view.mass, view.frozen = t.mass, t.frozen
	gathered := make(map[*gathering]bool)
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		for _, g := range t.partOf[id] {
			gathered[g] = true
		}
	}
	for g := range gathered {
		t.gather(g, now)
		touched[g.group.ID] = true
	}
	moved := false
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		status, ok := t.status(id)
		moved = moved || ok != (before[id] != nil)
		if !ok {
			delete(view.statuses, id)
			delete(t.pending, id)
			continue
		}
		view.statuses[id] = &status
		if was := before[id]; was == nil || !answersAlike(was, &status) {
			changed = append(changed, id)
		}
	}
	if view.ordered = t.view.ordered; moved {
		view.ordered = slices.Sorted(maps.Keys(view.statuses))
	}
	t.view = view
	return changed
}

// status returns a copy of the status of a check or a group.
func (t *Table) status(id CheckID) (s Status, known bool) {
	if e := t.checks[id]; e != nil {
		return e.status, true
	}
	if g := t.groups[id]; g != nil {
		return g.status, true
	}
	return Status{}, false
}

// answersAlike reports whether no answer can differ by the change from one status to another. A region's own vote is what
// its clients see of a pool with a regional view.
func answersAlike(a, b *Status) bool {
	return a.State == b.State && a.HeldBack == b.HeldBack && a.Grace == b.Grace && a.Hold == b.Hold && a.Shadow == b.Shadow &&
		slices.EqualFunc(a.Regions, b.Regions, func(a, b Vote) bool { return a.Region == b.Region && a.State == b.State && a.outside() == b.outside() })
}

// View returns the statuses as of the last Advance.
func (t *Table) View() *View { return t.view }

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
