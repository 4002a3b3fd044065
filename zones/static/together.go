package static

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

// Nameservers whose addresses share so many bits are in one network.
var networkBits = [...]struct {
	rrtype uint16
	bits   int
}{{dns.TypeA, 24}, {dns.TypeAAAA, 48}}

// warnTogether warns where all nameservers are in one network of each family that they have (RFC 2182, section 3.1). It says nothing unless
// the zone has addresses of every one.
func (b *Builder) warnTogether(ns RecordSet, line int) {
	var networks [len(networkBits)]netip.Prefix
	for target := range targets(ns) {
		n := b.within(target)
		if n == nil {
			return
		}
		known := false
		for i, of := range networkBits {
			set, _ := (Name{n}).Set(of.rrtype)
			for rest := set.Bytes; len(rest) > 0; rest = rest[RecordSize(rest):] {
				address, _ := netip.AddrFromSlice(rest[FixedSize:RecordSize(rest)])
				network, _ := address.Prefix(of.bits)
				if networks[i].IsValid() && networks[i] != network {
					return
				}
				networks[i], known = network, true
			}
		}
		if !known {
			return
		}
	}
	text := ""
	for _, network := range networks {
		switch {
		case !network.IsValid():
		case text == "":
			text = network.String()
		default:
			text = fmt.Sprintf("%s and %s", text, network)
		}
	}
	b.warn(line, "%s NS: all nameservers are in %s: when that is out of reach, nobody can look up anything (RFC 2182, section 3.1)", b.zone.Origin, text)
}
