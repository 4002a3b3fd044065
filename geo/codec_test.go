package geo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func written(t testing.TB, table *Table) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := table.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v, want %d", n, err, b.Len())
	}
	return b.Bytes()
}

func read(data []byte) (*Table, error) { return ReadTable(bytes.NewReader(data), int64(len(data))) }

// placedTable fills a table with places that use every field, and few of which are equal in one.
func placedTable(t testing.TB, r *rand.Rand, prefixes int) *Table {
	t.Helper()
	var b Builder
	for range prefixes {
		place := Place{Continent: []string{"", "EU", "NA"}[r.IntN(3)], Country: []string{"", "DE", "US", "CA"}[r.IntN(4)], ASN: r.Uint32N(3)}
		if r.IntN(2) == 0 {
			place.Subdivision, place.City = "US-CA", []string{"Köln", "San Jose"}[r.IntN(2)]
			place.Located, place.At = true, Coordinates{float64(r.IntN(900)) / 10, -120.1}
		}
		mustAdd(t, &b, randomPrefix(r).String(), place)
	}
	return b.Build()
}

func TestATableIsReadAsItWasWritten(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 6))
		table := placedTable(t, r, r.IntN(60))
		data := written(t, table)
		got, err := read(data)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got.Digest() != table.Digest() || got.Networks() != table.Networks() || got.Places() != table.Places() || got.sum() != table.sum() {
			t.Fatalf("seed %d: %x, %d networks, %d places, want %x, %d, %d", seed, got.Digest(), got.Networks(), got.Places(), table.Digest(), table.Networks(), table.Places())
		}
		for id := range table.Places() {
			if got.Place(PlaceID(id)) != table.Place(PlaceID(id)) {
				t.Fatalf("seed %d: place %d = %+v, want %+v", seed, id, got.Place(PlaceID(id)), table.Place(PlaceID(id)))
			}
		}
		for family := range table.tries {
			want := &table.tries[family]
			if have := &got.tries[family]; !slices.Equal(have.root, want.root) || !slices.Equal(have.nodes, want.nodes) || have.deep != want.deep {
				t.Fatalf("seed %d, family %d: another trie was read", seed, family)
			}
		}
		if again := written(t, got); !bytes.Equal(again, data) {
			t.Fatalf("seed %d: written again it is different", seed)
		}
	}
}

// usable looks for every thing that could make a table panic or run for ever.
func usable(table *Table) {
	last := netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("8.8.8.8"), netip.IPv6Unspecified(), last, netip.MustParseAddr("2001:db8::1")} {
		table.Place(table.Lookup(a))
	}
	for id := range table.Places() {
		table.Place(PlaceID(id))
	}
	table.sum()
	p := table.Partition(func(id PlaceID) GroupID { return GroupID(id % 3) })
	if _, scope := p.Lookup(last); scope < 1 || scope > 128 {
		panic(scope)
	}
}

func TestDamagedTables(t *testing.T) {
	table := placedTable(t, rand.New(rand.NewPCG(1, 6)), 12)
	whole := written(t, table)
	for n := range whole {
		if n > 2000 && n < len(whole)-2000 && n%97 > 0 {
			continue // among nodes that are all alike
		}
		if _, err := read(whole[:n]); !errors.Is(err, errTable) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Fatalf("the first %d of %d bytes: %v, want an error", n, len(whole), err)
		}
	}
	r := rand.New(rand.NewPCG(2, 6))
	for range 3000 {
		data := bytes.Clone(whole)
		for range 1 + r.IntN(3) {
			data[r.IntN(len(data))] ^= 1 << r.IntN(8)
		}
		if got, err := read(data); err == nil {
			usable(got)
		}
	}
}

// Each row changes one number of a good table to what only a check can refuse.
func TestRefusedTables(t *testing.T) {
	var b Builder
	mustAdd(t, &b, "8.8.8.0/26", Place{Country: "US", City: "X"})
	table := b.Build()
	for _, row := range []struct {
		why    string
		change func(t *Table)
	}{
		{"a city that has no text", func(t *Table) { t.places.records[2].city = 99 }},
		{"a subdivision that has no text", func(t *Table) { t.places.records[2].subdivision = 99 }},
		{"a country that is none", func(t *Table) { t.places.records[2].country = 9 }},
		{"a country without a text", func(t *Table) { t.places.countries[0].country = 99 }},
		{"a continent without a text", func(t *Table) { t.places.countries[0].continent = 99 }},
		{"a text that ends before it begins", func(t *Table) { t.places.ends[1] = 1 << 20 }},
		{"an unknown place that is known", func(t *Table) { t.places.records[0].asn = 1 }},
		{"a special place that is somewhere", func(t *Table) { t.places.records[1].asn = 1 }},
		{"another first step", func(t *Table) { t.tries[family4].top = 11 }},
		{"a place that is none", func(t *Table) { t.tries[family4].kinds[0] = 3 }},
		{"a value behind the last", func(t *Table) { t.tries[family4].nodes[0].value = uint32(t.tries[family4].runs()) }},
		{"a child behind the last", func(t *Table) { t.tries[family4].root[8<<4].child = 1 << 30 }},
		{"a node that is its own child", func(t *Table) {
			n := &t.tries[family4].nodes[0]
			n.children, n.runs, n.child = 1, n.runs&^1|2, ^uint32(0)
		}},
		{"a child of two nodes", func(t *Table) { t.tries[family4].root[0] = t.tries[family4].root[8<<4] }},
		{"a slot without a value", func(t *Table) { t.tries[family4].nodes[0].runs &^= 1 }},
		{"a node with one value", func(t *Table) { t.tries[family4].nodes[0].runs = 1 }},
		{"more bits than an address has", func(t *Table) {
			f := &t.tries[family4]
			n := f.nodes[len(f.nodes)-1]
			for range 4 {
				f.nodes = append(f.nodes, node{children: 1, runs: 2, child: uint32(len(f.nodes)) - 2, value: n.value})
			}
			f.root[0] = node{children: 1, runs: 2, child: uint32(len(f.nodes)) - 2, value: n.value}
		}},
	} {
		changed, err := read(written(t, table))
		if err != nil {
			t.Fatal(err)
		}
		row.change(changed)
		if _, err := read(written(t, changed)); !errors.Is(err, errTable) {
			t.Errorf("%s: %v, want it refused", row.why, err)
		}
	}
	long := written(t, table)
	for _, n := range []uint64{mostElements + 1, 1 << 20} {
		binary.LittleEndian.PutUint64(long[8:], n)
		if _, err := read(long); !errors.Is(err, errTable) {
			t.Errorf("%d places in %d bytes: %v, want it refused", n, len(long), err)
		}
	}
}

func FuzzReadTable(f *testing.F) {
	f.Add(written(f, new(Builder).Build()))
	f.Add(written(f, placedTable(f, rand.New(rand.NewPCG(3, 6)), 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if table, err := read(data); err == nil {
			usable(table)
		}
	})
}
