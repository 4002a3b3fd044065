package zonekeys

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
)

// Explain says what is to be done at a stage.
func Explain(s *dnssec.State) string {
	switch s.Stage {
	case dnssec.Unsigned:
		return "no keys are in use"
	case dnssec.Sign:
		return "sign the zone by the keys, and give the parent no DS yet"
	case dnssec.Announce:
		return "give the parent the DS"
	case dnssec.Steady:
		return "nothing is under way"
	case dnssec.ZSKPublish, dnssec.ZSKSign, dnssec.ZSKRemove, dnssec.KSKSwap, dnssec.CSKSign:
		return "sign the zone as the key files say now"
	case dnssec.KSKAnnounce, dnssec.CSKPublish:
		return "sign the zone as the key files say now, and give the parent the new DS beside the old"
	case dnssec.KSKWithdraw, dnssec.CSKWithdraw:
		return "sign the zone as the key files say now, and let the parent drop the old DS"
	case dnssec.Delete:
		return "let the parent drop all DS, and go on signing"
	case dnssec.Insecure:
		return "signed, with no DS: remove stops signing, announce-ds comes back"
	}
	return "take the keys and signatures out of the zone"
}

// Describe says what a key is and does: by the state if that has keys, else by the times in its files.
func Describe(s *dnssec.State, k *dnssec.Key, now time.Time) (role, does string) {
	role = k.Role()
	if len(s.Keys) == 0 {
		return role, uses(holds(k.Timing.Publish, k.Timing.Delete, now), holds(k.Timing.Activate, k.Timing.Inactive, now),
			holds(k.Timing.SyncPublish, k.Timing.SyncDelete, now))
	}
	i := slices.IndexFunc(s.Keys, func(state dnssec.KeyState) bool { return find([]*dnssec.Key{k}, state) != nil })
	if i < 0 {
		return role, "unused"
	}
	state := s.Keys[i]
	if role == "KSK" && !slices.ContainsFunc(s.Keys, func(o dnssec.KeyState) bool { return o.Flags == dnssec.FlagsZSK }) {
		role = "CSK"
	}
	does = uses(state.Published, state.SignsKeys || state.SignsData, state.Announced)
	if state.Leaving {
		does += ", leaves"
	}
	return role, does
}

func uses(published, signs, announced bool) string {
	var all []string
	for _, use := range []struct {
		on   bool
		text string
	}{{published, "published"}, {signs, "signs"}, {announced, "in CDS"}} {
		if use.on {
			all = append(all, use.text)
		}
	}
	if len(all) == 0 {
		return "unused"
	}
	return strings.Join(all, ", ")
}

// Times lists the times in a key's files.
func Times(k *dnssec.Key) string {
	var all []string
	for _, m := range []struct {
		name string
		time time.Time
	}{{"created", k.Timing.Created}, {"publish", k.Timing.Publish}, {"activate", k.Timing.Activate}, {"inactive", k.Timing.Inactive},
		{"delete", k.Timing.Delete}, {"sync-publish", k.Timing.SyncPublish}, {"sync-delete", k.Timing.SyncDelete}} {
		if !m.time.IsZero() {
			all = append(all, fmt.Sprintf("%s %s", m.name, m.time.Format("2006-01-02T15:04Z")))
		}
	}
	return strings.Join(all, ", ")
}

// ForParent returns the keys whose DS the parent should have now: those in CDS, or without a state all KSKs that are not
// deleted. It fails while a DS would break validation.
func ForParent(dir, zone string, now time.Time) ([]*dnssec.Key, error) {
	s, err := LoadState(dir, zone, now)
	if err != nil {
		return nil, err
	}
	keys, err := Load(dir, zone)
	if err != nil {
		return nil, err
	}
	var give []*dnssec.Key
	for _, k := range keys {
		if s.Stage == dnssec.Unsigned && k.Flags == dnssec.FlagsKSK && (k.Timing.Delete.IsZero() || k.Timing.Delete.After(now)) {
			give = append(give, k)
		}
		for _, state := range s.Keys {
			if state.Announced && find([]*dnssec.Key{k}, state) != nil {
				give = append(give, k)
			}
		}
	}
	if len(give) == 0 && len(s.Keys) > 0 {
		return nil, fmt.Errorf("zone %s is at %s: the parent should have no DS now", s.Zone, s.Stage)
	}
	if len(give) == 0 {
		return nil, fmt.Errorf("zone %s: no KSK in %s: key make makes one, --endpoint asks a running cluster", s.Zone, dir)
	}
	return give, nil
}
