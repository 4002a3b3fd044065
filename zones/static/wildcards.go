package static

import "github.com/miekg/dns"

// warnBesideWildcards warns of names without an address of their own that a wildcard would answer if they did not exist (RFC 4592, section
// 2.2.1). Those with an underscore are no hosts, which nobody misses.
func (b *Builder) warnBesideWildcards() {
	var buffer [256]byte
	for n := range b.nodes() {
		name := n.name()
		if len(name) == 0 || name[1] == '_' || name[1] == '*' && name[0] == 1 || n[0]&(flagCut|flagDNAME|hiddenNode) != 0 || leadsSomewhere(n) {
			continue
		}
		parent := name[1+int(name[0]):]
		if p := b.zone.lookup(parent); p == nil || p[0]&flagWildcard == 0 {
			continue
		}
		wildcard := b.zone.lookup(append(append(buffer[:0], "\x01*"...), parent...))
		if wildcard == nil || !leadsSomewhere(wildcard) {
			continue
		}
		line, what := 0, "exists, as others lie below it"
		for set := range (Name{n}).Sets {
			line, what = n.line(set.Type, 0), "exists, but has no address"
			break
		}
		b.warn(line, "%s: %s, so %s does not answer it and whoever asks for its address gets none (RFC 4592, section 2.2.1)", b.nameOf(n), what, b.nameOf(wildcard))
	}
}

// leadsSomewhere reports whether a name has addresses, of its own or of a pool, or is an alias.
func leadsSomewhere(n node) bool {
	if n[0]&flagSteered != 0 {
		return true
	}
	for _, rrtype := range [...]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME} {
		if _, ok := (Name{n}).Set(rrtype); ok {
			return true
		}
	}
	return false
}
