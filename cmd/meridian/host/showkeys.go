package host

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/internal/keyring"
	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/dashboard"
)

// shownKeys is what people see of the cluster's keys. What servers report may be a minute old.
func (h *Host) shownKeys() (all []dashboard.ZoneKeys) {
	v := h.view.Load()
	if v == nil {
		return nil
	}
	for _, k := range v.Control.AllKeys() {
		shown := dashboard.ZoneKeys{Zone: k.Zone, Changed: k.Changed, Actor: k.Actor, Reason: k.Reason, Index: k.Index,
			Keys: []dashboard.Key{}, DS: []string{}, Waits: []string{}, Nameservers: []dashboard.KeyServer{}}
		if err := showKeys(&shown, k); err != nil {
			shown.Error = err.Error()
		}
		all = append(all, shown)
	}
	return all
}

func showKeys(shown *dashboard.ZoneKeys, k control.ZoneKeys) error {
	s, err := dnssec.Decode(k.State)
	if err != nil {
		return err
	}
	shown.Stage, shown.Generation = string(s.Stage), s.Generation
	csk := !slices.ContainsFunc(s.Keys, func(k dnssec.KeyState) bool { return k.Flags == dnssec.FlagsZSK })
	for _, k := range s.Keys {
		role := "ZSK"
		if k.Flags == dnssec.FlagsKSK {
			role = "KSK"
			if csk {
				role = "CSK"
			}
		}
		var does []string
		for _, use := range []struct {
			on   bool
			text string
		}{{k.Published, "published"}, {k.SignsKeys || k.SignsData, "signs"}, {k.Announced, "in CDS"}, {k.Leaving, "leaves"}} {
			if use.on {
				does = append(does, use.text)
			}
		}
		shown.Keys = append(shown.Keys, dashboard.Key{Tag: k.Tag, Role: role, Algorithm: dnssec.AlgorithmName(k.Algorithm), Does: strings.Join(does, ", ")})
	}
	set, err := keyring.ForParent(s)
	if err != nil {
		return err
	}
	for _, ds := range set {
		shown.DS = append(shown.DS, fmt.Sprintf("%s IN DS %d %d %d %s", s.Zone, int(ds[0])<<8|int(ds[1]), ds[2], ds[3], strings.ToUpper(hex.EncodeToString(ds[4:]))))
	}
	for _, w := range s.Waits() {
		shown.Waits = append(shown.Waits, w.String())
	}
	for _, n := range s.Nodes {
		shown.Nameservers = append(shown.Nameservers, dashboard.KeyServer{Name: n.Name, Generation: n.Generation, Heard: n.Heard})
	}
	return nil
}

// takeOrder hands an order of the API on.
func (h *Host) takeOrder(ctx context.Context, o dashboard.KeyOrder) (control.Result, error) {
	order := keyring.Order{Zone: o.Zone, Do: o.Do, Actor: o.Actor, Reason: o.Reason, Nameserver: o.Nameserver}
	if len(o.Keys) > 0 {
		if err := json.Unmarshal(o.Keys, &order.Keys); err != nil {
			return control.Result{}, fmt.Errorf("%w: keys: %w", dashboard.ErrKeysOrder, err)
		}
	}
	return h.orderKeys(ctx, order, o.Key)
}
