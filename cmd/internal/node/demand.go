package node

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

// capped reports whether any pool has members with a capacity; without one nobody talks of demand.
func (n *Node) capped() bool { return n.plan != nil && len(n.plan.Capped()) > 0 }

// Counted tells the node what came from each group of clients in the epoch that ended, and has it tell all others.
func (n *Node) Counted(counts []demand.Count, now time.Time) {
	n.at(now)
	n.tellDemand(n.ledger.Report(counts, n.cfg.Roles.Has(health.RoleDNS), n.now))
}

func (n *Node) tellDemand(r demand.Report) {
	n.told++
	n.send("", health.KindDemand, r.Append(appendUint64(nil, n.incarnation, n.told)))
}

// spread has the clients of members that are full spread over the others: see zones/demand for who decides when.
func (n *Node) spread() {
	if !n.capped() || n.snapshot == nil {
		return
	}
	before := n.ledger.Spill()
	if n.ledger.Advance(n.now) {
		n.change.Pools = append(n.change.Pools, before.Changed(n.ledger.Spill())...)
		n.stale = true
		n.noteSpill(before)
	}
	if epoch := n.ledger.Epoch(); epoch != n.counted && (n.cfg.Roles.Has(health.RoleDNS) || n.cfg.Roles.Has(health.RoleGateway)) {
		n.counted, n.out.Count = epoch, true
	}
	if n.ledger.Deciding(n.now) {
		plan := n.snapshot.Plan
		n.tellDemand(n.ledger.Decide(plan.Spread(n.snapshot, n.ledger.Demand(plan.Capped())), n.now))
	}
}

// predict predicts, once an epoch, what comes to the members with a capacity by the spill that is in force from then on.
func (n *Node) predict() {
	epoch := n.ledger.Epoch()
	if !n.capped() || n.snapshot == nil || n.stale || epoch == n.loaded || n.now.Before(demand.Begin(epoch).Add(demand.ForceAfter)) {
		return
	}
	n.loaded = epoch
	n.loads, n.viewChanged = n.snapshot.Loads(n.ledger.Demand(n.snapshot.Plan.Capped())), true
}

// noteSpill makes an event of every member that has become full, and of every one that has room for all again.
func (n *Node) noteSpill(before *zones.Spill) {
	after := n.ledger.Spill()
	for _, k := range after.All() {
		if before.PerMille(k.Pool, k.Member) == zones.FullRamp {
			n.event(health.EventSpill, k.Pool+"/"+k.Member, fmt.Sprintf("full: has room for %.3g %% of the prefixes, the others are answered the next one", float64(k.PerMille)/10))
		}
	}
	for _, k := range before.All() {
		if after.PerMille(k.Pool, k.Member) == zones.FullRamp {
			n.event(health.EventSpill, k.Pool+"/"+k.Member, "has room for all prefixes again")
		}
	}
}

// demand takes the report of another node in; an older one than the last is a replay.
func (n *Node) demand(origin health.NodeID, body []byte) error {
	if len(body) < 16 {
		return fmt.Errorf("%w: report of %d bytes", health.ErrMessage, len(body))
	}
	incarnation, sequence := binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:])
	m := n.members[origin]
	if !m.Roles.Has(health.RoleDNS) && !m.Roles.Has(health.RoleGateway) {
		return fmt.Errorf("%w: %s is neither nameserver nor gateway", health.ErrMessage, origin)
	}
	if origin == n.cfg.Name || incarnation < m.demandIn || incarnation == m.demandIn && sequence <= m.demand {
		n.dropped[droppedOld]++
		return nil
	}
	r, err := demand.ParseReport(body[16:])
	if err != nil {
		return err
	}
	if (r.Decision || r.Ready) && !m.Roles.Has(health.RoleDNS) {
		return fmt.Errorf("%w: %s is no nameserver, and decides", health.ErrMessage, origin)
	}
	if r.Decision && n.plan != nil {
		r.Spill = n.plan.Fitting(r.Spill)
	}
	for i := range r.Counts { // nobody counts what is another's to count
		if !m.Roles.Has(health.RoleDNS) {
			r.Counts[i].Answers = 0
		}
		if !m.Roles.Has(health.RoleGateway) {
			r.Counts[i].Requests = 0
		}
	}
	m.demandIn, m.demand = incarnation, sequence
	n.ledger.Take(string(origin), r, n.now)
	return nil
}
