package transfer

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	dialTime    = 10 * time.Second // to connect, with TLS
	soaTime     = 10 * time.Second // to answer the question for the serial
	unreachable = 30 * time.Second // for which a primary that could not be reached is not tried again
)

// A refresh is one attempt to have the newest version of a zone.
type refresh struct {
	service *Service
	zone    *secondaryZone
	file    string   // of the copy
	soa     *dns.SOA // of the copy; nil without one
	setup   *Setup
}

// errSilent is all that can be said where no primary was tried.
var errSilent = fmt.Errorf("could not be reached within the last %v", unreachable)

// run asks the primaries in their order, until one has a version that is as new as the copy or newer. It returns the
// SOA record of the copy as it is then. errSilent itself says that none was tried.
func (r *refresh) run(ctx context.Context, primaries []Primary) (soa *dns.SOA, changed bool, err error) {
	var errs []error
	silent := true
	for _, p := range primaries {
		soa, err := r.from(ctx, p)
		silent = silent && errors.Is(err, errSilent)
		switch {
		case err == nil && r.soa != nil && soa.Serial == r.soa.Serial:
			r.service.metrics.in("soa", "ok")
			return soa, false, nil
		case err == nil:
			return soa, true, nil
		case ctx.Err() != nil:
			return nil, false, errors.Join(append(errs, fmt.Errorf("%s: %w", p.Address, err))...)
		}
		errs = append(errs, fmt.Errorf("%s: %w", p.Address, err))
	}
	if silent {
		return nil, false, errSilent
	}
	return nil, false, errors.Join(errs...)
}

// from refreshes from one primary.
func (r *refresh) from(ctx context.Context, p Primary) (*dns.SOA, error) {
	c, err := r.connect(ctx, p)
	if err != nil {
		r.service.metrics.in("soa", "failed")
		return nil, err
	}
	defer func() { c.Close() }()
	soa, err := c.serial(r.zone.apex)
	switch {
	case err != nil:
		r.service.metrics.in("soa", "failed")
		return nil, fmt.Errorf("SOA: %w", err)
	case r.soa != nil && soa.Serial == r.soa.Serial:
		return soa, nil
	case r.soa != nil && !newer(soa.Serial, r.soa.Serial):
		return nil, fmt.Errorf("has serial %d, the copy has %d", soa.Serial, r.soa.Serial)
	}
	var errIXFR error
	if r.soa != nil {
		if soa, errIXFR = r.transfer(c, true); errIXFR == nil {
			r.service.metrics.in("ixfr", "ok")
			return soa, nil
		}
		r.service.metrics.in("ixfr", "failed")
		c.Close() // what it still sends is of no use
		if c, err = r.connect(ctx, p); err != nil {
			return nil, errors.Join(errIXFR, err)
		}
	}
	if soa, err = r.transfer(c, false); err != nil {
		r.service.metrics.in("axfr", "failed")
		return nil, errors.Join(errIXFR, err)
	}
	r.service.metrics.in("axfr", "ok")
	return soa, nil
}

// transfer replaces the copy by what a primary sends.
func (r *refresh) transfer(c *connection, ixfr bool) (soa *dns.SOA, err error) {
	temporary, err := successor(r.file, func(f *os.File) error {
		w := newCopyWriter(f, r.service.config.Limits)
		in := &incoming{apex: r.zone.apex, ixfr: ixfr, record: w.record, limits: r.service.config.Limits}
		if ixfr {
			in.serial = r.soa.Serial
		}
		if err := c.receive(in, r.soa); err != nil {
			return err
		}
		soa = in.soa
		switch {
		case in.whole:
		case len(in.differences) > 0:
			copied, err := os.Open(r.file)
			if err != nil {
				return err
			}
			defer copied.Close()
			if err := amend(bufio.NewReader(copied), in.differences, w.record); err != nil {
				return fmt.Errorf("differences do not fit: %w", err)
			}
		default: // it had a newer version a moment ago
			return fmt.Errorf("has serial %d now", soa.Serial)
		}
		return w.out.Flush()
	})
	if err == nil {
		err = r.service.secondaries.replace(r.zone, temporary, r.file)
	}
	kind := "AXFR"
	if ixfr {
		kind = "IXFR"
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return soa, nil
}

// A connection to a primary. Its messages have their lengths before them (RFC 1035, section 4.2.2).
type connection struct {
	net.Conn
	key  Key
	idle time.Duration
	stop func() bool
}

func (c *connection) Close() error {
	c.stop()
	return c.Conn.Close()
}

// connect reaches a primary, over TLS if it is to be so. The end of the context breaks the connection.
func (r *refresh) connect(ctx context.Context, p Primary) (*connection, error) {
	if !r.service.secondaries.reachable(p.Address, time.Now()) {
		return nil, errSilent
	}
	key, err := r.setup.key(p.Key)
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := r.service.config.Dial(dialing, "tcp", p.Address.String())
	if err != nil {
		if ctx.Err() == nil {
			r.service.secondaries.silent(p.Address, time.Now())
		}
		return nil, err
	}
	if p.TLS != nil {
		if conn, err = secure(dialing, conn, p.TLS); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return &connection{conn, key, r.service.config.Limits.Idle, stop}, nil
}

// secure speaks TLS 1.3 and agrees that it carries DNS (RFC 9103, sections 7.1 and 7.2).
func secure(ctx context.Context, conn net.Conn, t *TLS) (net.Conn, error) {
	client := tls.Client(conn, &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: t.Name, RootCAs: t.Roots, NextProtos: []string{"dot"},
	})
	err := client.HandshakeContext(ctx)
	if err == nil && client.ConnectionState().NegotiatedProtocol != "dot" {
		err = errors.New("tls: the primary does not agree to the protocol dot")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return client, nil
}

// ask sends a query and returns what checks the signatures of the answer.
func (c *connection) ask(m *dns.Msg) (*verifier, error) {
	packed, signature, err := signQuery(m, c.key, time.Now())
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(soaTime)); err != nil {
		return nil, err
	}
	_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	return signature.verifier(), err
}

// answer reads the next message of the answer to a query.
func (c *connection) answer(query *dns.Msg, wait time.Duration) (raw []byte, m *dns.Msg, err error) {
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, nil, err
	}
	raw = make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, raw); err != nil {
		return nil, nil, err
	}
	m = new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		return nil, nil, err
	}
	if m.Id != query.Id || !m.Response || m.Opcode != query.Opcode || m.Truncated {
		return nil, nil, errors.New("not an answer to the query")
	}
	return raw, m, nil
}

// serial asks for the SOA record of a zone.
func (c *connection) serial(apex string) (*dns.SOA, error) {
	query := new(dns.Msg).SetQuestion(apex, dns.TypeSOA)
	query.Id, query.RecursionDesired = uint16(rand.Uint32()), false
	verifier, err := c.ask(query)
	if err != nil {
		return nil, err
	}
	raw, m, err := c.answer(query, soaTime)
	if err != nil {
		return nil, err
	}
	if _, err := verifier.check(raw, m); err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("answered %s", dns.RcodeToString[m.Rcode])
	}
	for _, rr := range m.Answer {
		if soa, ok := rr.(*dns.SOA); ok && m.Authoritative && checkRecord(apex, soa) == nil {
			return soa, nil
		}
	}
	return nil, errors.New("is not authoritative for the zone")
}

// receive reads a transfer to its end. Nothing counts before all of it is verified.
func (c *connection) receive(in *incoming, copied *dns.SOA) error {
	query := new(dns.Msg).SetQuestion(in.apex, dns.TypeAXFR)
	if in.ixfr {
		query.SetIxfr(in.apex, copied.Serial, copied.Ns, copied.Mbox)
	}
	query.Id, query.RecursionDesired = uint16(rand.Uint32()), false
	verifier, err := c.ask(query)
	if err != nil {
		return err
	}
	for verified := false; !in.done || !verified; {
		raw, m, err := c.answer(query, c.idle)
		if err != nil {
			return err
		}
		if verified, err = verifier.check(raw, m); err != nil {
			return err
		}
		switch {
		case m.Rcode != dns.RcodeSuccess:
			return fmt.Errorf("answered %s", dns.RcodeToString[m.Rcode])
		case len(m.Answer) == 0:
			return errors.New("a message without records")
		case len(m.Question) > 0 && m.Question[0].Qtype != query.Question[0].Qtype:
			return errors.New("not an answer to the query")
		}
		for _, rr := range m.Answer {
			if err := in.add(rr); err != nil {
				return err
			}
		}
	}
	return nil
}

// A silence remembers primaries that could not be reached, so that a list of many zones of one does not wait for each.
type silence struct {
	sync.Mutex
	until map[netip.AddrPort]time.Time
}

func (s *silence) reachable(a netip.AddrPort, now time.Time) bool {
	s.Lock()
	defer s.Unlock()
	if now.Before(s.until[a]) {
		return false
	}
	delete(s.until, a)
	return true
}

func (s *silence) silent(a netip.AddrPort, now time.Time) {
	s.Lock()
	defer s.Unlock()
	s.until[a] = now.Add(unreachable)
}
