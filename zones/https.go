package zones

import (
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/static"
)

// The keys of service parameters (RFC 9460, section 14.3.2).
const (
	paramALPN     = 1
	paramPort     = 3
	paramIPv4Hint = 4
	paramIPv6Hint = 6
)

// addHTTPS makes the HTTPS records (RFC 9460) of a group of clients. They have hints where those can't differ from the addresses that
// the client is answered: no choice is left, or the prefix makes the same choice for all types.
//
//	A and AAAA                                     HTTPS
//	one option each, or none, for all prefixes     that with hints of both
//	sticky, the same members with the same weights one option a member, with its hints
//	anything else                                  one without hints
//
// A name without addresses for the client has no HTTPS record for it either.
func (p *PoolPlan) addHTTPS(g *GroupAnswers) {
	if p.Pool.HTTPS == nil {
		return
	}
	four, six := &g.Families[IPv4], &g.Families[IPv6]
	rung := min(four.Rung, six.Rung)
	g.HTTPS = Choice{Rung: rung}
	switch {
	case len(four.Options) == 0 && len(six.Options) == 0:
		return
	case !four.byPrefix() && !six.byPrefix() && len(four.Options) <= 1 && len(six.Options) <= 1:
		g.HTTPS.only(p.service(four.first(), six.first()))
	case four.Sticky && four.slots == nil && four.meetsAs(six):
		g.HTTPS = p.stickyService(four, six)
		for i := range four.Others {
			o := four.Others[i]
			o.Choice = p.stickyService(&o.Choice, &six.Others[i].Choice)
			g.HTTPS.Others = append(g.HTTPS.Others, o)
		}
	default:
		g.HTTPS.only(p.service(nil, nil))
	}
}

func (c *Choice) only(set *RecordSet) { c.Options, c.Total = []Option{{Set: set, Weight: 1}}, 1 }

func (c *Choice) first() *RecordSet {
	if len(c.Options) == 0 {
		return nil
	}
	return c.Options[0].Set
}

// meetsAs reports whether every prefix has the same member by both choices.
func (c *Choice) meetsAs(o *Choice) bool {
	return c.alike(o) && slices.EqualFunc(c.Others, o.Others, func(a, b Other) bool { return a.From == b.From && a.To == b.To && a.Choice.alike(&b.Choice) })
}

func (p *PoolPlan) stickyService(four, six *Choice) Choice {
	c := Choice{Rung: four.Rung, Total: four.Total, Sticky: true, Options: slices.Clone(four.Options)}
	for i := range c.Options {
		c.Options[i].Set = p.service(four.Options[i].Set, six.Options[i].Set)
	}
	return c
}

// service packs the record, with the addresses of sets as hints (RFC 9460, sections 2.2 and 7.3).
func (p *PoolPlan) service(four, six *RecordSet) *RecordSet {
	data := []byte{0, 1, 0} // ServiceMode, the owner itself
	param := func(key uint16, value []byte) {
		data = binary.BigEndian.AppendUint16(data, key)
		data = binary.BigEndian.AppendUint16(data, uint16(len(value)))
		data = append(data, value...)
	}
	if len(p.Pool.HTTPS.ALPN) > 0 {
		var ids []byte
		for _, id := range p.Pool.HTTPS.ALPN {
			ids = append(append(ids, byte(len(id))), id...)
		}
		param(paramALPN, ids)
	}
	if port := p.Pool.HTTPS.Port; port != 0 {
		param(paramPort, binary.BigEndian.AppendUint16(nil, port))
	}
	if four != nil {
		param(paramIPv4Hint, addressesOf(four))
	}
	if six != nil {
		param(paramIPv6Hint, addressesOf(six))
	}
	return &RecordSet{Type: dns.TypeHTTPS, Count: 1, TTL: p.ttl, Bytes: static.AppendRecord(nil, dns.TypeHTTPS, p.ttl, data)}
}

func addressesOf(set *RecordSet) (addresses []byte) {
	for rest := set.Bytes; len(rest) > 0; rest = rest[static.RecordSize(rest):] {
		addresses = append(addresses, rest[static.FixedSize:static.RecordSize(rest)]...)
	}
	return addresses
}
