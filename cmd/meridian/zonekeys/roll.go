package zonekeys

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
)

// Orders is what a person asks of a zone's keys.
type Orders struct {
	Kind        dnssec.EventKind // empty: go on with what is under way
	Nameservers []string         // empty: as before
	Parents     []string         // the parent's servers; the same
	DNSKEYTTL   time.Duration    // 0: as before, at first the defaults; the same below
	MaxTTL      time.Duration
	DSTTL       time.Duration
	Propagation time.Duration
}

// Roll looks at the servers of a zone and of its parent, takes the next stage if it is time or does what is ordered, and
// writes it into the directory. It returns the state, and what it found at servers that are not as they should be.
func Roll(ctx context.Context, dir, zone string, o Orders, now time.Time, random io.Reader, ask Ask) (*dnssec.State, []string, error) {
	keys, err := Load(dir, zone)
	if err != nil {
		return nil, nil, err
	}
	s, err := LoadState(dir, zone, now)
	if err != nil {
		return nil, nil, err
	}
	if len(keys)+len(s.Keys) == 0 {
		return nil, nil, fmt.Errorf("zone %s: no keys in %s: key make makes some, --endpoint asks a running cluster", s.Zone, dir)
	}
	known := s.Keys
	if s, err = s.Step(now, configure(s, o)); err != nil {
		return nil, nil, err
	}
	s, notes, err := look(ctx, s, keys, now, ask)
	if err != nil {
		return nil, notes, err
	}
	event, made, err := order(s, o.Kind, keys, random, now)
	if err != nil {
		return nil, notes, err
	}
	if s, err = s.Step(now, event); err != nil {
		return nil, notes, err
	}
	if made != nil {
		if err := Create(dir, made); err != nil {
			return nil, notes, err
		}
		keys = append(keys, made)
	}
	// A crash between the two is made good by the next call: the times follow from the state.
	if err := saveState(dir, s); err != nil {
		return nil, notes, err
	}
	return s, notes, setTimes(dir, slices.Concat(known, s.Keys), s, keys, now)
}

func configure(s *dnssec.State, o Orders) dnssec.Event {
	limits := s.Limits
	limits.MaxStep = 0 // calls are rare, and the clock is that of the person's machine
	for _, set := range []struct {
		to    *uint32
		value time.Duration
	}{{&limits.DNSKEY, o.DNSKEYTTL}, {&limits.Zone, o.MaxTTL}, {&limits.DS, o.DSTTL}} {
		if set.value > 0 {
			*set.to = uint32(min(set.value/time.Second, 1<<31-1))
		}
	}
	if o.Propagation > 0 {
		limits.Propagation = o.Propagation
	}
	e := dnssec.Event{Kind: dnssec.Configure, Nodes: o.Nameservers, Parents: o.Parents, Limits: &limits}
	if len(e.Nodes) == 0 {
		for _, n := range s.Nodes {
			e.Nodes = append(e.Nodes, n.Name)
		}
	}
	if len(e.Parents) == 0 {
		for _, p := range s.Parents {
			e.Parents = append(e.Parents, p.Name)
		}
	}
	return e
}

// look asks all servers and hands what they answer to the state. A nameserver that serves something else than the
// present key set is taken to serve the one before.
func look(ctx context.Context, s *dnssec.State, keys []*dnssec.Key, now time.Time, ask Ask) (*dnssec.State, []string, error) {
	set, err := s.KeySet(private(keys))
	if err != nil {
		return nil, nil, err
	}
	var notes []string
	at := s // the same key set for all, whatever the first answers set off
	for _, n := range at.Nodes {
		generation := at.Generation
		how, err := ask.differs(ctx, n.Name, at.Zone, set, now)
		if err != nil {
			notes = append(notes, fmt.Sprintf("nameserver %s: %v", n.Name, err))
			continue
		}
		if how != "" {
			notes = append(notes, fmt.Sprintf("nameserver %s: %s", n.Name, how))
			generation = max(generation, 1) - 1
		}
		if s, err = s.Step(now, dnssec.Event{Kind: dnssec.Reported, Node: n.Name, Generation: generation}); err != nil {
			return nil, notes, err
		}
	}
	for _, p := range at.Parents {
		ds, ttl, err := ask.SeenDS(ctx, p.Name, at.Zone, now)
		if err != nil {
			notes = append(notes, fmt.Sprintf("server %s of the parent: %v", p.Name, err))
			continue
		}
		if s, err = s.Step(now, dnssec.Event{Kind: dnssec.SeenDS, Server: p.Name, DS: ds, TTL: ttl}); err != nil {
			return nil, notes, err
		}
	}
	return s, notes, nil
}

// private finds the private keys of a state among those of the directory.
func private(keys []*dnssec.Key) func(dnssec.KeyState) (*dnssec.Key, error) {
	return func(state dnssec.KeyState) (*dnssec.Key, error) {
		k := find(keys, state)
		if k == nil || !k.CanSign() {
			return nil, fmt.Errorf("the private file of key %d is not in the directory", state.Tag)
		}
		return k, nil
	}
}

func find(keys []*dnssec.Key, state dnssec.KeyState) *dnssec.Key {
	i := slices.IndexFunc(keys, func(k *dnssec.Key) bool {
		return k.Tag == state.Tag && k.Flags == state.Flags && bytes.Equal(k.Public, state.Public)
	})
	if i < 0 {
		return nil
	}
	return keys[i]
}

// order makes the event that was asked for, and the key that a roll brings.
func order(s *dnssec.State, kind dnssec.EventKind, keys []*dnssec.Key, random io.Reader, now time.Time) (dnssec.Event, *dnssec.Key, error) {
	flags := uint16(dnssec.FlagsKSK)
	switch kind {
	case "":
		return dnssec.Event{Kind: dnssec.Tick}, nil, nil
	case dnssec.Introduce:
		e := dnssec.Event{Kind: kind}
		for _, k := range keys {
			if gone := k.Timing.Delete; gone.IsZero() || gone.After(now) {
				e.Keys = append(e.Keys, dnssec.NewKeyState(k))
			}
		}
		return e, nil, nil
	case dnssec.RollZSK:
		flags = dnssec.FlagsZSK
	case dnssec.RollKSK, dnssec.RollCSK:
	default:
		return dnssec.Event{Kind: kind}, nil, nil
	}
	if len(s.Keys) == 0 {
		return dnssec.Event{Kind: kind}, nil, nil // it will be refused
	}
	for {
		made, err := dnssec.New(s.Zone, flags, s.Keys[0].Algorithm, random, now)
		if err != nil {
			return dnssec.Event{}, nil, err
		}
		if !slices.ContainsFunc(keys, func(k *dnssec.Key) bool { return k.Tag == made.Tag }) {
			return dnssec.Event{Kind: kind, Keys: []dnssec.KeyState{dnssec.NewKeyState(made)}}, made, nil
		}
	}
}

// setTimes says in the files of keys what they do from now on, for what signs the zone by them. Those that are known but no
// more in the state do nothing.
func setTimes(dir string, known []dnssec.KeyState, s *dnssec.State, keys []*dnssec.Key, now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	for _, old := range known {
		k := find(keys, old)
		if k == nil {
			continue // it was gone before
		}
		before := k.Timing
		var state dnssec.KeyState
		if i := slices.IndexFunc(s.Keys, func(state dnssec.KeyState) bool { return find([]*dnssec.Key{k}, state) != nil }); i >= 0 {
			state = s.Keys[i]
		}
		during(&k.Timing.Activate, &k.Timing.Inactive, state.SignsKeys || state.SignsData, now)
		during(&k.Timing.Publish, &k.Timing.Delete, state.Published, now)
		during(&k.Timing.SyncPublish, &k.Timing.SyncDelete, state.Announced, now)
		if k.Timing == before {
			continue
		}
		if err := renew(dir, k); err != nil {
			return err
		}
	}
	return nil
}

// during sets the begin and the end of a use so that it holds now, or does not.
func during(from, to *time.Time, on bool, now time.Time) {
	holds := holds(*from, *to, now)
	switch {
	case on && !holds:
		*from, *to = now, time.Time{}
	case on:
		*to = time.Time{} // the state says when it ends
	case holds:
		*to = now
	case !from.IsZero() && from.After(now):
		*from = time.Time{}
	}
}

func holds(from, to, now time.Time) bool {
	return !from.IsZero() && !from.After(now) && (to.IsZero() || to.After(now))
}
