package transfer

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	udpSize      = 1232 // bytes that UDP carries without fragments, offered and at most sent
	leastUDPSize = 512  // RFC 1035, section 4.2.1
)

// A Query is a message that has come, and the way back to who sent it.
type Query struct {
	Message []byte
	From    netip.AddrPort
	UDP     bool
	TLS     *tls.ConnectionState // nil without TLS
	Send    func([]byte) error   // sends one message, waits until the client takes it, but not for ever, and keeps nothing of it

	// Answer answers a query about names in so many bytes at most, as if it had come unsigned; nil: there is no answer.
	Answer func(query []byte, limit int) []byte
}

// xot reports whether a connection is one by RFC 9103, sections 7.1 and 7.2: TLS 1.3 and agreed to carry DNS.
func (q *Query) xot() bool {
	return q.TLS != nil && q.TLS.Version >= tls.VersionTLS13 && q.TLS.NegotiatedProtocol == "dot"
}

// An exchange is one query while it is answered.
type exchange struct {
	*Query
	service   *Service
	setup     *Setup
	query     *dns.Msg
	edns      *dns.OPT // of the query
	signature *signature
	key       string // that signed the query; empty: none
}

// signedMark begins a TSIG record after its owner: type, class ANY, TTL 0 (RFC 8945, section 4.2).
var signedMark = []byte{0, byte(dns.TypeTSIG), 0, dns.ClassANY, 0, 0, 0, 0}

// Wants reports whether a message is for Handle: a query for AXFR or IXFR, a NOTIFY, an UPDATE, or any signed query. It allocates nothing.
func Wants(message []byte) bool {
	const header = 12
	if len(message) < header || message[2]&0x80 != 0 {
		return false
	}
	switch opcode := int(message[2] >> 3 & 0xf); opcode {
	case dns.OpcodeNotify, dns.OpcodeUpdate:
		return true
	case dns.OpcodeQuery:
	default:
		return false
	}
	if message[4] != 0 || message[5] != 1 { // QDCOUNT
		return false
	}
	end := header
	for end < len(message) && message[end] != 0 && message[end] < 64 {
		end += 1 + int(message[end])
	}
	if end+5 > len(message) || message[end] != 0 {
		return false
	}
	switch uint16(message[end+1])<<8 | uint16(message[end+2]) {
	case dns.TypeAXFR, dns.TypeIXFR:
		return true
	}
	return bytes.Contains(message[end+5:], signedMark)
}

// Handle answers a message that Wants is true of; of others it returns false and does nothing. A transfer or an update
// takes its time, so each call needs a goroutine of its own; the caller bounds their number. A panic is a bug here.
func (s *Service) Handle(q Query) (handled bool) {
	if !Wants(q.Message) {
		return false
	}
	q.From = netip.AddrPortFrom(q.From.Addr().Unmap().WithZone(""), q.From.Port())
	x := &exchange{Query: &q, service: s, setup: s.setup.Load(), query: new(dns.Msg), signature: new(signature)}
	if err := x.query.Unpack(q.Message); err != nil {
		x.query = &dns.Msg{MsgHdr: x.query.MsgHdr} // only the header is sure
		x.finish(dns.RcodeFormatError, "")
		return true
	}
	x.edns = x.query.IsEdns0()
	x.handle()
	return true
}

func (x *exchange) handle() {
	signature, err := checkQuery(x.Message, x.query, x.setup.keys)
	x.signature = signature
	switch {
	case signature.code != 0:
		x.service.metrics.refused("tsig")
		x.refused(signatureRefused, signature.query.Hdr.Name, int(signature.code), err.Error())
		x.finish(dns.RcodeNotAuth, "")
		return
	case err != nil || len(x.query.Question) != 1:
		x.finish(dns.RcodeFormatError, "")
		return
	case x.edns != nil && x.edns.Version() != 0:
		x.finish(dns.RcodeBadVers, "")
		return
	}
	x.key = signature.key.Name
	switch question := x.query.Question[0]; {
	case x.query.Opcode == dns.OpcodeQuery && !isAboutZone(question.Qtype):
		x.lookup()
	case question.Qclass != dns.ClassINET:
		x.finish(dns.RcodeNotAuth, "")
	case x.query.Opcode == dns.OpcodeNotify:
		x.notify()
	case x.query.Opcode == dns.OpcodeUpdate:
		x.update()
	case question.Qtype == dns.TypeSOA: // secondaries and senders of updates begin with it
		x.serial()
	default:
		x.transfer()
	}
}

func isAboutZone(rrtype uint16) bool {
	return rrtype == dns.TypeSOA || rrtype == dns.TypeAXFR || rrtype == dns.TypeIXFR
}

// lookup answers a signed query about names as one that came unsigned, and signs the answer (RFC 8945, section 5.3).
func (x *exchange) lookup() {
	room := dns.MaxMsgSize
	if x.UDP {
		room = x.room()
	}
	if x.signature.query == nil { // it only looked signed
		if answer := x.Answer(x.Message, room); answer != nil {
			x.Send(answer)
		}
		return
	}
	plain := x.query.Copy()
	plain.Extra = plain.Extra[:len(plain.Extra)-1] // the signature is the last record
	query, err := plain.Pack()
	if err != nil {
		x.finish(dns.RcodeFormatError, "")
		return
	}
	answer := x.Answer(query, room-x.signature.size())
	if answer == nil {
		return // as to who asks without a signature
	}
	if answer, err = x.signature.attach(answer, time.Now()); err != nil {
		x.service.config.Logger.Error("answer not signed", "name", x.apex(), "err", err)
		return
	}
	x.Send(answer)
}

// apex returns the canonical name that the query is about; empty without a question.
func (x *exchange) apex() string {
	if len(x.query.Question) == 0 {
		return ""
	}
	return dns.CanonicalName(x.query.Question[0].Name)
}

// reply begins an answer.
func (x *exchange) reply() *dns.Msg {
	m := new(dns.Msg).SetReply(x.query)
	if x.edns != nil {
		m.SetEdns0(udpSize, x.edns.Do())
	}
	return m
}

// finish answers with a code alone, in words too if the client understands extended errors (RFC 8914).
func (x *exchange) finish(rcode int, why string) {
	m := x.reply()
	m.Rcode = rcode
	if opt := m.IsEdns0(); opt != nil && why != "" {
		code := dns.ExtendedErrorCodeOther
		if rcode == dns.RcodeRefused {
			code = dns.ExtendedErrorCodeProhibited
		}
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: why})
	}
	x.send(m)
}

// send packs, signs and sends a message.
func (x *exchange) send(m *dns.Msg) error {
	packed, err := x.signature.pack(m, time.Now())
	if err != nil {
		x.service.config.Logger.Error("answer not packed", "zone", x.apex(), "err", err)
		return err
	}
	return x.Send(packed)
}

// room is how many bytes an answer over UDP may have.
func (x *exchange) room() int {
	if x.edns == nil {
		return leastUDPSize
	}
	return min(max(leastUDPSize, int(x.edns.UDPSize())), udpSize)
}
