//go:build linux

package peers_test

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// The rules stand in the order in which they are tried. Each has to explain something, and takes as little as it can.
var rules = []rule{
	{"partial", "A truncated answer holds no records at all: a client that asks again over TCP has no use for some (RFC 2181, section 9), nor for the response code of what an alias leads to. The others fill it up.", partialAnswer},
	{"bulk", "Records are packed ahead, so names in their data and owners of glue are not compressed (RFC 1035, section 4.1.4 leaves it to the server). An answer may not fit where that of the others does, and is truncated; over TCP it says the same.", notCompressed},
	{"truncated", "The others need TCP for what they add to the answer, and BIND sooner: it takes a name for another one where its case differs, and so compresses less of the answer to a question in mixed case (RFC 4343, section 4.1 leaves it open).", theirsTruncated},
	{"cd", "The CD bit is copied into the answer (RFC 4035, section 3.1.6). NSD and Knot DNS clear it.", copiedCD},
	{"ad", "BIND sets AD in a truncated answer if the question had it. RFC 4035, section 3.1.6 wants all records in it to be authentic.", truncatedAD},
	{"any", "ANY is answered by one HINFO record in place of all (RFC 8482, section 4.2), in a zone that came signed by one of the name's sets (section 4.1), or by the alias of the name. The others give all records, and need TCP where these are many; NSD and Knot DNS follow an alias that a DNAME makes.", minimalANY},
	{"optional", "Addresses (and signatures of them) of the names in NS, MX, SRV, SVCB and HTTPS records are left out unless they are glue: they are of use only if they are at hand (RFC 1034, section 4.3.2, step 6).", optionalAddresses},
	{"glue", "All glue below a delegation is given, or TC is set (RFC 9471, section 3.1). The others leave out what does not fit.", missingGlue},
	{"soa", "BIND gives the SOA of a denial a TTL of 0 if an SOA was asked for. RFC 2308, section 3 knows no such exception.", zeroSOA},
	{"across", "A chain of aliases is followed to the end of the zone, not into another one: a name that is steered has other answers for other clients, so such a chain could have no scope that is right for all. A resolver asks again (RFC 1034, section 3.6.2). NSD looks into all its zones, Knot DNS adds a referral, all find the DS of a delegation.", acrossZones},
	{"length", "A chain of aliases is followed for 9 records by Meridian, 5 by Knot DNS and 11 by BIND, which then says SERVFAIL. A resolver asks again (RFC 1034, section 3.6.2).", longChain},
	{"loop", "Where aliases form a loop, it is given once round. BIND adds SERVFAIL (RFC 1034, section 3.6.2 wants that signalled, by whoever follows the aliases for a client).", loop},
	{"signatures", "RRSIG is answered by signatures of one type (RFC 8482, section 7 has the same for ANY). The others give all.", fewSignatures},
	{"cut", "BIND answers the NSEC at a delegation, the others refer to it. RFC 4035, section 3.1.4 wants the latter.", nsecAtCut},
	{"room", "Knot DNS leaves the SOA of a denial out where it does not fit behind an alias, without TC (RFC 2181, section 9).", missingSOA},
	{"overflow", "Where the name that a DNAME makes is too long, the answer is YXDOMAIN (RFC 6672, section 2.2). Knot DNS says NXDOMAIN.", overflow},
	{"star", "The owner of a DNAME is what the zone says. Knot DNS puts the name of the question in its place if its first label is an asterisk (RFC 6672, section 3.3).", wildcardDNAME},
	{"proofs", "The proof for a wildcard is given as RFC 5155, section 7.2 and RFC 4035, section 3.1.3 want it. NSD adds a record where the wildcard itself is asked for, Knot DNS leaves it out for NSEC.", wildcardProof},
	{"hashes", "The owner of an NSEC3 record is no name of the zone (RFC 5155, section 7.2.8). NSD takes it for one that encloses others.", hashedOwner},
	{"alias", "An alias is followed for NSEC and RRSIG as for any type but CNAME (RFC 1034, section 4.3.2, step 3a). Knot DNS and BIND answer them from the alias itself, as is right in a signed zone (RFC 4035, section 2.5).", aliasNSEC},
}

func copiedCD(d *difference) bool {
	if d.peer == "BIND" || !d.query.cd || d.theirs.echo != strings.Replace(d.ours.echo, "cd=true", "cd=false", 1) {
		return false
	}
	d.theirs.echo = d.ours.echo
	return true
}

func truncatedAD(d *difference) bool {
	if d.peer != "BIND" || !d.query.ad || !d.theirs.tc || d.theirs.echo != strings.Replace(d.ours.echo, "ad=false", "ad=true", 1) {
		return false
	}
	d.theirs.echo = d.ours.echo
	return true
}

func minimalANY(d *difference) bool {
	ours := d.ours.sections[inAnswer]
	sets := make(map[string]bool)
	for _, r := range ours {
		if rrtype := parseRecord(r).rrtype; !slices.Contains([]string{"cname", "dname", "rrsig"}, rrtype) {
			sets[rrtype] = true
		}
	}
	minimal := len(sets) <= 1
	if d.query.qtype != dns.TypeANY || len(ours) == 0 || !minimal || len(d.theirs.sections[inAnswer]) == 0 && !d.theirs.tc {
		return false
	}
	d.theirs.sections, d.theirs.rcode, d.theirs.tc = d.ours.sections, d.ours.rcode, d.ours.tc
	return true
}

func partialAnswer(d *difference) bool {
	if !d.ours.tc || !d.theirs.tc || len(d.ours.all()) > 0 || len(d.theirs.all()) == 0 && d.ours.rcode == d.theirs.rcode {
		return false
	}
	d.theirs.sections, d.theirs.rcode = [3]recordSet{}, d.ours.rcode
	return true
}

func notCompressed(d *difference) bool {
	if !d.ours.tc || d.theirs.tc || d.wholeOurs.size <= d.query.limit() || d.wholeOurs.size <= d.wholeTheirs.size {
		return false
	}
	d.ours = d.wholeOurs.clone()
	return true
}

func theirsTruncated(d *difference) bool {
	mixed := d.peer == "BIND" && d.query.name != strings.ToLower(d.query.name)
	if d.ours.tc || !d.theirs.tc || d.query.qtype == dns.TypeANY || d.wholeTheirs.size <= d.query.limit() && !mixed {
		return false
	}
	d.theirs = d.wholeTheirs.clone()
	return true
}

// optionalAddresses leaves alone what lies below the delegation.
func optionalAddresses(d *difference) bool {
	cut := referral(d.theirs)
	optional := d.theirs.sections[inAdditional].minus(d.ours.sections[inAdditional]).keep(func(r record) bool {
		return r.isAddress() && (cut == "" || !dns.IsSubDomain(cut, r.owner))
	})
	if len(optional) == 0 {
		return false
	}
	d.theirs.sections[inAdditional] = d.theirs.sections[inAdditional].minus(optional)
	return true
}

// isAddress reports whether a record is one, or the signature of one.
func (r record) isAddress() bool {
	covered, _, _ := strings.Cut(r.data, " ")
	return r.rrtype == "a" || r.rrtype == "aaaa" || r.rrtype == "rrsig" && (covered == "A" || covered == "AAAA")
}

// referral returns the name at which an answer, or the alias in it, refers to others; empty where it does not.
func referral(a *answer) string {
	for _, text := range a.sections[inAuthority] {
		if r := parseRecord(text); r.rrtype == "ns" {
			return r.owner
		}
	}
	return ""
}

func missingGlue(d *difference) bool {
	cut := referral(d.ours)
	missing := d.ours.sections[inAdditional].minus(d.theirs.sections[inAdditional])
	if cut == "" || len(missing) == 0 || d.query.tcp {
		return false
	}
	d.ours.sections[inAdditional] = d.ours.sections[inAdditional].minus(missing)
	return true
}

func missingSOA(d *difference) bool {
	missing := d.ours.sections[inAuthority].minus(d.theirs.sections[inAuthority])
	if d.peer != "Knot" || d.wholeOurs == nil || len(missing) != 1 || parseRecord(missing[0]).rrtype != "soa" || len(d.theirs.sections[inAnswer]) == 0 {
		return false
	}
	d.ours.sections[inAuthority] = d.ours.sections[inAuthority].minus(missing)
	return true
}

func zeroSOA(d *difference) bool {
	if d.peer != "BIND" || d.query.qtype != dns.TypeSOA {
		return false
	}
	ttl, changed := "", false
	for _, text := range d.ours.sections[inAuthority] {
		if r := parseRecord(text); r.rrtype == "soa" {
			ttl = r.ttl
		}
	}
	theirs := slices.Clone(d.theirs.sections[inAuthority])
	for i, text := range theirs {
		if r := parseRecord(text); r.ttl == "0" && ttl != "" {
			theirs[i], changed = strings.Replace(text, "\t0\t", "\t"+ttl+"\t", 1), true
		}
	}
	slices.Sort(theirs)
	d.theirs.sections[inAuthority] = theirs
	return changed
}

// chain follows the aliases of an answer and returns their records and where they lead.
func (a *answer) chain(qname string) (aliases recordSet, last string) {
	last = strings.ToLower(qname)
	for {
		i := slices.IndexFunc(a.sections[inAnswer], func(text string) bool {
			r := parseRecord(text)
			return r.rrtype == "cname" && r.owner == last
		})
		if i < 0 || slices.Contains(aliases, a.sections[inAnswer][i]) {
			return aliases, last
		}
		aliases, last = append(aliases, a.sections[inAnswer][i]), parseRecord(a.sections[inAnswer][i]).data
	}
}

// acrossZones ends the other's chain where ours ends, if that is where another zone begins.
func acrossZones(d *difference) bool {
	aliases, last := d.ours.chain(d.query.name)
	only := d.ours.all().keep(func(r record) bool { return r.rrtype != "cname" && r.rrtype != "dname" && r.rrtype != "rrsig" })
	if len(aliases) == 0 || len(only) > 0 || len(d.ours.sections[inAnswer].minus(d.theirs.sections[inAnswer])) > 0 ||
		apexOf(last) == apexOf(parseRecord(aliases[len(aliases)-1]).owner) {
		return false
	}
	d.theirs.sections, d.theirs.rcode = d.ours.sections, d.ours.rcode
	return true
}

// apexOf returns the zone that a name is in; empty where it is in none of ours.
func apexOf(name string) (apex string) {
	for _, z := range apexes {
		if dns.IsSubDomain(z, name) && len(z) > len(apex) {
			apex = z
		}
	}
	return apex
}

func longChain(d *difference) bool {
	ours, _ := d.ours.chain(d.query.name)
	theirs, _ := d.theirs.chain(d.query.name)
	n := min(len(ours), len(theirs))
	if n < 5 || !slices.Equal(ours[:n], theirs[:n]) || len(ours) == len(theirs) && len(ours) < 9 {
		return false
	}
	d.theirs.sections, d.theirs.rcode = d.ours.sections, d.ours.rcode
	return true
}

func loop(d *difference) bool {
	aliases, last := d.ours.chain(d.query.name)
	comesRound := slices.ContainsFunc(aliases, func(text string) bool { return parseRecord(text).owner == last })
	if d.peer != "BIND" || !comesRound || d.theirs.rcode != dns.RcodeServerFailure {
		return false
	}
	d.theirs.rcode = d.ours.rcode
	return true
}

func aliasNSEC(d *difference) bool {
	aliases, _ := d.ours.chain(d.query.name)
	if d.peer == "NSD" || d.query.qtype != dns.TypeNSEC && d.query.qtype != dns.TypeRRSIG || len(aliases) == 0 || d.theirs.rcode != dns.RcodeSuccess || len(d.theirs.sections[inAnswer]) > 0 {
		return false
	}
	d.theirs.sections, d.theirs.rcode = d.ours.sections, d.ours.rcode
	return true
}

func fewSignatures(d *difference) bool {
	ours := d.ours.sections[inAnswer]
	if d.query.qtype != dns.TypeRRSIG || len(ours) == 0 || len(ours.minus(d.theirs.sections[inAnswer])) > 0 && !d.theirs.tc {
		return false
	}
	d.theirs.sections, d.theirs.tc = d.ours.sections, d.ours.tc
	return true
}

func nsecAtCut(d *difference) bool {
	if d.peer != "BIND" || d.query.qtype != dns.TypeNSEC || d.ours.aa || !d.theirs.aa || !strings.EqualFold(referral(d.ours), d.query.name) {
		return false
	}
	d.theirs.sections, d.theirs.aa = d.ours.sections, false
	return true
}

func overflow(d *difference) bool {
	if d.peer != "Knot" || d.ours.rcode != dns.RcodeYXDomain || d.theirs.rcode != dns.RcodeNameError {
		return false
	}
	d.theirs.sections, d.theirs.rcode = d.ours.sections, d.ours.rcode
	return true
}

func wildcardDNAME(d *difference) bool {
	if d.peer != "Knot" || !strings.HasSuffix(strings.ToLower(d.query.name), ".*.wild.dname.test.") {
		return false
	}
	d.theirs.sections, d.theirs.rcode = d.ours.sections, d.ours.rcode
	return true
}

func hashedOwner(d *difference) bool {
	const hash = 32 // letters and digits of SHA-1
	name := strings.ToLower(d.query.name)
	hashed := slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return len(label) == hash })
	if d.peer != "NSD" || !hashed || !strings.HasSuffix(name, ".nsec3.test.") || !d.query.do {
		return false
	}
	d.theirs.sections = d.ours.sections
	return true
}

func wildcardProof(d *difference) bool {
	ours, theirs := d.ours.sections[inAuthority], d.theirs.sections[inAuthority]
	extra := theirs.minus(ours)
	switch {
	case d.peer == "NSD" && strings.HasPrefix(d.query.name, "*.") && len(extra) == 2 && len(ours.minus(theirs)) == 0:
		d.theirs.sections[inAuthority] = ours
		return true
	case d.peer == "Knot" && d.query.qtype == dns.TypeNSEC && len(theirs) == 0 && len(ours) == 2:
		d.ours.sections[inAuthority] = theirs
		return true
	}
	return false
}
