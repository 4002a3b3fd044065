package wire_test

import (
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

// A twin answers as Answer does, but from the records of the zones as written, by reading them all each time, with
// messages of the DNS library. It takes only the choice of a pool from the snapshot.
type twin struct {
	snapshot *zones.Snapshot
	world    *zones.World
}

func (w twin) answer(q *dns.Msg, id *wire.Identity, r *wire.Request) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.CheckingDisabled = q.CheckingDisabled
	opt := q.IsEdns0()
	client := zones.Client{Source: r.Source}
	var subnet *dns.EDNS0_SUBNET
	var said options
	if opt != nil {
		m.SetEdns0(wire.MaxUDP, opt.Do())
		said = w.options(opt, id, r)
		if subnet = said.subnet; subnet != nil {
			address, _ := netip.AddrFromSlice(subnet.Address)
			if subnet.Family == 1 {
				address = address.Unmap()
			}
			client.Subnet = netip.PrefixFrom(address, int(subnet.SourceNetmask))
		}
		if opt.Co() && opt.Do() {
			m.IsEdns0().SetCo(true)
		}
		m.IsEdns0().Option = said.list
	}
	extended := func(code uint16) {
		if opt != nil {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code})
		}
	}
	question, sound := q.Question[0], false
	zone := w.zone(question.Name, question.Qtype)
	chaos := map[string]string{"id.server.": "ns1.example.com", "version.bind.": "none of your business"}[strings.ToLower(question.Name)]
	switch {
	case said.malformed:
		m.Rcode = dns.RcodeFormatError
		m.IsEdns0().Option, said.pad = nil, false
	case question.Qtype == dns.TypeNXNAME:
		m.Rcode = dns.RcodeFormatError
		extended(dns.ExtendedErrorCodeInvalidQueryType)
	case question.Qtype == dns.TypeOPT:
		m.Rcode = dns.RcodeFormatError
	case question.Qtype == dns.TypeAXFR, question.Qtype == dns.TypeIXFR:
		m.Rcode = dns.RcodeRefused
		extended(dns.ExtendedErrorCodeProhibited)
	case question.Qtype >= 128 && question.Qtype < 255:
		m.Rcode = dns.RcodeNotImplemented
	case said.cookie != nil && !said.verdict.Good() && r.RequireCookie && !r.Stream && (question.Qclass != dns.ClassNONE):
		m.Rcode = dns.RcodeBadCookie
	case question.Qclass == dns.ClassCHAOS && chaos != "" && (question.Qtype == dns.TypeTXT || question.Qtype == dns.TypeANY):
		m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS}, Txt: []string{chaos}}}
		m.Authoritative = true
	case question.Qclass != dns.ClassINET && question.Qclass != dns.ClassANY, zone == nil:
		m.Rcode = dns.RcodeRefused
		extended(dns.ExtendedErrorCodeNotAuthoritative)
	default:
		sound = true
		glue := 0
		if w.holdsReports(zone, question.Name) {
			m.Truncated = w.report(m, zone, question) && !r.Stream && !said.verdict.Good() && question.Qtype == dns.TypeTXT
		} else {
			glue = w.fill(m, zone, question, opt != nil && opt.Do(), client, subnet, r.Random)
		}
		size := 12 + wireSize(question.Name) + 4 + glue
		for _, rr := range slices.Concat(m.Answer, m.Ns) {
			size += rrSize(rr) - wireSize(rr.Header().Name) + 2
		}
		if opt != nil {
			size += rrSize(m.IsEdns0())
		}
		m.Truncated = m.Truncated || size > most(opt, r.Limit)
	}
	if m.Truncated = m.Truncated || r.Truncate; m.Truncated {
		m.Answer, m.Ns = nil, nil
		m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
	}
	m.Authoritative = m.Authoritative && question.Qclass != dns.ClassANY
	if agent := w.world.ReportAgent; agent != "" && sound && opt != nil && !m.Truncated &&
		!dns.IsSubDomain(zone.Apex, agent) && !dns.IsSubDomain(agent, strings.ToLower(question.Name)) {
		option := &dns.EDNS0_REPORTING{Code: dns.EDNS0REPORTING, AgentDomain: agent}
		if sizeOf(m)+4+wireSize(agent) <= most(opt, r.Limit) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, option)
		}
	}
	if said.pad {
		pad(m, most(opt, r.Limit))
	}
	return m
}

// options are what an OPT record comes to.
type options struct {
	malformed bool
	list      []dns.EDNS0 // of the answer, but an extended error and padding
	subnet    *dns.EDNS0_SUBNET
	cookie    []byte
	verdict   cookie.Verdict
	pad       bool
}

func (w twin) options(opt *dns.OPT, id *wire.Identity, r *wire.Request) (said options) {
	var subnet, cookies, nsid, keepalive []dns.EDNS0
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_SUBNET:
			echo := *o
			said.subnet, subnet = &echo, []dns.EDNS0{&echo}
		case *dns.EDNS0_COOKIE:
			data, err := hex.DecodeString(o.Cookie)
			if err != nil {
				panic(err)
			}
			switch {
			case id.Cookies == nil || said.cookie != nil:
			case len(data) != 8 && (len(data) < 16 || len(data) > 40):
				said.malformed = true
			default:
				said.cookie = data
				client, now := [8]byte(data), r.Now
				if said.verdict = id.Cookies.Judge(client, data[8:], r.Source, now); said.verdict != cookie.Fresh {
					data = id.Cookies.Append(nil, client, r.Source, now)
				}
				cookies = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(data)}}
			}
		case *dns.EDNS0_NSID:
			if len(id.NSID) > 0 {
				nsid = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: hex.EncodeToString(id.NSID)}}
			}
		case *dns.EDNS0_TCP_KEEPALIVE:
			said.malformed = said.malformed || r.Stream && o.Timeout > 0
			if r.Stream && r.Keepalive > 0 {
				keepalive = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: r.Keepalive}}
			}
		case *dns.EDNS0_PADDING:
			said.pad = said.pad || r.Encrypted
		}
	}
	said.list = slices.Concat(subnet, cookies, nsid, keepalive)
	return said
}

// pad fills a message up to a multiple of 468 bytes, if it may be as long as that.
func pad(m *dns.Msg, limit int) {
	padding := new(dns.EDNS0_PADDING)
	o := m.IsEdns0()
	o.Option = append(o.Option, padding)
	size := sizeOf(m)
	if size > limit {
		o.Option = o.Option[:len(o.Option)-1]
		return
	}
	for size%468 != 0 && size < limit {
		padding.Padding = append(padding.Padding, 0)
		size++
	}
}

// sizeOf is how long a message is whose owners, but those of additional records, are pointers.
func sizeOf(m *dns.Msg) int {
	size := 12 + wireSize(m.Question[0].Name) + 4
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		size += rrSize(rr)
		if rr.Header().Rrtype != dns.TypeOPT && slices.Index(m.Extra, rr) < 0 {
			size -= wireSize(rr.Header().Name) - 2
		}
	}
	return size
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
	case qtype == dns.TypeDS && len(around) > 1 && equal(around[0].Apex, name):
		return around[1]
	}
	return around[0]
}

// read are the records of zones, in the order of their files.
var read = map[*zones.Zone][]dns.RR{}

func recordsOf(z *zones.Zone) []dns.RR {
	if rrs, ok := read[z]; ok {
		return rrs
	}
	kept := map[string]bool{}
	for rr := range z.Static.Records {
		kept[strings.ToLower(rr.String())] = true
	}
	file, err := os.Open("testdata/" + z.File)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	p := dns.NewZoneParser(file, z.Apex, "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if kept[strings.ToLower(rr.String())] {
			read[z] = append(read[z], rr)
		}
	}
	return read[z]
}

func equal(a, b string) bool { return strings.EqualFold(a, b) }

func records(z *zones.Zone, name string, rrtype uint16) (rrs []dns.RR) {
	for _, rr := range recordsOf(z) {
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
	for _, rr := range recordsOf(z) {
		if dns.IsSubDomain(name, strings.ToLower(rr.Header().Name)) {
			return true
		}
	}
	if agent := w.world.ReportAgent; agent != "" && w.zone(agent, dns.TypeTXT) == z && dns.IsSubDomain(name, agent) {
		return true
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
			if dname := records(z, closest, dns.TypeDNAME); len(dname) > 0 {
				m.Answer = append(m.Answer, dname...)
				d := dname[0].(*dns.DNAME)
				target := name[:len(name)-len(closest)] + d.Target
				if closest == "." || wireSize(name)-wireSize(closest)+wireSize(d.Target) > 255 {
					m.Rcode = dns.RcodeYXDomain
					return 0
				}
				m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: d.Hdr.Ttl}, Target: target})
				passed = append(passed, lower)
				if q.Qtype == dns.TypeCNAME || q.Qtype == dns.TypeANY || len(passed) > 8 ||
					slices.Contains(passed, strings.ToLower(target)) || w.zone(target, q.Qtype) != z {
					return 0
				}
				name = target
				continue
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
		case pool != nil && pool.Plan.Pool.Kind == zones.Aliases: // also of a question for all types
		case q.Qtype == dns.TypeANY && (pool != nil || len(records(z, source, dns.TypeANY)) > 0):
			m.Answer = append(m.Answer, &dns.HINFO{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: 3600}, Cpu: "RFC8482"})
			return 0
		case len(alias) > 0 && q.Qtype != dns.TypeCNAME:
			m.Answer = append(m.Answer, named(alias, name)...)
			target := alias[0].(*dns.CNAME).Target
			passed = append(passed, lower)
			if len(passed) > 8 || slices.Contains(passed, strings.ToLower(target)) || w.zone(target, q.Qtype) != z {
				return 0
			}
			name = target
			continue
		}
		if pool != nil && pool.Plan.Answers(q.Qtype) {
			group, scope := pool.Plan.Group(client)
			var prefix zones.Prefix
			if pool.Groups[group].ByPrefix {
				bits := 0
				prefix, bits = client.Prefix(w.seed(source))
				scope = max(scope, bits)
			}
			choice := pool.Choice(group, q.Qtype).Part(prefix)
			if option := choice.Pick(random, prefix); option != nil {
				rrs, err := option.Set.RRs(name)
				if err != nil {
					panic(err)
				}
				first := option.Turn(random)
				m.Answer = append(m.Answer, slices.Concat(rrs[first:], rrs[:first])...)
				if subnet != nil {
					subnet.SourceScope = uint8(scope)
				}
				return 0
			} else if choice.Brief {
				m.Ns = soa(z, 5)
				return 0
			}
		} else if rrs := records(z, source, q.Qtype); len(rrs) > 0 {
			m.Answer = append(m.Answer, named(rrs, name)...)
			return 0
		}
		ttl := uint32(1 << 31)
		if pool != nil {
			ttl = pool.Plan.TTL()
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

// seed returns the seed of a steered name, which is how its zone was compiled.
func (w twin) seed(name string) uint64 {
	var wire [256]byte
	n, err := dns.PackDomainName(strings.ToLower(name), wire[:], 0, nil, false)
	if err != nil {
		panic(err)
	}
	zone, _ := w.snapshot.Plan.Zone(wire[:n])
	_, seed := zone.Steering(zone.Find(wire[:n]).Name)
	return seed
}
