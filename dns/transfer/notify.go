package transfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A notice is sent up to five times, each time waiting twice as long (RFC 1996, section 3.6).
const (
	noticeTries  = 5
	noticeWait   = 2 * time.Second
	noticesToOne = 8 // at once to one target
)

// A notifier tells targets of changes. Each target has a queue of its own, so one that is silent holds up no other; a
// zone stands in it once, so it is as long as there are zones at most.
type notifier struct {
	sync.Mutex
	queues map[Target]*noticeQueue
}

type noticeQueue struct {
	zones   map[string]bool
	workers int
}

func (n *notifier) init() { n.queues = map[Target]*noticeQueue{} }

func (n *notifier) enqueue(s *Service, apex string, targets []Target) {
	n.Lock()
	defer n.Unlock()
	for _, t := range targets {
		q := n.queues[t]
		if q == nil {
			q = &noticeQueue{zones: map[string]bool{}}
			n.queues[t] = q
		}
		q.zones[apex] = true
		if q.workers < noticesToOne && s.start(func() { n.work(s, t, q) }) {
			q.workers++
		}
	}
}

// next takes a zone out of the queue. Without one the worker ends, and a queue without workers is forgotten.
func (n *notifier) next(t Target, q *noticeQueue) (apex string, ok bool) {
	n.Lock()
	defer n.Unlock()
	for apex = range q.zones {
		delete(q.zones, apex)
		return apex, true
	}
	if q.workers--; q.workers == 0 {
		delete(n.queues, t)
	}
	return "", false
}

func (n *notifier) work(s *Service, t Target, q *noticeQueue) {
	for {
		apex, ok := n.next(t, q)
		if !ok {
			return
		}
		if s.context.Err() != nil {
			continue
		}
		if err := s.sendNotice(apex, t); err != nil {
			s.metrics.notice("out", "failed")
			s.config.Logger.Warn("notify not answered", "zone", apex, "peer", t.Address, "err", err)
			continue
		}
		s.metrics.notice("out", "ok")
	}
}

// sendNotice tells a target that a zone changed, until it answers.
func (s *Service) sendNotice(apex string, t Target) error {
	zone, err := s.config.Zones(apex)
	if err != nil {
		return err
	}
	m := new(dns.Msg).SetNotify(apex)
	if soa := soaOf(zone); soa != nil {
		m.Answer = []dns.RR{soa} // the hint of RFC 1996, section 3.7
	}
	var last error
	wait := noticeWait
	for range noticeTries {
		key, err := s.setup.Load().key(t.Key)
		if err != nil {
			return err
		}
		if last = s.tryNotice(m.Copy(), t, key, wait); last == nil || s.context.Err() != nil {
			return last
		}
		wait *= 2
	}
	return last
}

// tryNotice sends a notice once, signed if there is a key, and waits for its answer.
func (s *Service) tryNotice(m *dns.Msg, t Target, key Key, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(s.context, wait)
	defer cancel()
	m.Id = uint16(rand.Uint32())
	packed, signature, err := signQuery(m, key, time.Now())
	if err != nil {
		return err
	}
	conn, err := s.config.Dial(ctx, "udp", t.Address.String())
	if err == nil {
		defer conn.Close()
		deadline, _ := ctx.Deadline()
		defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
		if err = conn.SetDeadline(deadline); err == nil {
			_, err = conn.Write(packed)
		}
	}
	for buffer := make([]byte, udpSize); err == nil; {
		var n int
		if n, err = conn.Read(buffer); err != nil {
			break
		}
		answer := new(dns.Msg)
		if answer.Unpack(buffer[:n]) != nil || !answer.Response || answer.Id != m.Id || answer.Opcode != dns.OpcodeNotify {
			continue // not the answer; it may still come
		}
		if _, err := signature.verifier().check(buffer[:n], answer); err != nil {
			return err
		}
		if answer.Rcode != dns.RcodeSuccess {
			return fmt.Errorf("answered %s", dns.RcodeToString[answer.Rcode])
		}
		return nil
	}
	<-ctx.Done() // a port that is closed answers at once; the next try is worth it only after a while
	return err
}

// notify takes the notice of a primary (RFC 1996, section 3.10).
func (x *exchange) notify() {
	apex, from := x.apex(), x.From.Addr()
	primaries, ok := x.service.secondaries.primaries(apex)
	switch {
	case x.query.Question[0].Qtype != dns.TypeSOA:
		x.finish(dns.RcodeFormatError, "a notice is of an SOA record")
	case !ok:
		x.service.metrics.notice("in", "unknown")
		x.finish(dns.RcodeNotAuth, "")
	case !slices.ContainsFunc(primaries, func(p Primary) bool { return p.Address.Addr().Unmap() == from }):
		x.service.metrics.notice("in", "refused")
		x.finish(dns.RcodeRefused, "not a primary of the zone")
	default:
		x.service.metrics.notice("in", "ok")
		x.service.secondaries.notified(apex, from, x.hint(apex))
		m := x.reply()
		m.Authoritative = true
		x.send(m)
	}
}

// hint returns the SOA record that a notice says the zone has now; nil without one.
func (x *exchange) hint(apex string) *dns.SOA {
	for _, rr := range x.query.Answer {
		if soa, ok := rr.(*dns.SOA); ok && soa.Hdr.Rdlength > 0 && dns.CanonicalName(soa.Hdr.Name) == apex {
			return soa
		}
	}
	return nil
}
