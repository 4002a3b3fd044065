package dnssec

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A KeySet says what each key of a zone does at a moment. The zero KeySet is that of an unsigned zone. It is read only,
// and then safe for concurrent use.
type KeySet struct {
	Generation uint64 // rises with each change
	TTL        uint32 // of the DNSKEY, CDS and CDNSKEY records
	Published  []*Key // in DNSKEY
	KeySigners []*Key // sign DNSKEY, CDS and CDNSKEY (RFC 7344, section 4.1)
	Signers    []*Key // sign everything else
	Announced  []*Key // in CDS and CDNSKEY: what the parent's DS should be
	Withdraw   bool   // CDS and CDNSKEY ask the parent to remove its DS (RFC 8078, section 4); Announced is empty
}

// Signed reports whether the zone is signed.
func (s *KeySet) Signed() bool { return len(s.Published) > 0 }

// Sets returns the DNSKEY, CDS and CDNSKEY sets of the apex in answer form; nil for one that there is none of.
func (s *KeySet) Sets() (dnskey, cds, cdnskey []byte) {
	for _, k := range s.Published {
		dnskey = AppendRecord(dnskey, typeDNSKEY, s.TTL, k.DNSKEY())
	}
	if s.Withdraw {
		return dnskey, AppendRecord(nil, typeCDS, s.TTL, DeleteCDS()), AppendRecord(nil, typeCDNSKEY, s.TTL, DeleteCDNSKEY())
	}
	for _, k := range s.Announced {
		cds = AppendRecord(cds, typeCDS, s.TTL, k.ds256())
		cdnskey = AppendRecord(cdnskey, typeCDNSKEY, s.TTL, k.DNSKEY())
	}
	return dnskey, cds, cdnskey
}

// AppendRRSIGs appends the signatures over a set, by the keys that sign its type, and returns how many they are. See
// Key.AppendRRSIG.
func (s *KeySet) AppendRRSIGs(dst, owner, set []byte, c Cover) ([]byte, int, error) {
	var rrtype uint16
	if len(set) >= recordHead {
		rrtype = binary.BigEndian.Uint16(set[2:])
	}
	signers := s.signersOf(rrtype)
	if len(signers) == 0 {
		return nil, 0, fmt.Errorf("sign %s: the key set of generation %d has no key for it", TextName(owner), s.Generation)
	}
	for _, k := range signers {
		var err error
		if dst, err = k.AppendRRSIG(dst, owner, set, c); err != nil {
			return nil, 0, err
		}
	}
	return dst, len(signers), nil
}

// signersOf returns the keys that sign sets of a type.
func (s *KeySet) signersOf(rrtype uint16) []*Key {
	switch rrtype {
	case typeDNSKEY, typeCDS, typeCDNSKEY:
		return s.KeySigners
	}
	return s.Signers
}

// made reports whether signatures are what AppendRRSIGs would make for a set of a type, as far as that can be told without making
// them: all but the signatures themselves.
func (s *KeySet) made(signatures []byte, rrtype uint16, c Cover) bool {
	for _, k := range s.signersOf(rrtype) {
		head := k.appendHead(nil, c)
		binary.BigEndian.PutUint16(head[recordHead:], rrtype)
		if len(signatures) < len(head)+signatureSize || !bytes.HasPrefix(signatures, head) {
			return false
		}
		signatures = signatures[len(head)+signatureSize:]
	}
	return len(signatures) == 0
}

// ds256 returns the RDATA of the key's DS by SHA-256, which every validator knows (RFC 8624, section 3.3).
func (k *Key) ds256() []byte {
	data, err := k.DS(SHA256)
	if err != nil {
		panic(err) // there is such a digest
	}
	return data
}
