package node

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

// cappedMesh are three nodes whose clients, all of them German, are too many for eu1, and that see every endpoint up.
func cappedMesh(t *testing.T, requests *uint64) []*driver {
	t.Helper()
	plan := planOf(t, strings.ReplaceAll(testWorld, "control: eu}", "control: eu, capacity: 40}"))
	g, _ := plan.Pools[0].Group(zones.Client{Source: netip.MustParseAddr("5.1.2.3")})
	key := plan.Pools[0].Groups[g].Key
	var all []*driver
	for _, name := range []health.NodeID{"eu1", "in1", "us1"} {
		d := start(t, name, testEpoch)
		d.meet("eu1", "in1", "us1")
		d.Compiled(plan, testEpoch)
		d.step()
		d.counts = func() []demand.Count { return []demand.Count{{Pool: "api", Group: key, Requests: *requests}} }
		all = append(all, d)
	}
	run(2*time.Second, all...)
	for _, d := range all {
		d.observe(health.ReasonOK)
	}
	return all
}

// runUp runs a mesh that sees every endpoint up.
func runUp(by time.Duration, all ...*driver) {
	for range int(by / (5 * time.Second)) {
		run(5*time.Second, all...)
		for _, d := range all {
			d.observe(health.ReasonOK)
		}
	}
}

func keptBy(d *driver) uint16 { return d.snapshot.Spill.PerMille("api", "eu1") }

// TestDemand: what all gateways count makes a member full, all agree, and the next one decides when who decided is gone.
func TestDemand(t *testing.T) {
	requests := uint64(1000)
	all := cappedMesh(t, &requests)
	observed := func(by time.Duration) { runUp(by, all...) }
	observed(2 * time.Minute)
	for _, d := range all {
		if got := keptBy(d); got != zones.FullRamp {
			t.Errorf("%s: before a window has been heard eu1 keeps %d", d.cfg.Name, got)
		}
	}
	observed(time.Minute + demand.ForceAfter)
	first := keptBy(all[0])
	if first == zones.FullRamp {
		t.Fatal("eu1 is full, and keeps everything")
	}
	observed(8 * time.Minute)
	for _, d := range all {
		if got := keptBy(d); got != 400 {
			t.Errorf("%s: eu1 keeps %d, want 400", d.cfg.Name, got)
		}
		if d.snapshot.Digest != all[0].snapshot.Digest {
			t.Errorf("%s answers otherwise than %s", d.cfg.Name, all[0].cfg.Name)
		}
		if n := d.happened(health.EventSpill); n != 1 {
			t.Errorf("%s: %d events of a spill, want one, when it began", d.cfg.Name, n)
		}
		if l := d.loads; len(l) != 1 || l[0].Load < 39 || l[0].Load > 41 || l[0].Capacity != 40 {
			t.Errorf("%s shows the loads %+v, want 40 of 40 requests a second", d.cfg.Name, l)
		}
	}
	all = all[1:]
	requests = 10
	observed(10 * time.Minute)
	for _, d := range all {
		if got := keptBy(d); got != zones.FullRamp {
			t.Errorf("%s: without eu1, and with few requests: eu1 keeps %d, want all", d.cfg.Name, got)
		}
		if n := d.happened(health.EventSpill); n != 2 {
			t.Errorf("%s: %d events of a spill, want two, when it began and when it ended", d.cfg.Name, n)
		}
	}
}

// TestFullThroughAPartition: the node that decides was alone for some minutes, with a third of the requests, for which eu1 has room.
func TestFullThroughAPartition(t *testing.T) {
	requests := uint64(1000)
	all := cappedMesh(t, &requests)
	runUp(10*time.Minute, all...)
	for range int(10 * time.Minute / (5 * time.Second)) {
		runUp(5*time.Second, all[0])
		runUp(5*time.Second, all[1:]...)
	}
	if got := keptBy(all[0]); got != zones.FullRamp {
		t.Errorf("alone, eu1 keeps %d, want all", got)
	}
	most := keptBy(all[1])
	for range int(10 * time.Minute / (5 * time.Second)) {
		runUp(5*time.Second, all...)
		for _, d := range all[1:] {
			if got := keptBy(d); got > most {
				t.Fatalf("%s: after the partition eu1 keeps %d, and kept %d in it", d.cfg.Name, got, most)
			}
		}
	}
	for _, d := range all {
		if got := keptBy(d); got != 400 {
			t.Errorf("%s: in the end eu1 keeps %d, want 400", d.cfg.Name, got)
		}
	}
}

// TestCapacitiesGoAndComeBack: what was in force is forgotten with the capacities.
func TestCapacitiesGoAndComeBack(t *testing.T) {
	requests := uint64(1000)
	all := cappedMesh(t, &requests)
	capped := all[0].plan
	reload := func(plan *zones.Plan) {
		for _, d := range all {
			d.Compiled(plan, d.now)
			d.step()
		}
		runUp(5*time.Second, all...)
	}
	runUp(10*time.Minute, all...)
	if got := keptBy(all[0]); got == zones.FullRamp {
		t.Fatal("eu1 is full, and keeps everything")
	}
	reload(testPlan(t))
	for _, d := range all {
		if d.shown == nil || len(d.shown.Loads) > 0 {
			t.Errorf("%s shows the loads %+v of a world without capacities", d.cfg.Name, d.shown.Loads)
		}
		if d.snapshot.Spill != nil {
			t.Errorf("%s spills %v in a world without capacities", d.cfg.Name, d.snapshot.Spill.All())
		}
	}
	runUp(10*time.Minute, all...)
	reload(capped)
	runUp(90*time.Second, all...)
	for _, d := range all {
		if got := keptBy(d); got != zones.FullRamp {
			t.Errorf("%s: before a window has been heard eu1 keeps %d again", d.cfg.Name, got)
		}
	}
}

func TestDemandOfOthersIsRefused(t *testing.T) {
	requests := uint64(1000)
	all := cappedMesh(t, &requests)
	in := all[1]
	seal := func(origin health.NodeID, sequence uint64, r demand.Report) health.Message {
		return health.Message{Bytes: health.Seal(health.KindDemand, origin, r.Append(appendUint64(nil, 1<<50, sequence)), testConfig(origin).Sign)}
	}
	epoch := in.ledger.Epoch()
	in.members["us1"].Roles = health.RoleProbe
	in.get(seal("us1", 1, demand.Report{Epoch: epoch}))
	in.members["us1"].Roles = health.RoleGateway
	in.get(seal("us1", 1, demand.Report{Epoch: epoch, Decision: true}))
	in.get(seal("us1", 1, demand.Report{Epoch: epoch, Ready: true}))
	in.get(health.Message{Bytes: health.Seal(health.KindDemand, "us1", make([]byte, 15), testConfig("us1").Sign)})
	in.get(health.Message{Bytes: health.Seal(health.KindDemand, "us1", append(appendUint64(nil, 1<<50, 1), 0xff), testConfig("us1").Sign)})
	if in.dropped["demand"] != 5 {
		t.Errorf("refused %v, want 5 reports of demand", in.dropped)
	}
	in.get(seal("us1", 1, demand.Report{Epoch: epoch + 1, Counts: []demand.Count{{Pool: "api", Group: 7, Requests: 120}}}))
	in.get(seal("us1", 1, demand.Report{Epoch: epoch - 1, Counts: []demand.Count{{Pool: "api", Group: 7, Requests: 120}}}))
	if got := in.ledger.Demand(in.plan.Capped())["api"][7]; got != 1 {
		t.Errorf("%v a second are wanted, want 1: the second is a replay", got)
	}
}

// TestDemandIsTakenAsFarAsItMayBeSaid: of members that have a capacity here, and of what a node with those roles can count.
func TestDemandIsTakenAsFarAsItMayBeSaid(t *testing.T) {
	requests := uint64(1000)
	in := cappedMesh(t, &requests)[1]
	say := func(sequence uint64, r demand.Report) {
		in.get(health.Message{Bytes: health.Seal(health.KindDemand, "us1", r.Append(appendUint64(nil, 1<<50, sequence)), testConfig("us1").Sign)})
	}
	say(1, demand.Report{Epoch: 1, Decision: true, Spill: []zones.Kept{{Pool: "api", Member: "eu1", PerMille: 500}, {Pool: "api", Member: "in1", PerMille: 1}, {Pool: "none", Member: "x", PerMille: 1}}})
	in.pass(2 * time.Second)
	if got := in.snapshot.Spill.All(); len(got) != 1 || got[0].Member != "eu1" {
		t.Errorf("in force is %v, want what is said of eu1, which alone has a capacity", got)
	}
	in.members["us1"].Roles = health.RoleDNS
	say(2, demand.Report{Epoch: in.ledger.Epoch(), Counts: []demand.Count{{Pool: "api", Group: 7, Requests: 120}}})
	if got := in.ledger.Demand(in.plan.Capped())["api"][7]; got != 0 {
		t.Errorf("a nameserver that is no gateway counts %v requests a second", got)
	}
}

// TestNobodyTalksOfDemandWithoutCapacities: no messages, no waking.
func TestNobodyTalksOfDemandWithoutCapacities(t *testing.T) {
	eu, _, _ := mesh(t)
	eu.counts = func() []demand.Count { t.Error("asked to count"); return nil }
	if sent := kinds(eu.pass(5*time.Minute), health.KindDemand); len(sent) > 0 {
		t.Errorf("%d messages about demand", len(sent))
	}
}
