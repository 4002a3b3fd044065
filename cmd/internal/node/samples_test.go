package node

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
)

// sampled has a node's gateway measure German clients for a time, every ten seconds.
func (h *driver) sampled(times int, rttMS int) {
	for range times {
		h.now = h.now.Add(10 * time.Second)
		h.Sample([]rtt.Sample{{Prefix: netip.MustParsePrefix("5.1.2.0/24"), RTT: time.Duration(rttMS) * time.Millisecond, Count: 50}}, h.now)
		h.step()
	}
}

// estimated is what a node knows of the way from Germany to a region.
func (h *driver) estimated(region geo.RegionID) rtt.Estimate {
	europe := h.plan.Table.Place(h.plan.Table.Lookup(netip.MustParseAddr("5.1.2.3")))
	for _, r := range h.plan.World.Regions {
		if r.ID == region {
			return h.model.Orders().Estimate(europe, 0, rtt.Region{ID: r.ID, At: r.At})
		}
	}
	return rtt.Estimate{}
}

// What a gateway measures reaches the other nodes within a minute, once, and in the next epoch it and they estimate by it.
func TestSamples(t *testing.T) {
	eu, in, _ := mesh(t)
	eu.sampled(5, 80)
	reports := kinds(eu.pass(30*time.Second), health.KindSamples)
	if len(reports) != 2 {
		t.Fatalf("%d messages in a minute, want one for nodes of the version before and one for others", len(reports))
	}
	in.now = eu.now
	in.get(reports...)
	before := in.members["eu1"].reported
	if in.get(reports...); in.members["eu1"].reported != before || len(in.dropped) != 1 || in.dropped[droppedOld] != 2 {
		t.Errorf("a replay moves on to %d from %d, dropped %v, want 2 as old", in.members["eu1"].reported, before, in.dropped)
	}
	if len(kinds(eu.pass(2*time.Minute), health.KindSamples)) != 0 {
		t.Error("without new samples there are reports")
	}
	in.now = eu.now
	for _, d := range []*driver{eu, in} {
		if e := d.estimated("eu"); e.From != "distance" {
			t.Errorf("%s: estimate %+v within the epoch, want the distance's", d.cfg.Name, e)
		}
		asked := false
		for until := d.now.Add(rtt.EpochLength + time.Second); d.now.Before(until); asked = asked || d.out.Orders != nil {
			d.pass(time.Second)
		}
		if e := d.estimated("eu"); !asked || e.Samples != 5 || e.From != "DE" {
			t.Errorf("%s: estimate %+v in the next epoch, new orders %v, want 5 samples of DE and true", d.cfg.Name, e, asked)
		}
	}
	if eu.estimated("eu") != in.estimated("eu") {
		t.Errorf("the gateway estimates %+v and another node %+v", eu.estimated("eu"), in.estimated("eu"))
	}
}

// Messages overtake each other, and only one of the two forms of a report counts.
func TestSamplesInBothFormsCountOnce(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		eu, in, _ := mesh(t)
		eu.sampled(5, 80)
		reports := kinds(eu.pass(30*time.Second), health.KindSamples)
		in.now = eu.now
		for _, i := range order {
			in.get(reports[i])
		}
		in.pass(rtt.EpochLength)
		if e := in.estimated("eu"); e.Samples != 5 {
			t.Errorf("in the order %v: %+v, want 5 samples", order, e)
		}
	}
}

func TestSamplesOfOthersAreRefused(t *testing.T) {
	eu, in, _ := mesh(t)
	eu.sampled(5, 80)
	reports := kinds(eu.pass(30*time.Second), health.KindSamples)
	_, _, body, _ := health.Open(reports[1].Bytes, func(health.NodeID, []byte, []byte) bool { return true })
	in.now = eu.now
	seal := func(origin health.NodeID, body []byte) []byte {
		return health.Seal(health.KindSamples, origin, body, testConfig(origin).Sign)
	}
	in.get(health.Message{Bytes: seal("us1", body)}) // which says that it is of eu
	in.get(health.Message{Bytes: seal("eu1", body[:12])})
	in.get(health.Message{Bytes: seal("eu1", append(slices.Clone(body[:16]), 0xff))})
	in.members["us1"].Roles = health.RoleDNS
	in.get(health.Message{Bytes: seal("us1", body)})
	if in.dropped["samples"] != 4 {
		t.Errorf("refused %v, want 4 reports", in.dropped)
	}
	in.get(health.Message{Bytes: seal("in1", body)})
	if in.pass(rtt.EpochLength); in.estimated("eu").From != "distance" {
		t.Errorf("a refused report is learnt from: %+v", in.estimated("eu"))
	}
}

// A gateway that restarts goes on with what it had measured, and tells it to whoever joins.
func TestSamplesOutliveARestart(t *testing.T) {
	eu, _, _ := mesh(t)
	eu.sampled(5, 80)
	eu.pass(5 * time.Minute)
	eu.Save(eu.now)
	eu.step()
	if _, ok := eu.disk[RecordSamples]; !ok {
		t.Fatal("nothing is saved at the end")
	}
	again := start(t, "eu1", eu.now, eu.disk[RecordIncarnation], eu.disk[RecordSamples])
	plan := testPlan(t)
	again.Compiled(plan, again.now)
	if n := len(kinds(again.pass(61*time.Second), health.KindSamples)); n != 2 {
		t.Fatalf("after a restart %d reports in a minute, want 2", n)
	}
	again.pass(rtt.EpochLength)
	if e := again.estimated("eu"); e.Samples != 5 {
		t.Errorf("after a restart it estimates by %+v, want 5 samples", e)
	}
	if n := len(kinds(again.pass(2*time.Minute), health.KindSamples)); n != 0 {
		t.Errorf("%d reports with nothing new", n)
	}
	again.meet("in1")
	if n := len(kinds(again.pass(61*time.Second), health.KindSamples)); n != 2 {
		t.Errorf("%d reports in the minute after another node joined, want 2", n)
	}
	for _, damaged := range [][]byte{nil, {2}, {1, 9}, {1, 1, 7}, binary.AppendUvarint([]byte{1}, 1<<63)} {
		if d := start(t, "eu1", eu.now, Record{Name: RecordSamples, Data: damaged}); d.happened(health.EventRecovered) != 1 {
			t.Errorf("a record %x makes %d events, want 1", damaged, d.happened(health.EventRecovered))
		}
	}
}

// For whom there is no room is counted.
func TestForgottenSamplesAreCounted(t *testing.T) {
	eu, _, _ := mesh(t)
	eu.digest = rtt.NewDigest(2) // a prefix and the one around it
	eu.sampled(1, 80)
	eu.Sample([]rtt.Sample{{Prefix: netip.MustParsePrefix("5.9.9.0/24"), RTT: time.Millisecond, Count: 1}}, eu.now)
	var view *View
	for range 3 {
		if eu.pass(time.Second); eu.out.View != nil {
			view = eu.out.View
		}
	}
	if view == nil || view.Forgotten != 2 {
		t.Errorf("the view says %+v, want that 2 are forgotten", view)
	}
}

// A plan that was compiled by older orders than those last given out is compiled again by these.
func TestOrdersAreGivenOutAgain(t *testing.T) {
	eu, _, _ := mesh(t)
	plan := eu.plan
	eu.sampled(5, 80)
	eu.pass(2 * rtt.EpochLength)
	if eu.Compiled(plan, eu.now); eu.step().Orders == nil {
		t.Error("a plan by the orders from before is taken without a word")
	}
	newer, err := plan.World.Compile(plan.Table, eu.model.Orders())
	if err != nil {
		t.Fatal(err)
	}
	if eu.Compiled(newer, eu.now); eu.step().Orders != nil {
		t.Error("a plan by the newest orders is to be compiled again")
	}
}
