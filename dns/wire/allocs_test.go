//go:build !race

package wire_test

import (
	"math/rand/v2"
	"testing"

	"github.com/meridian-gslb/meridian/dns/wire"
)

// The race detector allocates, so that this can't be counted under it.
func TestAnswerAllocatesNothing(t *testing.T) {
	s, id := reporting(t), identity(t)
	buffer, scratch := make([]byte, 0, wire.MaxMessage), new(wire.Scratch)
	for seed := range uint64(2_000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		q, from := randomQuery(rnd, s.Plan.World)
		query, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		r := randomRequest(rnd, query, from)
		r.Scratch = scratch
		allocs := testing.AllocsPerRun(1, func() { wire.Answer(buffer, s, id, r) })
		if allocs != 0 {
			t.Fatalf("seed %d: Answer allocates %v times for %v", seed, allocs, q)
		}
	}
}
