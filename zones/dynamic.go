package zones

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/static"
)

// ChallengeLabel is the label, as in wire format, that the name of a challenge begins with.
const ChallengeLabel = "\x0f_acme-challenge"

// dynamic are the records that come with the control state.
type dynamic struct {
	sets   map[string]*RecordSet // by owner in wire format, lower case; nil without any
	above  map[string]bool       // the names between their apex and them; nil without any
	until  time.Time             // when the first of them expires; zero without any
	digest health.Hash64
}

// dynamicOf packs the challenges that have not expired. One whose name can't be packed is none.
func (p *Plan) dynamicOf(in Inputs, now time.Time) (d dynamic) {
	challenges, until := in.Control.Challenges(now)
	d.until = until
	if len(challenges) == 0 {
		return d
	}
	rrs := map[string][]dns.RR{}
	h := fnv.New64a()
	for _, c := range challenges {
		owner, err := wireName(c.Name)
		if err != nil || !bytes.HasPrefix(owner, []byte(ChallengeLabel)) {
			continue
		}
		header := dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: c.TTL}
		rrs[string(owner)] = append(rrs[string(owner)], &dns.TXT{Hdr: header, Txt: []string{c.Value}})
		fmt.Fprintf(h, "%s %s %d ", c.Name, c.Value, c.TTL)
	}
	d.digest = health.Hash64(h.Sum64())
	d.sets = make(map[string]*RecordSet, len(rrs))
	for _, owner := range slices.Sorted(maps.Keys(rrs)) {
		if set, err := static.SetOf(rrs[owner]...); err == nil {
			d.sets[owner] = &set
		}
	}
	d.above = p.above(d.sets)
	return d
}

// above returns the names that lie above challenges and below the apexes of their zones.
func (p *Plan) above(sets map[string]*RecordSet) map[string]bool {
	var above map[string]bool
	for owner := range sets {
		_, apex := p.Zone([]byte(owner))
		for at := 1 + int(owner[0]); at < apex; at += 1 + int(owner[at]) {
			if above == nil {
				above = make(map[string]bool)
			}
			above[owner[at:]] = true
		}
	}
	return above
}

// Challenge returns the TXT records of a name that is a challenge and has values: then it has nothing else, whatever the zone has
// there. The name is in wire format and lower case. It allocates nothing.
func (s *Snapshot) Challenge(z *ZoneData, name []byte) (set *RecordSet, ok bool) {
	if len(s.dynamic.sets) == 0 || len(name) <= len(z.Apex) || !bytes.HasPrefix(name, []byte(ChallengeLabel)) {
		return nil, false
	}
	set, ok = s.dynamic.sets[string(name)]
	return set, ok
}

// LeadsToChallenge reports whether a challenge that has values lies below a name, in the same zone. So the name exists, even if the zone
// has nothing there (RFC 4592, section 2.2.2), and at a denial resolvers would turn back that go down label by label (RFC 9156), or
// take it for all that is below (RFC 8020). Where a wildcard answers it goes on to do so: that denies nothing, and hosts are not to
// lose their addresses for a challenge. The name is in wire format and lower case. It allocates nothing.
func (s *Snapshot) LeadsToChallenge(name []byte) bool {
	return len(s.dynamic.above) > 0 && s.dynamic.above[string(name)]
}

// Expires returns when the next snapshot is due because something in this one ends; the zero time where nothing does.
func (s *Snapshot) Expires() time.Time { return earlier(s.dynamic.until, s.until) }
