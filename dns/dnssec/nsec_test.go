package dnssec

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// longName makes a name of exactly size bytes below the apex, from labels of the given byte. It needs no more than 60 bytes or less than that
// for the first label.
func longName(size int, fill byte, apex []byte) []byte {
	room := size - len(apex)
	var labels []byte
	for room > 0 {
		n := min(room-1, maxLabel)
		if rest := room - 1 - n; rest == 1 { // one byte is no label
			n--
		}
		labels = append(append(labels, byte(n)), bytes.Repeat([]byte{fill}, n)...)
		room -= n + 1
	}
	return append(labels, apex...)
}

func TestNextNames(t *testing.T) {
	apex := wire(t, "example.")
	for _, tt := range []struct {
		why, owner, next, beside string
	}{
		{"the apex", "example.", `\000.example.`, "example."},
		{"a name", "www.example.", `\000.www.example.`, `www\000.example.`},
		{"a wildcard", "*.example.", `\000.*.example.`, `*\000.example.`},
		{"a label of 63 bytes", strings.Repeat("a", 63) + ".example.", `\000.` + strings.Repeat("a", 63) + ".example.", strings.Repeat("a", 62) + "b.example."},
		{"a label of 63 bytes that ends below the capitals", strings.Repeat("a", 62) + "\\@.example.", `\000.` + strings.Repeat("a", 62) + "\\@.example.", strings.Repeat("a", 62) + "[.example."},
		{"a label of 63 bytes that ends in the last byte", strings.Repeat("a", 62) + `\255.example.`, `\000.` + strings.Repeat("a", 62) + `\255.example.`, strings.Repeat("a", 61) + "b.example."},
		{"a label of the last bytes only", strings.Repeat(`\255`, 63) + ".www.example.", `\000.` + strings.Repeat(`\255`, 63) + ".www.example.", "wwx.example."},
		{"the last name of the zone", strings.Repeat(`\255`, 63) + ".example.", `\000.` + strings.Repeat(`\255`, 63) + ".example.", "example."},
	} {
		owner := wire(t, tt.owner)
		if got, want := AppendNext(nil, owner, apex), wire(t, tt.next); !bytes.Equal(got, want) {
			t.Errorf("%s: next %s, want %s", tt.why, TextName(got), TextName(want))
		}
		if got, want := AppendNextBeside(nil, owner, apex), wire(t, tt.beside); !bytes.Equal(got, want) {
			t.Errorf("%s: beside %s, want %s", tt.why, TextName(got), TextName(want))
		}
	}
	for size := 250; size <= maxName; size++ {
		for _, fill := range []byte{'a', '@', 'z', 0xFF} {
			owner := longName(size, fill, apex)
			next := AppendNext(nil, owner, apex)
			if len(owner) != size || nameLength(next) != len(next) {
				t.Fatalf("% x (%d bytes) is no name", next, len(next))
			}
			if !bytes.Equal(next, apex) && CompareNames(owner, next) >= 0 {
				t.Errorf("%d bytes of %q: next %s does not follow", size, fill, TextName(next))
			}
			if size <= 253 != (next[0] == 1 && next[1] == 0) {
				t.Errorf("%d bytes: next %s", size, TextName(next))
			}
			short := append([]byte{3, 'a', 'b', 'c'}, longName(size-4, fill, apex)...)
			beside := AppendNextBeside(nil, short, apex)
			if nameLength(beside) != len(beside) || CompareNames(short, beside) >= 0 || size < maxName != (beside[0] == 4) {
				t.Errorf("%d bytes with a short first label: beside % x", size, beside)
			}
		}
	}
}

// No possible name lies between a name and its next one: tried with random neighbours.
func TestNextIsImmediate(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	apex := wire(t, "e.")
	for range 2000 {
		owner := longName(60+random.IntN(196), byte('`'+random.IntN(3)), apex)
		next := AppendNext(nil, owner, apex)
		beside := AppendNextBeside(nil, owner, apex)
		for range 20 {
			other := slices.Clone(owner)
			switch random.IntN(3) {
			case 0:
				other[1+random.IntN(int(other[0]))] += byte(random.IntN(3))
			case 1:
				if len(other) <= 253 {
					other = append([]byte{1, byte(random.IntN(2))}, other...)
				}
			case 2:
				if other[0] < maxLabel && len(other) < maxName {
					other = slices.Insert(other, 1+int(other[0]), byte(random.IntN(2)))
					other[0]++
				}
			}
			if CompareNames(owner, other) < 0 && !bytes.Equal(next, apex) && CompareNames(other, next) < 0 {
				t.Fatalf("%s lies between %s and %s", TextName(other), TextName(owner), TextName(next))
			}
			if CompareNames(owner, other) < 0 && !within(other, owner) && !bytes.Equal(beside, apex) && CompareNames(other, beside) < 0 {
				t.Fatalf("%s lies beside %s before %s", TextName(other), TextName(owner), TextName(beside))
			}
		}
	}
}

func TestNSECAgainstLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	owner, apex := wire(t, "www.example."), wire(t, "example.")
	for _, types := range [][]uint16{
		{dns.TypeRRSIG, dns.TypeNSEC},
		{dns.TypeRRSIG, dns.TypeNSEC, TypeNXNAME},
		{dns.TypeCAA, dns.TypeA, dns.TypeNSEC, dns.TypeRRSIG, dns.TypeA, 65280, 65535, 256},
		nil,
	} {
		random.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
		before := slices.Clone(types)
		got := unpack(t, owner, AppendNSEC(nil, AppendNext(nil, owner, apex), types, 60))[0].(*dns.NSEC)
		want := slices.Clone(types)
		slices.Sort(want)
		if got.NextDomain != `\000.www.example.` || got.Hdr.Ttl != 60 || !slices.Equal(got.TypeBitMap, slices.Compact(want)) {
			t.Errorf("%v, want the types %v", got, want)
		}
		if !slices.Equal(types, before) {
			t.Errorf("AppendNSEC changed its argument to %v", types)
		}
	}
	// Every type alone, and the bytes that the library makes.
	for range 300 {
		var types []uint16
		for range random.IntN(12) {
			types = append(types, uint16(random.IntN(1<<16)))
		}
		slices.Sort(types)
		types = slices.Compact(types)
		want := pack(t, &dns.NSEC{Hdr: dns.RR_Header{Name: "x.", Rrtype: dns.TypeNSEC, Class: 1, Ttl: 60}, NextDomain: "n.", TypeBitMap: types})
		if got := AppendNSEC(nil, wire(t, "n."), types, 60); !bytes.Equal(got, want) {
			t.Fatalf("%v: % x, want % x", types, got, want)
		}
	}
	dst := make([]byte, 0, 512)
	next := AppendNext(nil, owner, apex)
	if allocs := testing.AllocsPerRun(100, func() { AppendNSEC(dst, next, []uint16{1, 28, 46, 47, 257}, 60) }); allocs > 0 {
		t.Errorf("AppendNSEC allocates %v times", allocs)
	}
}
