package dnssec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	timelineLimits = Limits{TTLs: TTLs{DNSKEY: 3600, Zone: 7200, DS: 86400}, Propagation: 10 * time.Minute, Silence: 5 * time.Minute, ParentSilence: time.Hour}
	ksk1, ksk2     = propertyKeys[1], propertyKeys[3]
	zsk1, zsk2     = propertyKeys[0], propertyKeys[2]
)

// ds packs what the parent has for keys.
func ds(t *testing.T, keys ...KeyState) (set [][]byte) {
	for _, k := range keys {
		key, err := k.Key("example.")
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, key.ds256())
	}
	return set
}

// A row of a timeline: an event some time after the one before, and what follows. Before the event those nameservers and servers of the
// parent that quiet does not name report: the present generation, and seen.
type row struct {
	after time.Duration
	event Event
	seen  []KeyState
	quiet string
	want  string // "stage: wait; wait"
}

// play runs a timeline on a zone with two nameservers and two servers of the parent. Halfway through it starts anew from what it wrote.
func play(t *testing.T, rows []row) *State {
	t.Helper()
	now := day0
	s, err := NewState("example.", now)
	if err != nil {
		t.Fatal(err)
	}
	step := func(e Event) {
		t.Helper()
		next, err := s.Step(now, e)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	step(Event{Kind: Configure, Nodes: []string{"use1", "aps1"}, Parents: []string{"a.parent", "b.parent"}, Limits: &timelineLimits})
	for i, r := range rows {
		now = now.Add(r.after)
		generation := s.Generation
		if r.event.Kind != "" {
			if s, err = s.Step(now, r.event); err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
			generation = s.Generation
		}
		for _, n := range []string{"use1", "aps1"} {
			if !strings.Contains(r.quiet, n) {
				step(Event{Kind: Reported, Node: n, Generation: generation})
			}
		}
		for _, p := range []string{"a.parent", "b.parent"} {
			if !strings.Contains(r.quiet, p) {
				step(Event{Kind: SeenDS, Server: p, DS: ds(t, r.seen...), TTL: 3600})
			}
		}
		if got := describe(s); got != r.want {
			t.Errorf("row %d, after %v:\n%s, want\n%s", i, now.Sub(day0), got, r.want)
		}
		if s, err = Decode(s.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func describe(s *State) string {
	text := string(s.Stage)
	for i, w := range s.Waits() {
		text += map[bool]string{true: ": ", false: "; "}[i == 0] + w.String()
	}
	return text
}

// uses lists who does what, as "tag:psdaL" for published, signs keys, signs data, announced, leaving.
func uses(s *State) string {
	var all []string
	for _, k := range s.Keys {
		text := map[uint16]string{FlagsKSK: "ksk", FlagsZSK: "zsk"}[k.Flags] + map[bool]string{true: "2", false: "1"}[k.Tag == ksk2.Tag || k.Tag == zsk2.Tag] + ":"
		for _, u := range []struct {
			on   bool
			text string
		}{{k.Published, "p"}, {k.SignsKeys, "k"}, {k.SignsData, "d"}, {k.Announced, "a"}, {k.Leaving, "L"}} {
			if u.on {
				text += u.text
			}
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func wait(text string, until time.Duration) string {
	return "waits for " + text + " until " + day0.Add(until).Format(time.RFC3339)
}

// lacks is what is said of both servers of the parent.
func lacks(k KeyState, verb string) string {
	return fmt.Sprintf("waits for server a.parent of the parent, which %s the DS of key %d; waits for server b.parent of the parent, which %s the DS of key %d", verb, k.Tag, verb, k.Tag)
}

const hour, minute = time.Hour, time.Minute

// introduced brings a zone to Steady at 3 h.
func introduced(keys ...KeyState) []row {
	return []row{
		{0, Event{Kind: Introduce, Keys: keys}, nil, "", "sign: " + wait("the largest TTL of the zone", 2*hour+10*minute)},
		{2*hour + 10*minute, Event{}, nil, "", "sign: " + wait("the largest TTL of the zone", 2*hour+10*minute)},
		{minute, Event{Kind: Tick}, nil, "", "announce: " + lacks(keys[0], "lacks")},
		{minute, Event{}, keys[:1], "b.parent", fmt.Sprintf("announce: waits for server b.parent of the parent, which lacks the DS of key %d", keys[0].Tag)},
		{48 * minute, Event{}, keys[:1], "", "steady"},
	}
}

func TestTimelines(t *testing.T) {
	for _, tt := range []struct {
		why  string
		rows []row
		uses string
	}{
		{"ZSK", append(introduced(ksk1, zsk1),
			row{hour, Event{Kind: RollZSK, Keys: []KeyState{zsk2}}, []KeyState{ksk1}, "", "zsk-publish: " + wait("the TTL of DNSKEY", 5*hour+10*minute)},
			row{minute, Event{}, []KeyState{ksk1}, "", "zsk-publish: " + wait("the TTL of DNSKEY", 5*hour+10*minute)},
			row{hour + 10*minute, Event{}, []KeyState{ksk1}, "", "zsk-sign: waits for nameserver aps1, which serves generation 4, not 5; waits for nameserver use1, which serves generation 4, not 5"},
			row{0, Event{}, []KeyState{ksk1}, "", "zsk-sign: " + wait("the largest TTL of the zone", 7*hour+21*minute)},
			row{2*hour + 11*minute, Event{}, []KeyState{ksk1}, "", "zsk-remove: waits for nameserver aps1, which serves generation 5, not 6; waits for nameserver use1, which serves generation 5, not 6"},
			row{minute, Event{}, []KeyState{ksk1}, "", "steady"},
		), "ksk1:pka zsk2:pd"},
		{"KSK", append(introduced(ksk1, zsk1),
			row{hour, Event{Kind: RollKSK, Keys: []KeyState{ksk2}}, []KeyState{ksk1}, "", "ksk-announce: " + lacks(ksk2, "lacks")},
			row{10 * hour, Event{}, []KeyState{ksk1, ksk2}, "b.parent", "ksk-announce: waits for server b.parent of the parent, not seen since 2026-03-01T16:00:00Z"},
			row{hour, Event{}, []KeyState{ksk1, ksk2}, "", "ksk-announce: " + wait("the TTL of DS", 39*hour+10*minute)},
			row{23 * hour, Event{}, []KeyState{ksk1}, "a.parent", fmt.Sprintf("ksk-announce: waits for server a.parent of the parent, not seen since 2026-03-02T03:00:00Z; waits for server b.parent of the parent, which lacks the DS of key %d", ksk2.Tag)},
			row{hour, Event{}, []KeyState{ksk1, ksk2}, "", "ksk-announce: " + wait("the TTL of DS", 63*hour+10*minute)},
			row{24*hour + 11*minute, Event{}, []KeyState{ksk1, ksk2}, "", "ksk-swap: waits for nameserver aps1, which serves generation 4, not 5; waits for nameserver use1, which serves generation 4, not 5"},
			row{9 * minute, Event{}, []KeyState{ksk1, ksk2}, "", "ksk-swap: " + wait("the TTL of DNSKEY", 64*hour+30*minute)},
			row{hour + 11*minute, Event{}, []KeyState{ksk1, ksk2}, "", "ksk-withdraw: waits for nameserver aps1, which serves generation 5, not 6; waits for nameserver use1, which serves generation 5, not 6; " + lacks(ksk1, "has")},
			row{hour, Event{}, []KeyState{ksk1, ksk2}, "", "ksk-withdraw: " + lacks(ksk1, "has")},
			row{hour, Event{}, []KeyState{ksk2}, "", "steady"},
		), "ksk2:pka zsk1:pd"},
		{"CSK", append(introduced(ksk1),
			row{hour, Event{Kind: RollCSK, Keys: []KeyState{ksk2}}, []KeyState{ksk1, ksk2}, "", "csk-publish: " + wait("the TTL of DNSKEY", 5*hour+10*minute) + "; " + wait("the TTL of DS", 28*hour+10*minute)},
			row{24*hour + 11*minute, Event{}, []KeyState{ksk1, ksk2}, "", "csk-sign: waits for nameserver aps1, which serves generation 4, not 5; waits for nameserver use1, which serves generation 4, not 5"},
			row{9 * minute, Event{}, []KeyState{ksk1, ksk2}, "", "csk-sign: " + wait("the largest TTL of the zone", 30*hour+30*minute)},
			row{2*hour + 11*minute, Event{}, []KeyState{ksk1, ksk2}, "", "csk-withdraw: waits for nameserver aps1, which serves generation 5, not 6; waits for nameserver use1, which serves generation 5, not 6; " + lacks(ksk1, "has")},
			row{hour, Event{}, []KeyState{ksk2}, "", "steady"},
		), "ksk2:pkda"},
		{"a nameserver is silent for days", append(introduced(ksk1, zsk1),
			row{hour, Event{Kind: RollZSK, Keys: []KeyState{zsk2}}, []KeyState{ksk1}, "aps1", "zsk-publish: waits for nameserver aps1, silent since 2026-03-01T15:00:00Z"},
			row{72 * hour, Event{}, []KeyState{ksk1}, "aps1", "zsk-publish: waits for nameserver aps1, silent since 2026-03-01T15:00:00Z"},
			row{hour, Event{}, []KeyState{ksk1}, "", "zsk-publish: " + wait("the TTL of DNSKEY", 78*hour+10*minute)},
			row{2 * hour, Event{}, []KeyState{ksk1}, "use1", "zsk-publish: waits for nameserver use1, silent since 2026-03-04T17:00:00Z"},
			row{minute, Event{}, []KeyState{ksk1}, "", "zsk-sign: waits for nameserver aps1, which serves generation 4, not 5; waits for nameserver use1, which serves generation 4, not 5"},
		), "ksk1:pka zsk1:pL zsk2:pd"},
		{"leave the chain of trust, and come back", append(introduced(ksk1, zsk1),
			row{hour, Event{Kind: DeleteDS}, []KeyState{ksk1}, "", "delete: waits for server a.parent of the parent, which has 1 DS records; waits for server b.parent of the parent, which has 1 DS records"},
			row{hour, Event{}, nil, "", "delete: " + wait("the TTL of DS", 29*hour+10*minute)},
			row{24*hour + 11*minute, Event{}, nil, "", "insecure"},
			row{minute, Event{Kind: AnnounceDS}, nil, "", "sign: " + wait("the largest TTL of the zone", 31*hour+22*minute)},
		), "ksk1:pk zsk1:pd"},
		{"stop signing", append(introduced(ksk1, zsk1),
			row{hour, Event{Kind: DeleteDS}, nil, "", "delete: " + wait("the TTL of DS", 28*hour+10*minute)},
			row{24*hour + 11*minute, Event{}, nil, "", "insecure"},
			row{minute, Event{Kind: Remove}, nil, "", "unsigned"},
		), ""},
		{"a lower TTL counts once the larger has passed", append(introduced(ksk1, zsk1),
			row{hour, Event{Kind: Configure, Nodes: []string{"use1", "aps1"}, Parents: []string{"a.parent", "b.parent"},
				Limits: &Limits{TTLs: TTLs{DNSKEY: 60, Zone: 60, DS: 60}, Silence: time.Hour, ParentSilence: time.Hour}}, []KeyState{ksk1}, "", "steady"},
			row{minute, Event{Kind: RollZSK, Keys: []KeyState{zsk2}}, []KeyState{ksk1}, "", "zsk-publish: " + wait("the TTL of DNSKEY", 5*hour+minute)},
		), "ksk1:pka zsk1:pdL zsk2:p"},
		{"a lower TTL counts, the larger has passed", append(introduced(ksk1, zsk1),
			row{hour, Event{Kind: Configure, Nodes: []string{"use1", "aps1"}, Parents: []string{"a.parent", "b.parent"},
				Limits: &Limits{TTLs: TTLs{DNSKEY: 60, Zone: 60, DS: 60}, Silence: time.Hour, ParentSilence: time.Hour}}, []KeyState{ksk1}, "", "steady"},
			row{2*hour + minute, Event{}, []KeyState{ksk1}, "", "steady"},
			row{minute, Event{Kind: RollZSK, Keys: []KeyState{zsk2}}, []KeyState{ksk1}, "", "zsk-publish: " + wait("the TTL of DNSKEY", 6*hour+3*minute)},
		), "ksk1:pka zsk1:pdL zsk2:p"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			if got := uses(play(t, tt.rows)); got != tt.uses {
				t.Errorf("keys %s, want %s", got, tt.uses)
			}
		})
	}
}

// What the parent is seen to give counts where it is more than assumed, and a server seen for the first time counts from then.
func TestParentTTL(t *testing.T) {
	s := play(t, append(introduced(ksk1, zsk1), row{hour, Event{Kind: DeleteDS}, nil, "", "delete: " + wait("the TTL of DS", 28*hour+10*minute)}))
	now := day0.Add(6 * time.Hour)
	for _, e := range []Event{
		{Kind: Configure, Nodes: []string{"use1"}, Parents: []string{"c.parent"}, Limits: &timelineLimits},
		{Kind: Reported, Node: "use1", Generation: s.Generation},
		{Kind: SeenDS, Server: "c.parent", DS: ds(t, ksk1), TTL: 172800},
		{Kind: Configure, Nodes: []string{"use1"}, Parents: []string{"d.parent"}, Limits: &timelineLimits},
		{Kind: SeenDS, Server: "d.parent"},
	} {
		var err error
		if s, err = s.Step(now, e); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := describe(s), "delete: "+wait("the TTL of DS", 54*hour+10*minute); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A clock that jumps moves no wait by more than a step, and none at all backwards.
func TestClockSteps(t *testing.T) {
	limits := timelineLimits
	limits.MaxStep = 10 * time.Minute
	s := play(t, introduced(ksk1, zsk1))
	now := day0.Add(3 * time.Hour)
	step := func(e Event) {
		t.Helper()
		var err error
		if s, err = s.Step(now, e); err != nil {
			t.Fatal(err)
		}
	}
	step(Event{Kind: Configure, Nodes: []string{"use1"}, Parents: []string{"a.parent"}, Limits: &limits})
	step(Event{Kind: RollZSK, Keys: []KeyState{zsk2}})
	report := func() { step(Event{Kind: Reported, Node: "use1", Generation: s.Generation}) }
	report()
	for _, tt := range []struct {
		why   string
		jump  time.Duration
		until time.Duration // by the new clock
	}{
		{"ten days ahead", 240 * hour, 243*hour + 60*minute},
		{"eleven days back", -264 * hour, -21*hour + 60*minute},
		{"right again", 24 * hour, 3*hour + 50*minute},
	} {
		now = now.Add(tt.jump)
		report()
		if got, want := describe(s), "zsk-publish: "+wait("the TTL of DNSKEY", tt.until); got != want {
			t.Errorf("%s: %s, want %s", tt.why, got, want)
		}
	}
}

func TestCommandsRefused(t *testing.T) {
	steady, csk := play(t, introduced(ksk1, zsk1)), play(t, introduced(ksk1))
	now := day0.Add(3 * time.Hour)
	rolling, err := steady.Step(now, Event{Kind: RollZSK, Keys: []KeyState{zsk2}})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := NewState("example.", now)
	if err != nil {
		t.Fatal(err)
	}
	other := NewKeyState(newTestKey(t, "example.", FlagsZSK, ECDSAP256SHA256, 1))
	used := zsk2
	used.Published = true
	for _, tt := range []struct {
		why   string
		state *State
		event Event
		busy  bool
		want  string
	}{
		{"a second roll", rolling, Event{Kind: RollKSK, Keys: []KeyState{ksk2}}, true, "roll-ksk: its keys are at zsk-publish (want steady): not now"},
		{"delete in a roll", rolling, Event{Kind: DeleteDS}, true, "delete-ds: its keys are at zsk-publish (want [steady sign announce]): not now"},
		{"roll of an unsigned zone", empty, Event{Kind: RollZSK, Keys: []KeyState{zsk2}}, true, "roll-zsk: its keys are at unsigned (want steady): not now"},
		{"introduced twice", steady, Event{Kind: Introduce, Keys: []KeyState{ksk2}}, true, "introduce: its keys are at steady (want unsigned): not now"},
		{"remove in the chain of trust", steady, Event{Kind: Remove}, true, "remove: its keys are at steady (want [insecure]): not now"},
		{"another algorithm", steady, Event{Kind: RollZSK, Keys: []KeyState{other}}, false, fmt.Sprintf("roll-zsk: key %d is of ECDSAP256SHA256, the zone's keys are of ED25519: the algorithm can't be changed by a roll; leave the chain of trust (delete-ds, remove) and introduce the new keys", other.Tag)},
		{"the same key", steady, Event{Kind: RollZSK, Keys: []KeyState{zsk1}}, false, fmt.Sprintf("roll-zsk: key %d has the tag of another: make a new one", zsk1.Tag)},
		{"a ZSK for a KSK", steady, Event{Kind: RollKSK, Keys: []KeyState{zsk2}}, false, "roll-ksk: want one key with the flags 257"},
		{"no key", steady, Event{Kind: RollKSK}, false, "roll-ksk: want one key with the flags 257"},
		{"a CSK beside a ZSK", steady, Event{Kind: RollCSK, Keys: []KeyState{ksk2}}, false, "roll-csk: the zone has a KSK and a ZSK"},
		{"a KSK for a CSK", csk, Event{Kind: RollKSK, Keys: []KeyState{ksk2}}, false, "roll-ksk: the zone has a CSK"},
		{"a ZSK alone", empty, Event{Kind: Introduce, Keys: []KeyState{zsk1}}, false, "introduce: 1 keys, want a KSK and a ZSK, or one KSK that signs all"},
		{"two KSKs", empty, Event{Kind: Introduce, Keys: []KeyState{ksk1, ksk2}}, false, "introduce: 2 keys, want a KSK and a ZSK, or one KSK that signs all"},
		{"a key in use", empty, Event{Kind: Introduce, Keys: []KeyState{ksk1, used}}, false, fmt.Sprintf("key %d is in use already", used.Tag)},
		{"a stranger reports", steady, Event{Kind: Reported, Node: "euw1"}, false, `nameserver "euw1" is not listed`},
		{"a strange parent", steady, Event{Kind: SeenDS, Server: "c.parent"}, false, `server "c.parent" of the parent is not listed`},
		{"too many DS", steady, Event{Kind: SeenDS, Server: "a.parent", DS: make([][]byte, 65)}, false, `server "a.parent" of the parent has 65 DS records, want at most 64`},
		{"no limits", steady, Event{Kind: Configure}, false, "configure: limits <nil>, want a TTL of DNSKEY and times of silence above 0, and none below"},
		{"nonsense", steady, Event{Kind: "dance"}, false, `unknown event "dance"`},
	} {
		after, err := tt.state.Step(now, tt.event)
		if err == nil || err.Error() != "zone example.: "+tt.want || errors.Is(err, ErrBusy) != tt.busy {
			t.Errorf("%s: %v, want %s", tt.why, err, tt.want)
		}
		if after.Stage != tt.state.Stage || after.Generation != tt.state.Generation || len(after.Keys) != len(tt.state.Keys) {
			t.Errorf("%s: it was refused and still changed the state to %s", tt.why, after.Encode())
		}
	}
	// Someone gave the parent a DS while the zone was leaving: signing may not stop.
	insecure := play(t, append(introduced(ksk1), row{hour, Event{Kind: DeleteDS}, nil, "", "delete: " + wait("the TTL of DS", 28*hour+10*minute)},
		row{25 * hour, Event{}, nil, "", "insecure"}))
	now = day0.Add(30 * time.Hour)
	insecure, err = insecure.Step(now, Event{Kind: SeenDS, Server: "b.parent", DS: ds(t, ksk1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := insecure.Step(now, Event{Kind: Remove}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "b.parent of the parent, which has 1 DS records") {
		t.Errorf("removed with a DS at the parent: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := string(play(t, introduced(ksk1, zsk1)).Encode())
	for _, tt := range []struct{ why, text, want string }{
		{"no JSON", "{", "state of keys: unexpected end of JSON input"},
		{"later", strings.Replace(good, `"version":1`, `"version":2`, 1), "state of keys: version 2 (have 1)"},
		{"no version", "{}", "state of keys: version 0 (have 1)"},
		{"stage", strings.Replace(good, `"stage":"steady"`, `"stage":"ready"`, 1), `zone example.: state of keys: unknown stage "ready"`},
		{"tag", strings.Replace(good, fmt.Sprintf(`"tag":%d`, ksk1.Tag), `"tag":1`, 1), fmt.Sprintf("state of keys: zone example.: a key has the tag %d, not 1", ksk1.Tag)},
		{"keys", strings.Replace(good, `"keys":[`, `"keys":[{},{},{},`, 1), "zone example.: state of keys: 5 keys, 2 nameservers, 2 servers of the parent, want at most 4, 1000, 1000"},
		{"size", good + strings.Repeat(" ", maxState), fmt.Sprintf("state of keys: %d bytes, want at most 1048576", len(good)+maxState)},
	} {
		if _, err := Decode([]byte(tt.text)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.why, err, tt.want)
		}
	}
	s, err := Decode([]byte(strings.Replace(good, `{"version":1`, `{"of_a_later_release":5,"version":1`, 1)))
	if err != nil || string(s.Encode()) != good {
		t.Errorf("a field that is not known: %v, %s", err, s.Encode())
	}
}

// The key set of a state holds the keys by their uses, and takes only the private keys that belong to it.
func TestKeySetOfState(t *testing.T) {
	cluster := make([]byte, ClusterKeySize)
	seal := func(flags uint16, seed byte) KeyState {
		k, err := SealKey(cluster, newTestKey(t, "example.", flags, ED25519, seed), seeded(seed))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	s := play(t, []row{{0, Event{Kind: Introduce, Keys: []KeyState{seal(FlagsZSK, 1), seal(FlagsKSK, 2)}}, nil, "", "sign: " + wait("the largest TTL of the zone", 2*hour+10*minute)}})
	open := func(k KeyState) (*Key, error) { return OpenKey(cluster, "example.", k) }
	set, err := s.KeySet(open)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Published) != 2 || len(set.KeySigners) != 1 || len(set.Signers) != 1 || len(set.Announced) != 0 || set.KeySigners[0].Flags != FlagsKSK || set.Signers[0].Flags != FlagsZSK {
		t.Errorf("key set %+v", set)
	}
	if _, err := signZone(wire(t, "example."), zoneSets(t, cornerZone), set, day0); err != nil {
		t.Error(err)
	}
	if _, err := s.KeySet(func(k KeyState) (*Key, error) { return k.Key("example.") }); err == nil || !strings.Contains(err.Error(), "is not its private key") {
		t.Errorf("a key set without private keys: %v", err)
	}
}

// A state from elsewhere may be nonsense; it is refused or lived with.
func FuzzDecode(f *testing.F) {
	s, err := NewState("example.", day0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Encode(), string(Tick))
	if s, err = s.Step(day0, Event{Kind: Introduce, Keys: []KeyState{ksk1, zsk1}}); err != nil {
		f.Fatal(err)
	}
	f.Add(s.Encode(), string(DeleteDS))
	f.Fuzz(func(t *testing.T, data []byte, kind string) {
		s, err := Decode(data)
		if err != nil {
			return
		}
		next, err := s.Step(day0.Add(time.Hour), Event{Kind: EventKind(kind)})
		if err != nil && next.Stage != s.Stage {
			t.Errorf("refused (%v), and at %s after %s", err, next.Stage, s.Stage)
		}
		if _, err := Decode(next.Encode()); err != nil {
			t.Errorf("%s can't be read again: %v", next.Encode(), err)
		}
	})
}
