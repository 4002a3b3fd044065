package zones

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
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
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Zone   string        `json:"zone,omitempty"`
	Steps  []string      `json:"steps,omitempty"` // how the name was found: wildcard, CNAME, delegation
	Pool   *PoolReason   `json:"pool,omitempty"`
	RCode  string        `json:"rcode"`
	Answer []string      `json:"answer"`          // records, as zone-file text
	Refer  []string      `json:"refer,omitempty"` // NS records of a referral
	Scope  int           `json:"scope"`           // of the client subnet
	Digest health.Hash64 `json:"snapshot"`
}

// A PoolReason says what a pool made of a client.
type PoolReason struct {
	Pool    string         `json:"pool"`
	Policy  Policy         `json:"policy"`
	Client  netip.Addr     `json:"client"` // the address that was placed
	From    string         `json:"from"`   // where that address is from
	Place   geo.Place      `json:"place"`
	Group   geo.GroupID    `json:"group"`
	Rung    Rung           `json:"rung"`
	Members []MemberReason `json:"members"` // in the order in which the group prefers them
}

// A MemberReason says what stood for or against one member.
type MemberReason struct {
	Endpoint string         `json:"endpoint"`
	Region   geo.RegionID   `json:"region"`
	Tier     string         `json:"tier"`
	RTT      time.Duration  `json:"rtt_ns,omitempty"`  // latency: from the client's place, as estimated; 0: not known
	Samples  uint32         `json:"samples,omitempty"` // that the estimate rests on; 0: on the distance alone
	Status   *health.Status `json:"status,omitempty"`  // nil: without a check
	Control  string         `json:"control,omitempty"`
	On       bool           `json:"on"`
	Share    float64        `json:"share"` // of this group's answers, 0 to 1
	Picked   bool           `json:"picked"`
	Why      string         `json:"why"`
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
	pool := zone.Pool(name)
	if family := slices.Index(familyTypes[:], q.Type); pool >= 0 && family >= 0 {
		return s.explainPool(e, owner, pool, family, q)
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

func (s *Snapshot) explainPool(e *Explanation, owner string, number, family int, q Question) error {
	answers := s.Pools[number]
	pool := answers.Plan
	g, scope := pool.Group(q.Client)
	e.Scope = scope
	choice := &answers.Groups[g].Families[family]
	picked := choice.Pick(q.Random)

	r := &PoolReason{Pool: pool.Pool.Name, Policy: pool.Pool.Policy, Group: g, Rung: choice.Rung}
	r.Client, r.From = pool.located(q.Client)
	r.Place = s.Plan.Table.Place(s.Plan.Table.Lookup(r.Client))
	in := Inputs{s.Health, s.Control}
	available := pool.availability(in, pool.Groups[g].Region)
	preferred := make(map[int]bool)
	for _, tier := range pool.Groups[g].Tiers {
		for _, i := range tier.Members {
			if !preferred[i] {
				preferred[i] = true
				m := pool.reason(in, &pool.Groups[g], tier, i, family, available[i], choice, picked)
				if pool.Pool.Policy == Latency {
					m.RTT, m.Samples = s.Plan.estimate(r.Place, m.Region)
				}
				r.Members = append(r.Members, m)
			}
		}
	}
	for i := range pool.Pool.Members {
		if !preferred[i] {
			m := &pool.Pool.Members[i]
			r.Members = append(r.Members, MemberReason{Endpoint: m.Endpoint, Region: m.Region, On: in.on(m.Control),
				Control: string(m.Control), Why: "is not for clients of this group"})
		}
	}
	e.Pool = r
	if picked == nil {
		e.Scope = 0 // resolvers keep a denial for everybody (RFC 7871, section 7.4)
		e.step("%s: no %s to answer with", owner, e.Type)
		return nil
	}
	return e.add(*picked.Set, owner)
}

// located returns the address by which a client is placed, and where it is from.
func (p *PoolPlan) located(c Client) (a netip.Addr, from string) {
	if c.Subnet.Bits() > 0 {
		if _, special := geo.SpecialPrefix(c.Subnet.Addr()); !special {
			return c.Subnet.Addr(), "client subnet"
		}
		if v4, _, ok := geo.Embedded(c.Subnet.Addr(), c.Subnet.Bits()); ok {
			return v4, "IPv4 address in the client subnet"
		}
	}
	if v4, _, ok := geo.Embedded(c.Source, c.Source.BitLen()); ok {
		return v4, "IPv4 address in the source address"
	}
	return c.Source, "source address"
}

func (p *PoolPlan) reason(in Inputs, g *GroupPlan, tier Tier, i, family int, a availability, choice *Choice, picked *Option) MemberReason {
	m := &p.Pool.Members[i]
	r := MemberReason{Endpoint: m.Endpoint, Region: m.Region, Tier: tier.Why, Control: string(m.Control), On: in.on(m.Control)}
	if check := p.checks[i][family]; check != "" {
		region := g.Region
		if p.Pool.View == Global {
			region = health.Global
		}
		status := in.Health.Status(check, region)
		r.Status = &status
	}
	for o := range choice.Options {
		if choice.Options[o].Member == i {
			r.Share = float64(choice.Options[o].Weight) / float64(choice.Total)
			r.Picked = picked == &choice.Options[o]
		}
	}
	r.Why = p.why(m, r, a.rung[family], p.Sets[i][family] != nil, choice)
	return r
}

// why says in a few words why a member is answered or passed over. What outranks comes first.
func (p *PoolPlan) why(m *Member, r MemberReason, rung Rung, hasFamily bool, choice *Choice) string {
	state := "has no check"
	if r.Status != nil {
		state = "is " + r.Status.State.String()
		if r.Status.Held {
			state += " (held)"
		}
		if r.Status.HeldBack {
			state += " (held back after recovery)"
		}
	}
	switch {
	case !hasFamily:
		return "has no address of this family"
	case !m.Enabled:
		return "is not enabled"
	case !r.On:
		return fmt.Sprintf("control %s is off (%s)", m.Control, strings.TrimPrefix(state, "is "))
	case r.Share > 0 && r.Picked:
		return fmt.Sprintf("%s: answered", state)
	case r.Share > 0:
		return fmt.Sprintf("%s: has a share of the answers", state)
	case rung > choice.Rung:
		return state
	}
	return state + ", but another is preferred"
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

// String is the explanation for a terminal: one reason a line, the answer last.
func (e *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", e.Name, e.Type)
	if e.Zone != "" {
		fmt.Fprintf(&b, "├─ zone %s\n", e.Zone)
	}
	for _, step := range e.Steps {
		fmt.Fprintf(&b, "├─ %s\n", step)
	}
	if p := e.Pool; p != nil {
		fmt.Fprintf(&b, "├─ client %s (%s) is in %s: group %d\n", p.Client, p.From, placeText(p.Place), p.Group)
		fmt.Fprintf(&b, "├─ pool %s, policy %s, in the order for this group; rung: %s\n", p.Pool, p.Policy, p.Rung)
		for i := range p.Members {
			p.Members[i].write(&b, branches(i, len(p.Members)))
		}
	}
	fmt.Fprintf(&b, "└─ %s\n", e.Last())
	return b.String()
}

// A branch is how the tree goes on at an entry: what stands before it, and before what lies below it.
type branch struct{ at, below string }

func branches(i, n int) branch {
	if i == n-1 {
		return branch{"└─ ", "   "}
	}
	return branch{"├─ ", "│  "}
}

func (m *MemberReason) write(b *strings.Builder, at branch) {
	fmt.Fprintf(b, "│  %s%s in %s", at.at, m.Endpoint, m.Region)
	if m.Tier != "" && m.Tier != "region "+string(m.Region) {
		fmt.Fprintf(b, " (%s)", m.Tier)
	}
	if m.RTT > 0 {
		fmt.Fprintf(b, " (%d ms", m.RTT.Milliseconds())
		if m.Samples == 0 {
			b.WriteString(" by distance")
		}
		b.WriteString(")")
	}
	fmt.Fprintf(b, " %s", m.Why)
	if m.Share > 0 && m.Share < 1 {
		fmt.Fprintf(b, ", %.0f %%", 100*m.Share)
	}
	b.WriteByte('\n')
	if m.Status == nil {
		return
	}
	for i, vote := range m.Status.Regions {
		fmt.Fprintf(b, "│  %s%s%s votes %s:", at.below, branches(i, len(m.Status.Regions)).at, vote.Region, vote.State)
		for j, o := range vote.Vantages {
			if j > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(b, " %s %s (%s)", o.Vantage, o.State, o.Reason)
			if o.Stale != "" {
				fmt.Fprintf(b, " not counted: %s", o.Stale)
			}
		}
		b.WriteByte('\n')
	}
}

func placeText(p geo.Place) string {
	if p == (geo.Place{}) {
		return "no known place"
	}
	var parts []string
	for _, part := range []string{p.City, p.Subdivision, p.Country, p.Continent} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}
