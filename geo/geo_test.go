package geo

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"
)

func mustAdd(t testing.TB, b *Builder, prefix string, place Place) {
	t.Helper()
	if err := b.Add(netip.MustParsePrefix(prefix), place); err != nil {
		t.Fatal(err)
	}
}

func TestDistance(t *testing.T) {
	washington, london := Coordinates{38.9, -77.0}, Coordinates{51.5, -0.1}
	if d := Distance(washington, london); d < 5880 || d > 5920 {
		t.Errorf("Distance(washington, london) = %.0f km, want about 5900", d)
	}
	if d := Distance(london, london); d != 0 {
		t.Errorf("Distance(london, london) = %v, want 0", d)
	}
}

func TestLookup(t *testing.T) {
	var b Builder
	us, de, test := Place{Country: "US"}, Place{Country: "DE"}, Place{Country: "ZZ"}
	mustAdd(t, &b, "8.0.0.0/8", us)
	mustAdd(t, &b, "8.8.0.0/16", de)
	mustAdd(t, &b, "10.0.0.0/8", test)
	mustAdd(t, &b, "2600::/12", us)
	table := b.Build()
	for _, row := range []struct{ why, addr, country string }{
		{"covered by the shorter prefix", "8.7.255.255", "US"},
		{"the longer prefix wins", "8.8.0.0", "DE"},
		{"after the longer prefix the shorter goes on", "8.9.0.0", "US"},
		{"nobody knows", "9.0.0.0", ""},
		{"the last address", "255.255.255.255", ""},
		{"private space is never placed", "10.1.1.1", ""},
		{"IPv6", "2600:1::1", "US"},
		{"v4-mapped is special", "::ffff:8.8.8.8", ""},
	} {
		if got := table.Place(table.Lookup(netip.MustParseAddr(row.addr))).Country; got != row.country {
			t.Errorf("%s: country of %s = %q, want %q", row.why, row.addr, got, row.country)
		}
	}
	if id := table.Lookup(netip.MustParseAddr("10.1.1.1")); id != Special {
		t.Errorf("Lookup(10.1.1.1) = %d, want Special", id)
	}
	if err := b.Add(netip.PrefixFrom(netip.MustParseAddr("8.8.8.8"), 8), us); err == nil {
		t.Error("Add(8.8.8.8/8) took an unmasked prefix")
	}
}

// The first and last addresses of each block are in it, and their neighbours where another block has them.
func TestSpecialPrefix(t *testing.T) {
	addresses := []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	for _, p := range specialPrefixes {
		addresses = append(addresses, p.Addr(), p.Addr().Prev(), lastOf(p), lastOf(p).Next())
	}
	r := rand.New(rand.NewPCG(1, 0))
	for range 2000 {
		addresses = append(addresses, randomPrefix(r).Addr())
	}
	for _, a := range addresses {
		var want netip.Prefix
		for _, p := range specialPrefixes {
			if !want.IsValid() && p.Contains(a) { // of nested ones the first
				want = p
			}
		}
		if got, ok := SpecialPrefix(a); got != want || ok != want.IsValid() {
			t.Errorf("SpecialPrefix(%v) = %v, %v, want %v", a, got, ok, want)
		}
	}
}

func TestEmbedded(t *testing.T) {
	for _, row := range []struct {
		addr   string
		known  int
		v4     string
		offset int
	}{
		{"::ffff:8.8.8.8", 128, "8.8.8.8", 96},
		{"::ffff:8.8.8.8", 127, "", 0},
		{"64:ff9b::808:808", 128, "8.8.8.8", 96},
		{"2002:808:808::1", 48, "8.8.8.8", 16},
		{"2002:808:808::1", 47, "", 0},
		{"2001:0:1:2:3:4:f7f7:f7f7", 128, "8.8.8.8", 96},
		{"2001:db8::1", 128, "", 0},
	} {
		v4, offset, ok := Embedded(netip.MustParseAddr(row.addr), row.known)
		if ok != (row.v4 != "") || ok && (v4.String() != row.v4 || offset != row.offset) {
			t.Errorf("Embedded(%s, %d) = %v, %d, %v, want %q, %d", row.addr, row.known, v4, offset, ok, row.v4, row.offset)
		}
	}
}

// randomTable fills a table and its slow twin (a prefix tree) with the same nested prefixes.
func randomTable(t testing.TB, r *rand.Rand, prefixes int) (*Table, *bart.Table[Place], []netip.Addr) {
	var b Builder
	twin := new(bart.Table[Place])
	var interesting []netip.Addr
	for range prefixes {
		p := randomPrefix(r)
		place := Place{Country: string(rune('A' + r.IntN(4)))}
		if err := b.Add(p, place); err != nil {
			t.Fatal(err)
		}
		if s, ok := SpecialPrefix(p.Addr()); !ok || s.Bits() > p.Bits() {
			twin.Insert(p, place)
		}
		interesting = append(interesting, p.Addr(), p.Addr().Prev(), lastOf(p), lastOf(p).Next())
	}
	for _, p := range specialPrefixes {
		twin.Insert(p, Place{Country: "special"})
		interesting = append(interesting, p.Addr(), p.Addr().Prev(), lastOf(p), lastOf(p).Next())
	}
	return b.Build(), twin, interesting
}

func randomPrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(2) == 0 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(r.IntN(4)), byte(r.IntN(3)), byte(r.IntN(256)), byte(r.IntN(256))}), r.IntN(33)).Masked()
	}
	a := [16]byte{0x20 + byte(r.IntN(2)), byte(r.IntN(2)), byte(r.IntN(3))}
	for i := 3; i < 16; i++ {
		a[i] = byte(r.IntN(256))
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), r.IntN(129)).Masked()
}

func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}

func TestLookupAgreesWithPrefixTree(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		table, twin, addrs := randomTable(t, r, 1+r.IntN(60))
		for _, a := range addrs {
			if !a.IsValid() {
				continue
			}
			want, _ := twin.Lookup(a)
			id := table.Lookup(a)
			if got := table.Place(id); got != want && !(want.Country == "special" && id == Special) {
				t.Fatalf("seed %d: Lookup(%v) = %+v, want %+v", seed, a, got, want)
			}
		}
	}
}

// The scope is the shortest prefix in which every address is in the same group, so one bit less must reach another group.
func TestScopeIsTheShortestOfOneGroup(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		table, _, addrs := randomTable(t, r, 1+r.IntN(40))
		p := table.Partition(func(id PlaceID) GroupID {
			return GroupID(len(table.Place(id).Country) + int(id)%3)
		})
		scopes := new(bart.Table[struct{}])
		for _, a := range addrs {
			if !a.IsValid() {
				continue
			}
			g, scope := p.Lookup(a)
			block := netip.PrefixFrom(a, scope).Masked()
			if reachesOther(p, block, g, addrs) {
				t.Fatalf("seed %d: %v has group %d, scope %v, but another group is inside", seed, a, g, block)
			}
			if wider := netip.PrefixFrom(a, scope-1).Masked(); scope > 1 && !reachesOther(p, wider, g, addrs) {
				t.Fatalf("seed %d: %v has scope %v, but %v is all in group %d", seed, a, block, wider, g)
			}
			if scopes.OverlapsPrefix(block) {
				if _, same := scopes.Get(block); !same {
					t.Fatalf("seed %d: scope %v overlaps another", seed, block)
				}
			}
			scopes.Insert(block, struct{}{})
		}
	}
}

// reachesOther asks at every block of a maximal scope where something may change inside block.
func reachesOther(p *Partition, block netip.Prefix, g GroupID, addrs []netip.Addr) bool {
	longest := MaxScope4
	if block.Addr().Is6() {
		longest = MaxScope6
	}
	for _, a := range append(addrs, block.Addr(), lastOf(block)) {
		if !a.IsValid() || !block.Contains(a) {
			continue
		}
		for _, at := range []netip.Addr{a, lastOf(netip.PrefixFrom(a, longest).Masked()).Next()} {
			if at.IsValid() && block.Contains(at) {
				if other, _ := p.Lookup(at); other != g {
					return true
				}
			}
		}
	}
	return false
}

func TestSingleGroup(t *testing.T) {
	var b Builder
	mustAdd(t, &b, "8.0.0.0/8", Place{Country: "US"})
	table := b.Build()
	if g, single := table.Partition(func(PlaceID) GroupID { return 3 }).Single(); g != 3 || !single {
		t.Errorf("Single() = %v, %v, want 3, true", g, single)
	}
	byPlace := table.Partition(func(id PlaceID) GroupID { return GroupID(id) })
	if _, single := byPlace.Single(); single {
		t.Error("Single() of a partition by place is true")
	}
	for i := range 400 {
		mustAdd(t, &b, netip.PrefixFrom(netip.AddrFrom4([4]byte{9, byte(i >> 8), byte(i), 0}), 24).String(), Place{ASN: uint32(i + 1)})
	}
	many := b.Build()
	if _, single := many.Partition(func(id PlaceID) GroupID { return GroupID(id) }).Single(); single {
		t.Error("Single() of a partition into hundreds of groups is true")
	}
	if g, _ := byPlace.Lookup(netip.MustParseAddr("127.0.0.1")); g != SpecialGroup {
		t.Errorf("group of loopback = %d, want SpecialGroup", g)
	}
}

func BenchmarkPartitionLookup(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	table, _, addrs := randomTable(b, r, 5000)
	p := table.Partition(func(id PlaceID) GroupID { return GroupID(id) })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if a := addrs[i%len(addrs)]; a.IsValid() {
			p.Lookup(a)
		}
	}
}
