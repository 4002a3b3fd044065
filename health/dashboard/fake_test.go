package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

var errNoLeader = errors.New("replica: no leader among us1, eu1, ap1")

// fake is a world of three regions as one of its nodes, us1, sees it: real tables, states and snapshots, fed by hand.
type fake struct {
	mu       sync.Mutex
	plan     *zones.Plan
	opinions map[health.CheckID][]health.Opinion // in the order of fakeVantages
	health   *health.View
	control  *control.State
	snapshot *zones.Snapshot
	first    *zones.Snapshot
	node     NodeInfo
	journal  []health.Event
	changed  chan struct{}

	noQuorum bool
	spill    *zones.Spill
	skew     bool // ap1 says another digest and an older index
	last     map[health.CheckID]health.Status
}

var fakeVantages = []health.Vantage{{Node: "ap1", Region: "ap-south"}, {Node: "eu1", Region: "eu-west"}, {Node: "us1", Region: "us-east"}}

func newFake(t testing.TB) *fake {
	t.Helper()
	files := make(map[string][]byte)
	for _, name := range []string{"world.yaml", "example.com.zone"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	world, err := zones.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	var places geo.Builder
	for _, p := range []struct {
		prefix, continent, country string
		at                         geo.Coordinates
	}{
		{"8.0.0.0/8", "NA", "US", geo.Coordinates{Latitude: 39, Longitude: -98}},
		{"91.0.0.0/8", "EU", "DE", geo.Coordinates{Latitude: 51, Longitude: 10}},
		{"103.0.0.0/8", "AS", "IN", geo.Coordinates{Latitude: 22, Longitude: 79}},
	} {
		place := geo.Place{Continent: p.continent, Country: p.country, Located: true, At: p.at}
		if err := places.Add(netip.MustParsePrefix(p.prefix), place); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := world.Compile(places.Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	f := &fake{plan: plan, changed: make(chan struct{}), opinions: make(map[health.CheckID][]health.Opinion), last: make(map[health.CheckID]health.Status)}
	f.control, _ = control.New(1).Apply(1, control.Command{Kind: control.KindDefine, Time: now, Actor: "us1", Reason: "configuration", Definitions: &world.Definitions})
	f.node = NodeInfo{Name: "us1", Region: "us-east", Roles: []string{"dns", "probe", "gateway", "control"}, Version: "test",
		Started: now.Add(-26 * time.Minute), Raft: "leader is eu1, 3 voters", Quorum: true}
	for i, v := range fakeVantages {
		f.node.Peers = append(f.node.Peers, Peer{Name: v.Node, Region: v.Region, Roles: f.node.Roles, Alive: true, Ready: true,
			Answers: []health.RegionAnswers{{Region: v.Region, Answers: uint64(1200 - 300*i)}}})
	}
	for _, v := range fakeVantages {
		f.say(v.Node, "", health.Up, health.ReasonOK)
	}
	f.advance()
	f.first = f.snapshot
	return f
}

// say makes a vantage say a state of every check whose name holds a text.
func (f *fake) say(vantage health.NodeID, check string, state health.State, reason health.Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, target := range f.plan.Targets {
		if f.opinions[target.ID] == nil {
			f.opinions[target.ID] = make([]health.Opinion, len(fakeVantages))
		}
		for i, v := range fakeVantages {
			if v.Node == vantage && strings.Contains(string(target.ID), check) {
				f.opinions[target.ID][i] = health.Opinion{Vantage: vantage, State: state, Reason: reason}
				f.event(health.EventVerdict, string(target.ID), fmt.Sprintf("%s says %v: %v", vantage, state, reason))
			}
		}
	}
}

// decide is a quorum of two of three, without any of the finer rules; half or fewer fresh vantages hold.
func (f *fake) decide(id health.CheckID, now time.Time) health.Status {
	was := f.last[id]
	s := health.Status{Check: id, State: was.State, Since: was.Since, Assigned: len(fakeVantages)}
	says := make(map[health.State]int)
	for i, v := range fakeVantages {
		o := f.opinions[id][i]
		if o.Fresh = f.alive(v.Node); !o.Fresh {
			o.Stale = "no heartbeat"
		}
		vote := health.Vote{Region: v.Region, Vantages: []health.Opinion{o}}
		if o.Fresh {
			s.Fresh++
			says[o.State]++
			vote.State = o.State
		}
		s.Regions = append(s.Regions, vote)
	}
	switch s.Held = 2*s.Fresh <= s.Assigned; {
	case s.Held:
		return s
	case says[health.Up] > 1:
		s.State = health.Up
	case says[health.Up]+says[health.Drain] > 1:
		s.State = health.Drain
	default:
		s.State = health.Down
	}
	s.Measured = s.State
	if s.State != was.State {
		s.Since = now
		f.event(health.EventStatus, string(id), fmt.Sprintf("%v, was %v: %s", s.State, was.State, s.Summary()))
	}
	return s
}

func (f *fake) alive(node health.NodeID) bool {
	for i := range f.node.Peers {
		if f.node.Peers[i].Name == node {
			return f.node.Peers[i].Alive
		}
	}
	return false
}

// advance lets every living node be heard, decides and publishes.
func (f *fake) advance() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var statuses []health.Status
	same := f.health != nil
	for _, target := range f.plan.Targets {
		s := f.decide(target.ID, now)
		same = same && reflect.DeepEqual(s, f.last[target.ID])
		f.last[target.ID] = s
		statuses = append(statuses, s)
	}
	if !same {
		f.health = health.NewView(statuses)
	}
	f.snapshot = f.plan.Publish(f.snapshot, zones.Inputs{Health: f.health, Control: f.control, Spill: f.spill}, zones.Change{All: true}, now)
	f.node.Peers = append([]Peer{}, f.node.Peers...)
	for i := range f.node.Peers {
		if p := &f.node.Peers[i]; p.Alive {
			p.Heard, p.World, p.Snapshot = now, f.plan.World.Digest, f.snapshot.Digest
			p.Epoch, p.Index = f.control.Epoch, f.control.Index
			if f.skew && p.Name == "ap1" {
				p.Snapshot++
				p.Index--
			}
		}
	}
	f.tell()
}

// change edits what the node knows of itself and its peers.
func (f *fake) change(edit func(*NodeInfo)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.node.Peers = append([]Peer{}, f.node.Peers...)
	edit(&f.node)
	f.tell()
}

func (f *fake) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) event(kind health.EventKind, subject, text string) {
	f.journal = append(f.journal, health.Event{Sequence: uint64(len(f.journal) + 1), Time: time.Now(), Kind: kind, Subject: subject, Text: text})
}

func (f *fake) submit(_ context.Context, c control.Command) (control.Result, error) {
	f.mu.Lock()
	if f.noQuorum {
		f.mu.Unlock()
		return control.Result{}, errNoLeader
	}
	c.Time = time.Now()
	next, result := f.control.Apply(f.control.Index+1, c)
	f.control = next
	for _, name := range result.Changed {
		ctl, _ := next.Control(name)
		f.event(health.EventControl, string(name), fmt.Sprintf("on=%v by %s: %s", ctl.On, ctl.Actor, ctl.Reason))
	}
	f.mu.Unlock()
	f.advance()
	return result, nil
}

// challenge decides as the voters do; a nameserver is deaf to one value.
func (f *fake) challenge(ctx context.Context, c control.Command) (control.Result, error) {
	result, err := f.submit(ctx, c)
	if err == nil && c.Challenges[0].Value == "deaf" {
		err = errors.New("nameservers have not confirmed: eu1")
	}
	return result, err
}

// The fake keeps what its first snapshot was, for an hour before it; half an hour before that its journal is damaged.
func (f *fake) past(_ context.Context, at time.Time) (Past, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch first := f.first.Published; {
	case at.After(first.Add(-time.Hour)):
		note := func(e *zones.Explanation) []string { return []string{"the zone " + e.Zone + " is copied"} }
		return Past{f.first, note}, nil
	case at.After(first.Add(-90 * time.Minute)):
		return Past{}, errors.New("damaged")
	}
	return Past{}, fmt.Errorf("%w: %v", replay.ErrOutside, at.UTC())
}

// find is the obvious way; a cursor is how many events are behind it.
func (f *fake) find(_ context.Context, q JournalQuery) (p JournalPage, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	skip := 0
	if q.Cursor != "" {
		if skip, err = strconv.Atoi(q.Cursor); err != nil {
			return p, fmt.Errorf("%w: %q", ErrCursor, q.Cursor)
		}
	}
	if q.Subject == "damaged" {
		return p, errors.New("journal: read error")
	}
	p.Cursor = strconv.Itoa(len(f.journal))
	for i, e := range f.journal[min(skip, len(f.journal)):] {
		switch {
		case e.Time.Before(q.From) || !q.To.IsZero() && e.Time.After(q.To) || q.Subject != "" && !about(e.Subject, q.Subject) || len(q.Kinds) > 0 && !slices.Contains(q.Kinds, e.Kind):
		case len(p.Events) < q.Limit:
			p.Events = append(p.Events, e)
		case q.Newest:
			p.Events, p.More = append(p.Events[1:], e), true
		case !p.More:
			p.More, p.Cursor = true, strconv.Itoa(skip+i)
		}
	}
	return p, nil
}

// get reads a field of the fake for a Source.
func get[T any](f *fake, read func() T) func() T {
	return func() T {
		f.mu.Lock()
		defer f.mu.Unlock()
		return read()
	}
}

func (f *fake) source() Source {
	return Source{
		Node:     get(f, func() NodeInfo { return f.node }),
		Health:   get(f, func() *health.View { return f.health }),
		Control:  get(f, func() *control.State { return f.control }),
		Snapshot: get(f, func() *zones.Snapshot { return f.snapshot }),
		Submit:   f.submit,
		Keys: get(f, func() []ZoneKeys {
			return []ZoneKeys{{Zone: "example.com.", Stage: "steady", Generation: 3, Keys: []Key{{Tag: 7, Role: "KSK", Algorithm: "ED25519", Does: "published, signs, in CDS"}}}}
		}),
		OrderKeys: func(ctx context.Context, o KeyOrder) (control.Result, error) {
			switch o.Do {
			case "roll-zsk":
				return control.Result{Epoch: 1, Index: 9}, nil
			case "roll-ksk":
				return control.Result{}, fmt.Errorf("%w: its keys are at zsk-sign", ErrKeysBusy)
			case "late":
				return control.Refuse(fmt.Errorf("%w: index 8", control.ErrVersion)), control.ErrVersion
			case "away":
				return control.Result{}, errNoLeader
			}
			return control.Result{}, fmt.Errorf("%w: %q", ErrKeysOrder, o.Do)
		},
		Challenge: f.challenge,
		Journal:   f.find,
		Past:      f.past,
		Changed:   get(f, func() <-chan struct{} { return f.changed }),
		Events: func(after uint64) []health.Event {
			return get(f, func() []health.Event { return f.journal[min(after, uint64(len(f.journal))):] })()
		},
	}
}
