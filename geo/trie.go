package geo

import (
	"math"
	"math/bits"
)

// A trie has a value for every address of a family. Searching millions of stretches waits for memory more than it computes: so a
// step takes six bits of an address, and asks one node for what is to be done with any of their 64 values, its slots. A slot is a
// child, or of the node's own values; slots side by side that have the same value share it. As no key is kept, all of it is about half
// of the stretches it is made of. This is the poptrie of Asai and Ohara (SIGCOMM 2015).
//
// The largest block around an address in which all have the same value can be read off the same nodes: a node has more than
// one value below it, so such a block is never larger than a node that the search came by, unless that is one of the first step.
type trie struct {
	top    uint8    // bits of the first step
	shift  uint8    // 64 less those
	root   []node   // by these
	nodes  []node   // those below, children before their parents
	values []uint32 // of the runs; nil where there are few different ones:
	few    []uint8  // which of kinds they are
	kinds  []uint32
	deep   bool // there are nodes so long that 64 bits behind the first step may be too few
	count  int  // of stretches of equal value
}

// A node is what comes of the next six bits.
type node struct {
	children uint64 // slots with a child
	runs     uint64 // slots whose value is another than that of the slot without a child before it, or who are the first
	child    uint32 // what to add to the number of children up to a slot for its child; of a root node with one value its scope
	value    uint32 // what to add to the number of runs up to a slot for its value
}

const (
	step  = 6
	slots = 1 << step
)

// The bits of the first step of the families. With these, boundaries of 24 bits of IPv4, and of 32 and 56 of IPv6, are those of nodes.
var topBits = [families]uint8{12, 8}

// find returns the value of an address.
func (t *trie) find(k key) uint32 {
	if t.deep {
		n, u, _ := t.descend(k)
		return t.value(n.value + upTo(n.runs, u))
	}
	n := &t.root[k.hi>>(t.shift&63)]
	rest := k.hi<<(t.top&63) | k.lo>>(t.shift&63)
	for {
		u := rest >> (64 - step)
		if n.children>>u&1 == 0 {
			return t.value(n.value + upTo(n.runs, u))
		}
		n = &t.nodes[n.child+upTo(n.children, u)]
		rest <<= step
	}
}

// scope returns the value of an address, and the length of the largest block around it that has no other, at least 1.
func (t *trie) scope(k key) (value uint32, scope int) {
	if t.deep {
		n, u, length := t.descend(k)
		return t.value(n.value + upTo(n.runs, u)), n.scope(u, length)
	}
	n := &t.root[k.hi>>(t.shift&63)]
	rest := k.hi<<(t.top&63) | k.lo>>(t.shift&63)
	length := int(t.top)
	for {
		u := rest >> (64 - step)
		if n.children>>u&1 == 0 {
			return t.value(n.value + upTo(n.runs, u)), n.scope(u, length)
		}
		n = &t.nodes[n.child+upTo(n.children, u)]
		rest <<= step
		length += step
	}
}

// descend returns the node and the slot that have an address's value, and the length of the node's block. The loops of find and scope
// do the same for addresses of 64 bits behind the first step; a call would take as long as half a step.
func (t *trie) descend(k key) (n *node, u uint64, length int) {
	n, length = &t.root[k.hi>>t.shift], int(t.top)
	for {
		if u = slotOf(k, length); n.children>>u&1 == 0 {
			return n, u, length
		}
		n = &t.nodes[n.child+upTo(n.children, u)]
		length += step
	}
}

// value returns a value of the runs.
func (t *trie) value(run uint32) uint32 {
	if t.few != nil {
		return t.kinds[t.few[run]]
	}
	return t.values[run]
}

// runs returns how many values value knows.
func (t *trie) runs() int { return len(t.values) + len(t.few) }

// shrink has a byte for each value, if there are few different ones: a quarter of the memory to look for in vain near the processor.
func (t *trie) shrink() {
	numbers := make(map[uint32]uint8)
	few := make([]uint8, len(t.values))
	var kinds []uint32
	for i, v := range t.values {
		number, ok := numbers[v]
		if !ok {
			if len(kinds) > math.MaxUint8 {
				return
			}
			number = uint8(len(kinds))
			numbers[v] = number
			kinds = append(kinds, v)
		}
		few[i] = number
	}
	t.values, t.few, t.kinds = nil, few, kinds
}

// upTo counts the slots of a set up to one.
func upTo(set, slot uint64) uint32 { return uint32(bits.OnesCount64(set << (^slot & (slots - 1)))) }

// scope returns the length of the largest block around a slot that is all of one value.
func (n *node) scope(u uint64, length int) int {
	begins := n.runs | n.children | n.children<<1 // slots that are not like the one before
	if begins == 1 {
		return int(n.child)
	}
	first := u - uint64(bits.LeadingZeros64(begins<<(^u&(slots-1))))
	behind := u + 1 + uint64(bits.TrailingZeros64(begins>>u>>1))
	// Of the slots around the run, the one that has more of the slot's first bits. There is one: else the run was all of the node.
	return length + step + 1 - min(bits.Len64(u^(first-1)), bits.Len64(u^behind))
}

// settle writes the scopes of root nodes that have one value.
func (t *trie) settle() {
	var block func(first, length int) (value uint32, alike bool)
	block = func(first, length int) (uint32, bool) {
		if length == int(t.top) {
			n := &t.root[first]
			if n.children != 0 || n.runs != 1 {
				return 0, false
			}
			return t.value(n.value + 1), true
		}
		half := 1 << (int(t.top) - length - 1)
		left, leftAlike := block(first, length+1)
		right, rightAlike := block(first+half, length+1)
		if leftAlike && rightAlike && left == right && length > 0 {
			return left, true
		}
		for side, alike := range []bool{leftAlike, rightAlike} {
			for i := range half {
				if alike {
					t.root[first+side*half+i].child = uint32(length + 1)
				}
			}
		}
		return 0, false
	}
	block(0, 0)
}

// slotOf returns the slot that a key is in, of the node whose block has a length and the key in it.
func slotOf(k key, length int) uint64 {
	if length >= 64 {
		return k.lo << (length - 64) >> (64 - step)
	}
	return (k.hi<<length | k.lo>>(64-length)) >> (64 - step)
}

// slotStart returns the first address of a slot of the node whose block has a length and begins at first.
func slotStart(first key, slot uint64, length int) key {
	slot <<= 64 - step
	if length >= 64 {
		return key{first.hi, first.lo | slot>>(length-64)}
	}
	return key{first.hi | slot>>length, first.lo | slot<<(64-length)}
}
