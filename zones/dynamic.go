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
	until  time.Time             // when the first of them expires; zero without any
	digest health.Hash64
}

// dynamicOf packs the challenges that have not expired. One whose name can't be packed is none.
func dynamicOf(in Inputs, now time.Time) (d dynamic) {
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
	return d
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

// Expires returns when the next snapshot is due because something in this one ends; the zero time where nothing does.
func (s *Snapshot) Expires() time.Time { return s.dynamic.until }
