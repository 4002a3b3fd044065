package sim

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

// explained is an explanation as a host gave it.
type explained struct {
	host     *host
	past     *past
	at       time.Time
	question zones.Question
	text     string
	json     string
}

func explanationOf(t *testing.T, s *zones.Snapshot, q zones.Question) (text, asJSON string) {
	t.Helper()
	e, err := s.Explain(q)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return e.String(), string(b)
}

// Whatever happens to a mesh, the replay of a time explains every question just as it was explained at that time, to the last vote; and
// where a crash has torn something off, it says that it is not sure.
func TestReplayIsWhatWasExplained(t *testing.T) {
	runs := uint64(30)
	if testing.Short() {
		runs = 10
	}
	first, other := goodPlan(t, "seeds"), goodPlan(t, "changed")
	plans := map[health.Hash64]*zones.Plan{first.Digest: first, other.Digest: other}
	compared, unsure, segments := 0, 0, 0
	for seed := range runs {
		set := setting(t, seed)
		set.Plan, set.Past = first, true
		s := New(set)
		c := chaos{s, rand.New(rand.NewPCG(seed, 2)), other}
		rnd := rand.New(rand.NewPCG(seed, 3))
		var kept []explained
		for at := chaosFrom; at < chaosFor; at += time.Duration(c.rnd.Int64N(int64(2 * time.Second))) {
			s.RunUntil(at)
			for _, h := range s.hosts {
				if h.snapshot == nil || rnd.IntN(4) > 0 {
					continue
				}
				asked := s.check.questions(h.snapshot.Plan)
				q := asked[rnd.IntN(len(asked))]
				question := zones.Question{Name: q.name, Type: []uint16{dns.TypeA, dns.TypeAAAA}[q.family], Client: q.client, Random: rnd.Uint32()}
				text, asJSON := explanationOf(t, h.snapshot, question)
				kept = append(kept, explained{h, h.past, h.now(), question, text, asJSON})
			}
			if s.RunUntil(at + time.Microsecond); c.rnd.IntN(4) == 0 { // so that nothing else is published at the instant
				c.fault()
			}
		}
		for _, h := range s.hosts {
			if !h.up() && h.past != nil {
				h.past.start(h.now()) // who asks asks a node that runs
			}
		}
		for _, e := range kept {
			if e.past != e.host.past {
				continue // the disk was lost
			}
			f, err := e.past.find(e.at, e.host.now())
			if errors.Is(err, replay.ErrDamaged) {
				unsure++ // the first moment of all is torn
				continue
			}
			if err != nil {
				t.Fatalf("seed %d: %s at %v: %v", seed, e.host.name, e.at, err)
			}
			plan := plans[f.Moment.Basis.Plan]
			if plan == nil {
				t.Fatalf("seed %d: %s at %v: plan %v, which there is not", seed, e.host.name, e.at, f.Moment.Basis)
			}
			snapshot := f.Moment.Snapshot(plan)
			if snapshot.Digest != f.Moment.Digest {
				t.Fatalf("seed %d: %s at %v: snapshot %v, want %v", seed, e.host.name, e.at, snapshot.Digest, f.Moment.Digest)
			}
			text, asJSON := explanationOf(t, snapshot, e.question)
			if text == e.text && asJSON == e.json {
				compared++
				continue
			}
			if f.Broken.IsZero() {
				t.Fatalf("seed %d: %s at %v is explained\n%s\n%s\nand was\n%s\n%s", seed, e.host.name, e.at, text, asJSON, e.text, e.json)
			}
			unsure++
		}
		for _, h := range s.hosts {
			if h.past != nil {
				segments += len(h.past.segments)
			}
		}
	}
	t.Logf("%d explanations replayed as they were, %d differ and say that they may, from %d segments", compared, unsure, segments)
	if compared < int(runs)*100 || unsure > compared/10 || segments < int(runs)*5 {
		t.Errorf("%d explanations replayed as they were, %d not, from %d segments: want many, few and many", compared, unsure, segments)
	}
}
