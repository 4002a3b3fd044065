package geo

// A trieBuilder makes a trie of stretches that come in order, the first at the first address. It keeps no stretches: a node is
// done when the stretches have passed it.
type trieBuilder struct {
	top    uint8
	most   int    // nodes of the second step; of more, a longer first step is made
	root   []node // its children are in second
	second column[node]
	nodes  column[node]
	values column[uint32]
	count  int

	begun   bool
	value   uint32 // of the last stretch
	longest int    // bits that a search may take
	open    [mostSteps]openNode
	depth   int // how many are open
}

// newTrieBuilder returns a builder for a family. Where half of all nodes that the second step could have are there, a first step that
// takes the bits of both saves time for as much memory again.
func newTrieBuilder(family int) *trieBuilder {
	top := topBits[family]
	return &trieBuilder{top: top, most: 1 << (top + step) / 2, root: make([]node, 0, 1<<top)}
}

// An openNode is one whose first slots are filled.
type openNode struct {
	node
	first    key // of its block
	length   int
	slot     uint64   // the next one
	kids     []node   // of the slots before
	values   []uint32 // likewise
	last     uint32   // the last of them
	isFilled bool     // there is a last value
}

// add begins a stretch; one with the value of the last goes on instead.
func (b *trieBuilder) add(start key, value uint32) {
	if b.begun {
		if value == b.value {
			return
		}
		b.fill(start)
	}
	b.begun, b.value = true, value
	b.count++
}

// fill gives the slots up to an address the value of the last stretch.
func (b *trieBuilder) fill(to key) {
	for {
		if b.depth == 0 {
			for r := int(to.hi >> (64 - b.top)); len(b.root) < r; {
				b.whole(b.value)
			}
			top := int(b.top)
			if to == to.mask(top) {
				return
			}
			b.push(to.mask(top), top)
		}
		n := &b.open[b.depth-1]
		if to.mask(n.length) != n.first {
			n.fill(slots, b.value)
			b.pop()
			continue
		}
		slot := slotOf(to, n.length)
		n.fill(slot, b.value)
		if to == slotStart(n.first, slot, n.length) {
			return
		}
		b.push(to.mask(n.length+step), n.length+step)
	}
}

// whole adds a root node with one value.
func (b *trieBuilder) whole(value uint32) {
	if n := len(b.root); n > 0 && b.root[n-1].children == 0 && b.root[n-1].runs == 1 && *b.values.tail() == value {
		b.root = append(b.root, b.root[n-1]) // and its value
		return
	}
	b.root = append(b.root, node{runs: 1, value: uint32(b.values.length) - 1})
	b.values.add(value)
}

// push opens a node below the innermost one.
func (b *trieBuilder) push(first key, length int) *openNode {
	n := &b.open[b.depth]
	*n = openNode{first: first, length: length, kids: n.kids[:0], values: n.values[:0]}
	b.depth++
	return n
}

// pop ends the innermost node, all slots of which are filled. One with a single value is none.
func (b *trieBuilder) pop() {
	b.depth--
	n := &b.open[b.depth]
	if n.children == 0 && len(n.values) == 1 {
		if b.depth == 0 {
			b.whole(n.values[0])
			return
		}
		parent := &b.open[b.depth-1]
		parent.fill(parent.slot+1, n.values[0])
		return
	}
	b.longest = max(b.longest, n.length+step)
	below := &b.nodes
	if b.depth == 0 {
		below = &b.second
	}
	n.child, n.value = uint32(below.length)-1, uint32(b.values.length)-1
	for _, kid := range n.kids {
		below.add(kid)
	}
	for _, v := range n.values {
		b.values.add(v)
	}
	if b.depth == 0 {
		b.root = append(b.root, n.node)
		return
	}
	parent := &b.open[b.depth-1]
	parent.children |= 1 << parent.slot
	parent.kids = append(parent.kids, n.node)
	parent.slot++
}

// fill gives the slots before one a value.
func (n *openNode) fill(before uint64, value uint32) {
	if n.slot >= before {
		return
	}
	if !n.isFilled || n.last != value {
		n.runs |= 1 << n.slot
		n.values = append(n.values, value)
		n.last, n.isFilled = value, true
	}
	n.slot = before
}

// done returns the trie.
func (b *trieBuilder) done() trie {
	for b.depth > 0 {
		b.open[b.depth-1].fill(slots, b.value)
		b.pop()
	}
	for len(b.root) < 1<<b.top {
		b.whole(b.value)
	}
	t := trie{top: b.top, root: b.root, values: b.values.slice(0), count: b.count}
	second := b.second.slice(0)
	if len(second) > b.most {
		t.top += step
		t.root, t.nodes = oneStep(b.root, second), b.nodes.slice(0)
	} else {
		t.nodes = append(b.nodes.slice(len(second)), second...)
		for i := range t.root {
			t.root[i].child += uint32(b.nodes.length)
		}
	}
	t.shift, t.deep = 64-t.top, b.longest > int(t.top)+64
	t.shrink()
	t.settle()
	return t
}

// oneStep returns the root nodes that take two steps at once.
func oneStep(root, second []node) []node {
	both := make([]node, 0, slots*len(root))
	for i := range root {
		n := &root[i]
		for u := range uint64(slots) {
			if n.children>>u&1 != 0 {
				both = append(both, second[n.child+upTo(n.children, u)])
			} else {
				both = append(both, node{runs: 1, value: n.value + upTo(n.runs, u) - 1})
			}
		}
	}
	return both
}
