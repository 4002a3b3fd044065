// Package rrl decides which answers are too many for whoever they go to (response rate limiting).
//
// Who forges the source of queries makes a nameserver send answers to a victim. The answers to one network about one name
// are therefore bounded; what is over the bound is left out, or shrunk to an invitation to ask over TCP, which nobody can
// take up for somebody else. The package sends nothing and reads no clock.
//
// A table never grows. One that runs full forgets whoever has used least of his bound, so that it errs towards
// answering. Its slots are chosen by a keyed hash: nobody without the seed can aim at one.
package rrl

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/meridian-gslb/meridian/dns/siphash"
)

// A Kind of answers has buckets of its own.
type Kind uint8

const (
	Answer Kind = iota
	NoData
	NXDomain
	Referral
	Error // any other response code
)

// An Action is what is to become of an answer.
type Action uint8

const (
	Pass Action = iota // it goes out
	Leak               // it is over the bound and goes out nevertheless
	Slip               // it goes out truncated
	Drop               // it does not go out
)

// MaxExempt is how many networks may be exempt.
const MaxExempt = 64

// Limits say what is too much.
type Limits struct {
	Rate    int            // answers a second and at once, for each bucket; 1 to 1,000,000
	Slip    int            // of the answers over the bound each Slip-th goes out truncated; 0: none
	Leak    int            // each Leak-th goes out as it is, before Slip is asked; 0: none
	IPv4    int            // bits of an address that make a network, 1 to 32
	IPv6    int            // likewise, 1 to 64
	Entries int            // buckets that the table has room for; rounded up to a power of two
	Exempt  []netip.Prefix // whose answers are never over the bound; at most MaxExempt
}

// Default returns what is good for an authoritative nameserver.
//
// The rate is NSD's. Knot has 20 for all answers to a network together, and BIND suggests 5 to 10: too few here, where a
// public resolver that sends client subnets asks for one steered name once per TTL for every subnet that its own clients
// are in. Slip is NSD's and BIND's, the networks are BIND's and Knot's.
func Default() Limits {
	return Limits{Rate: 200, Slip: 2, IPv4: 24, IPv6: 56, Entries: 64 << 10}
}

const ways = 4 // so that a set fills a cache line

// A Table holds the buckets. It belongs to one goroutine.
type Table struct {
	key      siphash.Key
	limits   Limits
	interval int64 // ns that one answer takes from a bucket
	size     int64 // ns that a bucket holds
	mask     uint64
	sets     [][ways]bucket

	_       [64]byte // what is written for each batch is on a cache line that no other table writes
	fetched uint32
	_       [64]byte
}

// A Bucket says which bucket of a table is meant.
type Bucket uint64

// A bucket is full at some time, and gives until then as much less as that is away. One that has been full for long is as
// good as none.
type bucket struct {
	tag  uint32
	over uint32 // answers that were over the bound
	full int64  // ns
}

// New returns a table in which all buckets are full. The seed must be random and is secret. Limits out of their range are
// a bug of the caller.
func New(l Limits, seed [16]byte) *Table {
	if l.Rate < 1 || l.Rate > 1_000_000 || l.IPv4 < 1 || l.IPv4 > 32 || l.IPv6 < 1 || l.IPv6 > 64 || l.Entries < 1 || len(l.Exempt) > MaxExempt {
		panic("rrl: limits out of range")
	}
	l.Exempt = slices.Clone(l.Exempt)
	sets := uint64(1)
	for sets*ways < uint64(l.Entries) {
		sets *= 2
	}
	interval := int64(1e9) / int64(l.Rate)
	return &Table{
		key: siphash.KeyOf(seed), limits: l, interval: interval, size: interval * int64(l.Rate),
		mask: sets - 1, sets: make([][ways]bucket, sets),
	}
}

// Judge takes one answer out of its bucket and says what is to become of it. from is never v4-mapped. name is what the
// answer is about, in wire format and any case: for an answer the name that was asked for, or the wildcard's parent, for a
// denial or a referral something that does not change with each query of an attacker. now is in ns of a clock that does
// not go back, and greater than 0.
//
//	the bucket holds     the client is    over the bound so far     action
//	an answer or more    -                -                         Pass, and the bucket holds one less
//	less                 exempt           -                         Pass
//	less                 not              a multiple of Leak        Leak
//	less                 not              a multiple of Slip        Slip
//	less                 not              another number            Drop
func (t *Table) Judge(from netip.Addr, kind Kind, name []byte, now int64) Action {
	return t.Take(t.Bucket(from, kind, name), from, now)
}

// Bucket returns which bucket an answer is taken out of.
func (t *Table) Bucket(from netip.Addr, kind Kind, name []byte) Bucket {
	return Bucket(t.hash(from, kind, name))
}

// Fetch reads where buckets lie, all at once: each by itself would be waited for. It decides nothing.
func (t *Table) Fetch(buckets []Bucket) {
	sum := uint32(0)
	for _, b := range buckets {
		sum += t.sets[uint64(b)&t.mask][0].tag
	}
	t.fetched = sum // so that the compiler reads them
}

// Take is Judge for a bucket of this table.
func (t *Table) Take(bucket Bucket, from netip.Addr, now int64) Action {
	b := t.find(uint64(bucket))
	if full := max(b.full, now) + t.interval; full-now <= t.size {
		b.full = full
		return Pass
	}
	if t.exempt(from) {
		return Pass
	}
	b.over++
	switch {
	case t.limits.Leak > 0 && b.over%uint32(t.limits.Leak) == 0:
		return Leak
	case t.limits.Slip > 0 && b.over%uint32(t.limits.Slip) == 0:
		return Slip
	}
	return Drop
}

// GiveBack undoes a Take that passed, for an answer that was not sent.
func (t *Table) GiveBack(bucket Bucket) {
	if b := t.find(uint64(bucket)); b.full >= t.interval {
		b.full -= t.interval
	}
}

func (t *Table) exempt(from netip.Addr) bool {
	return slices.ContainsFunc(t.limits.Exempt, func(p netip.Prefix) bool { return p.Contains(from) })
}

// find returns the bucket of a hash. It takes the place of the fullest if there is none.
func (t *Table) find(hash uint64) *bucket {
	set, tag := &t.sets[hash&t.mask], uint32(hash>>32)
	fullest := &set[0]
	for i := range set {
		b := &set[i]
		if b.tag == tag {
			return b
		}
		if b.full < fullest.full {
			fullest = b
		}
	}
	*fullest = bucket{tag: tag}
	return fullest
}

// hash is of the network, the kind and the name in one case. What setting a bit makes of other bytes than letters does
// not matter: names of which it makes the same share a bucket.
func (t *Table) hash(from netip.Addr, kind Kind, name []byte) uint64 {
	var network uint64
	if from.Is4() {
		a := from.As4()
		network = uint64(binary.BigEndian.Uint32(a[:]) & (^uint32(0) << (32 - t.limits.IPv4)))
		kind |= 1 << 7
	} else {
		a := from.As16()
		network = binary.BigEndian.Uint64(a[:]) & (^uint64(0) << (64 - t.limits.IPv6))
	}
	const lower = 0x20
	return siphash.Table(t.key, network, uint64(kind), lower, name)
}
