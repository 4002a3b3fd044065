package dnssec

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	stateVersion = 1

	maxKeys    = 4    // of a zone: two that stay and one that comes or goes
	maxServers = 1000 // nameservers, and servers of the parent
	maxDS      = 64   // records at a server of the parent
	maxState   = 1 << 20
)

// A Stage is where the keys of a zone are; see State.Step for what each waits for.
type Stage string

// The stages, in the order in which they follow each other.
const (
	Unsigned    Stage = "unsigned"     // no keys
	Sign        Stage = "sign"         // signed, while caches may hold what was not
	Announce    Stage = "announce"     // the parent is to be given the DS
	Steady      Stage = "steady"       // a chain of trust, nothing under way
	ZSKPublish  Stage = "zsk-publish"  // the new ZSK is in DNSKEY
	ZSKSign     Stage = "zsk-sign"     // it signs
	ZSKRemove   Stage = "zsk-remove"   // the old one is gone
	KSKAnnounce Stage = "ksk-announce" // the parent is to have the DS of both
	KSKSwap     Stage = "ksk-swap"     // the new KSK took the place of the old
	KSKWithdraw Stage = "ksk-withdraw" // the parent is to drop the old DS
	CSKPublish  Stage = "csk-publish"  // the new CSK is in DNSKEY, the parent is to have the DS of both
	CSKSign     Stage = "csk-sign"     // it signs
	CSKWithdraw Stage = "csk-withdraw" // the old one is gone, the parent is to drop its DS
	Delete      Stage = "delete"       // the parent is to drop all DS
	Insecure    Stage = "insecure"     // signed, with no DS anywhere
	Unsign      Stage = "unsign"       // no keys, while nameservers still learn so
)

// A State is what the nameservers of a zone agree on about its keys. It is immutable: Step gives another one. The times
// in it are of a clock of its own, see Limits.MaxStep. It holds no private key but in KeyState.Sealed.
type State struct {
	Version    int        `json:"version"`
	Zone       string     `json:"zone"`
	Stage      Stage      `json:"stage"`
	Generation uint64     `json:"generation"` // of the key set
	Keys       []KeyState `json:"keys,omitempty"`
	Limits     Limits     `json:"limits"`
	Clock      time.Time  `json:"clock"`
	Wall       time.Time  `json:"wall"` // what the clock of the last event said
	Nodes      []Node     `json:"nodes,omitempty"`
	Parents    []Parent   `json:"parents,omitempty"`
	// The largest TTLs that caches may hold something by.
	Peak TTLs `json:"peak"`
}

// A KeyState is a key and what it does in the present key set.
type KeyState struct {
	Flags     uint16 `json:"flags"`
	Algorithm uint8  `json:"algorithm"`
	Tag       uint16 `json:"tag"`
	Public    []byte `json:"public"`
	Sealed    []byte `json:"sealed,omitempty"` // the .private file, see SealKey; empty where the private keys are kept elsewhere
	Published bool   `json:"published,omitempty"`
	SignsKeys bool   `json:"signs_keys,omitempty"` // DNSKEY, CDS and CDNSKEY
	SignsData bool   `json:"signs_data,omitempty"` // everything else
	Announced bool   `json:"announced,omitempty"`  // by CDS and CDNSKEY
	Leaving   bool   `json:"leaving,omitempty"`    // in the roll under way
}

// TTLs are in seconds.
type TTLs struct {
	DNSKEY uint32 `json:"dnskey"` // of DNSKEY, CDS and CDNSKEY
	Zone   uint32 `json:"zone"`   // the largest of the zone, its denials included
	DS     uint32 `json:"ds"`     // of DS at the parent: no less is assumed, whatever is seen there
}

// Limits are the figures of a zone that decide how long stages take.
type Limits struct {
	TTLs
	Propagation   time.Duration `json:"propagation"`    // added to every TTL
	Silence       time.Duration `json:"silence"`        // a nameserver that has not reported for so long is silent
	ParentSilence time.Duration `json:"parent_silence"` // the same for a server of the parent that was not seen
	// Of the time between two events no more counts than this, so that a clock that jumps ahead shortens a wait by no more
	// either. 0: all of it counts, where the clock is trusted and events are rare.
	MaxStep time.Duration `json:"max_step"`
}

// DefaultLimits suit events each minute. A day is what most registries give a DS.
var DefaultLimits = Limits{TTLs: TTLs{DNSKEY: 3600, Zone: 3600, DS: 86400}, Propagation: time.Hour, Silence: 5 * time.Minute,
	ParentSilence: time.Hour, MaxStep: 10 * time.Minute}

// A Node is a nameserver of the zone and the last that it reported.
type Node struct {
	Name       string    `json:"name"`
	Generation uint64    `json:"generation"`
	Since      time.Time `json:"since"` // of that generation
	Heard      time.Time `json:"heard"` // zero: never
}

// A Parent is a server of the parent zone and the last that was seen there.
type Parent struct {
	Name  string    `json:"name"`
	DS    [][]byte  `json:"ds,omitempty"` // RDATA, sorted
	Since time.Time `json:"since"`        // of that set
	Seen  time.Time `json:"seen"`         // zero: never
}

// NewState returns the state of a zone without keys.
func NewState(zone string, now time.Time) (*State, error) {
	apex, err := WireName(zone)
	if err != nil {
		return nil, err
	}
	now = now.UTC().Round(0)
	return &State{Version: stateVersion, Zone: TextName(apex), Stage: Unsigned, Limits: DefaultLimits, Peak: DefaultLimits.TTLs,
		Clock: now, Wall: now}, nil
}

// NewKeyState returns a key as a state has it, doing nothing yet.
func NewKeyState(k *Key) KeyState {
	return KeyState{Flags: k.Flags, Algorithm: k.Algorithm, Tag: k.Tag, Public: bytes.Clone(k.Public)}
}

// Encode returns the state as JSON.
func (s *State) Encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("dnssec: state of %s: %v", s.Zone, err)) // it is all numbers, texts and times
	}
	return data
}

// Decode reads a state. Fields that it does not know are for others; a state of a later version is refused.
func Decode(data []byte) (*State, error) {
	if len(data) > maxState {
		return nil, fmt.Errorf("state of keys: %d bytes, want at most %d", len(data), maxState)
	}
	s := new(State)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("state of keys: %w", err)
	}
	if s.Version < 1 || s.Version > stateVersion {
		return nil, fmt.Errorf("state of keys: version %d (have %d)", s.Version, stateVersion)
	}
	if _, known := stages[s.Stage]; !known && s.Stage != Unsigned {
		return nil, fmt.Errorf("zone %s: state of keys: unknown stage %q", s.Zone, s.Stage)
	}
	if len(s.Keys) > maxKeys || len(s.Nodes) > maxServers || len(s.Parents) > maxServers {
		return nil, fmt.Errorf("zone %s: state of keys: %d keys, %d nameservers, %d servers of the parent, want at most %d, %d, %d",
			s.Zone, len(s.Keys), len(s.Nodes), len(s.Parents), maxKeys, maxServers, maxServers)
	}
	for _, k := range s.Keys {
		if _, err := k.Key(s.Zone); err != nil {
			return nil, fmt.Errorf("state of keys: %w", err)
		}
	}
	return s, nil
}

// Key returns the key of a zone without its private part.
func (k *KeyState) Key(zone string) (*Key, error) {
	key, err := newKey(zone, k.Flags, k.Algorithm)
	if err != nil {
		return nil, err
	}
	if len(k.Public) != publicSize(k.Algorithm) {
		return nil, fmt.Errorf("zone %s: key %d has %d bytes of a public key, want %d",
			key.Zone, k.Tag, len(k.Public), publicSize(k.Algorithm))
	}
	if key.setPublic(k.Public); key.Tag != k.Tag {
		return nil, fmt.Errorf("zone %s: a key has the tag %d, not %d", key.Zone, key.Tag, k.Tag)
	}
	return key, nil
}

// KeySet returns the present key set. private gives the keys that sign, with their private parts.
func (s *State) KeySet(private func(k KeyState) (*Key, error)) (*KeySet, error) {
	set := &KeySet{Generation: s.Generation, TTL: s.Limits.DNSKEY, Withdraw: s.withdraws()}
	for _, k := range s.Keys {
		key, err := k.Key(s.Zone)
		if err != nil {
			return nil, err
		}
		if k.SignsKeys || k.SignsData {
			made, err := private(k)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(made.DNSKEY(), key.DNSKEY()) || !made.CanSign() {
				return nil, fmt.Errorf("zone %s: what was given for key %d is not its private key", s.Zone, k.Tag)
			}
			key = made
		}
		for _, use := range []struct {
			on   bool
			list *[]*Key
		}{{k.Published, &set.Published}, {k.SignsKeys, &set.KeySigners}, {k.SignsData, &set.Signers}, {k.Announced, &set.Announced}} {
			if use.on {
				*use.list = append(*use.list, key)
			}
		}
	}
	return set, nil
}

// sortKeys puts KSKs first, then orders by tag, so that every nameserver packs the same bytes.
func sortKeys(keys []KeyState) {
	slices.SortFunc(keys, func(a, b KeyState) int {
		return cmp.Or(-cmp.Compare(a.Flags, b.Flags), cmp.Compare(a.Tag, b.Tag))
	})
}
