package transfer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// The most of each thing in a setup.
const (
	maxGrants    = 64 // of a zone
	maxTargets   = 64 // of a zone
	maxPrimaries = 16 // of a zone
	maxGroups    = 64 // of a catalog
	maxHosts     = 1000
)

// A Setup says what is allowed, and of which zones this node is a secondary. Its zero value allows nothing. Maps are by
// the apex of a zone, in any case and with or without the last dot.
type Setup struct {
	Keys      []Key                // of TSIG; every name of a key below is one of these
	Primary   map[string]Policy    // of zones that may be transferred from here; of others nobody may
	Secondary map[string]Secondary // zones to be copied from others
	Catalogs  map[string]Catalog   // lists of further zones to be copied
	Updates   map[string]Updates   // zones whose challenges may be changed

	keys map[string]Key
}

// A Policy says who may have a zone, and who hears of its changes.
type Policy struct {
	Allow  []Grant
	XoT    bool // only over TLS 1.3 (RFC 9103)
	Notify []Target
}

// A Grant allows who signs by the key, if there is one, and comes from the prefix, if there is one. One of them there is.
type Grant struct {
	Key    string
	Prefix netip.Prefix
}

// A Target hears of changes (NOTIFY), signed if there is a key.
type Target struct {
	Address netip.AddrPort
	Key     string
}

// A Secondary says where a zone is copied from: the first of its primaries that has it.
type Secondary struct {
	Primaries []Primary
}

// A Primary is asked over TCP; over TLS 1.3 if there is a TLS (XoT, RFC 9103). Queries and answers are signed if there
// is a key.
type Primary struct {
	Address netip.AddrPort
	Key     string
	TLS     *TLS
}

// A TLS says how a primary proves who it is. It is never trusted without.
type TLS struct {
	Name  string         // in its certificate
	Roots *x509.CertPool // that may vouch for it; nil: those of the system
}

// A Catalog is a zone that lists zones (RFC 9432). It is copied as they are, from the same primaries, but not answered.
type Catalog struct {
	Secondary
	Groups map[string]Secondary // where members of a group are copied from, if elsewhere than the catalog
}

// Updates say by key which challenges of a zone may be changed: "www.shop.example" stands for the TXT records of
// _acme-challenge.www.shop.example, and for no other name.
type Updates struct {
	Keys map[string][]string
}

// Check returns what is wrong with a setup, all of it, as Apply would.
func (s *Setup) Check() error {
	_, err := s.compile()
	return err
}

// compile checks a setup and returns it with canonical names.
func (s *Setup) compile() (*Setup, error) {
	c := &checker{compiled: &Setup{keys: map[string]Key{}}}
	for _, k := range s.Keys {
		if _, twice := c.compiled.keys[k.Name]; twice {
			c.mistake("key %s is there twice", strict.Quote(k.Name))
		}
		c.compiled.keys[k.Name] = k
	}
	c.compiled.Primary = compileMap(c, "transfer", s.Primary, c.policy)
	c.compiled.Secondary = compileMap(c, "secondary", s.Secondary, c.secondary)
	c.compiled.Catalogs = compileMap(c, "catalog", s.Catalogs, c.catalog)
	c.compiled.Updates = compileMap(c, "updates", s.Updates, c.updates)
	for apex := range c.compiled.Catalogs {
		if _, both := c.compiled.Secondary[apex]; both {
			c.mistake("%s is a catalog and a secondary zone", apex)
		}
	}
	return c.compiled, errors.Join(c.mistakes...)
}

// A checker collects what is wrong with a setup, in an order that is always the same.
type checker struct {
	compiled *Setup
	mistakes []error
}

func (c *checker) mistake(format string, args ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf(format, args...))
}

func compileMap[V any](c *checker, what string, in map[string]V, compile func(where, apex string, v V) V) map[string]V {
	out := make(map[string]V, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		where := what + " " + name
		apex := dns.CanonicalName(name)
		if _, ok := dns.IsDomainName(name); !ok || name == "" {
			c.mistake("%s: want the name of a zone", where)
		}
		if _, twice := out[apex]; twice {
			c.mistake("%s: the zone is there twice", where)
		}
		out[apex] = compile(where, apex, in[name])
	}
	return out
}

// key returns the canonical name of a key that must be known; an empty one stands for none.
func (c *checker) key(where, name string) string {
	if name == "" {
		return ""
	}
	canonical := dns.CanonicalName(name)
	if _, ok := c.compiled.keys[canonical]; !ok {
		c.mistake("%s: %s", where, strict.Unknown("key", name, slices.Collect(maps.Keys(c.compiled.keys))))
	}
	return canonical
}

func (c *checker) address(where string, a netip.AddrPort) {
	if !a.IsValid() || a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
		c.mistake("%s: %s: want an address and port", where, a)
	}
}

func (c *checker) atMost(where, what string, n, most int) {
	if n > most {
		c.mistake("%s: %d %s, want at most %d", where, n, what, most)
	}
}

func (c *checker) policy(where, _ string, p Policy) Policy {
	c.atMost(where, "entries of allow", len(p.Allow), maxGrants)
	c.atMost(where, "entries of notify", len(p.Notify), maxTargets)
	compiled := Policy{XoT: p.XoT}
	for _, g := range p.Allow {
		if g.Key == "" && !g.Prefix.IsValid() {
			c.mistake("%s: allow: want a key or a prefix", where)
		}
		g.Key = c.key(where+": allow", g.Key)
		compiled.Allow = append(compiled.Allow, g)
	}
	for _, t := range p.Notify {
		c.address(where+": notify", t.Address)
		t.Key = c.key(where+": notify", t.Key)
		compiled.Notify = append(compiled.Notify, t)
	}
	return compiled
}

func (c *checker) secondary(where, _ string, s Secondary) Secondary {
	if len(s.Primaries) == 0 {
		c.mistake("%s: want one primary or more", where)
	}
	c.atMost(where, "primaries", len(s.Primaries), maxPrimaries)
	var compiled Secondary
	for _, p := range s.Primaries {
		c.address(where+": primary", p.Address)
		p.Key = c.key(where+": primary", p.Key)
		if p.TLS != nil {
			if _, ok := dns.IsDomainName(p.TLS.Name); !ok || p.TLS.Name == "" {
				c.mistake("%s: primary %s: want the name in its certificate", where, p.Address)
			}
		}
		compiled.Primaries = append(compiled.Primaries, p)
	}
	return compiled
}

func (c *checker) catalog(where, apex string, k Catalog) Catalog {
	c.atMost(where, "groups", len(k.Groups), maxGroups)
	compiled := Catalog{Secondary: c.secondary(where, apex, k.Secondary), Groups: map[string]Secondary{}}
	for _, name := range slices.Sorted(maps.Keys(k.Groups)) {
		compiled.Groups[name] = c.secondary(where+": group "+name, apex, k.Groups[name])
	}
	return compiled
}

func (c *checker) updates(where, apex string, u Updates) Updates {
	compiled := Updates{Keys: map[string][]string{}}
	for _, name := range slices.Sorted(maps.Keys(u.Keys)) {
		key := c.key(where, name)
		if key == "" {
			c.mistake("%s: want the name of a key", where)
		}
		c.atMost(where+": key "+name, "hosts", len(u.Keys[name]), maxHosts)
		for _, host := range u.Keys[name] {
			canonical := dns.CanonicalName(host)
			_, ok := dns.IsDomainName(challengeLabel + canonical)
			if !ok || host == "" || strings.Contains(host, "*") || !dns.IsSubDomain(apex, canonical) {
				c.mistake("%s: key %s: host %s: want the name of a host in the zone, without wildcard", where, name, strict.Quote(host))
			}
			compiled.Keys[key] = append(compiled.Keys[key], canonical)
		}
	}
	return compiled
}

// key returns a key by its canonical name, the zero Key by an empty one. Who still asks for one that a newer setup has
// not must not go on unsigned.
func (s *Setup) key(name string) (Key, error) {
	k, ok := s.keys[name]
	if name != "" && !ok {
		return Key{}, fmt.Errorf("key %s is not there any more", name)
	}
	return k, nil
}

// permits reports whether a policy gives a zone to who signed by the key (empty: nobody) and comes from an address.
func (p *Policy) permits(key string, from netip.Addr, xot bool) bool {
	if p.XoT && !xot {
		return false
	}
	return slices.ContainsFunc(p.Allow, func(g Grant) bool {
		return (g.Key == "" || g.Key == key) && (!g.Prefix.IsValid() || g.Prefix.Contains(from))
	})
}
