// Package dnssec makes the keys and signatures of zones, and decides when a key may be replaced.
//
// It opens no file and no socket, reads no clock and draws no random number: keys are bytes in and bytes out, the
// time and the source of randomness are handed in. It answers no query and caches nothing.
//
// Equal arguments give equal bytes, signatures included (RFC 6979, RFC 8032), so that nameservers with the same keys
// answer alike. A key leaves a zone only when no cache can need it any more.
//
// Signing: Key (New, Parse), AppendRRSIG, Window for the times that all nameservers agree on, Labels.
// Denial: AppendNSEC with AppendNext or AppendNextBeside; TypeNXNAME.
// A whole zone: KeySet says which keys do what at a moment, SignZone signs all of it for a transfer.
// Rolls: State, Step and the events; Status says what a zone waits for. Seal and Open guard private keys on the way.
//
// RRsets come and go in answer form: records one after the other, each with an owner of two bytes (the compression
// pointer C00C), then type, class, TTL, length and RDATA whose names are not compressed. Owners are in wire form and
// lower case.
package dnssec

import "time"

// The algorithms of keys (RFC 8624, section 3.1).
const (
	ECDSAP256SHA256 = 13
	ED25519         = 15
)

// The flags of keys (RFC 4034, section 2.1.1). A KSK that signs everything is a CSK.
const (
	FlagsZSK = 256
	FlagsKSK = 257
)

// TypeNXNAME stands in the bitmap of a name that does not exist, and nowhere else (RFC 9824, section 3.5).
const TypeNXNAME = 128

// The types that this package makes or treats apart.
const (
	typeNS         = 2
	typeSOA        = 6
	typeDNAME      = 39
	typeDS         = 43
	typeRRSIG      = 46
	typeNSEC       = 47
	typeDNSKEY     = 48
	typeNSEC3      = 50
	typeNSEC3PARAM = 51
	typeCDS        = 59
	typeCDNSKEY    = 60
)

const (
	classIN = 1

	maxName  = 255 // bytes of a name in wire form
	maxLabel = 63
)

// MaxClockOffset is how far the clocks of nameservers that sign may be apart.
const MaxClockOffset = 5 * time.Minute

// ClockFit reports whether a nameserver may make signatures, by how far the clocks of its peers are ahead of its own. It may not
// when most of all clocks, its own counted, are further off on one side. Where there is no such majority, as between two, nobody
// can say which clock is wrong: if all stopped then, the right ones would stop too, and nothing new could be signed anywhere. The
// order of ahead changes.
//
//	clocks far off on one side, of all with its own    fit
//	none, or it hears nobody                           yes
//	half or fewer                                      yes   a right clock is never outvoted by as many wrong ones
//	more than half                                     no
func ClockFit(ahead []time.Duration) bool {
	return Median(append(ahead, 0)).Abs() <= MaxClockOffset
}
