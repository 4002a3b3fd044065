package server

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	malformed = 4_000 // messages over each transport
	sentinel  = 0xFFFF
)

// wellFormed are the queries that mutate grows from.
func wellFormed(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	for _, name := range []string{".", "example.com.", "api.example.com.", "big.example.com.", strings.Repeat("a.", 120) + "example.com."} {
		plain := new(dns.Msg).SetQuestion(name, dns.TypeA)
		options := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
		options.SetEdns0(1232, true)
		options.IsEdns0().Option = []dns.EDNS0{
			&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(198, 51, 100, 0)},
			&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"},
			&dns.EDNS0_PADDING{Padding: make([]byte, 20)},
		}
		update := new(dns.Msg).SetUpdate(name)
		notify := new(dns.Msg).SetNotify(name)
		notify.Answer = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: name, Mbox: name}}
		signed := new(dns.Msg).SetAxfr(name)
		signed.SetTsig("key.", dns.HmacSHA256, 300, 1)
		for _, m := range []*dns.Msg{plain, options, update, notify, signed} {
			m.Id = 1
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
	}
	return all
}

// mutate damages a message in one to four places.
func mutate(rnd *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + rnd.IntN(4) {
		if len(b) == 0 {
			return b
		}
		at := rnd.IntN(len(b))
		switch rnd.IntN(7) {
		case 0:
			b[at] = byte(rnd.Uint32())
		case 1:
			b[at] ^= 1 << rnd.IntN(8)
		case 2:
			b = b[:at]
		case 3:
			b = append(b[:at:at], b[rnd.IntN(len(b)):]...)
		case 4:
			b = append(b, make([]byte, rnd.IntN(40))...)
		case 5: // a count
			b[min(4+rnd.IntN(8), len(b)-1)] = byte(rnd.IntN(4))
		case 6: // a pointer, often to itself
			b[at] = 0xC0
			if at+1 < len(b) {
				b[at+1] = byte(at)
			}
		}
	}
	return b
}

// deserves reports whether a message is answered, be it with an error: it has a header, and that of a query.
func deserves(b []byte) bool { return len(b) >= 12 && b[2]&0x80 == 0 }

// checkMalformed wants an answer that can be read, to the query.
func checkMalformed(t *testing.T, query, answer []byte) {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil || !m.Response || m.Id != binary.BigEndian.Uint16(query) {
		t.Fatalf("%x is answered by %x: %v", query, answer, err)
	}
}

func TestMalformedDatagrams(t *testing.T) {
	r := run(t, Config{})
	conn, err := net.Dial("udp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	good := framed(t, sentinel, "mail.example.com.", dns.TypeA, 0)[2:]
	exchange := func(b []byte) []byte {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, dns.MaxMsgSize)
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatalf("%x is not answered: %v", b, err)
		}
		return answer[:n]
	}
	seeds, rnd := wellFormed(t), rand.New(rand.NewPCG(1, 1))
	for range malformed {
		b := mutate(rnd, seeds[rnd.IntN(len(seeds))])
		if deserves(b) {
			checkMalformed(t, b, exchange(b))
			continue
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if answer := exchange(good); binary.BigEndian.Uint16(answer) != sentinel {
			t.Fatalf("%x is answered by %x", b, answer)
		}
	}
}

// Over TCP what is no query ends the connection, and nothing else does.
func TestMalformedStreams(t *testing.T) {
	r := run(t, Config{})
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	seeds, rnd := wellFormed(t), rand.New(rand.NewPCG(2, 1))
	for range malformed {
		if conn == nil {
			var err error
			if conn, err = net.Dial("tcp", r.address); err != nil {
				t.Fatal(err)
			}
		}
		b := mutate(rnd, seeds[rnd.IntN(len(seeds))])
		answer, err := exchangeTCP(conn, b)
		switch {
		case deserves(b) && err != nil:
			t.Fatalf("%x is not answered: %v", b, err)
		case deserves(b):
			checkMalformed(t, b, answer)
		case !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET):
			t.Fatalf("%x: %x, %v, want the end of the connection", b, answer, err)
		default:
			conn.Close()
			conn = nil
		}
	}
}

func exchangeTCP(conn net.Conn, b []byte) ([]byte, error) {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, answer)
	return answer, err
}

// Clients that send noise, that end within a query, that say nothing and that never read are many at once, and one that
// behaves is answered meanwhile.
func TestManyBadClients(t *testing.T) {
	const each = 20
	r := run(t, Config{Limits: Limits{PerClient: 1000, PerNetwork: 1000}})
	big := framed(t, 1, "big.example.com.", dns.TypeTXT, 0)
	noise, err := hex.DecodeString("160301020001000ffeff") // a TLS greeting, which is a long message that never comes
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	defer clients.Wait()
	defer close(stop)
	for _, behave := range []func(net.Conn){
		func(conn net.Conn) { _, _ = conn.Write(noise); <-stop },
		func(conn net.Conn) { _, _ = conn.Write(big[:len(big)/2]) },
		func(net.Conn) { <-stop },
		func(conn net.Conn) {
			for range 200 { // until the server gives up on it
				_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				if _, err := conn.Write(big); err != nil {
					break
				}
			}
			<-stop
		},
	} {
		for range each {
			clients.Go(func() {
				conn, err := net.Dial("tcp", r.address)
				if err != nil {
					t.Error(err)
					return
				}
				behave(conn)
				conn.Close()
			})
		}
	}
	for range 500 {
		for _, protocol := range []string{"udp", "tcp"} {
			if got := ask(t, r.address, protocol, "mail.example.com.", dns.TypeA); got != "NOERROR 192.0.2.25" {
				t.Fatalf("%s beside bad clients: %s", protocol, got)
			}
		}
	}
}
