package host

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/zonekeys"
	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/dns/signer"
	"github.com/meridian-gslb/meridian/zones"
)

// keysEvery is how often the directory of keys is looked at: the times in key files are in minutes at the finest.
const keysEvery = 15 * time.Second

// openSigning makes the signer of the zones with the key dnssec. It has no keys yet.
func (h *Host) openSigning() error {
	var err error
	h.signer, err = signer.New(signer.Config{Registerer: h.registry, Logger: h.log})
	if err != nil {
		return err
	}
	h.keys, h.opened = make(map[string]string), make(map[string]opened)
	return nil
}

// runKeys keeps the signer's keys as the directory has them.
func (h *Host) runKeys(ctx context.Context) {
	ticker := time.NewTicker(keysEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-h.rekey:
		}
		h.giveKeys(time.Now())
	}
}

// giveKeys reads the keys of every zone that is to be signed, and hands those to the signer that changed. Keys that can't be read
// leave the ones before in use, and so does a clock that can't be trusted: by that the new ones could sign nothing.
func (h *Host) giveKeys(now time.Time) {
	world := h.world.Load()
	var all []given
	wanted := make(map[string]bool)
	for i := range world.Zones {
		z := &world.Zones[i]
		if z.Sign == "" || z.Static == nil {
			continue
		}
		wanted[z.Static.Apex] = true
		set, own, err := h.keysOf(z, now)
		if _, signed := h.signer.Generation(z.Static.Apex); signed && !h.clockFit() {
			continue
		}
		if set != nil {
			all = append(all, given{z.Static.Apex, z.Apex, own, set})
		}
		var said string
		switch {
		case err != nil:
			said = err.Error()
		case set == nil:
			said = "there are no keys of it yet"
		default:
			said = fingerprint(set)
		}
		if said == h.keys[z.Static.Apex] {
			continue
		}
		h.keys[z.Static.Apex] = said
		if set == nil {
			h.log.Error("zone not signed by new keys", "zone", z.Apex, "err", said)
			continue
		}
		if !set.Signed() {
			h.signer.SetKeys(z.Static.Apex, nil)
			h.log.Info("zone no longer signed", "zone", z.Apex, "generation", set.Generation)
			continue
		}
		h.signer.SetKeys(z.Static.Apex, set)
		h.log.Info("zone signed", "zone", z.Apex, "keys", tags(set.Published), "generation", set.Generation)
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
}

// keysOf returns the keys of a zone in this node's own directory, or else those of the cluster; nil: there are none.
func (h *Host) keysOf(z *zones.Zone, now time.Time) (set *dnssec.KeySet, own bool, err error) {
	if dir := h.cfg.Nameserver.Keys; dir != "" {
		if set, err = zonekeys.ForServer(dir, z.Apex, now); err != nil {
			return nil, true, err
		}
	}
	own = set != nil
	if !own {
		if set, err = h.clusterKeys(z.Apex); err != nil || set == nil || !set.Signed() {
			return set, false, err
		}
	}
	if got := dnssec.AlgorithmName(set.Published[0].Algorithm); got != string(z.Sign) {
		return nil, own, fmt.Errorf("its keys are of algorithm %s, the world says %s", got, z.Sign)
	}
	return set, own, nil
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
