package transfer

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// A textZone is a zone of records written as text.
type textZone struct {
	apex string
	rrs  []dns.RR
}

func (z *textZone) Apex() string   { return z.apex }
func (z *textZone) Serial() uint32 { return z.rrs[0].(*dns.SOA).Serial }
func (z *textZone) Records(yield func(dns.RR) bool) {
	for _, rr := range z.rrs {
		if !yield(dns.Copy(rr)) {
			return
		}
	}
}

// zoneOf makes a zone of a serial, with timers that are short enough to be seen.
func zoneOf(t testing.TB, apex string, serial uint32, records ...string) *textZone {
	t.Helper()
	z := &textZone{apex: apex}
	for _, text := range append([]string{
		fmt.Sprintf("%s 300 IN SOA ns1.%s hostmaster.%s %d 3600 600 86400 300", apex, apex, apex, serial),
		apex + " 300 IN NS ns1." + apex, "ns1." + apex + " 300 IN A 192.0.2.1",
	}, records...) {
		z.rrs = append(z.rrs, rrOf(t, text))
	}
	return z
}

func rrOf(t testing.TB, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// sorted returns the records of a zone as text, in one order.
func sorted(records func(yield func(dns.RR) bool)) []string {
	var lines []string
	records(func(rr dns.RR) bool {
		lines = append(lines, strings.TrimPrefix(rr.String(), `\`)) // an escape of what needs none
		return true
	})
	slices.Sort(lines)
	return lines
}

func sortedRRs(rrs []dns.RR) []string { return sorted((&textZone{rrs: rrs}).Records) }

// A shelf holds the zones that a node serves.
type shelf struct {
	sync.Mutex
	zones map[string]Zone
}

func shelfOf(zones ...*textZone) *shelf {
	s := &shelf{zones: map[string]Zone{}}
	for _, z := range zones {
		s.zones[z.apex] = z
	}
	return s
}

func (s *shelf) find(apex string) (Zone, error) {
	s.Lock()
	defer s.Unlock()
	if z := s.zones[apex]; z != nil {
		return z, nil
	}
	return nil, ErrNoZone
}

// put replaces a zone and tells the service.
func (s *shelf) put(service *Service, z *textZone) {
	s.Lock()
	old := s.zones[z.apex]
	s.zones[z.apex] = z
	s.Unlock()
	service.Changed(old, z)
}

// open opens a service that ends with the test.
func open(t testing.TB, c Config) *Service {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.Zones == nil {
		c.Zones = shelfOf().find
	}
	if c.SOA == nil {
		c.SOA = func(name string) (*dns.SOA, error) {
			for at, end := 0, false; !end; at, end = dns.NextLabel(name, at) {
				switch zone, err := c.Zones(name[at:]); {
				case err == nil:
					return soaOf(zone), nil
				case !errors.Is(err, ErrNoZone):
					return nil, err
				}
			}
			return nil, ErrNoZone
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func apply(t testing.TB, s *Service, setup Setup) {
	t.Helper()
	if err := s.Apply(&setup); err != nil {
		t.Fatal(err)
	}
}

var (
	loopback     = netip.MustParsePrefix("127.0.0.0/8")
	loopbackPort = netip.MustParseAddrPort("127.0.0.1:1")
)

// front listens as dns/server does, on one port for UDP and TCP, and with a certificate for TLS on another. What the
// service does not want it answers with the SOA record.
func front(t testing.TB, s *Service, certificate *tls.Certificate) (plain, secured netip.AddrPort) {
	t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	for range 20 { // until a port is free for both
		var err error
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			break
		}
		tcp.Close()
	}
	if udp == nil {
		t.Fatal("no port is free for TCP and UDP")
	}
	var busy sync.WaitGroup
	busy.Go(func() { frontUDP(s, udp, &busy) })
	busy.Go(func() { frontTCP(s, tcp, &busy) })
	listeners := []io.Closer{tcp, udp}
	plain = tcp.Addr().(*net.TCPAddr).AddrPort()
	if certificate != nil {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"dot"}})
		if err != nil {
			t.Fatal(err)
		}
		busy.Go(func() { frontTCP(s, l, &busy) })
		listeners = append(listeners, l)
		secured = l.Addr().(*net.TCPAddr).AddrPort()
	}
	t.Cleanup(func() {
		for _, l := range listeners {
			l.Close()
		}
		busy.Wait()
	})
	return plain, secured
}

func frontUDP(s *Service, conn net.PacketConn, busy *sync.WaitGroup) {
	buffer := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		query := Query{
			Message: bytes.Clone(buffer[:n]), From: from.(*net.UDPAddr).AddrPort(), UDP: true,
			Send: func(b []byte) error { _, err := conn.WriteTo(b, from); return err },
		}
		busy.Go(func() { answer(s, query) })
	}
}

func frontTCP(s *Service, l net.Listener, busy *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		busy.Go(func() {
			defer conn.Close()
			query := Query{
				From: conn.RemoteAddr().(*net.TCPAddr).AddrPort(),
				Send: func(b []byte) error {
					_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
					return err
				},
			}
			for {
				var length [2]byte
				if _, err := io.ReadFull(conn, length[:]); err != nil {
					return
				}
				query.Message = make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(conn, query.Message); err != nil {
					return
				}
				if secured, ok := conn.(*tls.Conn); ok {
					state := secured.ConnectionState()
					query.TLS = &state
				}
				answer(s, query)
			}
		})
	}
}

func answer(s *Service, query Query) {
	query.Answer = func(message []byte, limit int) []byte { return plainAnswer(s, message, limit) }
	if s.Handle(query) {
		return
	}
	if packed := plainAnswer(s, query.Message, dns.MaxMsgSize); packed != nil {
		query.Send(packed)
	}
}

// plainAnswer is the SOA record, or how many bytes an answer may have as text.
func plainAnswer(s *Service, message []byte, limit int) []byte {
	m := new(dns.Msg)
	if m.Unpack(message) != nil || len(m.Question) != 1 || m.IsTsig() != nil {
		return nil
	}
	reply := new(dns.Msg).SetReply(m)
	reply.Authoritative = true
	name := dns.CanonicalName(m.Question[0].Name)
	if soa, err := s.config.SOA(name); err == nil && m.Question[0].Qtype == dns.TypeSOA {
		reply.Answer = []dns.RR{soa}
	}
	if m.Question[0].Qtype == dns.TypeTXT {
		reply.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{fmt.Sprint(limit)}}}
	}
	packed, err := reply.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}
