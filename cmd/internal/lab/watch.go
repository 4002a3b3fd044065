//go:build linux

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const every = 100 * time.Millisecond // from one look at a nameserver's answers to the next

// A watch knows since when each nameserver answers with each endpoint. It asks each in its own region, so that nothing that
// happens between regions is in what it sees.
type watch struct {
	mu      sync.Mutex
	changes map[sight][]change
	missing int // looks that were not answered before the next
}

// A sight is an endpoint as seen in the answers of one region's nameserver.
type sight struct {
	endpoint netip.Addr
	server   int
}

// A change is when an endpoint came into the answers, or went.
type change struct {
	at time.Time
	in bool
}

// startWatch watches all nameservers until the test ends.
func (l *lab) startWatch(t *testing.T) *watch {
	t.Helper()
	w := &watch{changes: make(map[sight][]change)}
	for _, r := range l.regions {
		conn := r.dialUDP(t, r.address(hostDNS))
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.look(ctx, l, r.index, conn)
		}()
		t.Cleanup(func() {
			cancel()
			<-ended
			conn.Close()
		})
	}
	return w
}

// dialUDP opens a socket in the region to a nameserver.
func (r *region) dialUDP(t *testing.T, server netip.Addr) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	var err error
	r.space.Do(func() {
		conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, portDNS)))
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// question returns the bytes of a query for addresses.
func question(name string) []byte {
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	q.SetEdns0(1232, false)
	b, err := q.Pack()
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	return b
}

// addresses returns what an answer says.
func addresses(m *dns.Msg) (all []netip.Addr) {
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			if address, ok := netip.AddrFromSlice(a.A.To4()); ok {
				all = append(all, address)
			}
		}
	}
	return all
}

// A board is a pool, and the endpoints that its answers are looked at for.
type board struct {
	query     []byte
	endpoints []netip.Addr
}

func (l *lab) boards() (boards []board) {
	for _, g := range groups {
		names, hosts := g.pools()
		for i, name := range names {
			b := board{query: question(name + "." + apex)}
			for _, r := range l.regions {
				for _, host := range hosts[i] {
					b.endpoints = append(b.endpoints, r.address(host))
				}
			}
			boards = append(boards, b)
		}
	}
	return boards
}

// look asks one nameserver for all boards, again and again.
func (w *watch) look(ctx context.Context, l *lab, server int, conn *net.UDPConn) {
	boards := l.boards()
	buffer := make([]byte, 4096)
	for id := uint16(0); ctx.Err() == nil; {
		first, begin := id, time.Now()
		for i := range boards {
			b := boards[i].query
			b[0], b[1] = byte(id>>8), byte(id)
			id++
			_, _ = conn.Write(b) // where nobody listens, nobody answers
		}
		_ = conn.SetReadDeadline(begin.Add(every)) // a socket that is open takes it
		answered := 0
		for answered < len(boards) {
			n, err := conn.Read(buffer)
			if err != nil && time.Since(begin) >= every {
				break
			}
			var m dns.Msg
			if err != nil || m.Unpack(buffer[:n]) != nil || m.Id-first >= uint16(len(boards)) || m.Rcode != dns.RcodeSuccess {
				continue // nobody listens, or it is an answer that came too late
			}
			answered++
			w.note(server, &boards[m.Id-first], addresses(&m), time.Now())
		}
		if answered < len(boards) {
			w.mu.Lock()
			w.missing += len(boards) - answered
			w.mu.Unlock()
		}
		time.Sleep(time.Until(begin.Add(every)))
	}
}

// note compares an answer with the last one.
func (w *watch) note(server int, b *board, answer []netip.Addr, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range b.endpoints {
		key, in := sight{e, server}, slices.Contains(answer, e)
		all := w.changes[key]
		if len(all) == 0 || all[len(all)-1].in != in {
			w.changes[key] = append(all, change{now, in})
		}
	}
}

// in reports whether a nameserver answered with an endpoint at an instant.
func (w *watch) in(s sight, at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	in := false
	for _, c := range w.changes[s] {
		if c.at.After(at) {
			break
		}
		in = c.in
	}
	return in
}

// out returns how long after begin the last of some nameservers left an endpoint out for good, as far as it is known at end; false if one
// still answers with it, or did not at begin.
func (w *watch) out(e netip.Addr, servers []int, begin, end time.Time) (took time.Duration, ok bool) {
	for _, s := range servers {
		if !w.in(sight{e, s}, begin) || w.in(sight{e, s}, end) {
			return 0, false
		}
		for _, c := range w.between(sight{e, s}, begin, end) {
			took = max(took, c.at.Sub(begin))
		}
	}
	return took, true
}

// between returns the changes after begin, up to end.
func (w *watch) between(s sight, begin, end time.Time) (changes []change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.changes[s] {
		if c.at.After(begin) && !c.at.After(end) {
			changes = append(changes, c)
		}
	}
	return changes
}

// moved returns the changes in what some nameservers say of endpoints, as text.
func (w *watch) moved(endpoints []netip.Addr, servers []int, begin, end time.Time) (all []string) {
	for _, e := range endpoints {
		for _, s := range servers {
			for _, c := range w.between(sight{e, s}, begin, end) {
				all = append(all, fmt.Sprintf("%.1f s: %v in: %t by the nameserver of region %d", c.at.Sub(begin).Seconds(), e, c.in, s+1))
			}
		}
	}
	return all
}

// until waits until all these nameservers answer with all these endpoints, or with none of them. It returns those of which that is not so.
func (w *watch) until(in bool, endpoints []netip.Addr, servers []int, deadline time.Time) (others []sight) {
	for {
		others = nil
		for _, e := range endpoints {
			for _, s := range servers {
				if w.in(sight{e, s}, time.Now()) != in {
					others = append(others, sight{e, s})
				}
			}
		}
		if len(others) == 0 || time.Now().After(deadline) {
			return others
		}
		time.Sleep(every)
	}
}
