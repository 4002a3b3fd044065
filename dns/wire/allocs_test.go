//go:build !race

package wire_test

import (
	"math/rand/v2"
	"testing"

	"github.com/miekg/dns"

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

// A name that exists for a challenge below it alone is found without an allocation too, and so is one that does not exist beside it.
func TestAnswerAboveChallengeAllocatesNothing(t *testing.T) {
	s := challenged(t)
	buffer, scratch := make([]byte, 0, wire.MaxMessage), new(wire.Scratch)
	for _, name := range []string{"_acme-challenge.deep.hollow.example.com.", "deep.hollow.example.com.", "x.hollow.example.com."} {
		r := &wire.Request{Query: asked(t, name, dns.TypeA), Source: european, Limit: wire.MaxMessage, Scratch: scratch}
		if allocs := testing.AllocsPerRun(10, func() { wire.Answer(buffer, s, nil, r) }); allocs != 0 {
			t.Errorf("Answer allocates %v times for %s", allocs, name)
		}
	}
}
