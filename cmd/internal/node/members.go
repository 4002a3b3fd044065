package node

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// A member is a node that this one has seen in the mesh, and still counts on.
type member struct {
	health.Member
	seen         time.Time // last alive
	heartbeat    *health.Heartbeat
	heard        time.Time
	serving      *health.Serving
	servingHeard time.Time     // when that came
	ahead        time.Duration // its clock, of this one's
	pulled       time.Time     // when its verdicts were last asked for
	pulledIn     uint64        // for which of its numbers that was
	pulledFor    uint64
	reminded     time.Time                   // when it was last shown its own past
	knocked      time.Time                   // when it last knocked
	pulls        int                         // since they last agreed
	missing      time.Time                   // since when it has been known that some of its verdicts are not here; zero: none
	served       map[health.NodeID]time.Time // when it was last sent the verdicts of each node that it asked for
	reportedIn   uint64                      // incarnation and time of its last report of round-trip times
	reported     uint64
	demandIn     uint64 // incarnation and number of its last report of demand
	demand       uint64
}

// Members tells the node who is in the mesh now, itself included.
func (n *Node) Members(list []health.Member, now time.Time) {
	n.at(now)
	for id := range n.alive {
		n.members[id].seen = now // until now, whatever comes next
	}
	alive := map[health.NodeID]bool{n.cfg.Name: true}
	for _, m := range list {
		alive[m.Node] = true
		if m.Node == n.cfg.Name {
			m = n.self(m)
		}
		if !n.alive[m.Node] {
			n.event(health.EventMember, string(m.Node), fmt.Sprintf("joined from %v, region %s", m.Address, m.Region))
			n.digest.Retell()
			n.beatSoon()
		}
		n.remember(m)
	}
	for _, id := range slices.Sorted(maps.Keys(n.alive)) {
		if !alive[id] {
			n.event(health.EventMember, string(id), "lost")
		}
	}
	n.alive = alive
	n.recount()
}

// beatSoon brings the next heartbeat forward, for who is new, or back, but not so far that a crowd of them makes many.
func (n *Node) beatSoon() {
	if soon := n.nextHeartbeat.Add(hastyBeat - heartbeatEvery); soon.After(n.now) {
		n.nextHeartbeat = soon
	} else {
		n.nextHeartbeat = n.now
	}
}

// Knocked tells the node that a lost member was heard, before it is a member again.
func (n *Node) Knocked(name health.NodeID, now time.Time) {
	n.at(now)
	m := n.members[name]
	if m == nil {
		return
	}
	if n.now.Sub(m.knocked) > health.FreshFor { // one that hears nothing goes on knocking
		n.back[m.Region] = true
	}
	m.knocked = n.now
}

// retry has what failed in a region probed again, of which a node is heard again: what kept that one away may have kept the endpoints away too, and
// they are wanted back.
func (n *Node) retry() {
	if len(n.back) == 0 {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(n.voice.assigned)) {
		if n.back[n.voice.assigned[id].target.Region] {
			n.out.Retry = append(n.out.Retry, id)
		}
	}
	clear(n.back)
}

// forget lets go of the members that have been gone for long.
func (n *Node) forget() {
	forgotten := false
	for _, id := range slices.Sorted(maps.Keys(n.members)) {
		if n.alive[id] || n.now.Sub(n.members[id].seen) <= forgetAfter {
			continue
		}
		forgotten = true
		delete(n.members, id)
		delete(n.relay, id)
		for _, other := range n.members {
			delete(other.served, id)
		}
		n.model.Forget(string(id))
		n.event(health.EventMember, string(id), fmt.Sprintf("forgotten after %v: it no longer counts as a vantage", forgetAfter))
	}
	if forgotten {
		n.recount()
	}
}

// recount follows a change of the members.
func (n *Node) recount() {
	n.table.SetVantages(n.vantages())
	n.reassign()
	n.persistMembers()
	n.viewChanged = true
}

// self is this node as a member: what the mesh says of it can't overrule its own certificate.
func (n *Node) self(m health.Member) health.Member {
	m.Node, m.Region, m.Roles, m.Key = n.cfg.Name, n.cfg.Region, n.cfg.Roles, n.cfg.Key
	return m
}

func (n *Node) remember(m health.Member) {
	known := n.members[m.Node]
	if known == nil {
		known = &member{served: make(map[health.NodeID]time.Time)}
		n.members[m.Node] = known
	}
	known.Member, known.seen = m, n.now
}

func (n *Node) vantages() []health.Vantage {
	var vantages []health.Vantage
	for _, id := range slices.Sorted(maps.Keys(n.members)) {
		if m := n.members[id]; m.Roles.Has(health.RoleProbe) {
			vantages = append(vantages, health.Vantage{Node: id, Region: m.Region, Address: m.Address})
		}
	}
	return vantages
}

// A savedMember is a member on disk. How long ago it was seen is not: a node that was down for long must not forget the
// others for it.
type savedMember struct {
	Node    health.NodeID `json:"node"`
	Region  geo.RegionID  `json:"region"`
	Roles   []string      `json:"roles"`
	Address netip.Addr    `json:"address"`
	Key     []byte        `json:"key"`
}

func (n *Node) persistMembers() {
	var saved []savedMember
	for _, id := range slices.Sorted(maps.Keys(n.members)) {
		m := n.members[id]
		saved = append(saved, savedMember{id, m.Region, m.Roles.Names(), m.Address, m.Key[:]})
	}
	n.persistJSON(RecordMembers, saved)
}

func (n *Node) persistJSON(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("node: record %s: %v", name, err)) // plain structs always encode
	}
	n.out.Persist = append(n.out.Persist, Record{Name: name, Data: data})
}

func (n *Node) persistIncarnation() {
	n.out.Persist = append(n.out.Persist, Record{RecordIncarnation, binary.BigEndian.AppendUint64(nil, n.incarnation), true})
}

// Save makes the next Ready persist the statuses, due or not: the node ends.
func (n *Node) Save(now time.Time) {
	n.at(now)
	n.nextSave, n.nextSamples = now, now
}

// save writes the controls when they changed, and the statuses behind, every few seconds.
func (n *Node) save() {
	if n.unsaved {
		n.out.Persist = append(n.out.Persist, Record{RecordControls, n.control.Encode(), true})
		n.unsaved = false
	}
	n.saveSamples()
	if n.now.Before(n.nextSave) {
		return
	}
	n.nextSave = n.now.Add(saveEvery)
	n.persistJSON(RecordStatuses, n.table.Saved())
}

// load takes one record of an earlier run.
func (n *Node) load(r Record) error {
	switch r.Name {
	case RecordIncarnation:
		if len(r.Data) != 8 {
			return fmt.Errorf("%d bytes, want 8", len(r.Data))
		}
		n.incarnation = binary.BigEndian.Uint64(r.Data)
	case RecordControls:
		state, err := control.Decode(r.Data)
		if err != nil {
			return err
		}
		n.control = state
		_, frozen := state.Frozen()
		n.table.Freeze(frozen)
	case RecordStatuses:
		var saved []health.SavedStatus
		if err := json.Unmarshal(r.Data, &saved); err != nil {
			return err
		}
		n.table.Load(saved)
	case RecordMembers:
		return n.loadMembers(r.Data)
	case RecordSamples:
		return n.loadSamples(r.Data)
	default:
		return fmt.Errorf("unknown record")
	}
	return nil
}

func (n *Node) loadMembers(data []byte) error {
	var saved []savedMember
	if err := json.Unmarshal(data, &saved); err != nil {
		return err
	}
	for _, s := range saved {
		roles, err := health.ParseRoles(s.Roles)
		if err != nil || len(s.Key) != 32 {
			return fmt.Errorf("member %s: key of %d bytes, roles %q", s.Node, len(s.Key), s.Roles)
		}
		n.remember(health.Member{Node: s.Node, Region: s.Region, Roles: roles, Address: s.Address, Key: [32]byte(s.Key)})
	}
	return nil
}

// show makes a new view for people: at most ten times a second, at least once, and with every snapshot, so that nobody is shown less than
// what is answered by.
func (n *Node) show() {
	if !n.viewChanged || n.out.Snapshot == nil && n.now.Before(n.lastView.Add(publishEvery)) && !n.lastView.IsZero() {
		return
	}
	n.viewChanged, n.lastView = false, n.now
	v := &View{
		Node: n.cfg.Name, Region: n.cfg.Region, Started: n.started, Health: n.table.View(), Control: n.control,
		Plan: n.plan, Dropped: maps.Clone(n.dropped), Clock: n.clock, Forgotten: n.digest.Dropped() + n.model.Dropped(), Loads: n.loads,
		Dissents: n.opposition.dissents, Reaches: n.opposition.reaches,
	}
	if n.doubt.references {
		v.Abstains = health.ReasonReferences
	} else if n.doubt.alone {
		v.Abstains = health.ReasonAlone
	}
	if n.snapshot != nil {
		v.Snapshot = n.snapshot.Digest
	}
	for _, m := range n.members {
		v.Peers = append(v.Peers, Peer{Member: m.Member, Alive: n.alive[m.Node], Heartbeat: m.heartbeat, Heard: m.heard,
			Serving: m.serving, Served: m.servingHeard})
	}
	slices.SortFunc(v.Peers, func(a, b Peer) int { return cmp.Compare(a.Node, b.Node) })
	n.out.View = v
}

func regionIDs(regions []zones.Region) []geo.RegionID {
	ids := make([]geo.RegionID, len(regions))
	for i, r := range regions {
		ids[i] = r.ID
	}
	return ids
}
