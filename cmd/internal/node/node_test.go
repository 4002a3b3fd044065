package node

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// mesh is a node of eu that knows its world and two vantages, and the two.
func mesh(t *testing.T) (eu, in, us *driver) {
	t.Helper()
	plan := testPlan(t)
	names := []health.NodeID{"eu1", "in1", "us1"}
	for i, d := range []**driver{&eu, &in, &us} {
		*d = start(t, names[i], testEpoch)
		(*d).meet(names...)
		(*d).Compiled(plan, testEpoch)
		(*d).step()
	}
	return eu, in, us
}

func TestIncarnationIsPersistedFirst(t *testing.T) {
	d := start(t, "eu1", testEpoch)
	first := d.out
	if len(first.Persist) == 0 || first.Persist[0].Name != RecordIncarnation || !first.Persist[0].Sync || len(first.Messages) == 0 {
		t.Fatalf("Ready = %+v, want the incarnation synced before a first message", first)
	}
	for _, c := range []struct {
		name  string
		after time.Duration // of the clock
	}{
		{"it starts later", time.Minute}, {"it starts in the same instant", 0}, {"its clock has gone back", -time.Hour},
	} {
		before := d.incarnation
		d.now = d.now.Add(c.after)
		if d = d.restart(); d.incarnation <= before {
			t.Errorf("%s: incarnation %d after %d", c.name, d.incarnation, before)
		}
	}
}

// A node that lost its disk must not go by a number of its former self: peers would take its new verdicts for old ones,
// or the old ones, that some still pass on, for its own.
func TestLostDiskIsAnotherIncarnation(t *testing.T) {
	before := start(t, "eu1", testEpoch)
	after := start(t, "eu1", testEpoch.Add(time.Second))
	if after.incarnation <= before.incarnation {
		t.Errorf("without its disk it is incarnation %d, and was %d", after.incarnation, before.incarnation)
	}
}

// A node that lost its disk and its clock learns from its peers how far it had come, and jumps past it.
func TestJumpPastWhatPeersRemember(t *testing.T) {
	eu, in, _ := mesh(t)
	in.get(eu.observe(health.ReasonOK).Messages...)
	in.get(eu.pass(5 * time.Second)...)

	young := start(t, "eu1", testEpoch.Add(-time.Hour))
	young.meet("in1", "us1")
	young.now, in.now = in.now.Add(time.Minute), in.now.Add(time.Minute)
	young.Tick(young.now)
	reminder := in.get(young.step().Messages...).Messages
	if len(reminder) == 0 || reminder[0].To != "eu1" {
		t.Fatalf("to a heartbeat of a former life a peer sends %v, want a reminder", reminder)
	}
	out := young.get(reminder...)
	if young.incarnation != eu.incarnation+1 || young.happened(health.EventRecovered) != 1 {
		t.Errorf("reminded of incarnation %d it goes on as %d, with %d events, want one past it and one", eu.incarnation, young.incarnation, young.happened(health.EventRecovered))
	}
	if len(out.Persist) == 0 || out.Persist[0].Name != RecordIncarnation || !out.Persist[0].Sync || len(kinds(out.Messages, health.KindHeartbeat)) != 1 {
		t.Errorf("reminded, Ready = %+v, want the incarnation synced and a heartbeat", out)
	}
	if in.get(out.Messages...); in.members["eu1"].heartbeat.Incarnation != young.incarnation {
		t.Errorf("the peer goes by incarnation %d, want %d", in.members["eu1"].heartbeat.Incarnation, young.incarnation)
	}
}

// Who misses verdicts asks for them: twice the vantage itself, then the others in turn.
func TestPull(t *testing.T) {
	eu, in, us := mesh(t)
	changes := eu.observe(health.ReasonOK).Messages // in1 gets none of them
	us.get(changes...)
	var asked []health.NodeID
	for range 4 {
		heartbeats := kinds(eu.pass(time.Second), health.KindHeartbeat)
		in.now = eu.now
		for _, m := range kinds(in.get(heartbeats...).Messages, health.KindPull) {
			asked = append(asked, m.To)
			if m.To == "us1" {
				us.now = eu.now
				in.get(us.get(m).Messages...)
			}
		}
	}
	if len(asked) < 3 || asked[0] != "eu1" || asked[1] != "eu1" || asked[2] != "us1" {
		t.Fatalf("asked %v, want eu1, eu1 and then us1", asked)
	}
	for _, want := range []string{"eu1", "in1", "us1"} {
		if r, known := in.table.Record("eu1", health.CheckID("api/"+want+"/ipv4").Key()); !known || r.State != health.Up {
			t.Errorf("after us1 passed them on, eu1's verdict on %s is %v, %v, want up", want, r.State, known)
		}
	}
	if len(asked) > 3 {
		t.Errorf("asked %v, want nobody more once it has them", asked)
	}
}

// Who still misses verdicts after pulls for ten seconds exchanges everything with the others in turn, each half minute, until it has them.
func TestExchangeIsTheLastResort(t *testing.T) {
	eu, in, us := mesh(t)
	lost := eu.observe(health.ReasonOK).Messages
	us.get(lost...)
	began := eu.now
	type ask struct {
		after time.Duration
		with  health.NodeID
	}
	var asks []ask
	beat := func(seconds int) {
		for range seconds {
			heartbeats := kinds(eu.pass(time.Second), health.KindHeartbeat)
			eu.observe(health.ReasonOK) // or it would withdraw what it said
			in.now = eu.now
			if with := in.get(heartbeats...).Exchange; with != "" {
				asks = append(asks, ask{eu.now.Sub(began), with})
			}
		}
	}
	beat(80)
	want := []ask{{11 * time.Second, "us1"}, {41 * time.Second, "eu1"}, {71 * time.Second, "us1"}}
	if !slices.Equal(asks, want) {
		t.Errorf("asked for exchanges %v, want %v", asks, want)
	}
	for _, m := range us.pushPull() {
		in.Receive(m, in.now, in.now)
	}
	asks = nil
	beat(80)
	if len(asks) > 0 {
		t.Errorf("asked for exchanges %v once it had them, want none", asks)
	}
}

// What comes twice must not push later changes out of what is kept for others.
func TestRelayKeepsEachChangeOnce(t *testing.T) {
	eu, in, us := mesh(t)
	first := kinds(eu.observe(health.ReasonOK).Messages, health.KindVerdicts)
	for range 2 * maxChanges {
		us.get(first...)
	}
	for range 3 {
		eu.now = eu.now.Add(time.Millisecond)
		second := kinds(eu.observe(health.ReasonRefused).Messages, health.KindVerdicts)
		us.get(second...)
		us.get(first...) // late again
	}
	pull := health.Pull{Of: "eu1"}
	in.send("us1", health.KindPull, pull.Append(nil))
	in.get(us.get(in.step().Messages...).Messages...)
	if _, _, got := in.table.Vector("eu1"); got == 0 {
		t.Fatal("nothing was passed on")
	} else if _, _, want := eu.table.Vector("eu1"); got != want {
		t.Errorf("what us1 passed on has digest %x, want %x", got, want)
	}
}

// What others pass on is mostly known, or older than what is: a signature is checked once. What claims to be newer is checked.
func TestKnownMessagesCostNoSignature(t *testing.T) {
	eu, _, us := mesh(t)
	checked := 0
	verify := us.cfg.Verify
	us.cfg.Verify = func(key [32]byte, message, signature []byte) bool { checked++; return verify(key, message, signature) }
	first := kinds(eu.observe(health.ReasonOK).Messages, health.KindVerdicts)
	eu.pass(fullEvery)
	full := kinds(eu.pass(fullEvery), health.KindVerdicts)[0]
	for range 10 {
		us.get(first...)
	}
	if checked != len(first) || us.dropped["again"] != 9 {
		t.Errorf("%d signatures of %d messages checked, which came 10 times", checked, len(first))
	}
	us.get(full)
	checked = 0
	us.get(full)
	if checked != 0 {
		t.Errorf("%d signatures checked of what is kept in full", checked)
	}
	us.dropped["again"] = 0
	us.get(first...)
	if checked != 0 || us.dropped["again"] != uint64(len(first)) {
		t.Errorf("%d signatures checked of changes that were before what is kept in full, %v dropped, want none and %d", checked, us.dropped, len(first))
	}
	newer := kinds(eu.observe(health.ReasonRefused).Messages, health.KindVerdicts)[0]
	forged := slices.Clone(newer.Bytes)
	forged[len(forged)-1] ^= 1
	us.get(health.Message{Bytes: forged})
	if checked != 1 || us.dropped["message"] != 1 {
		t.Errorf("%d signatures of a forgery checked, %v dropped, want 1 of each", checked, us.dropped)
	}

	us.table.SetVantages(nil) // and the table forgets what it knew
	us.table.SetVantages(us.vantages())
	us.get(full)
	if _, sequence, _ := us.table.Vector("eu1"); sequence == 0 {
		t.Error("verdicts are taken for known that the table has forgotten")
	}
}

// A heartbeat counts once: played again, it keeps nothing fresh.
func TestReplayedHeartbeat(t *testing.T) {
	eu, in, us := mesh(t)
	for _, d := range []*driver{eu, in} {
		us.get(d.observe(health.ReasonOK).Messages...)
	}
	us.observe(health.ReasonOK)
	var replay []health.Message
	for range 3 {
		for _, d := range []*driver{eu, in} {
			replay = append(replay, kinds(d.pass(time.Second), health.KindHeartbeat)...)
		}
		us.now = eu.now
		us.get(replay...)
	}
	if s := us.status("eu1"); s.Fresh != 3 || s.State != health.Up {
		t.Fatalf("with heartbeats it is %v by %d fresh, want up by 3", s.State, s.Fresh)
	}
	for range 18 {
		us.pass(time.Second)
		us.get(replay...)
	}
	if got := us.dropped[droppedOld]; got != 18*uint64(len(replay))+6 {
		t.Errorf("%d messages counted as old, want each of %d 18 times, and 6 of before", got, len(replay))
	}
	if s := us.status("eu1"); s.Fresh != 1 || !s.Held {
		t.Errorf("with nothing but replays it is held %v by %d fresh, want held by its own", s.Held, s.Fresh)
	}
}

// Statuses that change together are published together, and not more often than every 100 ms. A control does not wait.
func TestPublish(t *testing.T) {
	eu, in, us := mesh(t)
	first := eu.snapshot
	in.observe(health.ReasonOK)
	us.observe(health.ReasonOK)
	run(3*time.Second, eu, in, us)
	if eu.snapshot == first {
		t.Fatal("a first status publishes no snapshot")
	}
	if out := eu.observe(health.ReasonOK); out.Snapshot == nil {
		t.Fatal("a change long after a snapshot is not published at once")
	}
	eu.now = eu.now.Add(10 * time.Millisecond)
	if out := eu.observe(health.ReasonDrain); out.Snapshot != nil || !eu.stale || out.Wake.After(eu.lastPublish.Add(publishEvery)) {
		t.Errorf("a change 10 ms after a snapshot is published %v, and Wake = %v, want %v", out.Snapshot != nil, out.Wake, eu.lastPublish.Add(publishEvery))
	}
	eu.Controls(switched(t, eu.plan, "eu", false), eu.now)
	out := eu.step()
	if out.Snapshot == nil {
		t.Fatal("a control waits")
	}
	for _, r := range out.Persist {
		if r.Name == RecordControls && !r.Sync {
			t.Error("a control is written behind")
		}
	}
	if _, ok := eu.disk[RecordControls]; !ok {
		t.Error("a control is not persisted")
	}
	if eu.stale {
		t.Error("what waited is not in the control's snapshot")
	}
}

func TestControls(t *testing.T) {
	eu, _, _ := mesh(t)
	off, snapshot := switched(t, eu.plan, "eu", false), eu.snapshot
	eu.Controls(off, eu.now)
	eu.step()
	if eu.snapshot == snapshot || eu.happened(health.EventControl) != 1 {
		t.Errorf("a control that goes off makes %d events, want 1 and a snapshot", eu.happened(health.EventControl))
	}
	eu.Controls(off, eu.now)
	if out := eu.step(); out.Snapshot != nil || len(out.Persist) > 0 {
		t.Errorf("the same state again makes %+v, want nothing", out)
	}
	again := eu.restart()
	again.Compiled(eu.plan, again.now)
	if again.step(); again.snapshot.Control.On("eu") {
		t.Error("after a restart the control is on")
	}
}

// A verdict is taken back when its probes have stopped ending.
func TestSilentProbes(t *testing.T) {
	eu, _, _ := mesh(t)
	eu.observe(health.ReasonOK)
	key := health.CheckID("api/us1/ipv4").Key()
	for after, want := range map[time.Duration]bool{29 * time.Second: true} {
		eu.pass(after)
		if _, known := eu.table.Record("eu1", key); known != want {
			t.Errorf("%v after the last probe its verdict stands: %v, want %v", after, known, want)
		}
	}
	sent := eu.pass(3 * time.Second)
	if _, known := eu.table.Record("eu1", key); known || len(kinds(sent, health.KindVerdicts)) == 0 {
		t.Errorf("32 s after the last probe its verdict stands: %v, and %d messages said so", known, len(kinds(sent, health.KindVerdicts)))
	}
	eu.observe(health.ReasonOK)
	if _, known := eu.table.Record("eu1", key); !known {
		t.Error("when probes end again there is no verdict")
	}
}

// Results of what is no longer assigned, or of another definition, are ignored.
func TestStrangeResults(t *testing.T) {
	eu, _, _ := mesh(t)
	target := eu.voice.probes.Targets[0]
	eu.Observe(health.Result{Check: target.ID, Definition: target.Digest() + 1, Reason: health.ReasonOK}, eu.now)
	eu.Observe(health.Result{Check: "api/other/ipv4", Reason: health.ReasonOK}, eu.now)
	if out := eu.step(); len(out.Messages) > 0 || eu.voice.sequence != 0 {
		t.Errorf("strange results make %+v, want nothing", out)
	}
}

// Statuses come back after a restart, held; and a node whose world does not compile does not forget them.
func TestStatusesOnDisk(t *testing.T) {
	eu, in, us := mesh(t)
	in.observe(health.ReasonOK) // what was never up under a definition is not believed to be down
	us.observe(health.ReasonOK)
	run(3*time.Second, eu, in, us)
	for range 3 {
		in.observe(health.ReasonRefused)
		us.observe(health.ReasonRefused)
	}
	run(8*time.Second, eu, in, us)
	if s := eu.status("us1"); s.State != health.Down {
		t.Fatalf("it is %v, want down", s.State)
	}
	eu = eu.restart()
	eu.pass(6 * time.Second)
	eu = eu.restart()
	eu.Compiled(testPlan(t), eu.now)
	eu.step()
	if s := eu.status("us1"); s.State != health.Down || !s.Held {
		t.Errorf("after restarts with and without a world it is %v, held %v, want down, held", s.State, s.Held)
	}
	if eu.happened(health.EventRecovered) != 0 || eu.happened(health.EventStatus) != 0 {
		t.Errorf("journal %+v, want nothing recovered and no change of status", eu.seen)
	}
}

// A damaged record is said, and taken as missing.
func TestDamagedRecords(t *testing.T) {
	for _, r := range []Record{
		{Name: RecordIncarnation, Data: []byte("short")},
		{Name: RecordControls, Data: []byte("{")},
		{Name: RecordStatuses, Data: []byte(`[{"state": "sideways"}]`)},
		{Name: RecordMembers, Data: []byte(`[{"node": "in1", "roles": ["cook"]}]`)},
		{Name: "notes", Data: nil},
	} {
		d := start(t, "eu1", testEpoch, r)
		if d.happened(health.EventRecovered) != 1 || !strings.Contains(d.seen[0].Text, "can't be read") {
			t.Errorf("a damaged record of %s makes %+v, want one event", r.Name, d.seen)
		}
	}
}

// Garbage is counted, is one event a reason, and changes nothing. What strangers say is counted.
func TestDrops(t *testing.T) {
	eu, in, _ := mesh(t)
	good := in.pass(time.Second)[0]
	for range 3 {
		for i := range good.Bytes {
			damaged := append([]byte(nil), good.Bytes...)
			damaged[i] ^= 0x40
			eu.get(health.Message{Bytes: damaged})
		}
	}
	eu.get(health.Message{Bytes: nil}, health.Message{Bytes: health.Seal(99, "in1", nil, in.cfg.Sign)},
		health.Message{Bytes: health.Seal(health.KindVerdicts, "in1", []byte("?"), in.cfg.Sign)},
		health.Message{Bytes: health.Seal(health.KindHeartbeat, "zz9", nil, testConfig("zz9").Sign)})
	if eu.happened(health.EventDropped) != 3 {
		t.Errorf("garbage made %d events, want one for each of 3 reasons: %+v", eu.happened(health.EventDropped), eu.dropped)
	}
	total := uint64(0)
	for _, n := range eu.dropped {
		total += n
	}
	if want := uint64(3*len(good.Bytes) + 4); total != want {
		t.Errorf("counted %v, want %d in all", eu.dropped, want)
	}
	if eu.members["in1"].heartbeat != nil {
		t.Error("a damaged heartbeat was taken")
	}
}

func TestRefused(t *testing.T) {
	eu, _, _ := mesh(t)
	before := eu.snapshot
	eu.Refused(errors.New("world.yaml:3: no such thing"), eu.now)
	if out := eu.step(); out.Snapshot != nil || eu.snapshot != before || len(out.Events) != 1 || !strings.Contains(out.Events[0].Text, "world.yaml:3") {
		t.Errorf("a mistake makes %+v, want one event", out)
	}
}

// A member that is gone stays a vantage that is missed, for a day.
func TestMembers(t *testing.T) {
	eu, _, _ := mesh(t)
	eu.meet("us1")
	if eu.happened(health.EventMember) != 3 || len(eu.vantages()) != 3 {
		t.Errorf("%d events and %d vantages after one of two was lost, want 3 and 3", eu.happened(health.EventMember), len(eu.vantages()))
	}
	again := eu.restart()
	if len(again.vantages()) != 3 {
		t.Errorf("after a restart it knows %d vantages, want 3", len(again.vantages()))
	}
	eu.now = eu.now.Add(forgetAfter + time.Minute)
	eu.meet("us1")
	if len(eu.vantages()) != 2 {
		t.Errorf("a day later it knows %d vantages, want 2", len(eu.vantages()))
	}
}
