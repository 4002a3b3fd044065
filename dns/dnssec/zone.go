package dnssec

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// A Set is an RRset in answer form and its owner.
type Set struct {
	Owner   []byte
	Records []byte
}

func (s *Set) rrtype() uint16 { return binary.BigEndian.Uint16(s.Records[2:]) }
func (s *Set) ttl() uint32    { return binary.BigEndian.Uint32(s.Records[6:]) }

// A Signing says how a zone is signed whole.
type Signing struct {
	Keys     *KeySet
	Now      time.Time     // that the times of signatures follow from, see Window
	Validity time.Duration // likewise
	// Known returns the signatures that were made over a set before, by keys of the same tags that are the same; nil: there are none.
	// Those are taken that have the times which new ones would have. It is asked in the order of the zone. Nil: none are known.
	Known func(Set) []byte
}

// SignZone signs a zone whole, as it is transferred: the given sets, the key set's own at the apex, an NSEC chain, and
// signatures, which follow what they cover. Owners come in canonical order and their sets by type, NSEC last. What lies
// below a delegation or a DNAME is neither signed nor in the chain (RFC 4035, sections 2.2 and 2.3).
//
// The sets may come in any order, one for each owner and type, at least the SOA; none of them is of a type of DNSSEC
// but DS. What emit is handed is its own only until it returns; its error ends the work. Signing takes about 35 us for a
// set and each signer.
func SignZone(apex []byte, sets []Set, s Signing, emit func(Set) error) error {
	z := signer{Signing: s, apex: apex, emit: emit}
	sorted, err := z.prepare(sets)
	if err != nil {
		return fmt.Errorf("zone %s: %w", TextName(apex), err)
	}
	var hidden []byte  // the delegation or DNAME whose inside is passed over
	var pending []byte // the owner whose NSEC waits for the next one
	var types []uint16 // there
	var inside []Set   // behind that NSEC, unsigned
	finish := func(next []byte) error {
		if pending == nil {
			return nil
		}
		z.nsec = AppendNSEC(z.nsec[:0], next, types, z.negativeTTL)
		err := z.sign(Set{pending, z.nsec})
		for i := 0; i < len(inside) && err == nil; i++ {
			err = emit(inside[i])
		}
		inside = inside[:0]
		return err
	}
	for i, end := 0, 0; i < len(sorted); i = end {
		owner := sorted[i].Owner
		for end = i + 1; end < len(sorted) && string(sorted[end].Owner) == string(owner); end++ {
		}
		if hidden != nil && within(owner, hidden) {
			inside = append(inside, sorted[i:end]...)
			continue
		}
		if err := finish(owner); err != nil {
			return err
		}
		cut := string(owner) != string(apex) && has(sorted[i:end], typeNS)
		if hidden = nil; cut || has(sorted[i:end], typeDNAME) {
			hidden = owner
		}
		pending, types = owner, append(types[:0], typeRRSIG, typeNSEC)
		for _, set := range sorted[i:end] {
			visible := !cut || set.rrtype() == typeNS || set.rrtype() == typeDS
			if visible {
				types = append(types, set.rrtype())
			}
			put := z.sign
			if cut && set.rrtype() != typeDS {
				put = emit
			}
			if err := put(set); err != nil {
				return err
			}
		}
	}
	return finish(apex)
}

// A signer is the state of signing a zone.
type signer struct {
	Signing
	apex        []byte
	emit        func(Set) error
	negativeTTL uint32
	nsec, made  []byte // memory for what is emitted
}

// prepare checks the sets, adds those of the keys, and sorts them all.
func (z *signer) prepare(sets []Set) ([]Set, error) {
	if !z.Keys.Signed() {
		return nil, fmt.Errorf("the key set of generation %d is empty", z.Keys.Generation)
	}
	sorted := slices.Clone(sets)
	soa := -1
	for i, set := range sets {
		r, _, err := cutRecord(set.Records)
		if err != nil {
			return nil, fmt.Errorf("set of %s: %w", TextName(set.Owner), err)
		}
		switch r.rrtype {
		case typeDNSKEY, typeCDS, typeCDNSKEY, typeRRSIG, typeNSEC, typeNSEC3, typeNSEC3PARAM:
			return nil, fmt.Errorf("%s has records of type %d already, which signing makes", TextName(set.Owner), r.rrtype)
		case typeSOA:
			if len(r.data) < 22 || string(set.Owner) != string(z.apex) {
				return nil, fmt.Errorf("a bad SOA at %s", TextName(set.Owner))
			}
			soa = i
			z.negativeTTL = min(r.ttl, binary.BigEndian.Uint32(r.data[len(r.data)-4:])) // RFC 9077, section 3
		}
		if !within(set.Owner, z.apex) {
			return nil, fmt.Errorf("%s lies outside", TextName(set.Owner))
		}
	}
	if soa < 0 {
		return nil, fmt.Errorf("no SOA")
	}
	dnskey, cds, cdnskey := z.Keys.Sets()
	for _, own := range [][]byte{dnskey, cds, cdnskey} {
		if own != nil {
			sorted = append(sorted, Set{z.apex, own})
		}
	}
	slices.SortFunc(sorted, func(a, b Set) int {
		return cmp.Or(CompareNames(a.Owner, b.Owner), cmp.Compare(a.rrtype(), b.rrtype()))
	})
	for i := 1; i < len(sorted); i++ {
		if string(sorted[i].Owner) == string(sorted[i-1].Owner) && sorted[i].rrtype() == sorted[i-1].rrtype() {
			return nil, fmt.Errorf("two sets of type %d at %s", sorted[i].rrtype(), TextName(sorted[i].Owner))
		}
	}
	return sorted, nil
}

// sign puts out a set and its signatures.
func (z *signer) sign(set Set) error {
	if err := z.emit(set); err != nil {
		return err
	}
	inception, expiration, _ := Window(set.Owner, z.Now, z.Validity)
	cover := Cover{TTL: set.ttl(), OriginalTTL: set.ttl(), Labels: Labels(set.Owner), Inception: inception, Expiration: expiration}
	if z.Known != nil {
		if known := z.Known(set); z.Keys.made(known, set.rrtype(), cover) {
			return z.emit(Set{set.Owner, known})
		}
	}
	var err error
	if z.made, _, err = z.Keys.AppendRRSIGs(z.made[:0], set.Owner, set.Records, cover); err != nil {
		return err
	}
	return z.emit(Set{set.Owner, z.made})
}

func has(sets []Set, rrtype uint16) bool {
	return slices.ContainsFunc(sets, func(s Set) bool { return s.rrtype() == rrtype })
}
