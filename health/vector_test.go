package health

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A speaker is a vantage as the protocol wants it: it numbers its changes, and forgets everything in a restart.
type speaker struct {
	incarnation, sequence uint64
	records               map[uint64]Record
	said                  []*Batch // all that it ever sent
}

func (s *speaker) restart() {
	s.incarnation, s.sequence, s.records = s.incarnation+1, 0, make(map[uint64]Record)
}

// change says something of a check; Unknown withdraws.
func (s *speaker) change(check uint64, state State) {
	s.sequence++
	r := Record{Check: check, Definition: uint32(check), State: state, Sequence: s.sequence}
	if state == Unknown {
		delete(s.records, check)
	} else {
		s.records[check] = r
	}
	s.said = append(s.said, &Batch{Origin: "v", Incarnation: s.incarnation, Sequence: s.sequence, Records: []Record{r}})
}

// everything is a full batch.
func (s *speaker) everything() *Batch {
	return &Batch{Origin: "v", Incarnation: s.incarnation, Sequence: s.sequence, Full: true, Records: s.published()}
}

func (s *speaker) published() []Record {
	return slices.SortedFunc(maps.Values(s.records), func(a, b Record) int { return int(a.Sequence) - int(b.Sequence) })
}

func drawSpeaker(t *rapid.T) *speaker {
	s := &speaker{}
	s.restart()
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		switch rapid.IntRange(0, 9).Draw(t, "step") {
		case 0:
			s.restart()
		case 1, 2:
			s.said = append(s.said, s.everything())
		default:
			s.change(rapid.Uint64Range(1, 5).Draw(t, "check"), rapid.SampledFrom([]State{Unknown, Up, Down, Drain}).Draw(t, "state"))
		}
	}
	return s
}

// show is all of a vector that merging decides.
func (v *vector) show() string {
	return fmt.Sprint(v.incarnation, v.complete, v.latest, v.digest, v.since(0))
}

func merged(batches []*Batch) *vector {
	v := &vector{}
	v.reset(0)
	for _, b := range batches {
		v.merge(b)
	}
	return v
}

// Batches may come in any order, twice, in groups, and some not at all: who has the same ones knows the same.
func TestMergeIsOrderFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpeaker(t)
		some := rapid.Permutation(s.said).Draw(t, "order")[:rapid.IntRange(0, len(s.said)).Draw(t, "lost")]
		again := slices.Concat(some, some)
		want := merged(some).show()
		if got := merged(rapid.Permutation(again).Draw(t, "order again")).show(); got != want {
			t.Fatalf("%v merged again and in another order: %s, want %s", some, got, want)
		}
	})
}

// Whatever came before, everything that a vantage says last makes a table know just that.
func TestFullBatchCompletes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpeaker(t)
		some := rapid.Permutation(s.said).Draw(t, "order")[:rapid.IntRange(0, len(s.said)).Draw(t, "lost")]
		v := merged(append(slices.Clone(some), s.everything()))
		if got, want := fmt.Sprint(v.published()), fmt.Sprint(s.published()); got != want || v.latest != s.sequence {
			t.Fatalf("%v and everything = %s up to %d, want %s up to %d", some, got, v.latest, want, s.sequence)
		}
	})
}

// Two vectors with the same digest hold the same verdicts, and the digest is that of the verdicts alone.
func TestDigestIsOfWhatIsPublished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpeaker(t)
		a, b := merged(s.said), merged([]*Batch{s.everything()})
		if same := fmt.Sprint(a.published()) == fmt.Sprint(b.published()); a.incarnation == b.incarnation && same != (a.digest == b.digest) {
			t.Fatalf("digests %x of %v and %x of %v", a.digest, a.published(), b.digest, b.published())
		}
	})
}

// Each row is merged on top of those before it.
func TestMergeTimeline(t *testing.T) {
	record := func(check uint64, state State, sequence uint64) Record {
		return Record{Check: check, Definition: 1, State: state, Sequence: sequence}
	}
	v := merged(nil)
	for _, c := range []struct {
		name  string
		batch Batch
		want  string // check:state@sequence of what is published
	}{
		{"a first change", Batch{Incarnation: 1, Sequence: 1, Records: []Record{record(1, Up, 1)}}, "1:up@1"},
		{"another overtakes the one between", Batch{Incarnation: 1, Sequence: 3, Records: []Record{record(1, Down, 3)}}, "1:down@3"},
		{"the late one is of another check", Batch{Incarnation: 1, Sequence: 2, Records: []Record{record(2, Up, 2)}}, "2:up@2 1:down@3"},
		{"a replay", Batch{Incarnation: 1, Sequence: 1, Records: []Record{record(1, Up, 1)}}, "2:up@2 1:down@3"},
		{"a withdrawal", Batch{Incarnation: 1, Sequence: 4, Records: []Record{record(2, Unknown, 4)}}, "1:down@3"},
		{"what was withdrawn comes late", Batch{Incarnation: 1, Sequence: 2, Records: []Record{record(2, Up, 2)}}, "1:down@3"},
		{"everything, of before: it does not undo what came after", Batch{Incarnation: 1, Sequence: 2, Full: true, Records: []Record{record(2, Up, 2)}}, "1:down@3"},
		{"everything, of now: what is not in it is gone", Batch{Incarnation: 1, Sequence: 6, Full: true, Records: []Record{record(3, Up, 5)}}, "3:up@5"},
		{"a change that everything knew of", Batch{Incarnation: 1, Sequence: 3, Records: []Record{record(1, Down, 3)}}, "3:up@5"},
		{"a restart forgets", Batch{Incarnation: 2, Sequence: 1, Records: []Record{record(4, Up, 1)}}, "4:up@1"},
		{"the former life counts no more", Batch{Incarnation: 1, Sequence: 9, Records: []Record{record(1, Up, 9)}}, "4:up@1"},
		{"nor everything of it", Batch{Incarnation: 1, Sequence: 9, Full: true, Records: []Record{record(1, Up, 9)}}, "4:up@1"},
		{"a heartbeat of a new life forgets, too", Batch{Incarnation: 3}, ""},
	} {
		v.merge(&c.batch)
		got := ""
		for _, r := range v.published() {
			got += fmt.Sprintf(" %d:%v@%d", r.Check, r.State, r.Sequence)
		}
		if got != "" {
			got = got[1:]
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	v, n := merged(nil), uint64(0)
	for range 1000 {
		n++
		v.merge(&Batch{Incarnation: 1, Sequence: n, Records: []Record{{Check: n, State: Up, Sequence: n}}})
	}
	for b.Loop() {
		n++
		v.merge(&Batch{Incarnation: 1, Sequence: n, Records: []Record{{Check: 1 + rnd.Uint64N(1000), State: State(1 + n%2), Sequence: n}}})
	}
}
