package geo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The digest of a table has to stay what it was.
func TestAppendPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for range 2000 {
		p := Place{Continent: "EU", Country: "DE", Subdivision: "DE-BE", City: "Berlin", ASN: r.Uint32()}
		if r.IntN(2) == 0 {
			p.Located, p.At = true, Coordinates{math.Round((r.Float64()-0.5)*180e4) / 1e4, math.Round((r.Float64()-0.5)*360e4) / 1e4}
		}
		if got, want := string(appendPlace(nil, p)), fmt.Sprintf("%+v", p); got != want {
			t.Fatalf("appendPlace = %s, want %s", got, want)
		}
	}
}

// A place comes back as it was, whatever is in it, and each has one number.
func TestInterner(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 10))
	texts := []string{"", "A", "B", "AB", "\x00", "\xff", "Köln"}
	draw := func() string { return texts[r.IntN(len(texts))] }
	var b Builder
	numbers := map[Place]PlaceID{{}: Unknown}
	for range 5000 {
		p := Place{Continent: draw(), Country: draw(), Subdivision: draw(), City: draw(), ASN: r.Uint32N(2), Located: r.IntN(2) == 0}
		p.At = Coordinates{float64(r.IntN(3)-1) * 89.9999, float64(r.IntN(3)-1) / 3}
		id := b.Intern(p)
		if known, ok := numbers[p]; ok && known != id {
			t.Fatalf("%+v is %d and %d", p, known, id)
		}
		numbers[p] = id
	}
	table := b.Build()
	for p, id := range numbers {
		if got := table.Place(id); got != p {
			t.Errorf("place %d = %+v, want %+v", id, got, p)
		}
	}
	if table.Places() != len(numbers)+1 {
		t.Errorf("%d places, want %d and Special", table.Places(), len(numbers))
	}
}
