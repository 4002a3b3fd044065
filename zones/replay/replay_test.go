package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)

// told is all that a moment tells, as text.
func told(m *Moment) string {
	if m == nil {
		return "nothing"
	}
	var b strings.Builder
	fmt.Fprintln(&b, m.Published, m.Basis, m.Digest)
	for _, id := range m.Health.Checks() {
		fmt.Fprintf(&b, "%+v\n", m.Health.Status(id, health.Global))
	}
	if m.Control != nil {
		fmt.Fprintf(&b, "%s", m.Control.Steering().Encode())
	}
	fmt.Fprintf(&b, "%v", m.Spill.All())
	return b.String()
}

// draw draws the moment that follows another one.
func draw(rnd *rand.Rand, before *Moment, at time.Time) *Moment {
	m := &Moment{Published: at, Digest: health.Hash64(rnd.Uint64())}
	var statuses []health.Status
	if before != nil {
		m.Basis, m.Control, m.Spill = before.Basis, before.Control, before.Spill
		for _, id := range before.Health.Checks() {
			if s := before.Health.Status(id, health.Global); rnd.IntN(8) > 0 {
				statuses = append(statuses, s)
			}
		}
	}
	if before == nil || rnd.IntN(6) == 0 {
		m.Basis = Basis{health.Hash64(rnd.Uint64()), health.Hash64(rnd.Uint64()), health.Hash64(rnd.Uint64())}
	}
	switch rnd.IntN(8) {
	case 0:
		m.Control = nil
	case 1, 2, 3:
		m.Control = drawControl(rnd, m.Control, at)
	}
	switch rnd.IntN(6) {
	case 0:
		m.Spill = nil
	case 1, 2:
		m.Spill = zones.NewSpill([]zones.Kept{{Pool: "p", Member: fmt.Sprint("m", rnd.IntN(3)), PerMille: uint16(1 + rnd.IntN(999))}, {Pool: "q", Member: "x/y", PerMille: 500}})
	}
	for range rnd.IntN(4) {
		statuses = append(statuses, drawStatus(rnd, at))
	}
	m.Health = health.NewView(statuses)
	return m
}

func drawStatus(rnd *rand.Rand, at time.Time) health.Status {
	fact := func() bool { return rnd.IntN(2) == 0 }
	when := func() time.Time {
		if fact() {
			return time.Time{}
		}
		return at.Add(time.Duration(rnd.Int64N(int64(400*24*time.Hour))) - 300*24*time.Hour)
	}
	state := func() health.State { return health.State(rnd.IntN(4)) }
	s := health.Status{Check: health.CheckID(fmt.Sprintf("c/e%d/ipv4", rnd.IntN(12))), State: state(), Measured: state(), Held: fact(), HeldBack: fact(), Grace: fact(),
		Since: when(), Recovered: when(), Assigned: rnd.IntN(20), Fresh: rnd.IntN(20)}
	for r := range rnd.IntN(4) {
		vote := health.Vote{Region: geo.RegionID(fmt.Sprint("r", r)), State: state()}
		for v := range rnd.IntN(3) {
			vote.Vantages = append(vote.Vantages, health.Opinion{Vantage: health.NodeID(fmt.Sprint("r", r, "-", v)), State: state(), Reason: health.Reason(rnd.IntN(11)),
				Fresh: fact(), Near: fact(), Stale: []string{"", "no heartbeat", "no verdict"}[rnd.IntN(3)]})
		}
		s.Regions = append(s.Regions, vote)
	}
	if fact() {
		s.Damped, s.Shadow, s.Hold = fact(), fact(), []health.Hold{health.HoldNone, health.HoldMass}[rnd.IntN(2)]
		s.Quorum = []health.Quorum{{}, {Preset: health.QuorumRoute53}, {Preset: health.QuorumCount, Regions: 3}}[rnd.IntN(3)]
		for i := range rnd.IntN(3) {
			s.Terms = append(s.Terms, health.TermState{Check: health.CheckID(fmt.Sprint("t", i)), State: state(), Invert: fact(), Veto: fact(), Shadow: fact()})
		}
	}
	return s
}

func drawControl(rnd *rand.Rand, s *control.State, at time.Time) *control.State {
	if s == nil {
		panel := control.Panel{Name: "p"}
		for i := range 5 {
			panel.Controls = append(panel.Controls, control.NewControl{Name: control.ControlID(fmt.Sprint("k", i))})
		}
		s, _ = control.New(1).Apply(1, control.Command{Kind: control.KindDefine, Time: at, Actor: "a", Reason: "first",
			Definitions: &control.Definitions{Panels: []control.Panel{panel}}})
	}
	c := control.Command{Kind: control.KindSet, Time: at, Actor: "a", Reason: fmt.Sprint("because ", rnd.IntN(3)), Switches: []control.Switch{
		{Control: control.ControlID(fmt.Sprint("k", rnd.IntN(5))), On: rnd.IntN(2) == 0}}}
	next, _ := s.Apply(s.Index+1+rnd.Uint64N(3), c)
	return next
}

// What is written is read again, to the last vote; and nothing is known of a moment before it was.
func TestMomentsComeBack(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := NewWriter(noon, time.Time{}, 1+rnd.IntN(20_000))
		var segments [][]byte
		var moments [][]*Moment
		var last *Moment
		at := noon
		for range 40 {
			at = at.Add(time.Duration(rnd.Int64N(int64(time.Minute))))
			m := draw(rnd, last, at)
			b, begins, err := w.Moment(nil, m, 0)
			if err != nil {
				t.Fatal(err)
			}
			if begins {
				segments, moments = append(segments, nil), append(moments, nil)
			}
			n := len(segments) - 1
			segments[n], moments[n] = append(segments[n], b...), append(moments[n], m)
			last = m
		}
		for i, segment := range segments {
			r, err := NewReader(bytes.NewReader(segment), time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			if h := r.Head(); !h.Run.Equal(noon) || !h.First.Equal(moments[i][0].Published) || i > 0 && h.After.Before(moments[i-1][0].Published) {
				t.Fatalf("seed %d: head %+v of a segment that begins with %v", seed, h, moments[i][0].Published)
			}
			var before *Moment
			for _, want := range moments[i] {
				e, err := r.Next()
				if err != nil || e.Kind != Published || !e.At.Equal(want.Published) {
					t.Fatalf("seed %d: Next() = %+v, %v, want the moment of %v", seed, e, err, want.Published)
				}
				if got, err := r.Moment(); told(got) != told(before) || err != nil {
					t.Fatalf("seed %d: Moment() = %v\n%s\nwant\n%s", seed, err, told(got), told(before))
				}
				before = want
			}
			if _, err := r.Next(); err != io.EOF {
				t.Fatalf("seed %d: Next() = %v, want io.EOF", seed, err)
			}
			if got, err := r.Moment(); told(got) != told(before) || err != nil {
				t.Fatalf("seed %d: Moment() at the end = %v\n%s\nwant\n%s", seed, err, told(got), told(before))
			}
		}
		if len(segments) == 1 && seed == 0 {
			t.Error("no segment was full")
		}
	}
}

// Every field of what a moment is made of is one that the codec writes; a new one must be added to it.
func TestFieldsAreKnown(t *testing.T) {
	for _, tt := range []struct {
		of   reflect.Type
		want string
	}{
		{reflect.TypeFor[health.Status](), "Check State Measured Quorum Held Hold HeldBack Damped Shadow Grace Since Recovered Assigned Fresh Regions Terms"},
		{reflect.TypeFor[health.Vote](), "Region State Vantages"},
		{reflect.TypeFor[health.Opinion](), "Vantage State Reason Fresh Near Stale"},
		{reflect.TypeFor[Moment](), "Published Basis Health Control Spill Digest"},
		{reflect.TypeFor[Basis](), "World Places Plan"},
	} {
		var have []string
		for _, f := range reflect.VisibleFields(tt.of) {
			have = append(have, f.Name)
		}
		if got := strings.Join(have, " "); got != tt.want {
			t.Errorf("%v has fields %s, the codec knows %s", tt.of, got, tt.want)
		}
	}
}

// some is a segment with all kinds of records, and the moments in it with the lengths of the segment up to them.
func some(t *testing.T) (segment []byte, moments []*Moment, ends []int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 7))
	w := NewWriter(noon, noon.Add(-time.Minute), 1<<20)
	var last *Moment
	for i := range 8 {
		at := noon.Add(time.Duration(i) * time.Second)
		last = draw(rnd, last, at)
		var err error
		if segment, _, err = w.Moment(segment, last, uint64(i)); err != nil {
			t.Fatal(err)
		}
		moments, ends = append(moments, last), append(ends, len(segment))
		segment, _, _ = w.Alive(segment, at.Add(time.Millisecond))
	}
	segment, _, err := w.Ended(segment, noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return segment, moments, ends
}

// readAll reads as far as that goes, and returns the last moment.
func readAll(segment []byte) (*Moment, error) {
	r, err := NewReader(bytes.NewReader(segment), time.UTC)
	for err == nil {
		_, err = r.Next()
	}
	if r == nil {
		return nil, err
	}
	m, damage := r.Moment()
	if damage != nil {
		err = damage
	}
	return m, err
}

// However a segment is cut, what stands before the cut is read, and nothing else.
func TestCutAnywhere(t *testing.T) {
	segment, moments, ends := some(t)
	for n := range segment {
		var want *Moment
		for i, end := range ends {
			if end <= n {
				want = moments[i]
			}
		}
		got, err := readAll(segment[:n])
		if err != io.EOF && !errors.Is(err, ErrDamaged) || told(got) != told(want) {
			t.Fatalf("cut at byte %d of %d: %v\n%s\nwant\n%s", n, len(segment), err, told(got), told(want))
		}
	}
}

// Whatever byte is damaged, what is read is what was written up to some moment.
func TestDamageAnywhere(t *testing.T) {
	segment, moments, ends := some(t)
	for n := range segment {
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := slices.Clone(segment)
			damaged[n] ^= flip
			var want *Moment
			for i, end := range ends {
				if end <= n {
					want = moments[i]
				}
			}
			got, err := readAll(damaged)
			if !errors.Is(err, ErrDamaged) || told(got) != told(want) {
				t.Fatalf("byte %d of %d xor %#x: %v\n%s\nwant\n%s", n, len(segment), flip, err, told(got), told(want))
			}
		}
	}
}

// A moment that is too large for a record is not written, and what follows is whole.
func TestTooLarge(t *testing.T) {
	statuses := []health.Status{{Check: "c", Regions: []health.Vote{{Vantages: []health.Opinion{{Stale: strings.Repeat("x", maxRecord)}}}}}}
	w := NewWriter(noon, time.Time{}, 1<<20)
	b, _, err := w.Moment([]byte("before"), &Moment{Published: noon, Health: health.NewView(statuses)}, 0)
	if !errors.Is(err, ErrTooLarge) || string(b) != "before" {
		t.Fatalf("Moment = %d bytes, %v, want %v", len(b), err, ErrTooLarge)
	}
	small := &Moment{Published: noon, Health: &health.View{}}
	b, begins, err := w.Moment(nil, small, 1)
	if got, _ := readAll(b); !begins || err != nil || told(got) != told(small) {
		t.Errorf("the next Moment = %v, %v\n%s\nwant the beginning of a segment with\n%s", begins, err, told(got), told(small))
	}
}

// beforeSpills is a segment of two moments as it was written before members could be full.
const beforeSpills = "meridian past v1\n\x00\x00\x00\x10\xcd\x8e\xf7k\x01\x81\x85\xb1\x93\xdc\x03{\x00\x81\x85\xb1\x93\xdc\x03{\x00\x00\x00=\xee\xa3O\f\x02\x01{\x00\x01{\x00\x00\x00\x00\x00\x00\x00\x04\x05" +
	"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x00\x01\x00\bc/a/ipv4\x01\x00\x00\xa08{\x00\x03\x02\x00" +
	"\x00\x00\x00\x1c\x86dI\x86\x02y{\x00\x01{\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x01\x00\x02\x00\x00\x989{\x00\x03\x02\x00"

// Segments without a spill are written, and read, as they were before there were any.
func TestBeforeSpills(t *testing.T) {
	w := NewWriter(noon, time.Time{}, 1<<20)
	status := health.Status{Check: "c/a/ipv4", Since: noon.Add(-time.Hour), Assigned: 3, Fresh: 2}
	var written []byte
	var last *Moment
	for i, state := range []health.State{health.Up, health.Down} {
		status.State = state
		last = &Moment{Published: noon.Add(time.Duration(i) * time.Minute), Basis: Basis{1, 2, 3}, Health: health.NewView([]health.Status{status}), Digest: 4}
		var err error
		if written, _, err = w.Moment(written, last, 0); err != nil {
			t.Fatal(err)
		}
	}
	if string(written) != beforeSpills {
		t.Errorf("written is\n%q\nand was\n%q", written, beforeSpills)
	}
	if got, err := readAll([]byte(beforeSpills)); err != io.EOF || told(got) != told(last) || got.Spill != nil {
		t.Errorf("read is %v\n%s\nwant\n%s", err, told(got), told(last))
	}
}

func TestVersion(t *testing.T) {
	segment, _, _ := some(t)
	copy(segment, "meridian past v2\n")
	if _, err := NewReader(bytes.NewReader(segment), time.UTC); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "v1") {
		t.Errorf("NewReader of version 2: %v, want that it does not begin with v1", err)
	}
}

func TestPremise(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 12, 0, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		name      string
		published time.Time
		want      string
	}{
		{"on the same day", at.Add(-1500 * time.Millisecond).UTC(), "replay of 2026-03-01T00:12:00+01:00: in force since 00:11:58.5"},
		{"on the day before, where the asker is", at.Add(-20 * time.Minute).UTC(), "replay of 2026-03-01T00:12:00+01:00: in force since 2026-02-28T23:52:00+01:00"},
	} {
		if got := Premise(at, tt.published); got != tt.want {
			t.Errorf("%s: Premise = %s, want %s", tt.name, got, tt.want)
		}
	}
}
