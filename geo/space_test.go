package geo

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// slowShared asks for the place and the groups of the last address of every stretch in which none of them changes.
func slowShared(t *Table, a, b *Partition, addrs []netip.Addr) []Shared {
	cuts := map[int]map[uint64]bool{family4: {0: true, end4: true}, family6: {0: true, end6: true}}
	for _, addr := range addrs {
		switch {
		case !addr.IsValid():
		case addr.Is4():
			k := keyOf(addr).hi >> 32
			for _, cut := range []uint64{k, k &^ 255, k | 255, k + 1, k&^255 + 256} {
				cuts[family4][min(cut, end4)] = true
			}
		default:
			k := keyOf(addr).hi
			for _, cut := range []uint64{k, k &^ 255, k + 1, k | 255, (k | 255) + 1} {
				cuts[family6][max(cut, k)] = true // which may have come round
				cuts[family6][k&^255] = true
			}
		}
	}
	groupOf := func(p *Partition, addr netip.Addr) GroupID {
		if p == nil {
			return 0
		}
		g, _ := p.Lookup(addr)
		if g == SpecialGroup {
			return p.Other()
		}
		return g
	}
	found := map[[2]GroupID]Extent{}
	for family, all := range cuts {
		var sorted []uint64
		for cut := range all {
			sorted = append(sorted, cut)
		}
		slices.Sort(sorted)
		for i, start := range sorted[:len(sorted)-1] {
			var bytes [16]byte
			addr := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(start))))
			if family == family6 {
				binary.BigEndian.PutUint64(bytes[:8], start)
				binary.BigEndian.PutUint64(bytes[8:], ^uint64(0))
				addr = netip.AddrFrom16(bytes)
			}
			if id := t.Lookup(addr); id == Unknown || id == Special {
				continue
			}
			pair := [2]GroupID{groupOf(a, addr), groupOf(b, addr)}
			e := found[pair]
			if family == family4 {
				e.IPv4 += sorted[i+1] - start
			} else {
				e.IPv6 += sorted[i+1] - start
			}
			found[pair] = e
		}
	}
	var list []Shared
	for pair, e := range found {
		list = append(list, Shared{pair[0], pair[1], e})
	}
	slices.SortFunc(list, func(x, y Shared) int { return cmp.Or(cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B)) })
	return list
}

func TestSharedAgreesWithLookups(t *testing.T) {
	some := 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		table, _, addrs := randomTable(t, r, 1+r.IntN(40))
		var listed []netip.Prefix
		for range r.IntN(8) {
			p := randomPrefix(r)
			listed = append(listed, p)
			addrs = append(addrs, p.Addr(), lastOf(p))
		}
		overlay := NewOverlay(listed)
		if r.IntN(2) == 0 {
			var overridden []netip.Prefix
			for range r.IntN(8) {
				p := randomPrefix(r)
				overridden = append(overridden, p)
				addrs = append(addrs, p.Addr(), lastOf(p))
			}
			table = table.Override(NewOverlay(overridden), override)
		}
		partition := func(most uint64) *Partition {
			if most == 0 {
				return nil
			}
			salt := r.Uint64()
			return table.PartitionWith(overlay, func(place PlaceID, listed uint32) GroupID {
				return GroupID((uint64(place)*7 + uint64(listed)*13 + salt) % most)
			})
		}
		a, b := partition(r.Uint64N(4)), partition(r.Uint64N(4))
		got, want := table.Space().Shared(a, b), slowShared(table, a, b, addrs)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: Shared = %v, want %v", seed, got, want)
		}
		var sum Extent
		for _, s := range got {
			sum.IPv4, sum.IPv6 = sum.IPv4+s.IPv4, sum.IPv6+s.IPv6
		}
		if whole := table.Space().Extent(); sum != whole {
			t.Fatalf("seed %d: the shared parts are %v together, the space is %v", seed, sum, whole)
		}
		for _, s := range table.Space().Shared(a, a) {
			if s.A != s.B {
				t.Fatalf("seed %d: a partition shares %v with itself", seed, s)
			}
		}
		if len(got) > 1 {
			some++
		}
	}
	if some < 40 {
		t.Errorf("only %d of 100 crossings had more than one pair", some)
	}
}

func TestSpaceIsWhatIsPlaced(t *testing.T) {
	var b Builder
	mustAdd(t, &b, "8.0.0.0/8", Place{Country: "US"})
	mustAdd(t, &b, "8.8.0.0/16", Place{})
	mustAdd(t, &b, "192.0.0.0/16", Place{Country: "US"}) // 192.0.0.0/24 and 192.0.2.0/24 in it are special
	mustAdd(t, &b, "2600::/32", Place{Country: "US"})
	mustAdd(t, &b, "2600:1::/64", Place{Country: "US"})
	mustAdd(t, &b, "2600:2::/65", Place{Country: "US"})
	want := Extent{IPv4: 1<<24 - 1<<16 + 1<<16 - 2<<8, IPv6: 1<<32 + 1}
	if got := b.Build().Space().Extent(); got != want {
		t.Errorf("Extent = %+v, want %+v", got, want)
	}
	if got := new(Builder).Build().Space().Extent(); got != (Extent{}) {
		t.Errorf("Extent of a table without places = %+v", got)
	}
}
