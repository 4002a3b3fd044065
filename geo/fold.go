package geo

import "math/bits"

// fold returns the trie with other values in place of its own. Blocks of a length get the value of their first address.
func (t *trie) fold(family, length int, values []uint32) trie {
	f := folder{from: t, to: newTrieBuilder(family), length: length, values: values}
	b := f.to
	for r := range 1 << b.top {
		b.push(key{}, int(b.top))
		if t.top == b.top {
			f.node(&t.root[r])
		} else {
			for u := range slots {
				f.child(&t.root[r*slots+u])
			}
		}
		b.pop()
	}
	return b.done()
}

// A folder writes the nodes of a trie anew.
type folder struct {
	from   *trie
	to     *trieBuilder
	length int
	values []uint32
}

// node fills the innermost node as n is.
func (f *folder) node(n *node) {
	run, kid := uint32(0), uint32(0)
	for u := uint64(0); u < slots; {
		if n.children>>u&1 != 0 {
			kid++
			f.child(&f.from.nodes[n.child+kid])
			u++
			continue
		}
		run += uint32(n.runs >> u & 1)
		u = min(u+1+uint64(bits.TrailingZeros64((n.runs|n.children)>>u>>1)), slots)
		f.leaf(u, f.from.value(n.value+run))
	}
}

// child fills the next slot of the innermost node as a child of it is.
func (f *folder) child(n *node) {
	parent := &f.to.open[f.to.depth-1]
	if parent.length+step >= f.length {
		f.leaf(parent.slot+1, f.from.first(n))
		return
	}
	f.to.push(key{}, parent.length+step)
	f.node(n)
	f.to.pop()
}

// leaf fills the slots before one.
func (f *folder) leaf(before uint64, value uint32) {
	b := f.to
	value = f.values[value]
	if !b.begun || b.value != value {
		b.begun, b.value = true, value
		b.count++
	}
	b.open[b.depth-1].fill(before, value)
}

// first returns the value of the first address of a node.
func (t *trie) first(n *node) uint32 {
	for n.children&1 != 0 {
		n = &t.nodes[n.child+1]
	}
	return t.value(n.value + 1)
}
