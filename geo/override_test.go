package geo

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// override says of a place that it is overridden, and by what.
func override(p Place, listed uint32) Place {
	p.City = "was " + p.Country
	p.ASN = listed
	return p
}

func TestOverride(t *testing.T) {
	var b Builder
	mustAdd(t, &b, "8.0.0.0/8", Place{Country: "US"})
	mustAdd(t, &b, "8.8.8.0/24", Place{Country: "CA"})
	mustAdd(t, &b, "2600::/12", Place{Country: "US"})
	table := b.Build()
	prefixes := []string{"8.8.0.0/16", "8.8.4.4/32", "10.1.0.0/16", "192.0.0.0/8", "9.9.9.0/24", "2600:1::/64", "2600:1::/96"}
	var list []netip.Prefix
	for _, p := range prefixes {
		list = append(list, netip.MustParsePrefix(p))
	}
	over := table.Override(NewOverlay(list), override)
	for _, row := range []struct {
		why, addr string
		want      Place
	}{
		{"not listed", "8.9.0.0", Place{Country: "US"}},
		{"listed", "8.8.0.0", Place{Country: "US", City: "was US", ASN: 1}},
		{"finer in the table than in the list", "8.8.8.8", Place{Country: "CA", City: "was CA", ASN: 1}},
		{"after that", "8.8.9.0", Place{Country: "US", City: "was US", ASN: 1}},
		{"the longest one counts", "8.8.4.4", Place{Country: "US", City: "was US", ASN: 2}},
		{"after it the shorter one goes on", "8.8.4.5", Place{Country: "US", City: "was US", ASN: 1}},
		{"a private network", "10.1.2.3", Place{City: "was ", ASN: 3}},
		{"beside it", "10.2.0.0", Place{}},
		{"around special space it counts", "192.1.0.0", Place{City: "was ", ASN: 4}},
		{"but not in it", "192.0.2.1", Place{}},
		{"nor there", "192.168.1.1", Place{}},
		{"of nobody known", "9.9.9.9", Place{City: "was ", ASN: 5}},
		{"IPv6", "2600:1::1:0:0:0", Place{Country: "US", City: "was US", ASN: 6}},
		{"within a /64", "2600:1::1:1", Place{Country: "US", City: "was US", ASN: 7}},
		{"IPv6, not listed", "2600:2::", Place{Country: "US"}},
	} {
		id := over.Lookup(netip.MustParseAddr(row.addr))
		if got := over.Place(id); got != row.want {
			t.Errorf("%s: place of %s = %+v, want %+v", row.why, row.addr, got, row.want)
		}
		if int(id) >= over.Places() {
			t.Errorf("place of %s has number %d of %d", row.addr, id, over.Places())
		}
	}
	if got := table.Place(table.Lookup(netip.MustParseAddr("8.8.0.0"))); got != (Place{Country: "US"}) {
		t.Errorf("the table itself has become %+v", got)
	}
	if over.Digest() == table.Digest() {
		t.Error("an overridden table has the digest of the table")
	}
	if other := table.Override(NewOverlay(list), func(p Place, _ uint32) Place { return p }); other.Digest() == over.Digest() {
		t.Error("two ways to override a table have the same digest")
	}
	if again := table.Override(NewOverlay(list), override); again.Digest() != over.Digest() {
		t.Error("overridden the same way, a table has another digest")
	}
	if none := table.Override(NewOverlay(nil), override); none != table {
		t.Error("a list without prefixes makes another table")
	}
}

// A listed prefix that is finer than the maximal scopes has its own group, with its own scope.
func TestOverridesAreFinerThanScopes(t *testing.T) {
	var b Builder
	mustAdd(t, &b, "8.8.8.0/25", Place{Country: "US"})
	mustAdd(t, &b, "8.8.8.128/25", Place{Country: "CA"})
	list := []netip.Prefix{netip.MustParsePrefix("8.8.8.144/28"), netip.MustParsePrefix("2600::/64")}
	over := b.Build().Override(NewOverlay(list), override)
	groups := map[string]GroupID{"": 1, "US": 2, "CA": 3}
	p := over.Partition(func(id PlaceID) GroupID {
		place := over.Place(id)
		return groups[place.Country] + GroupID(10*place.ASN)
	})
	for _, row := range []struct {
		why, addr string
		group     GroupID
		scope     int
	}{
		{"the block's first address decides", "8.8.8.255", 2, 25 + 1},
		{"the listed prefix, the block's place below it", "8.8.8.150", 12, 28},
		{"beside it", "8.8.8.159", 12, 28},
		{"behind it", "8.8.8.160", 2, 27},
		{"before it", "8.8.8.1", 2, 25},
		{"IPv6", "2600::1", 21, 64},
		{"IPv6 behind it", "2600:0:0:1::", 1, 64},
	} {
		if g, scope := p.Lookup(netip.MustParseAddr(row.addr)); g != row.group || scope != row.scope {
			t.Errorf("%s: %s is in group %d, scope %d, want %d, %d", row.why, row.addr, g, scope, row.group, row.scope)
		}
	}
}

// TestOverriddenScopes: with tables, overrides and listed prefixes of a policy drawn at random, every address has the group that its
// place and its longest listed prefix make; all within a scope have it, scopes do not overlap, and none could be shorter.
func TestOverriddenScopes(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		base, _, addrs := randomTable(t, r, 1+r.IntN(40))
		draw := func(n int) (listed []netip.Prefix) {
			for range n {
				p := randomPrefix(r)
				if r.IntN(4) == 0 { // where others are, private space too
					p = netip.PrefixFrom(addrs[r.IntN(len(addrs))], 8).Masked()
				}
				if p.IsValid() {
					listed = append(listed, p)
					addrs = append(addrs, p.Addr(), p.Addr().Prev(), lastOf(p), lastOf(p).Next())
				}
			}
			return listed
		}
		overriding, listed := draw(r.IntN(10)), draw(r.IntN(10))
		table := base.Override(NewOverlay(overriding), override)
		group := func(place Place, value uint32) GroupID {
			return GroupID(len(place.Country) + len(place.City)%2*2 + int(place.ASN)%2*4 + int(value)%3*8)
		}
		p := table.PartitionWith(NewOverlay(listed), func(id PlaceID, value uint32) GroupID { return group(table.Place(id), value) })
		twin := func(a netip.Addr) GroupID {
			block, _ := a.Prefix(MaxScope4)
			if a.Is6() {
				block, _ = a.Prefix(MaxScope6)
			}
			at := base.Lookup(block.Addr())
			place, special := base.Place(at), at == Special
			if o := longest(overriding, a); o != 0 {
				s, within := SpecialPrefix(overriding[o-1].Addr())
				if !special || within && s.Bits() <= overriding[o-1].Bits() {
					place, special = override(place, o), false
				}
			}
			value := longest(listed, a)
			if special && value == 0 {
				return SpecialGroup
			}
			return group(place, value)
		}
		if n := len(collect(p.tries[family4].walk(key{}))) + len(collect(p.tries[family6].walk(key{}))); p.Networks() != n {
			t.Fatalf("seed %d: Networks = %d, want %d", seed, p.Networks(), n)
		}
		checkScopes(t, seed, p, addrs, twin)
	}
}

// The twin of Combine is a look-up in each table.
func TestCombineTwin(t *testing.T) {
	both := func(earlier, later Place) Place {
		return Place{Country: earlier.Country, City: later.Country}
	}
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 7))
		a, _, addrs := randomTable(t, r, 1+r.IntN(40))
		b, _, more := randomTable(t, r, 1+r.IntN(40))
		c := a.Combine(b, both)
		for _, addr := range slices.Concat(addrs, more) {
			if !addr.IsValid() {
				continue
			}
			id := c.Lookup(addr)
			want := both(a.Place(a.Lookup(addr)), b.Place(b.Lookup(addr)))
			if a.Lookup(addr) == Special {
				want = Place{}
			}
			if got := c.Place(id); got != want || (id == Special) != (a.Lookup(addr) == Special) {
				t.Fatalf("seed %d: %v is at %d, %+v, want %+v", seed, addr, id, got, want)
			}
		}
		if again := a.Combine(b, both); again.Digest() != c.Digest() {
			t.Fatalf("seed %d: combined again the table has another digest", seed)
		}
	}
}

// A Builder gives the same table whatever the order, and may be used on.
func TestBuilderOrder(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 8))
		var prefixes []netip.Prefix
		for range 1 + r.IntN(40) {
			prefixes = append(prefixes, randomPrefix(r))
		}
		slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
			_, e := newEntry(a, 0)
			_, f := newEntry(b, 0)
			if c := familyOf(a.Addr()) - familyOf(b.Addr()); c != 0 {
				return c
			}
			return e.compare(f)
		})
		prefixes = slices.Compact(prefixes)
		add := func(b *Builder, prefixes []netip.Prefix) {
			for _, p := range prefixes {
				mustAdd(t, b, p.String(), Place{Country: p.String()[:2]})
			}
		}
		var ordered, shuffled Builder
		add(&ordered, prefixes[:len(prefixes)/2])
		ordered.Build()
		add(&ordered, prefixes[len(prefixes)/2:])
		mixed := slices.Clone(prefixes)
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		add(&shuffled, mixed)
		one, other := ordered.Build(), shuffled.Build()
		for family := range one.tries {
			a, b := collect(one.tries[family].walk(key{})), collect(other.tries[family].walk(key{}))
			if !slices.EqualFunc(a, b, func(a, b span) bool {
				return a.start == b.start && one.Place(PlaceID(a.value)) == other.Place(PlaceID(b.value))
			}) {
				t.Fatalf("seed %d: in order %v, mixed %v", seed, a, b)
			}
		}
	}
}
