package geo

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// randomSpans draws stretches of a family, many of them near each other and near the ends of blocks of any length. Neighbours may have
// the same value.
func randomSpans(r *rand.Rand, family, n int) []span {
	longest := []int{32, 128}[family]
	if family == family6 && r.IntN(2) == 0 {
		longest = 56 // as in a partition
	}
	starts := []key{{}}
	for range n {
		near := starts[r.IntN(len(starts))]
		if r.IntN(4) == 0 {
			near = key{r.Uint64(), r.Uint64()}
		}
		bit := r.IntN(longest)
		near.hi ^= suffix(bit).hi &^ suffix(bit+1).hi
		near.lo ^= suffix(bit).lo &^ suffix(bit+1).lo
		if r.IntN(3) == 0 {
			near = near.mask(bit + 1).previous()
		}
		starts = append(starts, near.mask(longest))
	}
	slices.SortFunc(starts, key.compare)
	var spans []span
	for _, start := range slices.Compact(starts) {
		spans = append(spans, span{start, r.Uint32N(3)})
	}
	return spans
}

// merged returns the stretches with neighbours of equal value as one.
func merged(spans []span) []span {
	return slices.CompactFunc(slices.Clone(spans), func(a, b span) bool { return a.value == b.value })
}

func collect(w walk) (spans []span) {
	for s, ok := w(); ok; s, ok = w() {
		spans = append(spans, s)
	}
	return spans
}

// at returns the stretch that an address is in.
func at(spans []span, k key) int {
	i, exact := slices.BinarySearchFunc(spans, k, func(s span, k key) int { return s.start.compare(k) })
	if !exact {
		i--
	}
	return i
}

// scopeWithin returns the length of the largest block around a that stays inside first…last: it must part from
// the addresses just outside.
func scopeWithin(a, first, last key) int {
	scope := 1
	if first != (key{}) {
		scope = max(scope, common(a, first.previous())+1)
	}
	if last != lastKey {
		scope = max(scope, common(a, last.next())+1)
	}
	return scope
}

// The twin of a trie is the list of its stretches.
func TestTrieTwin(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 4))
		family := r.IntN(2)
		given := randomSpans(r, family, r.IntN(200))
		spans := merged(given)
		for _, long := range []bool{false, true} {
			if long && family == family4 && seed%10 > 1 {
				continue // so many root nodes take long
			}
			b := newTrieBuilder(family)
			if long {
				b.most = -1
			}
			for _, s := range given {
				b.add(s.start, s.value)
			}
			trie := b.done()
			top := trie.top
			if long != (top == topBits[family]+step) {
				t.Fatalf("seed %d: the first step has %d bits", seed, top)
			}
			if got := collect(trie.walk(key{})); !slices.Equal(got, spans) || trie.count != len(spans) {
				t.Fatalf("seed %d, top %d: %d stretches %v, want %v", seed, top, trie.count, got, spans)
			}
			for i := range 300 {
				a := spans[r.IntN(len(spans))].start
				switch r.IntN(4) {
				case 0:
					a = a.previous()
				case 1:
					a = key{r.Uint64(), r.Uint64()}
				case 2:
					a = a.last(r.IntN(129))
				}
				if family == family4 {
					a = a.mask(32)
				}
				in := at(spans, a)
				last := lastKey
				if in+1 < len(spans) {
					last = spans[in+1].start.previous()
				}
				if got := trie.find(a); got != spans[in].value {
					t.Fatalf("seed %d, top %d: find(%x) = %d, want %d", seed, top, a, got, spans[in].value)
				}
				want := scopeWithin(a, spans[in].start, last)
				if v, got := trie.scope(a); v != spans[in].value || got != want {
					t.Fatalf("seed %d, top %d: scope(%x) = %d, %d, want %d, %d", seed, top, a, v, got, spans[in].value, want)
				}
				if i > 2 {
					continue
				}
				rest := slices.Clone(spans[in:])
				rest[0].start = a
				if got := collect(trie.walk(a)); !slices.Equal(got, rest) {
					t.Fatalf("seed %d, top %d: from %x: %v, want %v", seed, top, a, got, rest)
				}
			}
		}
	}
}

// The twin of a fold goes by the stretches: the value of a block is that of its first address.
func TestFoldTwin(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 11))
		family := r.IntN(2)
		spans := merged(randomSpans(r, family, r.IntN(100)))
		b := newTrieBuilder(family)
		if seed%10 == 0 {
			b.most = -1
		}
		for _, s := range spans {
			b.add(s.start, s.value)
		}
		trie, values := b.done(), []uint32{7, r.Uint32N(2), 7 + r.Uint32N(2)}
		length := maxScopes[family]
		var blocks []span
		for _, s := range spans {
			start := s.start
			if start != start.mask(length) {
				if start.last(length) == lastKey {
					continue
				}
				start = start.last(length).next()
			}
			if n := len(blocks); n > 0 && blocks[n-1].start == start {
				blocks = blocks[:n-1]
			}
			blocks = append(blocks, span{start, values[s.value]})
		}
		want := merged(blocks)
		folded := trie.fold(family, length, values)
		if got := collect(folded.walk(key{})); !slices.Equal(got, want) || folded.count != len(want) {
			t.Fatalf("seed %d: %d stretches %x, want %x", seed, folded.count, got, want)
		}
	}
}

func TestFewValues(t *testing.T) {
	for _, kinds := range []uint32{1, 255, 256, 257, 258} {
		b := newTrieBuilder(family4)
		for i := range kinds {
			b.add(key{hi: uint64(i) << 40}, 1000+i)
		}
		trie := b.done()
		if few := trie.few != nil; few != (kinds <= 256) {
			t.Errorf("%d values are in bytes: %v", kinds, few)
		}
		for i := range kinds {
			if got := trie.find(key{hi: uint64(i) << 40}); got != 1000+i {
				t.Errorf("of %d values the one numbered %d is %d", kinds, i, got)
			}
		}
	}
}
