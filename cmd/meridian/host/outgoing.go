package host

import (
	"context"
	"maps"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/outgoing"
	"github.com/meridian-gslb/meridian/dns/background"
	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

const (
	// renewEvery is how often zones that go out are looked at for a new day of theirs.
	renewEvery = time.Minute

	// showAfter is how long a version that is made waits for others to be shown with it.
	showAfter = time.Second
)

// A basis is what the versions of zones that go out follow from, beside the time.
type basis struct {
	world   *zones.World
	control *control.State
	given   *[]given
}

// lookAtOutgoing has the zones that go out looked at, from any goroutine.
func (t *transfers) lookAtOutgoing() {
	select {
	case t.due <- struct{}{}:
	default: // they will be
	}
}

// renew makes the versions of zones that go out otherwise than they are, one after another, whenever they are due.
func (t *transfers) renew(ctx context.Context) {
	background.Thread() // a large zone takes many seconds
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	said := map[string]string{}
	var seen basis
	for {
		loud := false
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			loud = true // what lacks just after a change is no news
		case <-t.due:
		}
		s := t.host.snapshot.Load()
		now := basis{s.Plan.World, s.Control, t.host.given.Load()}
		if now == seen && !loud {
			continue
		}
		seen = now
		why := t.renewAll(ctx, s, now)
		for apex, err := range why {
			if loud && said[apex] != err.Error() {
				said[apex] = err.Error()
				t.host.log.Warn("zone does not go out anew", "zone", apex, "err", err)
			}
		}
		maps.DeleteFunc(said, func(apex, _ string) bool { return why[apex] == nil })
	}
}

// renewAll makes the versions that are due, and says why others are not made.
func (t *transfers) renewAll(ctx context.Context, s *zones.Snapshot, b basis) (why map[string]error) {
	why = map[string]error{}
	keys := map[string]*dnssec.KeySet{}
	if b.given != nil {
		for _, g := range *b.given {
			keys[g.apex] = g.set
		}
	}
	shown, wanted := time.Now(), map[string]bool{}
	for i := range b.world.Zones {
		z := &b.world.Zones[i]
		if !outgoing.Wanted(z) {
			continue
		}
		wanted[z.Apex] = true
		source := outgoing.Source{Plan: s.Plan, Zone: z, Control: s.Control, Keys: keys[z.Apex], Now: t.now(), Fit: t.host.clockFit()}
		serial, err := source.Serial()
		before, due := t.version(z.Apex), false
		if err == nil {
			due, err = before.Due(serial, z)
		}
		if err == nil && !due {
			continue
		}
		started := time.Now()
		var made *outgoing.Version
		if err == nil {
			made, err = source.Make(before, func() bool { return ctx.Err() == nil })
		}
		if err != nil {
			why[z.Apex] = err
			continue
		}
		t.mu.Lock()
		t.versions[z.Apex] = made
		t.mu.Unlock()
		t.host.log.Info("zone made to go out", "zone", z.Apex, "serial", serial, "took", time.Since(started))
		if time.Since(shown) > showAfter {
			t.show()
			shown = time.Now()
		}
	}
	t.mu.Lock()
	maps.DeleteFunc(t.versions, func(apex string, _ *outgoing.Version) bool { return !wanted[apex] })
	t.mu.Unlock()
	t.show()
	return why
}

// version returns the newest version of a zone that goes out otherwise than it is; nil without.
func (t *transfers) version(apex string) *outgoing.Version {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.versions[apex]
}

// show has the answers show the serials of the versions that others can have: by them they find out that there is a new one. Only then
// are they told.
func (t *transfers) show() {
	serials := map[string]uint32{}
	t.mu.Lock()
	for apex, v := range t.versions {
		if wire, err := dnssec.WireName(apex); err == nil {
			serials[string(wire)] = v.Serial()
		}
	}
	t.mu.Unlock()
	t.host.post(func(now time.Time) {
		if !maps.Equal(serials, t.host.serials) {
			t.host.serials = serials
			t.host.take(t.host.base, now)
		}
	})
}

// take gives the node a plan, with the serials of zones that go out otherwise than they are.
func (h *Host) take(plan *zones.Plan, now time.Time) {
	h.base = plan
	h.node.Compiled(plan.WithSerials(h.serials), now)
}
