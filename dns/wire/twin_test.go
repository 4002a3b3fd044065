package wire_test

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

// A twin answers as Answer does, but from the records of the zones as written, by reading them all each time, with
// messages of the DNS library. It takes only the choice of a pool from the snapshot.
type twin struct {
	snapshot *zones.Snapshot
	world    *zones.World
}

func (w twin) answer(q *dns.Msg, from netip.Addr, limit int, random uint32) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.CheckingDisabled = q.CheckingDisabled
	opt := q.IsEdns0()
	client := zones.Client{Source: from}
	var subnet *dns.EDNS0_SUBNET
	if opt != nil {
		m.SetEdns0(wire.MaxUDP, opt.Do())
		for _, o := range opt.Option {
			if o, ok := o.(*dns.EDNS0_SUBNET); ok {
				echo := *o
				subnet = &echo
				m.IsEdns0().Option = append(m.IsEdns0().Option, subnet)
				address, _ := netip.AddrFromSlice(o.Address)
				if o.Family == 1 {
					address = address.Unmap()
				}
				client.Subnet = netip.PrefixFrom(address, int(o.SourceNetmask))
			}
		}
	}
	extended := func(code uint16) {
		if opt != nil {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code})
		}
	}
	question := q.Question[0]
	zone := w.zone(question.Name, question.Qtype)
	switch {
	case question.Qtype == dns.TypeNXNAME:
		m.Rcode = dns.RcodeFormatError
		extended(dns.ExtendedErrorCodeInvalidQueryType)
	case question.Qtype == dns.TypeOPT:
		m.Rcode = dns.RcodeFormatError
	case question.Qtype == dns.TypeAXFR, question.Qtype == dns.TypeIXFR:
		m.Rcode = dns.RcodeRefused
	case question.Qtype >= 128 && question.Qtype < 255:
		m.Rcode = dns.RcodeNotImplemented
	case question.Qclass != dns.ClassINET && question.Qclass != dns.ClassANY, zone == nil:
		m.Rcode = dns.RcodeRefused
		extended(dns.ExtendedErrorCodeNotAuthoritative)
	default:
		glue := w.fill(m, zone, question, opt != nil && opt.Do(), client, subnet, random)
		size := 12 + wireSize(question.Name) + 4 + glue
		for _, rr := range slices.Concat(m.Answer, m.Ns) {
			size += rrSize(rr) - wireSize(rr.Header().Name) + 2
		}
		if opt != nil {
			size += rrSize(m.IsEdns0())
		}
		if size > most(opt, limit) {
			m.Truncated, m.Answer, m.Ns = true, nil, nil
			m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
		}
	}
	m.Authoritative = m.Authoritative && question.Qclass == dns.ClassINET
	return m
}

func most(opt *dns.OPT, limit int) int {
	switch {
	case limit == wire.MaxMessage:
		return limit
	case opt == nil || opt.UDPSize() < 512:
		return 512
	}
	return min(limit, int(opt.UDPSize()))
}

func rrSize(rr dns.RR) int {
	var b [2048]byte
	n, err := dns.PackRR(rr, b[:], 0, nil, false)
	if err != nil {
		panic(err)
	}
	return n
}

func wireSize(name string) int {
	var b [256]byte
	n, err := dns.PackDomainName(name, b[:], 0, nil, false)
	if err != nil {
		panic(err)
	}
	return n
}

// zone is the closest one around a name; for a DS at an apex, the one above if that delegates it.
func (w twin) zone(name string, qtype uint16) *zones.Zone {
	var around []*zones.Zone
	for i := range w.world.Zones {
		if z := &w.world.Zones[i]; dns.IsSubDomain(z.Apex, strings.ToLower(name)) {
			around = append(around, z)
		}
	}
	slices.SortFunc(around, func(a, b *zones.Zone) int { return dns.CountLabel(b.Apex) - dns.CountLabel(a.Apex) })
	switch {
	case len(around) == 0:
		return nil
	case qtype == dns.TypeDS && len(around) > 1 && equal(around[0].Apex, name) && len(records(around[1], name, dns.TypeNS)) > 0:
		return around[1]
	}
	return around[0]
}

func equal(a, b string) bool { return strings.EqualFold(a, b) }

func records(z *zones.Zone, name string, rrtype uint16) (rrs []dns.RR) {
	for _, rr := range z.Records {
		if equal(rr.Header().Name, name) && (rrtype == dns.TypeANY || rr.Header().Rrtype == rrtype) {
			rrs = append(rrs, rr)
		}
	}
	return rrs
}

func named(rrs []dns.RR, name string) (out []dns.RR) {
	for _, rr := range rrs {
		rr = dns.Copy(rr)
		rr.Header().Name = name
		out = append(out, rr)
	}
	return out
}

func (w twin) steer(z *zones.Zone, name string) *zones.PoolAnswers {
	for _, s := range z.Steer {
		if equal(s.Owner, name) {
			for _, p := range w.snapshot.Pools {
				if p.Plan.Pool.Name == s.Pool {
					return p
				}
			}
		}
	}
	return nil
}

// exists reports whether a name or one below it has something.
func (w twin) exists(z *zones.Zone, name string) bool {
	for _, rr := range z.Records {
		if dns.IsSubDomain(name, strings.ToLower(rr.Header().Name)) {
			return true
		}
	}
	return slices.ContainsFunc(z.Steer, func(s zones.Steer) bool { return dns.IsSubDomain(name, s.Owner) })
}

// fill answers from a zone and returns how many bytes the glue takes.
func (w twin) fill(m *dns.Msg, z *zones.Zone, q dns.Question, do bool, client zones.Client, subnet *dns.EDNS0_SUBNET, random uint32) (glue int) {
	name := q.Name
	var passed []string
	for {
		lower := strings.ToLower(name)
		if cut := delegation(z, lower); cut != "" && !(q.Qtype == dns.TypeDS && equal(cut, lower)) {
			m.Ns = records(z, cut, dns.TypeNS)
			if do {
				m.Ns = append(m.Ns, records(z, cut, dns.TypeDS)...)
			}
			for _, ns := range records(z, cut, dns.TypeNS) {
				if target := ns.(*dns.NS).Ns; dns.IsSubDomain(cut, target) {
					m.Extra = append(m.Extra, slices.Concat(records(z, target, dns.TypeA), records(z, target, dns.TypeAAAA))...)
				}
			}
			for _, rr := range m.Extra {
				if rr.Header().Rrtype != dns.TypeOPT {
					glue += rrSize(rr)
				}
			}
			m.Authoritative = len(m.Answer) > 0
			return glue
		}
		m.Authoritative = true
		source := lower // of synthesis, if there is no such name
		if !w.exists(z, lower) {
			closest := lower
			for !w.exists(z, closest) {
				closest = closest[dns.Split(closest)[1]:]
			}
			if source = "*." + closest; !w.exists(z, source) {
				m.Rcode = dns.RcodeNameError
				m.Ns = soa(z, 1<<31)
				return 0
			}
		}
		pool := w.steer(z, source)
		switch alias := records(z, source, dns.TypeCNAME); {
		case q.Qtype == dns.TypeANY && len(alias) > 0:
			m.Answer = append(m.Answer, named(alias, name)...)
			return 0
		case q.Qtype == dns.TypeANY && (pool != nil || len(records(z, source, dns.TypeANY)) > 0):
			m.Answer = append(m.Answer, &dns.HINFO{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: 3600}, Cpu: "RFC8482"})
			return 0
		case len(alias) > 0 && q.Qtype != dns.TypeCNAME:
			m.Answer = append(m.Answer, named(alias, name)...)
			target := alias[0].(*dns.CNAME).Target
			passed = append(passed, lower)
			if len(passed) > 8 || slices.Contains(passed, strings.ToLower(target)) || w.zone(target, dns.TypeNone) != z {
				return 0
			}
			name = target
			continue
		}
		family := slices.Index([]uint16{dns.TypeA, dns.TypeAAAA}, q.Qtype)
		if pool != nil && family >= 0 {
			group, scope := pool.Plan.Group(client)
			if option := pool.Groups[group].Families[family].Pick(random); option != nil {
				rrs, err := option.Set.Records(name)
				if err != nil {
					panic(err)
				}
				m.Answer = append(m.Answer, rrs...)
				if subnet != nil {
					subnet.SourceScope = uint8(scope)
				}
				return 0
			}
		} else if rrs := records(z, source, q.Qtype); len(rrs) > 0 {
			m.Answer = append(m.Answer, named(rrs, name)...)
			return 0
		}
		ttl := uint32(1 << 31)
		if pool != nil {
			ttl = uint32(pool.Plan.Pool.TTL.Seconds())
		}
		m.Ns = soa(z, ttl)
		return 0
	}
}

// delegation returns the highest name at or above name, below the apex, that has NS records.
func delegation(z *zones.Zone, name string) (cut string) {
	for !equal(name, z.Apex) {
		if len(records(z, name, dns.TypeNS)) > 0 {
			cut = name
		}
		name = name[dns.Split(name)[1]:]
	}
	return cut
}

func soa(z *zones.Zone, ttl uint32) []dns.RR {
	s := dns.Copy(records(z, z.Apex, dns.TypeSOA)[0]).(*dns.SOA)
	if len(z.Steer) > 0 {
		ttl = min(ttl, 60)
	}
	s.Minttl = min(s.Minttl, ttl)
	s.Hdr.Ttl = min(s.Hdr.Ttl, s.Minttl)
	return []dns.RR{s}
}
