// Package static holds the records of one zone, packed, and finds what answers a name.
//
// A Builder takes the records in any order, puts them together to RRsets as RFC 2181,
// section 5 wants them, and judges whether they make a zone. The Zone that comes out is
// immutable: any number of goroutines may search it, and a search allocates nothing.
//
// A zone is a few large pieces of bytes without a pointer in them, so that a million names
// cost some 45 bytes each beside their data and the garbage collector nothing. The package
// reads no file and knows neither pools nor clients: that a name is steered is a number to it.
package static

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"

	"github.com/miekg/dns"
)

// A RecordSet is an RRset as it goes into a message.
type RecordSet struct {
	Type  uint16
	Count uint16
	TTL   uint32
	// Bytes are the records one after the other. Each owner is a compression pointer to the question's name
	// (offset 12); names in the data are not compressed.
	Bytes []byte
}

// FixedSize is how many bytes of a packed record stand before its data: the pointer to the owner, type, class, TTL, length.
const FixedSize = 12

// RecordSize returns the length of the packed record that b begins with.
func RecordSize(b []byte) int { return FixedSize + int(binary.BigEndian.Uint16(b[10:])) }

// A Zone is the records of a zone.
type Zone struct {
	Apex   string // wire format, lower case
	Origin string // the same as text
	Serial uint32
	Names  int // owner names, empty non-terminals included
	Count  int // records

	chunks [][]byte // of nodes
	slots  []uint32 // a hash table of the nodes: a tag, and where the node begins; 0 is free
	depth  int      // labels below the apex of the deepest name
	seed   maphash.Seed
	chain  *chain // of denials; nil unless the zone was signed before it came to us
}

// Nodes begin at multiples of align within chunks, so that 26 bits say where one is and 6 are left for a tag by which most
// of the wrong ones are told without a look at them.
const (
	align     = 4
	chunkBits = 20
	chunkSize = 1 << chunkBits
	atBits    = 26
	atMask    = 1<<atBits - 1
	maxArena  = 1 << atBits * align
)

// A node is the bytes of one owner name, as far as they are written:
//
//	flags      1 byte
//	length     1 byte, of the name
//	name       its labels below the apex, lower case
//	steer      4 bytes, where flagged
//	sets       1 byte: how many
//	for each   type, length of the records, count: 2 bytes each; the records; the line of each, 4 bytes
//
// Sets are in the order of their types, those of RRSIG records by the type they cover. Sets of the types glueType and siblingType
// hold whole records with uncompressed owners: the addresses that go with a delegation.
type node []byte

const (
	flagCut      = 1 << iota // below it another zone begins
	flagOccluded             // lies below a cut, and is only there as glue
	flagWildcard             // has a child that is a wildcard
	flagSteered
	flagTarget  // while building: a nameserver of a delegation
	flagDNAME   // has a DNAME record
	flagRemoved // below a cut and no glue
)

const (
	glueType    = 0
	siblingType = 1<<16 - 1 // both are reserved, and not taken from a zone file

	setHeader  = 6
	lineSize   = 4
	unevenBit  = 1 << 15 // of a set's count: its records came with different TTLs
	hiddenNode = flagOccluded | flagRemoved
)

func (n node) name() []byte { return n[2 : 2+int(n[1])] }

// setsAt returns where the number of sets stands.
func (n node) setsAt() int {
	at := 2 + int(n[1])
	if n[0]&flagSteered != 0 {
		at += 4
	}
	return at
}

// nodeAt returns the chunk from a node's first byte on.
func (z *Zone) nodeAt(at uint32) node {
	return node(z.chunks[at>>(chunkBits-2)][at<<2&(chunkSize-1):])
}

func (z *Zone) hash(name []byte) uint64 { return maphash.Bytes(z.seed, name) }

// slot returns the slot that a hash begins its search at.
func (z *Zone) slot(hash uint64) int { return int(hash >> 32 * uint64(len(z.slots)) >> 32) }

// tag is what a slot says of the hash of its node.
func tag(hash uint64) uint32 { return uint32(hash) &^ atMask }

// lookup finds the node of a name below the apex; nil without.
func (z *Zone) lookup(name []byte) node {
	if at, ok := z.search(name); ok {
		return z.nodeAt(at)
	}
	return nil
}

func (z *Zone) search(name []byte) (at uint32, ok bool) {
	h := z.hash(name)
	for i, want := z.slot(h), tag(h); ; {
		s := z.slots[i]
		switch {
		case s == 0:
			return 0, false
		case s&^atMask == want:
			if n := z.nodeAt(s&atMask - 1); bytes.Equal(n.name(), name) {
				return s&atMask - 1, true
			}
		}
		if i++; i == len(z.slots) {
			i = 0
		}
	}
}

// A Name is what a zone holds at one owner name. The zero Name is none. It is a view, as good as the zone.
type Name struct{ node node }

// Exists reports whether it is a name at all.
func (n Name) Exists() bool { return n.node != nil }

// Is reports whether two names of one zone are the same.
func (n Name) Is(other Name) bool { return &n.node[0] == &other.node[0] }

// Answers reports whether questions for the name are answered from it: glue is only there for its delegation.
func (n Name) Answers() bool { return n.node[0]&hiddenNode == 0 }

// Cut reports whether another zone begins here.
func (n Name) Cut() bool { return n.node[0]&flagCut != 0 }

// HasDNAME reports whether a DNAME record redirects all names below (RFC 6672).
func (n Name) HasDNAME() bool { return n.node[0]&flagDNAME != 0 }

// Steer returns the number that the Builder was given for the name; -1 where it is not steered.
func (n Name) Steer() int {
	if n.node[0]&flagSteered == 0 {
		return -1
	}
	return int(binary.BigEndian.Uint32(n.node[2+int(n.node[1]):]))
}

// Empty reports whether there is no record: an empty non-terminal, unless it is steered.
func (n Name) Empty() bool { return n.node[n.node.setsAt()] == 0 }

// Set returns the set of a type. For RRSIG it is the one of the first type; see Covering.
func (n Name) Set(rrtype uint16) (RecordSet, bool) {
	at := n.node.setsAt()
	count := n.node[at]
	at++
	for range count {
		t, size, records := n.node.header(at)
		if t == rrtype {
			return n.node.set(at), true
		}
		if t > rrtype {
			break
		}
		at += setHeader + size + records*lineSize
	}
	return RecordSet{}, false
}

func (n node) header(at int) (rrtype uint16, size, records int) {
	b := n[at : at+setHeader]
	return binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:])), int(binary.BigEndian.Uint16(b[4:]) &^ unevenBit)
}

func (n node) set(at int) RecordSet {
	t, size, records := n.header(at)
	b := n[at+setHeader : at+setHeader+size : at+setHeader+size]
	s := RecordSet{Type: t, Count: uint16(records), Bytes: b}
	if t != glueType && t != siblingType {
		s.TTL = binary.BigEndian.Uint32(b[6:])
	}
	return s
}

// Covering returns the signatures over a set, where the zone came signed.
func (n Name) Covering(rrtype uint16) (RecordSet, bool) {
	for set := range n.node.all() {
		if set.Type == dns.TypeRRSIG && Covered(set.Bytes) == rrtype {
			return set, true
		}
	}
	return RecordSet{}, false
}

// Covered returns the type that a packed RRSIG record covers.
func Covered(record []byte) uint16 { return binary.BigEndian.Uint16(record[FixedSize:]) }

// Glue returns the addresses of a delegation's nameservers as whole records with uncompressed owners: those without which it is
// of no use, and those of nameservers below other cuts of the zone.
func (n Name) Glue() (own, sibling RecordSet) {
	own, _ = n.Set(glueType)
	sibling, _ = n.Set(siblingType)
	return own, sibling
}

// Sets calls yield with every set, ordered by type.
func (n Name) Sets(yield func(RecordSet) bool) {
	for set := range n.node.all() {
		if set.Type != glueType && set.Type != siblingType && !yield(set) {
			return
		}
	}
}

// Owner appends the name in wire format, lower case.
func (z *Zone) Owner(dst []byte, n Name) []byte {
	return append(append(dst, n.node.name()...), z.Apex...)
}

// all calls yield with every set of the node, the glue first.
func (n node) all() func(yield func(RecordSet) bool) {
	return func(yield func(RecordSet) bool) {
		at := n.setsAt()
		count := n[at]
		at++
		for range count {
			_, size, records := n.header(at)
			if !yield(n.set(at)) {
				return
			}
			at += setHeader + size + records*lineSize
		}
	}
}

// size is how many bytes the node has.
func (n node) size() int {
	at := n.setsAt()
	count := n[at]
	at++
	for range count {
		_, size, records := n.header(at)
		at += setHeader + size + records*lineSize
	}
	return at
}

// All calls yield with every name that answers or is glue, in no order.
func (z *Zone) All(yield func(Name) bool) {
	for _, s := range z.slots {
		if s == 0 {
			continue
		}
		if n := z.nodeAt(s&atMask - 1); n[0]&flagRemoved == 0 && !yield(Name{n}) {
			return
		}
	}
}
