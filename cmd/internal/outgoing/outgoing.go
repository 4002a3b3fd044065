// Package outgoing makes the versions of zones that other nameservers are given and that are not as their files have them: those that
// are signed, whole and with a chain of denials, and those that are steered, as their default answers.
//
// It knows no peers, sends nothing and reads no clock. Always holds: the same world, keys, generation and day make the same version with
// the same serial on every node, and a version that follows another has another serial. What changes a version changes its serial, but
// for one thing that is its owner's to see to: the file of a zone that is not steered may change without a new serial. A node that has a
// version by then says so and keeps it until the serial rises, on the zone's next day at the latest; one that starts before that makes the
// new version, with the serial that others have for the old.
package outgoing

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

const (
	day = 24 * time.Hour

	// perDay is by how much the serial of a signed zone rises each day. More than one, so that a generation that falls, because old
	// key files are removed or an old key set is begun anew, is made up for within a day.
	perDay = 100

	// maxRecords bounds what a version is made from: a million names or two take a minute and a gigabyte.
	maxRecords = 2_000_000
)

// Why there is no version at the moment.
var (
	ErrNoKeys    = errors.New("its keys are not known here")
	ErrClock     = errors.New("this node's clock is not fit to sign by")
	ErrNotAgreed = errors.New("what this node has of it is not what the voters agreed on: a reload at one of them brings it to all")
	ErrTooLarge  = errors.New("too large to go out")
	ErrSerial    = errors.New("zone file changed without a new serial: others keep what they have until the serial rises, as it does each day")
)

// errStopped ends a work that more has ended.
var errStopped = errors.New("stopped")

// A Source is what a version is made from.
type Source struct {
	Plan    *zones.Plan
	Zone    *zones.Zone    // of the plan's world; Wanted holds of it
	Control *control.State // that answers obey
	Keys    *dnssec.KeySet // of a zone with the key dnssec; nil: they are not known, without keys: it is not signed
	Now     time.Time
	Fit     bool // the clock is good enough to sign by
}

// Wanted reports whether others are given something else than the zone's own records.
func Wanted(z *zones.Zone) bool {
	return z.Transfer != nil && z.Static != nil && (z.Defaults() || z.Sign != "" && len(z.Steer) == 0)
}

// Serial returns the serial of the version that is due; an error if there is none. It is the sum of
//
//	the serial of the zone file
//	of a steered zone   the generation of the definitions in the control state
//	of a signed zone    the generation of its keys
//	                    100 for each day since 1970; the day begins for each zone at another time
//
// None of these falls while all goes well, so the sum rises with each of them (RFC 1982).
func (s *Source) Serial() (uint32, error) {
	serial := s.Zone.Static.Serial
	if s.Zone.Defaults() {
		if !s.agreed() {
			return 0, ErrNotAgreed
		}
		serial += uint32(s.Control.Generation())
	}
	if s.Zone.Sign != "" {
		switch {
		case s.Keys == nil:
			return 0, ErrNoKeys
		case !s.Fit:
			return 0, ErrClock
		}
		number, _ := s.day()
		serial += uint32(s.Keys.Generation) + uint32(number)*perDay
	}
	return serial, nil
}

// agreed reports whether the generation is that of what this node has of a steered zone.
func (s *Source) agreed() bool {
	contents := s.Plan.World.Definitions.Contents
	i, has := slices.BinarySearchFunc(contents, s.Zone.Apex, func(c control.Content, apex string) int { return strings.Compare(c.Zone, apex) })
	digest, defined := s.Control.ContentOf(s.Zone.Apex)
	return has && defined && contents[i].Digest == digest
}

// day returns the number of the zone's day and when it began. Signatures are those of that moment.
func (s *Source) day() (number int64, began time.Time) {
	h := fnv.New64a()
	h.Write([]byte(s.Zone.Apex))
	length := int64(day / time.Second)
	late := int64(h.Sum64() % uint64(length))
	number = (s.Now.Unix() - late) / length
	return number, time.Unix(number*length+late, 0)
}

// Make makes the version that is due. Signatures of the version before (nil: none) are taken where new ones would be the same. It takes
// some 35 us for each name and each set that is signed; more is asked between whether to go on.
func (s *Source) Make(before *Version, more func() bool) (*Version, error) {
	serial, err := s.Serial()
	if err != nil {
		return nil, err
	}
	if n := s.Zone.Static.Count; n > maxRecords {
		return nil, fmt.Errorf("%w: %d records, at most %d", ErrTooLarge, n, maxRecords)
	}
	v := &Version{apex: s.Zone.Apex, serial: serial, file: s.Zone.Static.Serial, digest: s.Zone.FileDigest()}
	emit := func(set dnssec.Set) error {
		if !more() {
			return errStopped
		}
		v.add(set)
		return nil
	}
	sets := s.sets(serial)
	if s.Zone.Sign == "" || !s.Keys.Signed() {
		for _, set := range sets {
			if err := emit(set); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
	_, began := s.day()
	signing := dnssec.Signing{Keys: s.Keys, Now: began, Validity: dnssec.DefaultValidity}
	v.keys = publicKeys(s.Keys)
	if before != nil && bytes.Equal(before.keys, v.keys) {
		signing.Known = before.known()
	}
	if err := dnssec.SignZone([]byte(s.Zone.Static.Apex), sets, signing, emit); err != nil {
		return nil, err
	}
	return v, nil
}

// sets returns what is in the zone.
func (s *Source) sets(serial uint32) []dnssec.Set {
	data, _ := s.Plan.Zone([]byte(s.Zone.Static.Apex))
	sets := make([]dnssec.Set, 0, s.Zone.Static.Count)
	var owner []byte
	for name, set := range s.Plan.Given(data) {
		if !bytes.Equal(name, owner) {
			owner = bytes.Clone(name)
		}
		if set.Type == typeSOA {
			set = static.WithSerial(set, serial)
		}
		sets = append(sets, dnssec.Set{Owner: owner, Records: set.Bytes})
	}
	return sets
}

// publicKeys tells key sets apart that sign otherwise.
func publicKeys(s *dnssec.KeySet) (keys []byte) {
	for _, k := range slices.Concat(s.KeySigners, s.Signers) {
		keys = append(keys, k.Public...)
	}
	return keys
}

// Due reports whether a version with a serial is to follow one: not if that goes back while the zone file has not changed, for then it is
// the clock that went back, or a generation that is behind. The error is ErrSerial if none is to follow though the file is another one.
func (v *Version) Due(serial uint32, z *zones.Zone) (bool, error) {
	switch {
	case v == nil:
		return true, nil
	case int32(serial-v.serial) > 0, serial != v.serial && v.file != z.Static.Serial: // RFC 1982, section 3.2
		return true, nil
	case v.digest != z.FileDigest():
		return false, ErrSerial
	}
	return false, nil
}
