package geo

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"
)

// TestPartitionWithAgreesWithTwin: every address has the group that its place and its longest listed prefix make, as far as scopes
// may be cut; all addresses within a returned scope have it, scopes do not overlap, and none could be shorter.
func TestPartitionWithAgreesWithTwin(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		table, _, addrs := randomTable(t, r, 1+r.IntN(40))
		var listed []netip.Prefix
		for range r.IntN(12) {
			p := randomPrefix(r)
			listed = append(listed, p)
			addrs = append(addrs, p.Addr(), p.Addr().Prev(), lastOf(p), lastOf(p).Next())
		}
		o := NewOverlay(listed)
		group := func(place PlaceID, value uint32) GroupID {
			if value != 0 {
				return GroupID(100 + value%3) // lists that come to the same
			}
			return GroupID(place % 3)
		}
		p := table.PartitionWith(o, group)
		twin := func(a netip.Addr) GroupID {
			most := 24
			if a.Is6() {
				most = 56
			}
			block, _ := a.Prefix(most)
			place, value := table.Lookup(block.Addr()), longest(listed, a)
			if place == Special && value == 0 {
				return SpecialGroup
			}
			return group(place, value)
		}
		for _, a := range addrs {
			if !a.IsValid() {
				continue
			}
			if got, want := o.Find(a), longest(listed, a); got != want {
				t.Fatalf("seed %d: Find(%v) = %d, want %d", seed, a, got, want)
			}
		}
		checkScopes(t, seed, p, addrs, twin)
	}
}

// checkScopes looks every address up: its group is the twin's, all addresses within its scope are in that too, scopes do not overlap, and
// none could be shorter.
func checkScopes(t *testing.T, seed uint64, p *Partition, addrs []netip.Addr, twin func(netip.Addr) GroupID) {
	t.Helper()
	scopes := new(bart.Table[struct{}])
	for _, a := range addrs {
		if !a.IsValid() {
			continue
		}
		g, scope := p.Lookup(a)
		if want := twin(a); g != want {
			t.Fatalf("seed %d: group of %v = %d, want %d", seed, a, g, want)
		}
		around, _ := a.Prefix(scope)
		for _, b := range addrs {
			if b.IsValid() && b.Is4() == a.Is4() && around.Contains(b) && twin(b) != g {
				t.Fatalf("seed %d: %v has scope /%d, but %v in it is in group %d, not %d", seed, a, scope, b, twin(b), g)
			}
		}
		if wider, _ := a.Prefix(scope - 1); scope > 1 && !differsWithin(p, wider, g) {
			t.Fatalf("seed %d: %v has scope /%d, but /%d would do", seed, a, scope, scope-1)
		}
		if _, same := scopes.Get(around); !same && scopes.OverlapsPrefix(around) {
			t.Fatalf("seed %d: scope %v overlaps another", seed, around)
		}
		scopes.Insert(around, struct{}{})
	}
}

// longest returns the value of the longest prefix around an address; of equal ones the first counts.
func longest(listed []netip.Prefix, a netip.Addr) (value uint32) {
	bits := -1
	for i, p := range listed {
		if p.Contains(a) && p.Bits() > bits {
			value, bits = uint32(i+1), p.Bits()
		}
	}
	return value
}

// differsWithin reports whether a partition has another group within a prefix.
func differsWithin(p *Partition, within netip.Prefix, g GroupID) bool {
	for a := within.Addr(); within.Contains(a); {
		other, scope := p.Lookup(a)
		if other != g {
			return true
		}
		block, _ := a.Prefix(scope)
		if a = lastOf(block).Next(); !a.IsValid() {
			break
		}
	}
	return false
}

func TestOverlayAround(t *testing.T) {
	o := NewOverlay([]netip.Prefix{
		netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.3.0.0/16"),
		netip.MustParsePrefix("2600::/12"),
	})
	for value, want := range []uint32{1: 3, 2: 0, 3: 2, 4: 2, 5: 0} {
		if value == 0 {
			continue
		}
		if got := o.Around(uint32(value)); got != want {
			t.Errorf("Around(%v) = %d, want %d", o.Prefix(uint32(value)), got, want)
		}
	}
	if got := (*Overlay)(nil).Find(netip.MustParseAddr("10.1.1.1")); got != 0 {
		t.Errorf("nil overlay finds %d", got)
	}
}
