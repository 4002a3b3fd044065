package dnssec

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// A use is what a key does.
type use uint8

const (
	published use = 1 << iota
	signs         // what its role is: a KSK the keys, a ZSK the data, a CSK both
	announced     // if it is a KSK

	full = published | signs | announced
)

// A plan is what the keys do in a stage, and what must be so before the next one: old is the key that a roll replaces,
// new the one that it brings, rest are those that it does not concern.
type plan struct {
	old, new, rest use
	waits          func(*State) []Wait
	next           Stage
}

// The rolls are those of RFC 7583: of a ZSK section 3.2.1 (pre-publication), of a KSK section 3.3.2 (double DS). That of
// a CSK is both at once. No stage takes away what a cache may still need, or gives what a cache can't check yet:
//
//	zsk-sign       the new key signs         after every cached DNSKEY set holds it
//	zsk-remove     the old key is gone       after no cached signature is by it
//	ksk-swap       the new key for the old   after every cached DS set holds both
//	ksk-withdraw   the old DS is dropped     after every cached DNSKEY set is signed by the new key
//	csk-sign       the new key signs         after every cached DNSKEY set and DS set holds both
//	csk-withdraw   the old key and DS go     after no cached signature, over keys or data, is by it
//	announce       the first DS              after no cached data is unsigned
//	unsign         no keys                   after no cached DS set holds one
var stages = map[Stage]plan{
	Sign:        {rest: published | signs, waits: (*State).waitZone, next: Announce},
	Announce:    {rest: full, waits: (*State).waitChain, next: Steady},
	Steady:      {rest: full, waits: (*State).waitChain},
	ZSKPublish:  {old: full, new: published, rest: full, waits: (*State).waitKeys, next: ZSKSign},
	ZSKSign:     {old: published, new: full, rest: full, waits: (*State).waitZone, next: ZSKRemove},
	ZSKRemove:   {new: full, rest: full, waits: (*State).waitReports, next: Steady},
	KSKAnnounce: {old: full, new: announced, rest: full, waits: (*State).waitBoth, next: KSKSwap},
	KSKSwap:     {old: announced, new: full, rest: full, waits: (*State).waitKeys, next: KSKWithdraw},
	KSKWithdraw: {new: full, rest: full, waits: (*State).waitDropped, next: Steady},
	CSKPublish:  {old: full, new: published | announced, waits: (*State).waitKeysAndBoth, next: CSKSign},
	CSKSign:     {old: published | announced, new: full, waits: (*State).waitZone, next: CSKWithdraw},
	CSKWithdraw: {new: full, waits: (*State).waitDropped, next: Steady},
	Delete:      {rest: published | signs, waits: (*State).waitNoDS, next: Insecure},
	Insecure:    {rest: published | signs, waits: (*State).waitReports},
	Unsign:      {waits: (*State).waitReports, next: Unsigned},
}

// A Wait is a reason why a stage is not over.
type Wait struct {
	Text  string    `json:"text"`
	Until time.Time `json:"until,omitzero"` // by the clock of the events; zero: until something happens
}

func (w Wait) String() string {
	if w.Until.IsZero() {
		return w.Text
	}
	return w.Text + " until " + w.Until.Format(time.RFC3339)
}

// Waits returns what the present stage waits for; at Steady and Insecure what is not as it should be. None: all is well.
func (s *State) Waits() []Wait {
	if p := stages[s.Stage]; p.waits != nil {
		return p.waits(s)
	}
	return nil
}

// proceed goes to the next stage if nothing speaks against it.
func (s *State) proceed() {
	switch p := stages[s.Stage]; {
	case p.next != "" && len(p.waits(s)) == 0:
		s.enter(p.next)
	case p.next == "" && len(s.waitSettled("", max(s.Peak.DNSKEY, s.Peak.Zone))) == 0:
		// No cache holds anything by a larger TTL of old. The largest TTL of a DS is never forgotten: it is not ours to change.
		s.Peak.DNSKEY, s.Peak.Zone = s.Limits.DNSKEY, s.Limits.Zone
	}
}

// enter goes to a stage and gives the keys their uses there.
func (s *State) enter(to Stage) {
	before, withdrew := s.inUse(), s.withdraws()
	s.Stage = to
	p := stages[to]
	if p.rest == 0 && p.new == 0 {
		s.Keys = nil
	}
	if to == Steady {
		s.Keys = slices.DeleteFunc(s.Keys, func(k KeyState) bool { return k.Leaving })
	}
	csk := !slices.ContainsFunc(s.Keys, func(k KeyState) bool { return k.Flags == FlagsZSK })
	leaving := slices.IndexFunc(s.Keys, func(k KeyState) bool { return k.Leaving })
	for i := range s.Keys {
		k, u := &s.Keys[i], p.rest
		switch {
		case k.Leaving:
			u = p.old
		case leaving >= 0 && s.Keys[leaving].Flags == k.Flags:
			u = p.new
		}
		ksk := k.Flags == FlagsKSK
		k.Published = u&published != 0
		k.SignsKeys = u&signs != 0 && ksk
		k.SignsData = u&signs != 0 && (csk || !ksk)
		k.Announced = u&announced != 0 && ksk
	}
	if withdrew != s.withdraws() || !slices.EqualFunc(before, s.inUse(), sameUses) {
		s.Generation++
	}
}

// withdraws reports whether the parent is asked to remove all DS.
func (s *State) withdraws() bool { return s.Stage == Delete || s.Stage == Insecure }

// inUse returns the keys that a key set shows.
func (s *State) inUse() []KeyState {
	return slices.DeleteFunc(slices.Clone(s.Keys), func(k KeyState) bool {
		return !k.Published && !k.SignsKeys && !k.SignsData && !k.Announced
	})
}

func sameUses(a, b KeyState) bool {
	return a.Tag == b.Tag && a.Published == b.Published && a.SignsKeys == b.SignsKeys &&
		a.SignsData == b.SignsData && a.Announced == b.Announced
}

func (s *State) waitReports() []Wait { return s.waitSettled("", 0) }
func (s *State) waitKeys() []Wait    { return s.waitSettled("the TTL of DNSKEY", s.Peak.DNSKEY) }
func (s *State) waitZone() []Wait {
	return s.waitSettled("the largest TTL of the zone", max(s.Peak.Zone, s.Peak.DNSKEY))
}

// waitChain waits for the DS of all announced keys, with no regard to caches: they hold no DS, or those of before.
func (s *State) waitChain() []Wait {
	return append(s.waitReports(), s.parentWaits(nil, s.announced(), 0)...)
}

// waitBoth waits until no cached DS set lacks the DS of an announced key.
func (s *State) waitBoth() []Wait {
	return append(s.waitReports(), s.parentWaits(nil, s.announced(), s.Peak.DS)...)
}

func (s *State) waitKeysAndBoth() []Wait {
	return append(s.waitKeys(), s.parentWaits(nil, s.announced(), s.Peak.DS)...)
}

// waitDropped waits until the old DS is gone. Caches may hold it: the new one is beside it.
func (s *State) waitDropped() []Wait {
	leaving := slices.DeleteFunc(slices.Clone(s.Keys), func(k KeyState) bool { return !k.Leaving })
	return append(s.waitReports(), s.parentWaits(leaving, s.announced(), 0)...)
}

// waitNoDS waits until no cached DS set holds any.
func (s *State) waitNoDS() []Wait {
	return append(s.waitReports(), s.parentWaits(nil, nil, s.Peak.DS)...)
}

func (s *State) announced() []KeyState {
	return slices.DeleteFunc(slices.Clone(s.Keys), func(k KeyState) bool { return !k.Announced })
}

// waitSettled waits for every nameserver to serve the present key set, and then for a TTL, which what names.
func (s *State) waitSettled(what string, ttl uint32) []Wait {
	if len(s.Nodes) == 0 {
		return []Wait{{Text: "no nameserver is listed"}}
	}
	var waits []Wait
	var last time.Time
	for _, n := range s.Nodes {
		say := func(format string, args ...any) {
			waits = append(waits, Wait{Text: fmt.Sprintf("waits for nameserver %s, ", n.Name) + fmt.Sprintf(format, args...)})
		}
		switch {
		case n.Heard.IsZero():
			say("never heard of")
		case s.Clock.Sub(n.Heard) > s.Limits.Silence:
			say("silent since %s", s.wall(n.Heard).Format(time.RFC3339))
		case n.Generation != s.Generation:
			say("which serves generation %d, not %d", n.Generation, s.Generation)
		case n.Since.After(last):
			last = n.Since
		}
	}
	return s.waitTTL(waits, what, last, ttl)
}

// parentWaits waits for every server of the parent to have the DS of some keys and not of others; if both are none, to
// have no DS at all; and then for a TTL.
func (s *State) parentWaits(absent, present []KeyState, ttl uint32) []Wait {
	if len(s.Parents) == 0 {
		return []Wait{{Text: "no server of the parent is listed"}}
	}
	var waits []Wait
	var last time.Time
	for _, p := range s.Parents {
		say := func(format string, args ...any) {
			waits = append(waits, Wait{Text: fmt.Sprintf("waits for server %s of the parent, ", p.Name) + fmt.Sprintf(format, args...)})
		}
		if p.Seen.IsZero() {
			say("never seen")
			continue
		}
		if s.Clock.Sub(p.Seen) > s.Limits.ParentSilence {
			say("not seen since %s", s.wall(p.Seen).Format(time.RFC3339))
			continue
		}
		for _, k := range present {
			if !p.has(s.Zone, k) {
				say("which lacks the DS of key %d", k.Tag)
			}
		}
		for _, k := range absent {
			if p.has(s.Zone, k) {
				say("which has the DS of key %d", k.Tag)
			}
		}
		if len(present) == 0 && len(absent) == 0 && len(p.DS) > 0 {
			say("which has %d DS records", len(p.DS))
		}
		if p.Since.After(last) {
			last = p.Since
		}
	}
	return s.waitTTL(waits, "the TTL of DS", last, ttl)
}

// waitTTL adds a wait for a TTL since last, if there is no other reason and it has not passed.
func (s *State) waitTTL(waits []Wait, what string, last time.Time, ttl uint32) []Wait {
	if ttl == 0 || len(waits) > 0 {
		return waits
	}
	until := last.Add(time.Duration(ttl)*time.Second + s.Limits.Propagation)
	if !s.Clock.After(until) {
		waits = append(waits, Wait{Text: "waits for " + what, Until: s.wall(until)})
	}
	return waits
}

// wall returns an instant of the state's clock by that of the events.
func (s *State) wall(t time.Time) time.Time { return s.Wall.Add(t.Sub(s.Clock)) }

// has reports whether a server of the parent has a DS of a key, by a digest that validators know.
func (p *Parent) has(zone string, k KeyState) bool {
	key, err := k.Key(zone)
	if err != nil {
		panic(fmt.Sprintf("dnssec: %v", err)) // keys are checked when they come in
	}
	for _, digest := range []uint8{SHA256, SHA384} {
		ds, err := key.DS(digest)
		if err != nil {
			panic(err)
		}
		if slices.ContainsFunc(p.DS, func(have []byte) bool { return bytes.Equal(have, ds) }) {
			return true
		}
	}
	return false
}
