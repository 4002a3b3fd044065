package dashboard

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// An endpointList is what is measured of every endpoint and what it is set to by hand, as this node knows it.
type endpointList struct {
	Known     bool           `json:"known"` // false: no state of the voters was ever seen
	Epoch     uint64         `json:"epoch"`
	Index     uint64         `json:"index"`
	Quorum    bool           `json:"quorum"`
	Endpoints []endpointView `json:"endpoints"` // by name; those of pools, and those that are set by hand
	Latches   []latchView    `json:"latches"`   // by pool and endpoint
}

// An endpointView is one endpoint.
type endpointView struct {
	Endpoint string         `json:"endpoint"`
	Region   geo.RegionID   `json:"region,omitempty"`
	Pools    []poolOf       `json:"pools"`  // none: no pool of the configuration has it, and what it is set to has no effect
	Checks   []memberStatus `json:"checks"` // what is measured; none: nothing is
	Manual   manualView     `json:"manual"` // what it is set to by hand
}

// A poolOf is a pool that has an endpoint.
type poolOf struct {
	Pool    string            `json:"pool"`
	Control control.ControlID `json:"control,omitempty"`
	On      bool              `json:"on"`
	Latched bool              `json:"latched,omitempty"`
}

// A manualView is what an endpoint is set to by hand; state auto: nothing, and the rest is missing.
type manualView struct {
	State   control.Manual `json:"state"`
	Since   time.Time      `json:"since,omitzero"`
	Expires time.Time      `json:"expires,omitzero"` // missing: never
	Overdue bool           `json:"overdue,omitempty"`
	Actor   string         `json:"actor,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Epoch   uint64         `json:"epoch,omitempty"`
	Index   uint64         `json:"index,omitempty"`
}

// A latchView is a member that clients do not go back to until it is resumed.
type latchView struct {
	control.Latch
	Unused bool `json:"unused,omitempty"` // the configuration has no such member
}

// manual says what an endpoint is set to by hand.
func (c scene) manual(endpoint string) manualView {
	o, ok := c.control.Overlay(endpoint)
	if !ok {
		return manualView{State: control.Auto}
	}
	return manualView{o.State, o.Changed, o.Expires, o.Overdue(c.now), o.Actor, o.Reason, o.Epoch, o.Index}
}

func (c scene) endpoints() endpointList {
	list := endpointList{Known: c.control != nil, Quorum: c.node.Quorum, Latches: []latchView{}}
	if c.control != nil {
		list.Epoch, list.Index = c.control.Epoch, c.control.Index
	}
	known := c.known()
	for _, l := range c.control.Latches() {
		list.Latches = append(list.Latches, latchView{l, !known[l.Endpoint].in(l.Pool)})
	}
	for _, o := range c.control.Overlays() {
		if known[o.Endpoint] == nil {
			known[o.Endpoint] = &endpointView{Endpoint: o.Endpoint, Pools: []poolOf{}, Checks: []memberStatus{}}
		}
	}
	list.Endpoints = []endpointView{}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		known[name].Manual = c.manual(name)
		list.Endpoints = append(list.Endpoints, *known[name])
	}
	return list
}

// in reports whether a pool has an endpoint; nil: nobody knows it.
func (v *endpointView) in(pool string) bool {
	return v != nil && slices.ContainsFunc(v.Pools, func(p poolOf) bool { return p.Pool == pool })
}

// known returns the endpoints of all pools, with what is measured of them.
func (c scene) known() map[string]*endpointView {
	known := make(map[string]*endpointView)
	if c.snapshot == nil {
		return known
	}
	for i := range c.snapshot.Plan.World.Pools {
		pool := &c.snapshot.Plan.World.Pools[i]
		for j := range pool.Members {
			m := &pool.Members[j]
			if m.Endpoint == "" {
				continue // it is a pool, which has its own
			}
			v := known[m.Endpoint]
			if v == nil {
				v = &endpointView{Endpoint: m.Endpoint, Region: m.Region, Checks: []memberStatus{}}
				known[m.Endpoint] = v
			}
			v.Pools = append(v.Pools, poolOf{pool.Name, m.Control, c.on(m.Control), c.control.Latched(pool.Name, m.Endpoint)})
			for _, s := range c.measured(pool, m) {
				if !slices.ContainsFunc(v.Checks, func(o memberStatus) bool { return o.Check == s.Check }) {
					v.Checks = append(v.Checks, s)
				}
			}
		}
	}
	return known
}

// measured is what the check of a pool shows of a member, whatever that is set to by hand.
func (c scene) measured(p *zones.Pool, m *zones.Member) []memberStatus {
	statuses := []memberStatus{}
	for _, id := range c.checksOf(p, m) {
		s := c.health.Status(id, health.Global)
		statuses = append(statuses, memberStatus{s.Check, s.State, s.Held})
	}
	return statuses
}

// checksOf returns the checks of a member: of the families in which it is probed.
func (c scene) checksOf(p *zones.Pool, m *zones.Member) (checks []health.CheckID) {
	for family := range zones.FamilyNames {
		id := zones.CheckID(p.Check, m.Endpoint, family)
		if _, checked := c.snapshot.Plan.Subject(id); checked {
			checks = append(checks, id)
		}
	}
	return checks
}

func (s *Server) getEndpoints(w http.ResponseWriter, _ *http.Request) {
	reply(w, s.scene(time.Now()).endpoints())
}

func (s *Server) postEndpoints(w http.ResponseWriter, r *http.Request) {
	cmd, bad := readOverlays(r)
	if bad == nil {
		bad = s.scene(time.Now()).unknownEndpoints(cmd)
	}
	s.command(w, r, cmd, bad)
}

func (s *Server) postResume(w http.ResponseWriter, r *http.Request) {
	cmd, bad := readResume(r)
	if bad == nil {
		bad = s.scene(time.Now()).unknownMember(cmd)
	}
	s.command(w, r, cmd, bad)
}

// The fields of the bodies, in the order in which a mistake lists them.
var (
	overlayFields = []string{"set", "for_seconds", "expires", "reason", "actor", "key"}
	resumeFields  = []string{"pool", "endpoint", "reason", "actor", "key"}
)

// readOverlays reads the body of a change of manual states. It reports every mistake at once.
func readOverlays(r *http.Request) (control.Command, *problem) {
	var body struct {
		Set     map[string]json.RawMessage `json:"set"`
		For     *float64                   `json:"for_seconds"`
		Expires *string                    `json:"expires"`
		Reason  string                     `json:"reason"`
		Actor   string                     `json:"actor"`
		Key     string                     `json:"key"`
	}
	wrong, bad := readBody(r, overlayFields, &body)
	if bad != nil {
		return control.Command{}, bad
	}
	var life time.Duration
	var expires time.Time
	if body.For != nil {
		if life = time.Duration(*body.For * float64(time.Second)); *body.For < 1 || *body.For > maxManual.Seconds() {
			wrong.add("for_seconds: %v, want 1 to %d", *body.For, maxManual/time.Second)
		}
	}
	if body.Expires != nil {
		var err error
		if expires, err = time.Parse(time.RFC3339, *body.Expires); err != nil || expires.IsZero() {
			wrong.add("expires: %q is not a time like %q", *body.Expires, "2026-03-01T18:00:00Z")
		}
	}
	if wrong.decoded {
		if len(body.Set) == 0 {
			wrong.add("set: no endpoint is named")
		}
		if body.For != nil && body.Expires != nil {
			wrong.add("for_seconds and expires: want one of them")
		}
		wrong.missing(map[string]string{"reason": body.Reason, "actor": body.Actor})
	}
	cmd := control.Command{Kind: control.KindOverlay, Actor: body.Actor, Reason: body.Reason, Key: body.Key}
	for _, name := range slices.Sorted(maps.Keys(body.Set)) {
		var state control.Manual
		if json.Unmarshal(body.Set[name], &state) != nil || !slices.Contains(control.Manuals(), state) {
			wrong.add("set: endpoint %q: want one of %s, not %s", name, quotedList(control.Manuals()), body.Set[name])
		}
		if state == control.Auto && (body.For != nil || body.Expires != nil) {
			wrong.add("set: endpoint %q: %q takes away what it was set to, and can't expire", name, control.Auto)
		}
		cmd.Overlays = append(cmd.Overlays, control.OverlaySet{Endpoint: name, State: state, For: life, Expires: expires})
	}
	return cmd, wrong.problem()
}

// maxManual is for how long from now something may be set by hand at most; without an expiry it may be for ever.
const maxManual = 366 * 24 * time.Hour

func quotedList[T ~string](words []T) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, fmt.Sprintf("%q", w))
	}
	return strings.Join(quoted, ", ")
}

// readResume reads the body of an order to resume. It reports every mistake at once.
func readResume(r *http.Request) (control.Command, *problem) {
	var body struct {
		control.Member
		Reason string `json:"reason"`
		Actor  string `json:"actor"`
		Key    string `json:"key"`
	}
	wrong, bad := readBody(r, resumeFields, &body)
	if bad != nil {
		return control.Command{}, bad
	}
	if wrong.decoded {
		wrong.missing(map[string]string{"pool": body.Pool, "reason": body.Reason, "actor": body.Actor})
	}
	return control.Command{Kind: control.KindResume, Actor: body.Actor, Reason: body.Reason, Key: body.Key, Resume: &body.Member}, wrong.problem()
}

// unknownEndpoints refuses to set what no pool has: a slip of the pen must not look like an endpoint that is down. Taking
// away what is there is always right.
func (c scene) unknownEndpoints(cmd control.Command) *problem {
	if c.control.Used(cmd.Key) {
		return nil // it gets the first result, whatever the configuration has lost since
	}
	if c.snapshot == nil {
		return &problem{Status: http.StatusServiceUnavailable, Detail: "no configuration is compiled yet, so no endpoint is known"}
	}
	known := c.known()
	var unknown []string
	for _, o := range cmd.Overlays {
		if _, there := c.control.Overlay(o.Endpoint); known[o.Endpoint] == nil && !(o.State == control.Auto && there) {
			unknown = append(unknown, o.Endpoint)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return &problem{Status: http.StatusUnprocessableEntity, Code: "unknown_endpoint",
		Detail: fmt.Sprintf("unknown endpoint: %s (have %s)", quotedList(unknown), listOf(slices.Sorted(maps.Keys(known))))}
}

// unknownMember refuses to resume what no pool has and nothing has latched.
func (c scene) unknownMember(cmd control.Command) *problem {
	m := *cmd.Resume
	if c.control.Used(cmd.Key) {
		return nil
	}
	if c.snapshot == nil {
		return &problem{Status: http.StatusServiceUnavailable, Detail: "no configuration is compiled yet, so no pool is known"}
	}
	members := make(map[string][]string) // by pool
	for i := range c.snapshot.Plan.World.Pools {
		pool := &c.snapshot.Plan.World.Pools[i]
		members[pool.Name] = []string{}
		for j := range pool.Members {
			if m := &pool.Members[j]; m.Endpoint != "" {
				members[pool.Name] = append(members[pool.Name], m.Endpoint)
			}
		}
	}
	for _, l := range c.control.Latches() {
		if !slices.Contains(members[l.Pool], l.Endpoint) {
			members[l.Pool] = append(members[l.Pool], l.Endpoint)
		}
	}
	of, known := members[m.Pool]
	switch {
	case !known:
		return &problem{Status: http.StatusUnprocessableEntity, Code: "unknown_pool",
			Detail: fmt.Sprintf("unknown pool: %q (have %s)", m.Pool, listOf(slices.Sorted(maps.Keys(members))))}
	case m.Endpoint != "" && !slices.Contains(of, m.Endpoint):
		return &problem{Status: http.StatusUnprocessableEntity, Code: "unknown_endpoint",
			Detail: fmt.Sprintf("unknown endpoint: %q in pool %q (have %s)", m.Endpoint, m.Pool, listOf(slices.Sorted(slices.Values(of))))}
	}
	return nil
}

// mostListed bounds how many good names an error lists.
const mostListed = 50

func listOf(names []string) string {
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > mostListed:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostListed], ", "), len(names)-mostListed)
	}
	return strings.Join(names, ", ")
}
