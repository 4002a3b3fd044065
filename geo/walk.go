package geo

import "math/bits"

// A walk gives the spans of a family in order; ok is false behind the last. Neighbours may have the same value.
type walk func() (s span, ok bool)

// walk gives the stretches from an address on, each once; the first begins there.
func (t *trie) walk(from key) walk {
	w := &walker{trie: t, from: from, root: int(from.hi >> t.shift)}
	return w.next
}

// A walker is on its way through a trie.
type walker struct {
	trie  *trie
	from  key
	root  int // the next root node
	path  [mostSteps]place
	depth int // of the path
	begun bool
	last  uint32 // value
}

// mostSteps is how many nodes a search may come by.
const mostSteps = 21

// A place on the path is a node, the length of its block and its first address, and the next slot.
type place struct {
	node   *node
	first  key
	length int
	slot   uint64
}

func (w *walker) enter(n *node, first key, length int) {
	w.path[w.depth] = place{node: n, first: first, length: length}
	if !w.begun {
		w.path[w.depth].slot = slotOf(w.from, length)
	}
	w.depth++
}

func (w *walker) next() (span, bool) {
	t := w.trie
	for {
		if w.depth == 0 {
			if w.root == len(t.root) {
				return span{}, false
			}
			w.enter(&t.root[w.root], key{hi: uint64(w.root) << t.shift}, int(t.top))
			w.root++
		}
		p := &w.path[w.depth-1]
		u, n := p.slot, p.node
		if u == slots {
			w.depth--
			continue
		}
		if n.children>>u&1 != 0 {
			p.slot++
			w.enter(&t.nodes[n.child+upTo(n.children, u)], slotStart(p.first, u, p.length), p.length+step)
			continue
		}
		p.slot = min(u+1+uint64(bits.TrailingZeros64((n.runs|n.children)>>u>>1)), slots)
		value := t.value(n.value + upTo(n.runs, u))
		if w.begun && value == w.last {
			continue
		}
		s := span{slotStart(p.first, u, p.length), value}
		if !w.begun {
			s.start = w.from
		}
		w.begun, w.last = true, value
		return s, true
	}
}

// walkOf gives spans of a slice.
func walkOf(spans []span) walk {
	i := -1
	return func() (span, bool) {
		if i++; i >= len(spans) {
			return span{}, false
		}
		return spans[i], true
	}
}

// cross takes two walks over the whole space together; value says what two values come to. Neighbours may have the same value.
func cross(a, b walk, value func(a, b uint32) uint32) walk {
	headA, moreA := a()
	headB, moreB := b()
	var inA, inB uint32
	return func() (span, bool) {
		if !moreA && !moreB {
			return span{}, false
		}
		first := moreA && (!moreB || headA.start.compare(headB.start) <= 0)
		second := moreB && (!moreA || headB.start.compare(headA.start) <= 0)
		start := headB.start
		if first {
			start, inA = headA.start, headA.value
			headA, moreA = a()
		}
		if second {
			inB = headB.value
			headB, moreB = b()
		}
		return span{start, value(inA, inB)}, true
	}
}
