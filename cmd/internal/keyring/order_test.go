package keyring

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health/control"
)

func TestOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := steady(t)
		defer f.close()
		ecdsa := f.zone
		ed25519 := ecdsa
		ed25519.Algorithm = dnssec.ED25519
		stranger := New("x", make([]byte, dnssec.ClusterKeySize), rand.NewChaCha8([32]byte{3}))
		foreign, err := stranger.make(&dnssec.State{Zone: "other."}, dnssec.ECDSAP256SHA256, time.Now(), dnssec.FlagsKSK)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name  string
			order Order
			zone  *Zone
			dead  bool
			want  error
			text  string
		}{
			{"what nobody knows", Order{Zone: apex, Do: "roll"}, &ecdsa, false, ErrOrder, `"roll" (have introduce, `},
			{"a zone without keys", Order{Zone: "other.", Do: "roll-zsk"}, &ecdsa, false, ErrOrder, "zone other.: the cluster has no keys of it"},
			{"an import without a zone", Order{Zone: "other.", Do: Import}, nil, false, ErrOrder,
				"zone other.: the world has no such zone with the key dnssec: add it, while the nodes have its keys in dns.keys, then import"},
			{"keys dropped of a zone without", Order{Zone: "other.", Do: Drop}, nil, false, ErrOrder, "zone other.: the cluster has no keys of it"},
			{"a zone that is not signed", Order{Zone: apex, Do: "roll-zsk"}, nil, false, ErrOrder, "the world does not want it signed"},
			{"a CSK where there is none", Order{Zone: apex, Do: "roll-csk"}, &ecdsa, false, nil, "the zone has a KSK and a ZSK"},
			{"a roll to another algorithm", Order{Zone: apex, Do: "roll-zsk"}, &ed25519, false, nil, "the algorithm can't be changed by a roll"},
			{"removal with a DS at the parent", Order{Zone: apex, Do: "remove"}, &ecdsa, false, dnssec.ErrBusy, "its keys are at steady"},
			{"keys dropped that are in use", Order{Zone: apex, Do: Drop}, &ecdsa, false, ErrOrder, "the world wants it signed"},
			{"keys dropped that nobody uses", Order{Zone: apex, Do: Drop}, nil, false, nil, ""},
			{"a nameserver that is none", Order{Zone: apex, Do: Forget, Nameserver: "xx"}, &ecdsa, true, ErrOrder, `no nameserver "xx" (have eu1, in1, us1)`},
			{"a nameserver that lives", Order{Zone: apex, Do: Forget, Nameserver: "in1"}, &ecdsa, false, ErrOrder, "nameserver in1 lives"},
			{"a nameserver that is gone", Order{Zone: apex, Do: Forget, Nameserver: "in1"}, &ecdsa, true, nil, ""},
			{"a DS that nothing waits for", Order{Zone: apex, Do: DSSeen}, &ecdsa, false, dnssec.ErrBusy, "ds-seen: at steady nothing waits for the DS that the parent has"},
			{"keys that another cluster sealed", Order{Zone: "other.", Do: Import, Keys: foreign}, &ecdsa, false, ErrOrder, "sealed by another key"},
			{"keys beside others", Order{Zone: apex, Do: Import}, &ecdsa, false, dnssec.ErrBusy, "its keys are at steady"},
		} {
			tt.order.Actor, tt.order.Reason = "mia", "test"
			c, err := f.leader.Order(f.state, tt.order, tt.zone, func(string) bool { return !tt.dead }, time.Now())
			if tt.text == "" != (err == nil) || tt.want != nil && !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s: %v, want %v with %q", tt.name, err, tt.want, tt.text)
			}
			if err != nil {
				continue
			}
			c.Time = time.Now()
			next, result := f.state.Apply(f.state.Index+1, *c)
			if result.Err() != nil {
				t.Errorf("%s: voters refuse it: %v", tt.name, result.Err())
			}
			history := next.History()
			want := strings.TrimSpace(tt.order.Do + " " + tt.order.Nameserver)
			if e := history[len(history)-1]; e.Zone != apex || e.Order != want || e.Actor != "mia" {
				t.Errorf("%s: audited as %q of zone %q by %s, want %q of %q by mia", tt.name, e.Order, e.Zone, e.Actor, want, apex)
			}
			if _, there := next.Keys(apex); there != (tt.order.Do != Drop) {
				t.Errorf("%s: keys are there afterwards: %v", tt.name, there)
			}
		}
	})
}

// What one node ordered and what another found out at the same time don't undo each other: the voters refuse the later one.
func TestOrdersRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := steady(t)
		defer f.close()
		order := func(do string) control.Command {
			c, err := f.leader.Order(f.state, Order{Zone: apex, Do: do, Actor: "mia", Reason: "test"}, &f.zone, nil, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			c.Time = time.Now()
			return *c
		}
		one, two := order("roll-zsk"), order("roll-ksk")
		f.apply(one)
		if _, result := f.state.Apply(f.state.Index+1, two); !errors.Is(result.Err(), control.ErrVersion) {
			t.Errorf("the later of two orders: %v, want %v", result.Err(), control.ErrVersion)
		}
	})
}

// Imported keys are used as they are, by all nameservers.
func TestImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		own, err := f.leader.make(&dnssec.State{Zone: apex}, f.zone.Algorithm, time.Now(), dnssec.FlagsKSK)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.leader.Order(f.state, Order{Zone: apex, Do: Import, Keys: own, Actor: "mia", Reason: "from BIND"}, &f.zone, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		f.apply(*c)
		f.pass(3 * time.Minute)
		f.alike()
		if keys := f.decoded().Keys; len(keys) != 1 || keys[0].Tag != own[0].Tag || len(f.decoded().Nodes) != 3 {
			t.Errorf("keys %v of %d nameservers, want %d of 3", tagsOf(keys), len(f.decoded().Nodes), own[0].Tag)
		}
	})
}
