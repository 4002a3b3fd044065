package dashboard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// A level says how soon somebody must look.
type level uint8

const (
	levelOK level = iota
	levelNotice
	levelWarning
	levelCritical
)

var levelNames = [...]string{"ok", "notice", "warning", "critical"}

func (l level) MarshalText() ([]byte, error) { return []byte(levelNames[l]), nil }

// A finding is one thing that is not as it should be.
type finding struct {
	Level   level     `json:"level"`
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"` // its name
	Text    string    `json:"text"`    // in words, with the name
	Since   time.Time `json:"since,omitzero"`

	weight int // among findings of one level, the lower comes first
}

// The kinds of finding: what the subject is.
const (
	kindCheck    = "check"
	kindPool     = "pool"
	kindControl  = "control"
	kindEndpoint = "endpoint"
	kindLatch    = "latch"
	kindRule     = "rule"
	kindNode     = "node"
	kindVoters   = "voters"
	kindSnapshot = "snapshot"
	kindWorld    = "world"
	kindPlaces   = "places"
	kindFreeze   = "freeze"
	kindMass     = "mass"
	kindGossip   = "gossip"
)

// How long nodes may differ: what is on its way is no news, and what stays is an alarm.
const (
	driftSettles = 5 * time.Second
	driftAlarms  = 60 * time.Second
)

// find returns what is wrong in a scene, worst first.
//
//	critical   no snapshot · a pool on its last rungs · a check down whose members are on · a safety rule broken ·
//	           all automatic change frozen · a mass change held · nodes differ for a minute · a voter that does not vote · a zone that is answered SERVFAIL
//	warning    a configuration, a zone file or a file that places clients refused · a pool below its first rung · a check held, unknown or draining · a vantage that distrusts itself or dissents · an endpoint that one region alone sees · a node lost · a node that UDP or TCP of the mesh fails with · no quorum of voters ·
//	           nodes differ for some seconds · an endpoint set by hand past its expiry, or forced up and not measured up ·
//	           no room for latches
//	notice     a control off · an endpoint set by hand · a member that waits to be resumed · a check held back · one region that sees it otherwise · a node that is not ready ·
//	           nodes that send under another key of the mesh
func find(c scene, differing map[disagreement]time.Time) []finding {
	var f findings
	f.snapshot(c)
	f.checks(c)
	f.controls(c)
	f.manual(c)
	f.restraints(c)
	f.nodes(c, differing)
	slices.SortStableFunc(f, func(a, b finding) int {
		return cmp.Or(-cmp.Compare(a.Level, b.Level), cmp.Compare(a.weight, b.weight), cmp.Compare(a.Subject, b.Subject))
	})
	if f == nil {
		return []finding{}
	}
	return f
}

type findings []finding

func (f *findings) add(l level, weight int, kind, subject string, since time.Time, format string, args ...any) {
	*f = append(*f, finding{l, kind, subject, fmt.Sprintf(format, args...), since, weight})
}

func (f *findings) snapshot(c scene) {
	if c.node.Abstains != "" {
		f.add(levelCritical, 2, kindVoters, string(c.node.Name), c.node.Started, "Node %s does not vote: %s", c.node.Name, c.node.Abstains)
	}
	if c.node.NoVerdicts != "" {
		f.add(levelWarning, 1, kindNode, string(c.node.Name), time.Time{}, "Node %s gives no verdicts, for it distrusts itself: %s", c.node.Name, c.node.NoVerdicts)
	}
	for _, d := range c.node.Dissents {
		f.add(levelWarning, 3, kindNode, string(d.Vantage), d.Since, "Vantage %s says otherwise than all together since %s: %s", d.Vantage, d.Since.Format(time.RFC3339), d.Text())
	}
	for _, r := range c.node.Reaches {
		f.add(levelWarning, 3, kindCheck, string(r.Check), r.Since, "Check %s is up only as seen from %s: a pool with view: regional would have its clients answered by it", r.Check, r.Region)
	}
	if r := c.node.Refused; r != nil {
		f.add(levelWarning, 0, kindWorld, string(c.node.Name), r.Since, "%s: %s", r.extent(), r.first())
	}
	if r := c.node.PlacesRefused; r != nil {
		f.add(levelWarning, 0, kindPlaces, string(c.node.Name), r.Since, "The databases or overrides that clients are placed by are refused, older ones are in force: %s", r.first())
	}
	if failing := c.node.Failing; failing != nil {
		f.add(levelCritical, 1, kindWorld, string(c.node.Name), time.Time{}, "Node %s answers SERVFAIL for %s, of which it has no data or not the keys; its log says why",
			c.node.Name, someOf("zone", failing.Zones, failing.Count))
	}
	if c.snapshot == nil {
		f.add(levelCritical, 0, kindSnapshot, string(c.node.Name), c.node.Started, "Node %s answers nothing: no configuration is compiled yet", c.node.Name)
		return
	}
	for _, pool := range c.snapshot.Pools {
		name := pool.Plan.Pool.Name
		switch rung := pool.Worst(); rung {
		case zones.RungUp:
		case zones.RungHeldBack, zones.RungUnknown, zones.RungDrain:
			f.add(levelWarning, 0, kindPool, name, time.Time{}, "Pool %s has nothing better than %s for some clients", name, rungWords[rung])
		default:
			f.add(levelCritical, 1, kindPool, name, time.Time{}, "Pool %s %s", name, rungWords[rung])
		}
	}
}

// mostNames bounds how many things a finding names.
const mostNames = 3

// first returns the first mistake, and how many more there are.
func (r *Refusal) first() string {
	mistakes := strings.Split(strings.TrimSpace(r.Text), "\n")
	if len(mistakes) == 1 {
		return mistakes[0]
	}
	return fmt.Sprintf("%s (and %d more)", mistakes[0], len(mistakes)-1)
}

// extent says what is refused, and what is in force.
func (r *Refusal) extent() string {
	if len(r.Zones) == 0 {
		return "The configuration on disk is refused, an older one is in force"
	}
	return fmt.Sprintf("Not taken: %s; what was served instead stays, all else on disk is in force", someOf("zone file", r.Zones, len(r.Zones)))
}

// someOf names a few of n things.
func someOf(kind string, names []string, n int) string {
	switch {
	case n == 1:
		return kind + " " + names[0]
	case n <= mostNames:
		return kind + "s " + strings.Join(names, ", ")
	default:
		return fmt.Sprintf("%ss %s and %d more", kind, strings.Join(names[:mostNames], ", "), n-mostNames)
	}
}

// rungWords say what a rung means for clients.
var rungWords = [...]string{
	zones.RungUp:         "members that are up",
	zones.RungHeldBack:   "members that are held back after recovery",
	zones.RungUnknown:    "members that nobody has a verdict of",
	zones.RungDrain:      "members that are draining",
	zones.RungOpen:       "has nothing up for some clients and answers every permitted member as if it were",
	zones.RungLastResort: "has nothing up for some clients and answers its last resort",
	zones.RungNoData:     "has nothing to answer some clients with",
}

func (f *findings) checks(c scene) {
	members := c.members()
	for _, id := range c.health.Checks() {
		s := c.health.Status(id, health.Global)
		why := explainStatus(&s)
		if s.Held {
			s.Since = time.Time{} // of the state, which is not what is wrong
		}
		switch {
		case s.Hold == health.HoldFrozen && s.Measured == s.State: // that all is frozen is said once
		case s.Shadow && s.State != health.Up:
			f.add(levelNotice, 3, kindCheck, string(id), s.Since, "Check %s is a shadow, which nothing obeys; it is %v: %s", id, s.State, why)
		case s.State == health.Down && !s.HeldBack && offDuty(members[id]):
			f.add(levelNotice, 2, kindCheck, string(id), s.Since, "Check %s is down, and %s: %s", id, whyOffDuty(members[id]), why)
		case s.State == health.Down && s.HeldBack:
			f.add(levelNotice, 2, kindCheck, string(id), s.Since, "Check %s: %s", id, why)
		case s.State == health.Down:
			f.add(levelCritical, 2, kindCheck, string(id), s.Since, "Check %s is down: %s", id, why)
		case s.State == health.Unknown && s.Grace:
			f.add(levelNotice, 2, kindCheck, string(id), s.Since, "Check %s: %s", id, why)
		case s.State != health.Up || s.Held:
			f.add(levelWarning, 2, kindCheck, string(id), s.Since, "Check %s: %s", id, why)
		case dissents(&s) != "":
			f.add(levelNotice, 3, kindCheck, string(id), s.Since, "Check %s: %s", id, why)
		}
	}
}

// offDuty reports whether no pool could answer with what the check is of, because people decided so.
func offDuty(members []memberName) bool {
	return len(members) > 0 && !slices.ContainsFunc(members, func(m memberName) bool { return !m.barred() })
}

func whyOffDuty(members []memberName) string {
	if members[0].Manual == control.ForceDown {
		return "its endpoint is forced down"
	}
	return "its control is off"
}

func (f *findings) controls(c scene) {
	for _, v := range c.control.Violations() {
		f.add(levelCritical, 3, kindRule, ruleID(v), time.Time{}, "Safety rule %s is broken: it needs %s, and %d are", ruleID(v), v.Needs, v.On)
	}
	for _, ctl := range c.control.Controls() {
		if !ctl.On {
			f.add(levelNotice, 0, kindControl, string(ctl.Name), ctl.Changed, "Control %s is off%s", ctl.Name, byWhom(ctl))
		}
	}
	if c.node.Raft != "" && !c.node.Quorum {
		f.add(levelWarning, 1, kindVoters, string(c.node.Name), time.Time{}, "No quorum of voters: controls stay as they are and can't be changed")
	}
}

func byWhom(c control.Control) string {
	if c.Actor == "" {
		return ""
	}
	return fmt.Sprintf(" (%s: %s)", c.Actor, c.Reason)
}

// ruleID is the name by which an override means exactly this rule.
func ruleID(v control.Violation) string {
	if v.Panel == "" {
		return v.Rule
	}
	return string(v.Panel) + "/" + v.Rule
}

func (f *findings) nodes(c scene, differing map[disagreement]time.Time) {
	for i := range c.node.Peers {
		p := &c.node.Peers[i]
		switch {
		case !p.Alive:
			f.add(levelWarning, 1, kindNode, string(p.Name), p.Heard, "Node %s in %s is lost", p.Name, p.Region)
		case p.Heard.IsZero():
			f.add(levelNotice, 4, kindNode, string(p.Name), time.Time{}, "Node %s in %s has not said anything yet", p.Name, p.Region)
		case !p.Ready && slices.Contains(p.Roles, health.RoleDNS.Names()[0]):
			f.add(levelNotice, 4, kindNode, string(p.Name), time.Time{}, "Node %s in %s does not answer queries yet", p.Name, p.Region)
		}
	}
	f.gossip(c)
	for _, d := range disagreements(c.node) {
		begun := differing[d.disagreement]
		l := levelWarning
		switch age := c.now.Sub(begun); {
		case age < driftSettles:
			continue
		case age >= driftAlarms:
			l = levelCritical
		}
		f.add(l, 4, kindNode, string(d.node), begun, "Node %s differs in its %s: %s, not %s", d.node, d.what, d.have, d.want)
	}
}

// gossip finds members with whom a protocol fails one way, and those that send under another key: a rotation that goes on.
func (f *findings) gossip(c scene) {
	g := c.node.Gossip
	if g == nil {
		return
	}
	var others []string
	for _, p := range g.Peers {
		if p.Trouble != "" {
			f.add(levelWarning, 3, kindGossip, string(p.Node), time.Time{}, "Gossip with %s: %s", p.Node, p.Trouble)
		}
		if len(p.Keys) > 0 && p.Keys[0] != g.Keys[0] {
			others = append(others, string(p.Node))
		}
	}
	if len(others) > 0 {
		f.add(levelNotice, 5, kindGossip, string(c.node.Name), time.Time{}, "Key %s of the mesh is sent under here, and another by %s: a rotation is not over", g.Keys[0], someOf("node", others, len(others)))
	}
}

// conclude puts a scene into one line: what is worst, and how much else is as bad.
func conclude(c scene, found []finding) (level, string) {
	if len(found) == 0 {
		return levelOK, allWell(c)
	}
	first := found[0]
	var alike []string // subjects of the first's kind
	same := 0
	for _, f := range found {
		if f.Level == first.Level && f.Kind == first.Kind && !slices.Contains(alike, f.Subject) {
			alike = append(alike, f.Subject)
		}
		if f.Level == first.Level {
			same++
		}
	}
	text := first.Text
	if n := len(alike); n > 1 {
		text = fmt.Sprintf("%d %s: %s", n, together(first), strings.Join(alike[:min(n, maxNamed)], ", "))
		if n > maxNamed {
			text += fmt.Sprintf(" and %d more", n-maxNamed)
		}
	}
	others := same - len(alike)
	if others > 0 {
		text += fmt.Sprintf(" (and %d more)", others)
	}
	if first.Level == levelNotice && allUp(c) {
		text = allWell(c) + ". " + text
	}
	return first.Level, text
}

// maxNamed is how many subjects the top line names.
const maxNamed = 4

// together says of several subjects of one kind and level what is the matter with them.
func together(f finding) string {
	switch f.Kind {
	case kindCheck:
		return [...]string{levelNotice: "checks are held back, new or disputed", levelWarning: "checks are held, unknown or draining",
			levelCritical: "checks are down"}[f.Level]
	case kindPool:
		return "pools have nothing up for some clients"
	case kindControl:
		return "controls are off"
	case kindEndpoint:
		return [...]string{levelNotice: "endpoints are set by hand", levelWarning: "endpoints are set by hand past the end of that, or up against what is measured"}[f.Level]
	case kindLatch:
		return "members wait to be resumed"
	case kindGossip:
		return [...]string{levelNotice: "rotations of keys are not over", levelWarning: "members are reached by gossip in part"}[f.Level]
	case kindRule:
		return "safety rules are broken"
	case kindNode:
		return [...]string{levelNotice: "nodes are not ready", levelWarning: "nodes are lost or differ", levelCritical: "nodes differ"}[f.Level]
	}
	return f.Kind
}

func allUp(c scene) bool {
	for _, id := range c.health.Checks() {
		if s := c.health.Status(id, health.Global); s.State != health.Up {
			return false
		}
	}
	return true
}

func allWell(c scene) string {
	checks := len(c.health.Checks())
	parts := []string{plural(checks, "All %d checks up", "The one check is up")}
	if checks == 0 {
		parts[0] = "No checks"
	}
	parts = append(parts, plural(len(c.node.Peers), "all %d nodes agree", "one node"))
	return strings.Join(parts, ", ")
}

func plural(n int, many, one string) string {
	if n == 1 {
		return one
	}
	if !strings.Contains(many, "%") {
		return many
	}
	return fmt.Sprintf(many, n)
}
