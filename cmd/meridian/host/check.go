package host

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/cmd/meridian/zonekeys"
	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/dns/transfer"
	"github.com/meridian-gslb/meridian/geo/mmdb"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// Check reads what a start would read of keys, certificates and the world, and returns all that would be refused, or would leave
// a zone without answers, each with the key of the node's file that names it. Mistakes of the world and of
// overrides of places are zones.Problems. Where only other things are wrong there is a plan too.
func Check(cfg nodefile.Node) (*zones.Plan, []error) {
	var wrong []error
	note := func(err error) {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	h := Host{cfg: cfg}
	note(h.identify())
	_, err := readKey(cfg.GossipKey)
	note(err)
	if cfg.MeshKeys != "" {
		_, err = readMeshKeys(&cfg)
		note(err)
	}
	note(checkCertificate(cfg.TLS))
	table, err := mmdb.Load(cfg.Geo)
	if err != nil {
		note(fmt.Errorf("geo: %w", err))
		table, err = mmdb.Default() // whose places are as good for finding mistakes
		note(err)
	}
	over, err := mmdb.ReadOverrides(cfg.GeoOverrides)
	note(err)
	if table != nil {
		table = over.Apply(table)
	}
	var plan *zones.Plan
	if table != nil {
		plan, err = Load(cfg.World, table)
		note(err)
	}
	if plan == nil {
		_, err = tsigKeys(&cfg)
		note(err)
		note(checkKeyDirectory(&cfg))
		return nil, wrong
	}
	note(h.canServe(plan))
	if err := checkKeyDirectory(&cfg); err != nil {
		return plan, append(wrong, err)
	}
	for i := range plan.World.Zones {
		_, err := h.ownKeys(&plan.World.Zones[i], time.Now())
		note(err)
	}
	return plan, wrong
}

// checkKeyDirectory says why the directory of DNSSEC keys can't be looked into. One that is empty is good.
func checkKeyDirectory(cfg *nodefile.Node) error {
	dir := cfg.Nameserver.Keys
	if dir == "" || !cfg.Roles.Has(health.RoleDNS) {
		return nil
	}
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("dns.keys: %w", err)
	}
	return nil
}

// ownKeys returns the keys that a zone has in this node's own directory; nil: none, or it is not to be signed.
func (h *Host) ownKeys(z *zones.Zone, now time.Time) (*dnssec.KeySet, error) {
	dir := h.cfg.Nameserver.Keys
	if dir == "" || z.Sign == "" || !h.cfg.Roles.Has(health.RoleDNS) {
		return nil, nil
	}
	set, err := zonekeys.ForServer(dir, z.Apex, now)
	if err == nil {
		err = fitsWorld(set, z)
	}
	if err != nil {
		return nil, fmt.Errorf("dns.keys: zone %s: %w", z.Apex, err)
	}
	return set, nil
}

// fitsWorld says why keys are not those that the world wants a zone to be signed by.
func fitsWorld(set *dnssec.KeySet, z *zones.Zone) error {
	if set == nil || !set.Signed() {
		return nil
	}
	if got := dnssec.AlgorithmName(set.Published[0].Algorithm); got != string(z.Sign) {
		return fmt.Errorf("its keys are of algorithm %s, the world says %s", got, z.Sign)
	}
	return nil
}

// tsigKeys reads the files of dns.tsig_keys. The error names all that can't be used.
func tsigKeys(cfg *nodefile.Node) ([]transfer.Key, error) {
	if !cfg.Roles.Has(health.RoleDNS) {
		return nil, nil
	}
	var all []transfer.Key
	var errs []error
	for _, file := range cfg.Nameserver.TSIGKeys {
		keys, err := transfer.LoadKeys(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("dns.tsig_keys: %w", err))
		}
		all = append(all, keys...)
	}
	return all, errors.Join(errs...)
}
