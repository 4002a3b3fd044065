package zones

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/static"
)

// A Question is what Explain is asked.
type Question struct {
	Name   string // in any case
	Type   uint16
	Client Client
	Random uint32 // what decides between options of a choice, see Choice.Pick
}

// An Explanation says why a question is answered as it is. Its last line is the answer as it goes out.
type Explanation struct {
	Name     string        `json:"name"`
	Type     string        `json:"type"`
	Premises []string      `json:"premises,omitempty"` // what holds in place of the present state; whoever asks adds it: a time that is past, suppositions
	Zone     string        `json:"zone,omitempty"`
	Steps    []string      `json:"steps,omitempty"` // how the name was found: wildcard, CNAME, delegation
	Pool     *PoolReason   `json:"pool,omitempty"`
	RCode    string        `json:"rcode"`
	Answer   []string      `json:"answer"`          // records, as zone-file text
	Refer    []string      `json:"refer,omitempty"` // NS records of a referral
	Scope    int           `json:"scope"`           // of the client subnet
	Digest   health.Hash64 `json:"snapshot"`
}

// Explain answers a question by the snapshot and says why.
func (s *Snapshot) Explain(q Question) (*Explanation, error) {
	name, err := wireName(q.Name)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Name: dns.Fqdn(q.Name), Type: dns.TypeToString[q.Type], RCode: "NOERROR", Answer: []string{}, Digest: s.Digest}
	zone := s.Plan.ZoneOf(name, q.Type)
	if zone == nil {
		e.RCode = "REFUSED"
		e.step("no zone of ours holds %s", e.Name)
		return e, nil
	}
	if zone.Zone == nil {
		e.RCode = "SERVFAIL"
		e.step("the zone of %s is configured, but its file has mistakes", e.Name)
		return e, nil
	}
	e.Zone = zone.Origin
	return e, s.explainIn(e, zone, name, q)
}

func (s *Snapshot) explainIn(e *Explanation, zone *ZoneData, name []byte, q Question) error {
	owner := e.Name
	var passed [][]byte
	for {
		m := zone.Find(name)
		set, isChallenge := s.Challenge(zone, name)
		reports := s.Plan.Reports
		switch {
		case isChallenge && !(m.Name.Exists() && m.Name.Cut()):
			e.step("%s has the values of a challenge (until %s at first)", owner, s.dynamic.until.UTC().Format(time.RFC3339))
			switch q.Type {
			case dns.TypeTXT:
				return e.add(*set, owner)
			case dns.TypeANY:
				return e.add(AnyAnswer, owner)
			}
			e.step("%s has no %s", owner, e.Type)
			return nil
		case reports != nil && reports.Hold(zone, name) && !(m.Name.Exists() && m.Name.Cut()):
			return e.report(reports, name, owner, q)
		case !m.Name.Exists() && reports != nil && reports.Lead(zone, name):
			return e.report(reports, name, owner, q)
		case !m.Name.Exists() && s.LeadsToChallenge(name):
			e.step("%s has nothing, but a challenge lies below it", owner)
			return nil
		case !m.Name.Exists():
			e.RCode = "NXDOMAIN"
			e.step("%s does not exist, nor a wildcard for it", owner)
			return nil
		case m.Name.Cut() && !(m.Offset == 0 && q.Type == dns.TypeDS):
			e.step("another zone begins at or above %s: referral", owner)
			cut, _, err := dns.UnpackDomainName(name, m.Offset)
			if err != nil {
				return err
			}
			start, _ := dns.PrevLabel(owner, dns.CountLabel(cut)) // in the question's case
			ns, _ := m.Name.Set(dns.TypeNS)
			e.Refer, err = texts(ns, owner[start:])
			return err
		case m.Wildcard:
			e.step("%s is covered by a wildcard", owner)
		}
		alias, isAlias := m.Name.Set(dns.TypeCNAME)
		if m.Redirected {
			dname, _ := m.Name.Set(dns.TypeDNAME)
			var err error
			if alias, err = e.redirect(dname, name, owner, m.Offset); err != nil || alias.Count == 0 {
				return err
			}
		} else if _, has := m.Name.Set(q.Type); !isAlias || q.Type == dns.TypeANY || has {
			return s.explainName(e, zone, m.Name, owner, q)
		}
		target, err := e.alias(alias, owner)
		if err != nil || len(passed) == MaxAliases || q.Type == dns.TypeCNAME || q.Type == dns.TypeANY {
			return err
		}
		passed = append(passed, name)
		next, err := wireName(target)
		if err != nil {
			return err
		}
		round := slices.ContainsFunc(passed, func(p []byte) bool { return bytes.Equal(p, next) })
		if other, _ := s.Plan.Zone(next); other != zone || round {
			e.step("%s is not followed: it leaves the zone, or comes round", target)
			return nil
		}
		name, owner = next, target
	}
}

// redirect synthesises the CNAME of a name below a DNAME (RFC 6672, section 3.1); it has no record where the target's name would
// be too long.
func (e *Explanation) redirect(dname RecordSet, name []byte, owner string, offset int) (alias RecordSet, err error) {
	at, _, err := dns.UnpackDomainName(name, offset)
	if err != nil {
		return alias, err
	}
	start, _ := dns.PrevLabel(owner, dns.CountLabel(at))
	e.step("%s lies below the DNAME of %s", owner, owner[start:])
	if err := e.add(dname, owner[start:]); err != nil {
		return alias, err
	}
	target := dname.Bytes[static.FixedSize:]
	if offset+len(target) > 255 {
		e.RCode = "YXDOMAIN"
		return alias, nil
	}
	prefix := make([]byte, 256)
	if _, err := dns.PackDomainName(owner, prefix, 0, nil, false); err != nil {
		return alias, err
	}
	data := append(prefix[:offset:offset], target...)
	return RecordSet{Type: dns.TypeCNAME, Count: 1, TTL: dname.TTL, Bytes: static.AppendRecord(nil, dns.TypeCNAME, dname.TTL, data)}, nil
}

// explainName answers from a name that is no alias.
func (s *Snapshot) explainName(e *Explanation, zone *ZoneData, name static.Name, owner string, q Question) error {
	if pool, seed := zone.Steering(name); pool >= 0 && (q.Type != dns.TypeANY || s.Pools[pool].Plan.Pool.Kind == Aliases) {
		if s.Pools[pool].Plan.Answers(q.Type) {
			return s.explainPool(e, owner, pool, seed, q)
		}
	}
	if alias, ok := name.Set(dns.TypeCNAME); q.Type == dns.TypeANY && ok {
		return e.add(alias, owner)
	}
	if q.Type == dns.TypeANY && !zone.Empty(name) {
		e.step("a question for all types gets a short answer (RFC 8482)")
		return e.add(zone.Any(name), owner)
	}
	if set, ok := name.Set(q.Type); ok {
		return e.add(set, owner)
	}
	e.step("%s has no %s", owner, e.Type)
	return nil
}

func (e *Explanation) step(format string, args ...any) {
	e.Steps = append(e.Steps, fmt.Sprintf(format, args...))
}

func (e *Explanation) add(set RecordSet, owner string) error {
	texts, err := texts(set, owner)
	e.Answer = append(e.Answer, texts...)
	return err
}

// texts are the records of the set, as zone-file text.
func texts(s RecordSet, owner string) ([]string, error) {
	rrs, err := s.RRs(owner)
	texts := make([]string, len(rrs))
	for i, rr := range rrs {
		texts[i] = strings.ReplaceAll(rr.String(), "\t", " ")
	}
	return texts, err
}

func (e *Explanation) alias(set RecordSet, owner string) (target string, err error) {
	rrs, err := set.RRs(owner)
	if err != nil {
		return "", err
	}
	target = rrs[0].(*dns.CNAME).Target
	e.step("%s is an alias of %s", owner, target)
	return target, e.add(set, owner)
}

// Last is the answer in one line.
func (e *Explanation) Last() string {
	answer := strings.Join(e.Answer, " | ")
	if len(e.Refer) > 0 {
		answer = strings.TrimPrefix(answer+" | referral: "+strings.Join(e.Refer, " | "), " | ")
	}
	if answer == "" {
		answer = "nothing"
	}
	return fmt.Sprintf("answer: %s scope /%d: %s", e.RCode, e.Scope, answer)
}
