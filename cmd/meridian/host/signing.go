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

// openSigning makes the signer of the zones with the key dnssec, and gives it their keys.
func (h *Host) openSigning() error {
	var err error
	h.signer, err = signer.New(signer.Config{Registerer: h.registry, Logger: h.log})
	if err != nil {
		return err
	}
	h.keys = make(map[string]string)
	h.giveKeys(time.Now())
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
// leave the ones before in use.
func (h *Host) giveKeys(now time.Time) {
	world := h.world.Load()
	wanted := make(map[string]bool)
	for i := range world.Zones {
		z := &world.Zones[i]
		if z.Sign == "" || z.Static == nil {
			continue
		}
		wanted[z.Static.Apex] = true
		set, err := h.keysOf(z, now)
		var said string
		switch {
		case err != nil:
			said = err.Error()
		case set == nil:
			said = "no key of it is in dns.keys"
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
		h.signer.SetKeys(z.Static.Apex, set)
		h.log.Info("zone signed", "zone", z.Apex, "keys", tags(set.Published), "generation", set.Generation)
	}
	for apex := range h.keys {
		if !wanted[apex] {
			delete(h.keys, apex)
			h.signer.SetKeys(apex, nil)
		}
	}
}

func (h *Host) keysOf(z *zones.Zone, now time.Time) (*dnssec.KeySet, error) {
	dir := h.cfg.Nameserver.Keys
	if dir == "" {
		return nil, fmt.Errorf("node.yaml has no dns.keys")
	}
	set, err := zonekeys.ForServer(dir, z.Apex, now)
	if err != nil || set == nil {
		return nil, err
	}
	if got := dnssec.AlgorithmName(set.Published[0].Algorithm); got != string(z.Sign) {
		return nil, fmt.Errorf("its keys are of algorithm %s, the world says %s", got, z.Sign)
	}
	return set, nil
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
