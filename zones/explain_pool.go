package zones

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// A PoolReason says what a pool made of a client.
type PoolReason struct {
	Pool    string         `json:"pool"`
	Policy  Policy         `json:"policy"`
	Client  netip.Addr     `json:"client"` // the address that was placed
	From    string         `json:"from"`   // where that address is from
	Place   geo.Place      `json:"place"`
	Group   geo.GroupID    `json:"group"`
	Rung    Rung           `json:"rung"`
	Prefix  *PrefixReason  `json:"prefix,omitempty"` // nil: the answer does not depend on the client's prefix
	Members []MemberReason `json:"members"`          // in the order in which the group prefers them
}

// A PrefixReason says what the client's prefix decided.
type PrefixReason struct {
	PerMille uint16 `json:"per_mille"`        // where its hash stands, 0 to 999
	Sticky   bool   `json:"sticky,omitempty"` // it has its rendezvous with members
	Why      string `json:"why,omitempty"`    // the prefix is answered otherwise than most
}

// A MemberReason says what stood for or against one member.
type MemberReason struct {
	Endpoint string           `json:"endpoint,omitempty"` // empty: a pool
	Pool     string           `json:"pool,omitempty"`
	Region   geo.RegionID     `json:"region,omitempty"`
	Tier     string           `json:"tier"`
	RTT      time.Duration    `json:"rtt_ns,omitempty"`  // latency: from the client's place, as estimated; 0: not known
	Samples  uint32           `json:"samples,omitempty"` // that the estimate rests on most; 0: on the distance, or on a table
	From     string           `json:"from,omitempty"`    // what the estimate rests on most: "prefix 192.0.2.0/24", "AS64500 in DE", "distance", …
	Status   *health.Status   `json:"status,omitempty"`  // as measured; nil: without a check
	Manual   *control.Overlay `json:"manual,omitempty"`  // what somebody set by hand, which holds over what is measured
	Latched  bool             `json:"latched,omitempty"` // it waits until somebody resumes it
	Ramp     int              `json:"ramp,omitempty"`    // per mille of the prefixes that it has back; 0: all
	Kept     int              `json:"kept,omitempty"`    // per mille of the prefixes that it has room for; 0: all
	Control  string           `json:"control,omitempty"`
	On       bool             `json:"on"`
	Share    float64          `json:"share"` // of the answers to such clients, 0 to 1: those that have it
	Picked   bool             `json:"picked"`
	Why      string           `json:"why"`
	Members  []MemberReason   `json:"members,omitempty"` // of a pool
}

// An explainer explains what one pool made of one client.
type explainer struct {
	snapshot  *Snapshot
	plan      *PoolPlan
	client    netip.Addr // as it was placed
	place     geo.Place
	regions   []geo.RegionID // by leaf: whose vantages decide; Global: all
	standings []standing
	family    int
	prefix    uint16  // of the client, in per mille; 0 where the answer does not depend on it
	choice    *Choice // of the client's part
	picked    *Option
}

func (s *Snapshot) explainPool(e *Explanation, owner string, number int, seed uint64, q Question) error {
	answers := s.Pools[number]
	pool := answers.Plan
	g, scope := pool.Group(q.Client)
	var prefix Prefix
	if answers.Groups[g].ByPrefix {
		var bits int
		prefix, bits = q.Client.Prefix(seed)
		scope = max(scope, bits)
	}
	choice := answers.Choice(g, q.Type)
	x := explainer{
		snapshot: s, plan: pool, prefix: prefix.PerMille(), choice: choice.Part(prefix), picked: choice.Pick(q.Random, prefix),
		family: max(slices.Index(pool.Types[:], q.Type), 0), // an alias is for all types
	}
	x.standings, _ = pool.standings(nil, s.inputs(), &pool.Groups[g], s.Published)
	x.regions = make([]geo.RegionID, len(pool.Leaves))
	pool.root.eachLeaf(&pool.Groups[g], func(leaf int, region geo.RegionID) { x.regions[leaf] = region })
	r := &PoolReason{Pool: pool.Pool.Name, Policy: pool.Pool.Policy, Group: g, Rung: x.choice.Rung}
	r.Client, r.From = pool.located(q.Client)
	x.client = r.Client
	x.place = s.Plan.Table.Place(s.Plan.Table.Lookup(r.Client))
	r.Place = x.place
	if answers.Groups[g].ByPrefix {
		r.Prefix = &PrefixReason{PerMille: prefix.PerMille(), Sticky: choice.Sticky}
		for _, o := range choice.Others {
			if o.From <= prefix.PerMille() && prefix.PerMille() < o.To {
				r.Prefix.Why = o.Why
			}
		}
	}
	r.Members = x.members(pool.root, &pool.Groups[g])
	e.Pool = r
	if x.picked == nil {
		e.step("%s: no %s to answer with", owner, e.Type)
		return nil // resolvers keep a denial for everybody (RFC 7871, section 7.4)
	}
	e.Scope = scope
	if pool.Pool.Kind == Aliases && q.Type != dns.TypeCNAME {
		e.step("%s is an alias here, which is not followed", owner)
	}
	return e.add(x.picked.turned(q.Random), owner)
}

func (s *Snapshot) inputs() Inputs { return Inputs{s.Health, s.Control, s.Spill} }

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

// members explains the members of a level, those that the group prefers first, and last those that are not for it.
func (x *explainer) members(l *level, g *GroupPlan) (reasons []MemberReason) {
	said := make([]bool, len(l.pool.Members))
	for _, tier := range g.Tiers {
		for _, m := range tier.Members {
			if !said[m] {
				said[m] = true
				reasons = append(reasons, x.member(l, g, m, tier.Why))
			}
		}
	}
	for m := range l.pool.Members {
		if !said[m] {
			member := &l.pool.Members[m]
			reasons = append(reasons, MemberReason{Endpoint: member.Endpoint, Pool: member.Pool, Region: member.Region,
				On: x.snapshot.inputs().on(member.Control), Control: string(member.Control), Why: "is not for clients of this group"})
		}
	}
	return reasons
}

func (x *explainer) member(l *level, g *GroupPlan, m int, tier string) MemberReason {
	member := &l.pool.Members[m]
	in := x.snapshot.inputs()
	r := MemberReason{Endpoint: member.Endpoint, Pool: member.Pool, Region: member.Region, Tier: tier,
		Control: string(member.Control), On: in.on(member.Control)}
	if l.pool.Policy == Latency {
		e := x.snapshot.Plan.estimate(x.client, x.place, member.Region)
		r.RTT, r.Samples, r.From = e.RTT, e.Samples, e.From
	}
	if inner := l.inner[m]; inner != nil {
		r.Members = x.members(inner, g.inner[m])
		for _, i := range r.Members {
			r.Share, r.Picked = r.Share+i.Share, r.Picked || i.Picked
		}
		r.Why = x.whyPool(inner, g.inner[m], &r, member)
		return r
	}
	leaf := l.leaf[m]
	x.leaf(&r, leaf)
	r.Why = x.whyLeaf(&r, leaf)
	return r
}

// leaf adds what is known of an endpoint.
func (x *explainer) leaf(r *MemberReason, number int) {
	leaf, s, in := &x.plan.Leaves[number], &x.standings[number], x.snapshot.inputs()
	for _, check := range leaf.checks {
		if check != "" && (check == leaf.checks[x.family] || leaf.Target != nil) {
			status := in.Health.Status(check, x.regions[number])
			r.Status = &status
			r.Latched = in.latched(leaf)
		}
	}
	if overlay, ok := in.Control.Overlay(leaf.Endpoint); ok {
		r.Manual = &overlay
	}
	if ramp := s.ramp[x.family]; ramp < FullRamp {
		r.Ramp = int(ramp)
	}
	if s.kept < FullRamp {
		r.Kept = int(s.kept)
	}
	for o := range x.choice.Options {
		if option := &x.choice.Options[o]; slices.Contains(option.Members, number) {
			r.Share += float64(option.Weight) / float64(x.choice.Total)
			r.Picked = r.Picked || x.picked == option
		}
	}
}

// whyLeaf says in a few words why an endpoint is answered or passed over. What outranks comes first.
func (x *explainer) whyLeaf(r *MemberReason, number int) string {
	leaf, s := &x.plan.Leaves[number], &x.standings[number]
	state := stateText(r)
	off := slices.IndexFunc(leaf.controls, func(c control.ControlID) bool { return !x.snapshot.inputs().on(c) })
	switch {
	case leaf.Sets[x.family] == nil:
		return "has no address of this family"
	case !leaf.Member.Enabled:
		return "is not enabled"
	case !leaf.enabled:
		return "is in a pool that is not enabled"
	case off >= 0:
		return fmt.Sprintf("control %s is off (%s)", leaf.controls[off], strings.TrimPrefix(state, "is "))
	case r.Share > 0 && r.Picked:
		return state + ": answered"
	case r.Share > 0:
		return state + ": has a share of the answers"
	case !s.permitted, s.rung[x.family] > x.choice.Rung:
		return state
	case s.ramp[x.family] <= x.prefix:
		return state + ", but this prefix does not have it back yet"
	case s.kept <= x.prefix:
		return state + ", but not for this prefix"
	}
	return state + ", but another is preferred"
}

// stateText says what is measured of an endpoint and what was set by hand.
func stateText(r *MemberReason) string {
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
	if r.Latched {
		state += " (waits to be resumed)"
	}
	if r.Ramp > 0 {
		state += fmt.Sprintf(" (came back, %d %% of the prefixes so far)", r.Ramp/10)
	}
	if r.Kept > 0 {
		state += fmt.Sprintf(" (full: it has room for %.3g %% of the prefixes)", float64(r.Kept)/10)
	}
	if r.Manual != nil {
		state = fmt.Sprintf("is set to %s by %s: %s (measured: %s)", r.Manual.State, r.Manual.Actor, r.Manual.Reason, strings.TrimPrefix(state, "is "))
	}
	return state
}

// whyPool says in a few words why a pool in a pool is answered from or passed over.
func (x *explainer) whyPool(l *level, g *GroupPlan, r *MemberReason, member *Member) string {
	e := evaluation{plan: x.plan, standings: x.standings, family: x.family, rung: RungUp}
	switch {
	case !member.Enabled:
		return "is not enabled"
	case !r.On:
		return fmt.Sprintf("control %s is off", member.Control)
	case r.Share > 0 && r.Picked:
		return "answered"
	case r.Share > 0:
		return "has a share of the answers"
	case len(e.level(l, g, 1)) == 0:
		return "has no member that is up"
	case !e.enough(l, g):
		return "has fewer members that are up than min_up"
	}
	if e.prefix = x.prefix; len(e.level(l, g, 1)) == 0 {
		return "is available, but has nobody for this prefix"
	}
	return "is available, but another is preferred"
}
