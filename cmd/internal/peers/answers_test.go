//go:build linux

package peers_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// An answer is what a server said, in a form in which neither order nor compression matter.
type answer struct {
	rcode    int
	aa, tc   bool
	echo     string       // what is to be as in the query: the question and the flags
	opt      string       // of the OPT record, what is no policy
	sections [3]recordSet // answer, authority, additional without OPT
	size     int          // of the message
}

const (
	inAnswer = iota
	inAuthority
	inAdditional
)

var sectionNames = [...]string{"answer", "authority", "additional"}

// A recordSet is ordered and without duplicates.
type recordSet []string

func (s recordSet) minus(other recordSet) recordSet {
	return slices.DeleteFunc(slices.Clone(s), func(r string) bool { _, found := slices.BinarySearch(other, r); return found })
}

// keep returns the records for which f holds.
func (s recordSet) keep(f func(record) bool) recordSet {
	return slices.DeleteFunc(slices.Clone(s), func(text string) bool { return !f(parseRecord(text)) })
}

// A record is a line of a recordSet in its parts.
type record struct{ owner, ttl, rrtype, data string }

func parseRecord(text string) record {
	f := strings.SplitN(text, "\t", 5)
	return record{f[0], f[1], f[3], f[4]}
}

func (a *answer) clone() *answer {
	c := *a
	for i := range c.sections {
		c.sections[i] = slices.Clone(c.sections[i])
	}
	return &c
}

func (a *answer) equal(b *answer) bool {
	return a.rcode == b.rcode && a.aa == b.aa && a.tc == b.tc && a.echo == b.echo && a.opt == b.opt &&
		slices.EqualFunc(a.sections[:], b.sections[:], slices.Equal)
}

func (a *answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s aa=%t tc=%t %s opt=%q, %d bytes\n", dns.RcodeToString[a.rcode], a.aa, a.tc, a.echo, a.opt, a.size)
	for i, section := range a.sections {
		for _, r := range section {
			fmt.Fprintf(&b, "  %-10s %s\n", sectionNames[i], r)
		}
	}
	return b.String()
}

// read brings a message into the form. sent is the query that it answers.
func read(sent, message []byte) (*answer, error) {
	m := new(dns.Msg)
	if err := m.Unpack(message); err != nil {
		return nil, fmt.Errorf("not a message: %w: %x", err, message)
	}
	a := &answer{rcode: m.Rcode, aa: m.Authoritative, tc: m.Truncated, size: len(message)}
	a.echo = fmt.Sprintf("qr=%t opcode=%d rd=%t cd=%t ad=%t ra=%t z=%t", m.Response, m.Opcode, m.RecursionDesired, m.CheckingDisabled,
		m.AuthenticatedData, m.RecursionAvailable, m.Zero)
	question := sent[12 : 12+questionSize(sent)]
	if !bytes.HasPrefix(message[12:], question) {
		a.echo += " question differs"
	}
	a.sections = [3]recordSet{normal(m.Answer), normal(m.Ns), normal(m.Extra)}
	if o := m.IsEdns0(); o != nil {
		a.opt = fmt.Sprintf("version %d do=%t", o.Version(), o.Do())
	}
	return a, nil
}

func questionSize(message []byte) int {
	at := 12
	for message[at] != 0 {
		at += 1 + int(message[at])
	}
	return at + 5 - 12
}

// normal writes records in lower case where case has no meaning (RFC 4343).
func normal(rrs []dns.RR) recordSet {
	var set recordSet
	for _, rr := range rrs {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		text := rr.String()
		switch rr.(type) {
		case *dns.TXT, *dns.CAA, *dns.NAPTR, *dns.HTTPS, *dns.SVCB, *dns.RRSIG, *dns.DNSKEY:
			head := rr.Header().String()
			text = strings.ToLower(head) + strings.TrimPrefix(text, head)
		default:
			text = strings.ToLower(text)
		}
		set = append(set, text)
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// A client asks one server, one query after the other.
type client struct {
	address netip.AddrPort
	udp     net.Conn
	tcp     net.Conn
	buffer  [dns.MaxMsgSize]byte
	id      uint16
}

const patience = 2 * time.Second

func (c *client) close() {
	for _, conn := range []net.Conn{c.udp, c.tcp} {
		if conn != nil {
			conn.Close()
		}
	}
}

// ask asks three times at most: a datagram may be lost, and servers close connections when they like.
func (c *client) ask(q query) (a *answer, err error) {
	for range 3 {
		if a, err = c.askOnce(q); err == nil {
			return a, nil
		}
		c.close()
		c.udp, c.tcp = nil, nil
	}
	return nil, err
}

func (c *client) askOnce(q query) (*answer, error) {
	c.id++
	sent, err := q.pack(c.id)
	if err != nil {
		return nil, err
	}
	conn, network := &c.udp, "udp"
	if q.tcp {
		conn, network = &c.tcp, "tcp"
	}
	if *conn == nil {
		if *conn, err = net.Dial(network, c.address.String()); err != nil {
			return nil, err
		}
	}
	if err := (*conn).SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	wire := sent
	if q.tcp {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(sent))), sent...)
	}
	if _, err := (*conn).Write(wire); err != nil {
		return nil, err
	}
	for {
		received, err := c.receive(*conn, q.tcp)
		if err != nil {
			return nil, err
		}
		if len(received) >= 12 && binary.BigEndian.Uint16(received) == c.id {
			return read(sent, received)
		}
	}
}

func (c *client) receive(conn net.Conn, tcp bool) ([]byte, error) {
	if !tcp {
		n, err := conn.Read(c.buffer[:])
		return c.buffer[:n], err
	}
	if _, err := io.ReadFull(conn, c.buffer[:2]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(c.buffer[:])
	_, err := io.ReadFull(conn, c.buffer[:n])
	return c.buffer[:n], err
}
