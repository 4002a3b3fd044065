package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/miekg/dns"
)

const (
	mostOfMessage = 32 << 10 // bytes of the records of a message before compression, which pays up to offset 16,383
	mostRecords   = 1000     // of a message
)

var errClosed = errors.New("the node is ending")

// transfer answers a query for AXFR or IXFR.
func (x *exchange) transfer() {
	name := "axfr"
	ixfr := x.query.Question[0].Qtype == dns.TypeIXFR
	if ixfr {
		name = "ixfr"
	}
	zone, rcode, why := x.allowed()
	serial, ok := x.clientSerial()
	switch {
	case rcode != dns.RcodeSuccess:
		x.service.metrics.out(name, "refused")
		x.refused(transferRefused, x.key, rcode, why)
		x.finish(rcode, why)
		return
	case ixfr && !ok:
		x.finish(dns.RcodeFormatError, "a query for IXFR has the SOA record that the client knows")
		return
	case !ixfr && x.UDP: // RFC 5936, section 4.2
		x.finish(dns.RcodeFormatError, "AXFR is not for UDP")
		return
	}
	// A single SOA record costs nothing and is not counted among the transfers.
	soa := soaOf(zone)
	if soa == nil {
		x.finish(dns.RcodeServerFailure, "the zone has no SOA record")
		return
	}
	var differences []entry
	if ixfr {
		differences, ok = x.service.journals.since(zone, serial)
		if !newer(soa.Serial, serial) { // RFC 1995, section 2
			x.single(soa)
			return
		}
		if x.UDP {
			x.overUDP(soa, differences, ok)
			return
		}
	}
	select {
	case x.service.out <- struct{}{}:
		defer func() { <-x.service.out }()
	default:
		const why = "too many transfers at once"
		x.service.metrics.out(name, "busy")
		x.refused(transferRefused, x.key, dns.RcodeServerFailure, why)
		x.finish(dns.RcodeServerFailure, why)
		return
	}
	if ixfr && ok {
		x.stream("ixfr", soa, func(yield func(dns.RR) bool) { eachDifference(differences, yield) })
		return
	}
	x.stream("axfr", soa, func(yield func(dns.RR) bool) { zone.Records(yield) })
}

// allowed returns the zone that is asked for, or why it is not given.
func (x *exchange) allowed() (zone Zone, rcode int, why string) {
	apex := x.apex()
	zone, err := x.service.config.Zones(apex)
	policy, ok := x.setup.Primary[apex]
	switch {
	case errors.Is(err, ErrNoZone):
		return nil, dns.RcodeNotAuth, ""
	case !ok || !policy.permits(x.key, x.From.Addr(), x.xot()):
		return nil, dns.RcodeRefused, "transfer not allowed"
	case errors.Is(err, ErrRefused):
		return nil, dns.RcodeRefused, "a zone that is steered is not given out"
	case err != nil:
		return nil, dns.RcodeServerFailure, "the zone is not loaded"
	}
	return zone, dns.RcodeSuccess, ""
}

// serial answers a signed query for an SOA record, which secondaries and senders of updates want signed in turn. At a
// name that is no apex there is none, and the answer says which zone the name is in.
func (x *exchange) serial() {
	soa, err := x.service.config.SOA(x.apex())
	switch {
	case errors.Is(err, ErrNoZone):
		x.finish(dns.RcodeNotAuth, "")
		return
	case err != nil: // as without a signature: a client goes on to another nameserver, and comes back
		x.finish(dns.RcodeServerFailure, "the zone is not loaded")
		return
	}
	m := x.reply()
	m.Authoritative = true
	if dns.CanonicalName(soa.Hdr.Name) == x.apex() {
		m.Answer = []dns.RR{soa}
	} else {
		m.Ns = []dns.RR{soa}
	}
	x.send(m)
}

// clientSerial returns the serial that a client has (RFC 1995, section 3).
func (x *exchange) clientSerial() (serial uint32, ok bool) {
	if len(x.query.Ns) != 1 {
		return 0, false
	}
	soa, ok := x.query.Ns[0].(*dns.SOA)
	if !ok || soa.Hdr.Rdlength == 0 || dns.CanonicalName(soa.Hdr.Name) != x.apex() {
		return 0, false
	}
	return soa.Serial, true
}

func soaOf(zone Zone) *dns.SOA {
	var soa *dns.SOA
	zone.Records(func(rr dns.RR) bool {
		soa, _ = rr.(*dns.SOA)
		return false
	})
	return soa
}

// single answers with the SOA record alone: the client has the newest version, or is to ask over TCP.
func (x *exchange) single(soa *dns.SOA) {
	m := x.reply()
	m.Authoritative = true
	m.Answer = []dns.RR{soa}
	x.service.metrics.out("ixfr", "soa")
	x.send(m)
}

// overUDP answers in one message, or with the SOA record alone if that has no room for all (RFC 1995, section 2).
func (x *exchange) overUDP(soa *dns.SOA, differences []entry, known bool) {
	m := x.reply()
	m.Authoritative, m.Compress = true, true
	m.Answer = []dns.RR{soa}
	fits := known
	if known {
		eachDifference(differences, func(rr dns.RR) bool {
			m.Answer = append(m.Answer, rr)
			fits = len(m.Answer) < mostRecords
			return fits
		})
		m.Answer = append(m.Answer, soa)
		signature := *x.signature // to be signed again if it does not fit
		packed, err := signature.pack(m, time.Now())
		if fits && err == nil && len(packed) <= x.room() {
			x.service.metrics.out("ixfr", "ok")
			x.Send(packed)
			return
		}
	}
	x.single(soa)
}

// stream sends the SOA record, what records yields, and the SOA record again, in as many messages as that takes. If
// records begins with the SOA record too, as a zone does, it is sent once.
func (x *exchange) stream(kind string, soa *dns.SOA, records func(yield func(dns.RR) bool)) {
	ctx, cancel := context.WithTimeout(x.service.context, x.service.config.Limits.OutTime)
	defer cancel()
	p := &packer{exchange: x, context: ctx}
	skip := kind == "axfr"
	err := p.add(soa)
	records(func(rr dns.RR) bool {
		if !skip && err == nil {
			err = p.add(rr)
		}
		skip = false
		return err == nil
	})
	if err == nil {
		err = p.add(soa)
	}
	if err == nil {
		err = p.flush()
	}
	if err != nil {
		x.service.metrics.out(kind, "failed")
		x.service.config.Logger.Warn("transfer broken off", "zone", x.apex(), "peer", x.From, "err", err)
		return
	}
	x.service.metrics.out(kind, "ok")
	x.service.config.Logger.Info("zone transferred", "zone", x.apex(), "peer", x.From, "kind", kind, "serial", soa.Serial,
		"records", p.records, "key", x.key)
}

// A packer fills messages of a stream and sends them.
type packer struct {
	*exchange
	context context.Context
	batch   []dns.RR
	size    int
	sent    int
	records int
}

func (p *packer) add(rr dns.RR) error {
	size := dns.Len(rr)
	if len(p.batch) > 0 && (p.size+size > mostOfMessage || len(p.batch) == mostRecords) {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.batch = append(p.batch, rr)
	p.size += size
	p.records++
	return nil
}

// flush sends a message. The question and EDNS are only in the first (RFC 5936, sections 2.2.1 and 2.2.5).
func (p *packer) flush() error {
	if err := context.Cause(p.context); err != nil {
		if p.service.context.Err() != nil {
			return errClosed
		}
		return err
	}
	m := p.reply()
	if p.sent > 0 {
		m.Question, m.Extra = nil, nil
	}
	m.Authoritative, m.Compress = true, true
	m.Answer = p.batch
	err := p.send(m)
	p.batch, p.size = p.batch[:0], 0
	p.sent++
	return err
}
