package zonekeys

import (
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
)

// defaultTTL is that of DNSKEY, CDS and CDNSKEY records of keys whose state says nothing of it, in seconds.
const defaultTTL = 3600

// ForServer returns what the keys of a zone in a directory do now: as their state says, or without one, as the times in the key
// files say (those of BIND's dnssec-keygen). A key without times is in use. It returns nil without keys. An error names what is
// missing or in the way.
func ForServer(dir, zone string, now time.Time) (*dnssec.KeySet, error) {
	keys, err := Load(dir, zone)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	state, err := LoadState(dir, zone, now)
	if err != nil {
		return nil, err
	}
	if len(state.Keys) > 0 {
		return state.KeySet(private(keys))
	}
	return byTimings(keys, now)
}

// byTimings takes the times of the files for what they are in BIND. A KSK signs everything where there is no ZSK.
func byTimings(keys []*dnssec.Key, now time.Time) (*dnssec.KeySet, error) {
	set := &dnssec.KeySet{Generation: generation(keys, now), TTL: defaultTTL}
	var zsks, ksks []*dnssec.Key
	for _, k := range keys {
		if k.Algorithm != keys[0].Algorithm {
			return nil, fmt.Errorf("zone %s: keys of two algorithms, %s and %s", k.Zone,
				dnssec.AlgorithmName(keys[0].Algorithm), dnssec.AlgorithmName(k.Algorithm))
		}
		t := k.Timing
		if !within(t.Publish, t.Delete, now) {
			continue
		}
		set.Published = append(set.Published, k)
		if !within(t.Activate, t.Inactive, now) {
			continue
		}
		if !k.CanSign() {
			return nil, fmt.Errorf("zone %s: the private file of key %d is not in the directory", k.Zone, k.Tag)
		}
		if k.Flags == dnssec.FlagsZSK {
			zsks = append(zsks, k)
			continue
		}
		ksks = append(ksks, k)
		if within(t.SyncPublish, t.SyncDelete, now) {
			set.Announced = append(set.Announced, k)
		}
	}
	set.KeySigners, set.Signers = ksks, zsks
	switch {
	case !slices.ContainsFunc(keys, func(k *dnssec.Key) bool { return !now.Before(k.Timing.Activate) }):
		return new(dnssec.KeySet), nil // not yet
	case len(ksks) == 0:
		return nil, fmt.Errorf("zone %s: no KSK is active", keys[0].Zone)
	case len(zsks) == 0:
		set.Signers = ksks
	}
	return set, nil
}

// generation rises with each key and each of its times that comes, and falls only when the files of a key are removed.
func generation(keys []*dnssec.Key, now time.Time) (n uint64) {
	for _, k := range keys {
		t := k.Timing
		n++
		for _, moment := range []time.Time{t.Publish, t.Activate, t.Inactive, t.Delete, t.SyncPublish, t.SyncDelete} {
			if !moment.IsZero() && !now.Before(moment) {
				n++
			}
		}
	}
	return n
}

// within reports whether now lies between two times; one that is not set bounds nothing.
func within(from, to, now time.Time) bool {
	return !now.Before(from) && (to.IsZero() || now.Before(to))
}
