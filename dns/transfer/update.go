package transfer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// challengeLabel is where ACME looks for the answer to its challenge (RFC 8555, section 8.4).
const challengeLabel = "_acme-challenge."

const (
	maxChallengeTTL = 5   // seconds
	maxUpdate       = 100 // prerequisites, or changes, of a message
)

// A TXT is one value of a challenge.
type TXT struct {
	Value   string // printable ASCII without space, quote and backslash, 1 to 255 bytes
	TTL     uint32 // 0 to 5 s
	Expires time.Time
}

// A Change sets a value of a challenge, or deletes it. Setting one that is there renews it; both can be done twice.
type Change struct {
	Zone   string // apex
	Name   string // owner of the TXT record
	Delete bool
	TXT
}

// An updateRule says what a message may change.
type updateRule struct {
	zone    string
	names   map[string]bool // owners that its key may touch
	all     []string        // owners that any key may touch
	known   func(name string) []TXT
	limits  Limits
	expires time.Time
}

// A verdict on a message is its rcode and why it is not NOERROR.
type verdict struct {
	rcode int
	why   string
}

// evaluate says what a message changes (RFC 2136, section 3). It changes all of it or nothing.
func (r *updateRule) evaluate(prerequisites, updates []dns.RR) ([]Change, verdict) {
	if len(prerequisites) > maxUpdate || len(updates) > maxUpdate {
		return nil, verdict{dns.RcodeRefused, "too many records"}
	}
	if v := r.judge(prerequisites); v.rcode != dns.RcodeSuccess {
		return nil, v
	}
	for _, rr := range updates {
		if v := r.scan(rr); v.rcode != dns.RcodeSuccess {
			return nil, v
		}
	}
	return r.apply(updates)
}

// owner checks that a record is about a name that may be touched.
func (r *updateRule) owner(rr dns.RR) verdict {
	switch name := dns.CanonicalName(rr.Header().Name); {
	case !dns.IsSubDomain(r.zone, name):
		return verdict{dns.RcodeNotZone, ""}
	case !r.names[name]:
		return verdict{dns.RcodeRefused, "the key may not change this name"}
	}
	return verdict{}
}

// judge evaluates the prerequisites (RFC 2136, section 3.2) against the values that are known.
//
//	class  type  data   holds if
//	ANY    ANY   none   the name has values   or NXDOMAIN
//	ANY    TXT   none   the name has values   or NXRRSET
//	NONE   ANY   none   it has none           or YXDOMAIN
//	NONE   TXT   none   it has none           or YXRRSET
//	IN     TXT   value  these are its values  or NXRRSET
func (r *updateRule) judge(prerequisites []dns.RR) verdict {
	exact := map[string][]string{}
	for _, rr := range prerequisites {
		h, name := rr.Header(), dns.CanonicalName(rr.Header().Name)
		if h.Ttl != 0 {
			return verdict{dns.RcodeFormatError, "a prerequisite with a TTL"}
		}
		if v := r.owner(rr); v.rcode != dns.RcodeSuccess {
			return v
		}
		anyType, has := h.Rrtype == dns.TypeANY, len(r.known(name)) > 0
		switch {
		case h.Class != dns.ClassINET && h.Rdlength != 0, h.Class == dns.ClassINET && anyType:
			return verdict{dns.RcodeFormatError, "a malformed prerequisite"}
		case !anyType && h.Rrtype != dns.TypeTXT:
			return verdict{dns.RcodeRefused, "only TXT records can be asked for"}
		case h.Class == dns.ClassANY && !has && anyType:
			return verdict{dns.RcodeNameError, ""}
		case h.Class == dns.ClassANY && !has:
			return verdict{dns.RcodeNXRrset, ""}
		case h.Class == dns.ClassNONE && has && anyType:
			return verdict{dns.RcodeYXDomain, ""}
		case h.Class == dns.ClassNONE && has:
			return verdict{dns.RcodeYXRrset, ""}
		case h.Class == dns.ClassANY || h.Class == dns.ClassNONE:
		case h.Class == dns.ClassINET:
			value, ok := challengeValue(rr)
			if !ok {
				return verdict{dns.RcodeNXRrset, ""} // no challenge has such a value
			}
			exact[name] = append(exact[name], value)
		default:
			return verdict{dns.RcodeFormatError, "a malformed prerequisite"}
		}
	}
	for name, want := range exact {
		var have []string
		for _, t := range r.known(name) {
			have = append(have, t.Value)
		}
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(slices.Compact(want), have) {
			return verdict{dns.RcodeNXRrset, ""}
		}
	}
	return verdict{}
}

// scan checks one change by itself (RFC 2136, section 3.4.1).
func (r *updateRule) scan(rr dns.RR) verdict {
	h := rr.Header()
	if v := r.owner(rr); v.rcode != dns.RcodeSuccess {
		return v
	}
	anyType := h.Rrtype == dns.TypeANY
	wellFormed := false
	switch h.Class {
	case dns.ClassINET:
		wellFormed = !anyType
	case dns.ClassANY:
		wellFormed = h.Ttl == 0 && h.Rdlength == 0
	case dns.ClassNONE:
		wellFormed = h.Ttl == 0 && !anyType
	}
	switch {
	case !wellFormed:
		return verdict{dns.RcodeFormatError, "a malformed change"}
	case !anyType && h.Rrtype != dns.TypeTXT:
		return verdict{dns.RcodeRefused, "only TXT records can be changed"}
	case h.Class == dns.ClassANY:
		return verdict{}
	}
	if _, ok := challengeValue(rr); !ok {
		return verdict{dns.RcodeRefused, "want one text of 1 to 255 printable ASCII bytes without space, quote and backslash"}
	}
	return verdict{}
}

// challengeValue returns the value of a TXT record that may be a challenge's. ACME's is base64url.
func challengeValue(rr dns.RR) (string, bool) {
	txt, ok := rr.(*dns.TXT)
	if !ok || len(txt.Txt) != 1 || txt.Txt[0] == "" {
		return "", false
	}
	for _, c := range []byte(txt.Txt[0]) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' { // the last two begin escapes in what miekg/dns returns
			return "", false
		}
	}
	return txt.Txt[0], true
}

// apply makes the changes one after another (RFC 2136, section 3.4.2) and returns what they come to.
func (r *updateRule) apply(updates []dns.RR) ([]Change, verdict) {
	before, after := map[string][]TXT{}, map[string][]TXT{}
	for _, rr := range updates {
		h, name := rr.Header(), dns.CanonicalName(rr.Header().Name)
		if _, seen := before[name]; !seen {
			before[name] = r.known(name)
			after[name] = slices.Clone(before[name])
		}
		value, _ := challengeValue(rr)
		same := func(t TXT) bool { return h.Class == dns.ClassANY || t.Value == value }
		after[name] = slices.DeleteFunc(after[name], same)
		if h.Class == dns.ClassINET {
			after[name] = append(after[name], TXT{value, min(h.Ttl, maxChallengeTTL), r.expires})
		}
		if len(after[name]) > r.limits.Values {
			return nil, verdict{dns.RcodeRefused, "too many values at one name"}
		}
	}
	if r.crowded(after) {
		return nil, verdict{dns.RcodeRefused, "too many challenges in the zone"}
	}
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(after)) {
		for _, t := range before[name] {
			if !slices.ContainsFunc(after[name], func(u TXT) bool { return u.Value == t.Value }) {
				changes = append(changes, Change{Zone: r.zone, Name: name, Delete: true, TXT: TXT{Value: t.Value}})
			}
		}
		for _, t := range after[name] {
			if !slices.Contains(before[name], t) {
				changes = append(changes, Change{Zone: r.zone, Name: name, TXT: t})
			}
		}
	}
	return changes, verdict{}
}

// crowded reports whether more names than are allowed would have values, and one of those changed gets its first.
func (r *updateRule) crowded(after map[string][]TXT) bool {
	used, first := 0, false
	for _, name := range r.all {
		values, changed := after[name]
		if !changed {
			values = r.known(name)
		}
		if len(values) > 0 {
			used++
			first = first || changed && len(r.known(name)) == 0
		}
	}
	return first && used > r.limits.Names
}

// update takes a dynamic update (RFC 2136): of challenges, by who has a key for them, and nothing else.
func (x *exchange) update() {
	changes, v := x.changes()
	switch v.rcode {
	case dns.RcodeSuccess:
		x.service.metrics.update("ok")
	case dns.RcodeServerFailure:
		x.service.metrics.update("failed")
	case dns.RcodeNameError, dns.RcodeYXDomain, dns.RcodeYXRrset, dns.RcodeNXRrset: // a prerequisite, which the client asks for
		x.service.metrics.update("refused")
	default:
		x.service.metrics.update("refused")
		x.refused(updateRefused, x.key, v.rcode, v.why)
	}
	if len(changes) > 0 {
		x.service.config.Logger.Info("challenges changed", "zone", x.apex(), "peer", x.From, "key", x.key,
			"changes", len(changes), "rcode", dns.RcodeToString[v.rcode])
	}
	x.finish(v.rcode, v.why)
}

// changes has the changes of a message made and returns them.
func (x *exchange) changes() ([]Change, verdict) {
	apex, config := x.apex(), &x.service.config
	updates, ok := x.setup.Updates[apex]
	if !ok || config.Change == nil || config.Known == nil {
		soa, err := config.SOA(apex)
		switch {
		case errors.Is(err, ErrNoZone) || err == nil && dns.CanonicalName(soa.Hdr.Name) != apex:
			return nil, verdict{dns.RcodeNotAuth, ""}
		case err != nil:
			return nil, verdict{dns.RcodeServerFailure, "the zone is not loaded"}
		}
		return nil, verdict{dns.RcodeRefused, "no updates in this zone, or no voters to keep them"}
	}
	hosts, ok := updates.Keys[x.key] // who does not sign has no key, and no hosts
	switch {
	case x.query.Question[0].Qtype != dns.TypeSOA: // RFC 2136, section 3.1.1
		return nil, verdict{dns.RcodeFormatError, "the zone section is of type SOA"}
	case !ok:
		return nil, verdict{dns.RcodeRefused, "not signed by a key that may change this zone"}
	}
	ctx, cancel := context.WithTimeout(x.service.context, config.Limits.Update)
	defer cancel()
	unlock, err := x.service.updating.lock(ctx, apex)
	if err != nil {
		return nil, verdict{dns.RcodeServerFailure, "other updates take too long"}
	}
	defer unlock()
	rule := updateRule{
		zone: apex, names: map[string]bool{}, all: updates.names(), known: config.Known, limits: config.Limits,
		expires: time.Now().Add(config.Limits.ChallengeTTL),
	}
	for _, host := range hosts {
		rule.names[challengeLabel+host] = true
	}
	changes, v := rule.evaluate(x.query.Answer, x.query.Ns)
	if v.rcode != dns.RcodeSuccess || len(changes) == 0 {
		return nil, v
	}
	if err := config.Change(ctx, changes); err != nil {
		config.Logger.Warn("challenges not confirmed", "zone", apex, "err", err)
		return changes, verdict{dns.RcodeServerFailure, "not every nameserver has confirmed"}
	}
	return changes, verdict{}
}

// names returns the owners that any key may touch, each once.
func (u Updates) names() []string {
	all := map[string]bool{}
	for _, hosts := range u.Keys {
		for _, host := range hosts {
			all[challengeLabel+host] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// locks are one lock for each zone: prerequisites and changes of a message are one step (RFC 2136, section 3.7).
type locks struct {
	sync.Mutex
	held map[string]chan struct{}
}

func (l *locks) init() { l.held = map[string]chan struct{}{} }

// lock waits for the lock of a zone until the context ends.
func (l *locks) lock(ctx context.Context, zone string) (unlock func(), err error) {
	l.Lock()
	place := l.held[zone]
	if place == nil {
		place = make(chan struct{}, 1)
		l.held[zone] = place
	}
	l.Unlock()
	select {
	case place <- struct{}{}:
		return func() { <-place }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
