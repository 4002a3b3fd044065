package host

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/dns/signer"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/replica"
	"github.com/meridian-gslb/meridian/zones"
)

// keysEvery is how often the directory of keys is looked at: the times in key files are in minutes at the finest.
const keysEvery = 15 * time.Second

// openSigning makes the signer of the zones with the key dnssec. It has no keys yet.
func (h *Host) openSigning() error {
	if err := checkKeyDirectory(&h.cfg); err != nil {
		return err
	}
	var err error
	h.signer, err = signer.New(signer.Config{Registerer: h.registry, Logger: h.log})
	if err != nil {
		return err
	}
	h.keys, h.opened = make(map[string]*zoneKeys), make(map[string]opened)
	return nil
}

// A zoneKeys is what the signer was told of a zone that is to be signed, and why.
type zoneKeys struct {
	use keyUse
	why string // the last line about it
}

// A keyUse is what becomes of the answers of a zone that is to be signed.
type keyUse uint8

const (
	useUnknown keyUse = iota // it was not looked at before
	useNone                  // there are no keys of it: they are not signed
	useThese                 // they are signed
	useOthers                // there are keys of it which are not here, or may be: they are not given
)

// useOf decides by the keys that were found, or by what is wrong with those that were. To take a zone for unsigned that others sign
// does harm where answers are validated, and longer than a SERVFAIL, so what is not known counts as keys.
//
//	keys here       voters are   their state    answers
//	some            -            -              signed
//	say: unsigned   -            -              unsigned   before the first keys are active, and after the last
//	can't be used   -            -              none       unreadable, sealed by another key, of another algorithm
//	none            configured   not known      none       a new disk, or a lost one, and no word from the leader yet
//	none            configured   known, any age unsigned   who has heard of the cluster is waited for before there is a DS
//	none            none         -              unsigned   its own directory is all that there is
//
// Where there is no answer by this, a zone that is answered already goes on as it is: signed by the keys before, or unsigned. So
// the key dnssec takes no answer from a zone that is served.
func useOf(set *dnssec.KeySet, err error, voters, known bool) keyUse {
	switch {
	case err != nil:
		return useOthers
	case set != nil && set.Signed():
		return useThese
	case set != nil || !voters || known:
		return useNone
	}
	return useOthers
}

// runKeys keeps the signer's keys as the directory and the voters have them.
func (h *Host) runKeys(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-h.rekey:
		}
		every := keysEvery
		if h.giveKeys(time.Now()) {
			every = tellEvery
		}
		timer.Reset(every)
	}
}

// giveKeys reads the keys of every zone that is to be signed, and hands those to the signer that changed. Keys that can't be read
// leave the ones before in use, and so does a clock that can't be trusted: by that the new ones could sign nothing. What is known to be
// given says so then too, for the leader makes keys for a zone that no nameserver has own ones of. It reports whether a zone waits
// for its keys.
func (h *Host) giveKeys(now time.Time) (waits bool) {
	h.giving.Lock()
	defer h.giving.Unlock()
	world, knows := h.world.Load(), h.knowsKeys()
	var all []given
	before, wanted := h.givenByApex(), make(map[string]bool)
	for i := range world.Zones {
		z := &world.Zones[i]
		if z.Sign == "" || z.Static == nil {
			continue
		}
		wanted[z.Static.Apex] = true
		set, own, err := h.keysOf(z, now)
		_, signed := h.signer.Generation(z.Static.Apex)
		distrusts := signed && !h.clockFit()
		if last, was := before[z.Static.Apex]; was && (distrusts || err != nil) {
			all = append(all, last)
		}
		if distrusts {
			continue
		}
		if set != nil {
			all = append(all, given{z.Static.Apex, z.Apex, own, set})
		}
		known := h.keys[z.Static.Apex]
		if known == nil {
			known = new(zoneKeys)
			h.keys[z.Static.Apex] = known
			if h.unsigned(z.Static.Apex) {
				known.use = useNone
			}
		}
		h.giveZone(z, known, useOf(set, err, h.replica != nil, knows), set, err)
		waits = waits || known.use == useOthers
	}
	for apex := range h.keys {
		if !wanted[apex] {
			delete(h.keys, apex)
			delete(h.opened, dnssec.TextName([]byte(apex)))
			h.signer.SetKeys(apex, nil)
		}
	}
	h.given.Store(&all)
	h.transfers.lookAtOutgoing()
	return waits
}

// givenByApex returns what the signer was given last, by apex in wire format.
func (h *Host) givenByApex() map[string]given {
	byApex := make(map[string]given)
	if all := h.given.Load(); all != nil {
		for _, g := range *all {
			byApex[g.wire] = g
		}
	}
	return byApex
}

// giveZone hands the keys of a zone to the signer, unless it has them.
func (h *Host) giveZone(z *zones.Zone, known *zoneKeys, use keyUse, set *dnssec.KeySet, err error) {
	apex := z.Static.Apex
	var why string
	switch {
	case err != nil:
		why = err.Error()
	case use == useThese:
		why = fingerprint(set)
	case set != nil:
		why = fmt.Sprintf("its keys are not in use in generation %d", set.Generation)
	case use == useOthers:
		why = "nothing was heard of the voters yet"
	default:
		why = "there are no keys of it yet"
	}
	if set == nil && (known.use == useThese || known.use == useNone) {
		use = known.use // as before
	}
	if use == known.use && why == known.why {
		return
	}
	*known = zoneKeys{use, why}
	switch {
	case use == useOthers:
		h.signer.Await(apex)
		h.log.Error("zone not answered without its keys", "zone", z.Apex, "err", why)
	case use == useNone:
		h.signer.SetKeys(apex, nil)
		h.log.Warn("zone answered unsigned", "zone", z.Apex, "err", why)
	case set == nil:
		h.log.Error("zone not signed by new keys", "zone", z.Apex, "err", why)
	default:
		h.signer.SetKeys(apex, set)
		h.log.Info("zone signed", "zone", z.Apex, "keys", tags(set.Published), "generation", set.Generation)
	}
}

// unsigned reports whether a zone is answered now, without signatures.
func (h *Host) unsigned(apex string) bool {
	s := h.snapshot.Load()
	if s == nil {
		return false
	}
	z, _ := s.Plan.Zone([]byte(apex))
	return z != nil && z.Apex == apex && z.Zone != nil && z.Sign == "" && !z.Presigned()
}

// knowsKeys reports whether what this node knows of the voters' state tells which zones have keys. From disk it does, whatever its
// age.
func (h *Host) knowsKeys() bool {
	v := h.view.Load()
	if h.replica == nil || v == nil || v.Control == nil {
		return false
	}
	h.remembers = h.remembers || asNewAsLeader(v.Control, h.replica.Status())
	return h.remembers
}

// asNewAsLeader reports whether a state is as new as the leader's. One that replays the log, or hears a voter that does, comes by
// older ones, in which zones have no keys yet.
func asNewAsLeader(s *control.State, status replica.Status) bool {
	for _, voter := range status.Voters {
		if voter.ID == status.Leader {
			return voter.Reached && !(&control.State{Epoch: voter.Epoch, Index: voter.Index}).Newer(s)
		}
	}
	return false
}

// keysOf returns the keys of a zone in this node's own directory, or else those of the cluster; nil: there are none.
func (h *Host) keysOf(z *zones.Zone, now time.Time) (set *dnssec.KeySet, own bool, err error) {
	if set, err = h.ownKeys(z, now); err != nil || set != nil {
		return set, true, err
	}
	if set, err = h.clusterKeys(z.Apex); err == nil {
		err = fitsWorld(set, z)
	}
	if err != nil {
		return nil, false, err
	}
	return set, false, nil
}

func tags(keys []*dnssec.Key) []uint16 {
	tags := make([]uint16, len(keys))
	for i, k := range keys {
		tags[i] = k.Tag
	}
	return tags
}

// fingerprint is the same for key sets that do the same.
func fingerprint(s *dnssec.KeySet) string {
	dnskey, cds, cdnskey := s.Sets()
	return fmt.Sprint(s.Generation, s.TTL, string(dnskey), string(cds), string(cdnskey), tags(s.KeySigners), tags(s.Signers))
}
