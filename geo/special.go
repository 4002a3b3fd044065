package geo

import (
	"net/netip"
	"slices"
)

// specialPrefixes are the blocks of the IANA special-purpose address registries (RFC 6890 and
// its updates) that are not globally reachable, and the blocks that embed an IPv4 address.
// No client is placed by them.
var specialPrefixes = parsePrefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/3",
	"::/8", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	"3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "ff00::/8",
)

func parsePrefixes(texts ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		prefixes[i] = netip.MustParsePrefix(text)
	}
	return prefixes
}

// specialEntries are the same by family, in order.
var specialEntries = func() (entries [families][]entry) {
	for _, p := range specialPrefixes {
		family, e := newEntry(p, uint32(Special))
		entries[family] = append(entries[family], e)
	}
	slices.SortFunc(entries[family4], entry.compare)
	slices.SortFunc(entries[family6], entry.compare)
	return entries
}()

// specialBytes says by family and first byte of an address whether a special prefix may hold it: most of the millions that a
// database asks about, none can.
var specialBytes = func() (bytes [2][256]bool) {
	for _, p := range specialPrefixes {
		first, family := firstByte(p.Addr())
		for i := range 1 << max(0, 8-p.Bits()) {
			bytes[family][int(first)+i] = true
		}
	}
	return bytes
}()

func firstByte(a netip.Addr) (first byte, family int) {
	bytes := a.As16()
	if family = familyOf(a); family == family4 {
		return bytes[12], family
	}
	return bytes[0], family
}

// SpecialPrefix returns the private or special-purpose block that holds a, if there is one.
func SpecialPrefix(a netip.Addr) (netip.Prefix, bool) {
	if first, family := firstByte(a); !specialBytes[family][first] {
		return netip.Prefix{}, false
	}
	for _, p := range specialPrefixes {
		if p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// embeddings are the IPv6 blocks whose addresses carry the client's IPv4 address in the 32 bits that follow offset.
var embeddings = []struct {
	block    netip.Prefix
	offset   int
	inverted bool // Teredo stores the complement (RFC 4380, section 4)
}{
	{netip.MustParsePrefix("::ffff:0:0/96"), 96, false}, // v4-mapped, RFC 4291 section 2.5.5.2
	{netip.MustParsePrefix("64:ff9b::/96"), 96, false},  // NAT64, RFC 6052
	{netip.MustParsePrefix("2002::/16"), 16, false},     // 6to4, RFC 3056
	{netip.MustParsePrefix("2001::/32"), 96, true},      // Teredo, RFC 4380
}

// Embedded returns the IPv4 address that the IPv6 address a carries, and how many bits of a stand
// before it. It does so only where the first bits of a that are known cover all of it.
func Embedded(a netip.Addr, known int) (v4 netip.Addr, offset int, ok bool) {
	if first := keyOf(a).hi >> 56; !a.Is6() || first != 0x00 && first != 0x20 { // as most addresses are
		return netip.Addr{}, 0, false
	}
	bytes := a.As16()
	for _, e := range embeddings {
		if known < e.offset+32 || !prefixHas(e.block, bytes) {
			continue
		}
		var four [4]byte
		copy(four[:], bytes[e.offset/8:])
		if e.inverted {
			for i := range four {
				four[i] = ^four[i]
			}
		}
		return netip.AddrFrom4(four), e.offset, true
	}
	return netip.Addr{}, 0, false
}

// Carrying reports whether every address of p carries an IPv4 address.
func Carrying(p netip.Prefix) bool {
	if !p.Addr().Is6() {
		return false
	}
	first := p.Addr().As16()
	for _, e := range embeddings {
		if e.block.Bits() <= p.Bits() && prefixHas(e.block, first) {
			return true
		}
	}
	return false
}

// prefixHas is netip.Prefix.Contains for raw bytes: Contains refuses v4-mapped addresses.
func prefixHas(p netip.Prefix, a [16]byte) bool {
	block, bits := p.Addr().As16(), p.Bits()
	for i := 0; i < bits/8; i++ {
		if a[i] != block[i] {
			return false
		}
	}
	return true // every block of embeddings ends on a byte
}
