package host

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/outgoing"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/dns/server"
	"github.com/meridian-gslb/meridian/dns/transfer"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// Requests about zones that are under way at once, in all and for one client: transfers have a limit of their own, and a primary
// with many zones sends many notices.
const (
	maintainAtOnce    = 64
	maintainPerClient = 32
)

// transfers move zones between this node and others.
type transfers struct {
	host      *Host
	service   *transfer.Service
	published chan struct{} // the plan may be another one

	plan *zones.Plan              // whose zones were told of; owned by run, as is told
	told map[string]transfer.Zone // by apex, in the version that others were told of

	due chan struct{}    // zones that go out may be due to be made anew
	now func() time.Time // by which they are

	mu       sync.Mutex
	copies   map[string]string            // zones of others, by apex; empty: there is no good copy
	versions map[string]*outgoing.Version // by apex, of zones that go out otherwise than they are
}

// openTransfers makes what answers NOTIFY, UPDATE, AXFR and IXFR, and finds the good copies of secondary zones.
func (h *Host) openTransfers(world *zones.World, now func() time.Time) error {
	setup, err := transferSetup(&h.cfg, world)
	if err != nil {
		return err
	}
	t := &transfers{
		host: h, published: make(chan struct{}, 1), told: map[string]transfer.Zone{}, copies: map[string]string{},
		due: make(chan struct{}, 1), now: now, versions: map[string]*outgoing.Version{},
	}
	if now == nil {
		t.now = time.Now
	}
	config := transfer.Config{
		Dir: h.cfg.Data, Zones: t.zone, SOA: t.soa, Own: t.own, Known: t.known, Dial: h.dialPeer,
		Loaded: t.loaded, Expired: func(apex string) { t.set(apex, "") }, Dropped: t.dropped,
		Event: func(zone, text string) { h.offer(func(now time.Time) { h.node.Transferred(zone, text, now) }) },

		Registerer: h.registry, Logger: h.log,
	}
	if len(h.cfg.Voters) > 0 {
		config.Change = t.change
	} else if len(setup.Updates) > 0 {
		h.log.Warn("updates of challenges are refused", "err", "node.yaml lists no voters, who keep them")
	}
	t.service, err = transfer.Open(config)
	if err != nil {
		return err
	}
	h.transfers, h.compiler.copies = t, t.list
	return t.service.Apply(setup)
}

// dialPeer connects to another nameserver from an address that this one answers at, for by that the other knows it. Without one that
// fits, the system chooses.
func (h *Host) dialPeer(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	for _, own := range h.cfg.DNS {
		a := own.Addr()
		if a.IsUnspecified() || a.Is4() != to.Addr().Unmap().Is4() || a.IsLoopback() != to.Addr().IsLoopback() {
			continue
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
		}
		break
	}
	return d.DialContext(ctx, network, address)
}

// applyTransfers puts in force what a reloaded world says, which canServe has found good unless a file changed since.
func (h *Host) applyTransfers(world *zones.World) {
	setup, err := transferSetup(&h.cfg, world)
	if err == nil {
		err = h.transfers.service.Apply(setup)
	}
	if err != nil {
		h.log.Error("transfers stay as they were", "err", err)
	}
}

// maintain answers a request about zones.
func (t *transfers) maintain(_ context.Context, r server.Request) (handled bool) {
	return t.service.Handle(transfer.Query{Message: r.Message, From: r.From, UDP: r.Transport == "udp", TLS: r.TLS, Send: r.Send, Answer: r.Answer})
}

// A servedZone is a version of a zone that others are given as it is.
type servedZone struct{ zone *static.Zone }

// Apex is for transfer.Zone.
func (s servedZone) Apex() string { return s.zone.Origin }

// Serial is for transfer.Zone.
func (s servedZone) Serial() uint32 { return s.zone.Serial }

// Records is for transfer.Zone.
func (s servedZone) Records(yield func(dns.RR) bool) { s.zone.Records(yield) }

var errNotLoaded = errors.New("not loaded")

// around returns the closest zone of the snapshot in force around a name; nil without.
func (t *transfers) around(name string) (zone *zones.ZoneData, apex bool) {
	var wire [256]byte
	n, err := dns.PackDomainName(dns.CanonicalName(name), wire[:], 0, nil, false)
	s := t.host.snapshot.Load()
	if err != nil || s == nil {
		return nil, false
	}
	zone, offset := s.Plan.Zone(wire[:n])
	return zone, offset == 0
}

func (t *transfers) zone(apex string) (transfer.Zone, error) {
	z, isApex := t.around(apex)
	if z == nil || !isApex {
		return nil, transfer.ErrNoZone
	}
	if z.Zone == nil {
		return nil, errNotLoaded
	}
	if configured := zoneOf(t.host.snapshot.Load().Plan.World, apex); configured != nil && outgoing.Wanted(configured) {
		if v := t.version(apex); v != nil {
			return v, nil
		}
		return nil, errNotLoaded
	}
	if z.Steered() || z.Sign != "" {
		return nil, fmt.Errorf("%w: it is steered, or signed when it is asked", transfer.ErrRefused)
	}
	return servedZone{z.Zone}, nil
}

// zoneOf returns a zone of a world; nil without.
func zoneOf(world *zones.World, apex string) *zones.Zone {
	i, ok := slices.BinarySearchFunc(world.Zones, apex, func(z zones.Zone, apex string) int { return strings.Compare(z.Apex, apex) })
	if !ok {
		return nil
	}
	return &world.Zones[i]
}

func (t *transfers) soa(name string) (*dns.SOA, error) {
	z, _ := t.around(name)
	if z == nil {
		return nil, transfer.ErrNoZone
	}
	if z.Zone == nil {
		return nil, errNotLoaded
	}
	set, _ := z.Find([]byte(z.Apex)).Name.Set(dns.TypeSOA)
	rrs, err := set.RRs(z.Origin)
	if err != nil {
		return nil, err
	}
	for _, rr := range rrs {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa, nil
		}
	}
	return nil, fmt.Errorf("zone %s has no SOA record", z.Apex)
}

func (t *transfers) own(apex string) bool {
	z := zoneOf(t.host.world.Load(), apex)
	return z != nil && !z.Copied
}

func (t *transfers) loaded(apex, file string) {
	relative, err := filepath.Rel(t.host.cfg.Data, file)
	if err != nil {
		t.host.log.Error("copy not found", "zone", apex, "err", err)
		return
	}
	t.set(apex, filepath.ToSlash(relative))
}

func (t *transfers) set(apex, file string) {
	t.mu.Lock()
	t.copies[apex] = file
	t.mu.Unlock()
	t.host.compiler.copiesChanged()
}

func (t *transfers) dropped(apex string) {
	t.mu.Lock()
	delete(t.copies, apex)
	t.mu.Unlock()
	t.host.compiler.copiesChanged()
}

func (t *transfers) list() []zones.Copy {
	t.mu.Lock()
	defer t.mu.Unlock()
	copies := make([]zones.Copy, 0, len(t.copies))
	for apex, file := range t.copies {
		copies = append(copies, zones.Copy{Apex: apex, File: file})
	}
	slices.SortFunc(copies, func(a, b zones.Copy) int { return cmp.Compare(a.Apex, b.Apex) })
	return copies
}

// run tells others of changes, one zone after another.
func (t *transfers) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.published:
			t.tell(ctx, t.host.snapshot.Load().Plan)
		}
	}
}

// tell tells of the zones that a plan has in another version than the one before. Versions in between may be left out.
func (t *transfers) tell(ctx context.Context, plan *zones.Plan) {
	if plan == t.plan {
		return
	}
	t.plan = plan
	told := make(map[string]transfer.Zone, len(t.told))
	for i := range plan.World.Zones {
		z := &plan.World.Zones[i]
		if z.Transfer == nil || z.Static == nil {
			continue
		}
		before, now := t.told[z.Apex], t.outgoing(plan, z)
		if now == nil {
			now = before
		}
		if now == nil {
			continue
		}
		told[z.Apex] = now
		if before != now && ctx.Err() == nil {
			t.service.Changed(before, now)
		}
	}
	t.told = told
}

// outgoing returns the version of a zone that others are to be told of; nil: there is none now.
func (t *transfers) outgoing(plan *zones.Plan, z *zones.Zone) transfer.Zone {
	if !outgoing.Wanted(z) {
		if len(z.Steer) > 0 || z.Sign != "" {
			return nil
		}
		return servedZone{z.Static}
	}
	v := t.version(z.Apex)
	if data, _ := plan.Zone([]byte(z.Static.Apex)); v == nil || data.Serial != v.Serial() {
		return nil // the answers do not show it yet
	}
	return v
}

// transferSetup is what a node's file and the world say of transfers. The error names all that does not fit together.
func transferSetup(cfg *nodefile.Node, world *zones.World) (*transfer.Setup, error) {
	setup := &transfer.Setup{
		Primary: map[string]transfer.Policy{}, Secondary: map[string]transfer.Secondary{},
		Catalogs: map[string]transfer.Catalog{}, Updates: map[string]transfer.Updates{},
	}
	if !cfg.Roles.Has(health.RoleDNS) {
		return setup, nil
	}
	var err error
	if setup.Keys, err = tsigKeys(cfg); err != nil {
		return nil, err
	}
	var errs []error
	from := func(primaries []zones.Primary) transfer.Secondary {
		var s transfer.Secondary
		for _, p := range primaries {
			primary, err := primaryOf(p)
			if err != nil {
				errs = append(errs, err)
			}
			s.Primaries = append(s.Primaries, primary)
		}
		return s
	}
	for i := range world.Zones {
		z := &world.Zones[i]
		if z.Transfer != nil {
			setup.Primary[z.Apex] = policyOf(z.Transfer)
		}
		if z.Secondary != nil {
			setup.Secondary[z.Apex] = from(z.Secondary)
		}
		if z.Updates != nil {
			keys := map[string][]string{}
			for _, u := range z.Updates {
				keys[u.Key] = u.Hosts
			}
			setup.Updates[z.Apex] = transfer.Updates{Keys: keys}
		}
	}
	for _, c := range world.Catalogs {
		catalog := transfer.Catalog{Secondary: from(c.Primaries), Groups: map[string]transfer.Secondary{}}
		for _, g := range c.Groups {
			catalog.Groups[g.Name] = from(g.Primaries)
		}
		setup.Catalogs[c.Apex] = catalog
	}
	if err := errors.Join(append(errs, setup.Check())...); err != nil {
		return nil, fmt.Errorf("the world's transfers and this node's dns.tsig_keys: %w", err)
	}
	return setup, nil
}

func policyOf(t *zones.Transfer) transfer.Policy {
	policy := transfer.Policy{XoT: t.XoT}
	for _, g := range t.Allow {
		policy.Allow = append(policy.Allow, transfer.Grant(g))
	}
	for _, n := range t.Notify {
		policy.Notify = append(policy.Notify, transfer.Target(n))
	}
	return policy
}

func primaryOf(p zones.Primary) (transfer.Primary, error) {
	primary := transfer.Primary{Address: p.Address, Key: p.Key}
	if p.TLS == nil {
		return primary, nil
	}
	primary.TLS = &transfer.TLS{Name: p.TLS.Name}
	if p.TLS.CA != "" {
		primary.TLS.Roots = x509.NewCertPool()
		if !primary.TLS.Roots.AppendCertsFromPEM(p.TLS.Roots) {
			return primary, fmt.Errorf("primary %v: %s has no certificate in PEM", p.Address, p.TLS.CA)
		}
	}
	return primary, nil
}
