package server

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A notebook is a recorder that keeps all, in text.
type notebook struct {
	mu    *sync.Mutex
	lines *[]string
}

func (n notebook) Record(protocol string, from, to netip.AddrPort, at time.Time, query, answer []byte) {
	var q, a dns.Msg
	rcode := "none"
	if a.Unpack(answer) == nil && len(answer) > 0 {
		rcode = dns.RcodeToString[a.Rcode]
	}
	name := "?"
	if q.Unpack(query) == nil && len(q.Question) > 0 {
		name = q.Question[0].Name
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	recent := time.Since(at) < time.Minute && from.Port() != 0
	*n.lines = append(*n.lines, fmt.Sprint(protocol, " ", from.Addr(), " ", to, " ", name, " ", rcode, " ", recent))
}

func TestRecorder(t *testing.T) {
	n := notebook{new(sync.Mutex), new([]string)}
	s := run(t, Config{UDPWorkers: 1, Recorder: func() Recorder { return n }})
	ask(t, s.address, "udp", "api.example.com.", dns.TypeA)
	ask(t, s.address, "tcp", "nothing.example.com.", dns.TypeA)
	sendDropped(t, s.address)
	want := []string{
		"udp 127.0.0.1 " + s.address + " api.example.com. NOERROR true",
		"tcp 127.0.0.1 " + s.address + " nothing.example.com. NXDOMAIN true",
		"udp 127.0.0.1 " + s.address + " ? none true",
	}
	eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		got := strings.Join(*n.lines, "\n")
		for _, line := range want {
			if !strings.Contains(got, line) {
				return false
			}
		}
		return true
	})
}

// A pebble copies into a place of its own, as a recorder does with what is in its sample.
type pebble struct{ place [4096]byte }

func (p *pebble) Record(_ string, _, _ netip.AddrPort, _ time.Time, query, answer []byte) {
	copy(p.place[copy(p.place[:], query):], answer)
}
