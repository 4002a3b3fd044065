package probe

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
)

const (
	datagramLimit  = 1232 // bytes that a server may send by UDP, as a query says
	strangersLimit = 1000 // messages that are no answer to the query
)

var errStrangers = errors.New("too many messages that are no answer to the query")

// probeDNS asks for a name and judges the answer. Only an answer to this very query counts: over UDP what comes from another address
// never gets here, and of what does, a message with another id or question is passed over while there is time.
//
//	answer                                             reason
//	an rcode other than the expected (NOERROR)         status
//	expected records, and none of them in the answer   body
//	else                                               ok
//
// An answer that is truncated and lacks the expected records is asked for once more over TCP, as a resolver would.
func probeDNS(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(t.QueryName), dns.StringToType[cmp.Or(t.QueryType, "A")])
	query.SetEdns0(datagramLimit, false)
	packed, err := query.Pack()
	if err != nil {
		r.Reason, r.Detail = health.ReasonOther, "request: "+err.Error()
		return r
	}
	network := "udp"
	if t.Options.TCP {
		network = "tcp"
	}
	answer := w.ask(ctx, t, network, query, packed, &r)
	if answer == nil {
		return r
	}
	r.Reason, r.Detail = judgeDNS(t, answer)
	if r.Reason == health.ReasonBody && answer.Truncated && network == "udp" {
		r = health.Result{}
		if answer = w.ask(ctx, t, "tcp", query, packed, &r); answer != nil {
			r.Reason, r.Detail = judgeDNS(t, answer)
		}
	}
	return r
}

// ask sends a query and returns the answer to it; nil when there is none, and then r says why.
func (w wire) ask(ctx context.Context, t *health.Target, network string, query *dns.Msg, packed []byte, r *health.Result) *dns.Msg {
	limit, firstByte, _ := health.Timeouts(t)
	conn := w.open(ctx, network, t, limit, r)
	if conn == nil {
		return nil
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	start := time.Now()
	conn.SetDeadline(start.Add(firstByte))
	tape := &tape{Conn: conn, left: wireLimit}
	if network == "udp" {
		tape.left = strangersLimit * datagramLimit
		r.Connect = 0 // there is no connection
	} else {
		packed = append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
	}
	if _, err := conn.Write(packed); err != nil {
		fail(r, "request", cmp.Or(ctx.Err(), err), firstByte, health.ReasonOther)
		return nil
	}
	buffer := make([]byte, dns.MaxMsgSize)
	for strangers := 0; ; strangers++ {
		message, err := nextMessage(tape, network, buffer)
		if err == nil && strangers == strangersLimit {
			err = errStrangers
		}
		if err != nil {
			fail(r, "first byte", cmp.Or(ctx.Err(), err), firstByte, health.ReasonOther)
			if strangers > 0 {
				r.Detail = fmt.Sprintf("%s (%d messages were no answer to the query)", r.Detail, strangers)
			}
			return nil
		}
		if answer := answerTo(query, message); answer != nil {
			r.FirstByte = time.Since(start)
			return answer
		}
	}
}

// nextMessage reads one message into a buffer that has room for any.
func nextMessage(from io.Reader, network string, buffer []byte) ([]byte, error) {
	if network == "udp" {
		n, err := from.Read(buffer)
		return buffer[:n], err
	}
	var length [2]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	message := buffer[:min(int(binary.BigEndian.Uint16(length[:])), len(buffer))]
	_, err := io.ReadFull(from, message)
	return message, err
}

// answerTo reads a message; nil if it is no answer to a query, or malformed. A server that could not read the question need not repeat it.
func answerTo(query *dns.Msg, message []byte) *dns.Msg {
	if len(message) < 12 || binary.BigEndian.Uint16(message) != query.Id {
		return nil
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(message); err != nil || !answer.Response {
		return nil
	}
	if len(answer.Question) == 0 && (answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented) {
		return answer
	}
	asked := query.Question[0]
	if len(answer.Question) != 1 || answer.Question[0].Qtype != asked.Qtype || answer.Question[0].Qclass != asked.Qclass ||
		!strings.EqualFold(answer.Question[0].Name, asked.Name) {
		return nil
	}
	return answer
}

func judgeDNS(t *health.Target, answer *dns.Msg) (health.Reason, string) {
	rcode, known := dns.RcodeToString[answer.Rcode]
	if !known {
		rcode = fmt.Sprintf("RCODE%d", answer.Rcode)
	}
	expected := t.ExpectRcode
	if len(expected) == 0 {
		expected = []string{dns.RcodeToString[dns.RcodeSuccess]}
	}
	if !slices.Contains(expected, rcode) {
		return health.ReasonStatus, rcode + ", expected " + strings.Join(expected, ", ")
	}
	if len(t.ExpectAnswer) == 0 {
		return health.ReasonOK, fmt.Sprintf("%s, %d records", rcode, len(answer.Answer))
	}
	for _, rr := range answer.Answer {
		if dns.TypeToString[rr.Header().Rrtype] == t.QueryType && slices.ContainsFunc(t.ExpectAnswer, func(want string) bool { return sameData(rr, want) }) {
			return health.ReasonOK, rcode + ", expected record found"
		}
	}
	return health.ReasonBody, fmt.Sprintf("%s, expected record not among %d", rcode, len(answer.Answer))
}

// sameData reports whether a record's data is what a text says. Case counts in texts only.
func sameData(rr dns.RR, want string) bool {
	data := strings.TrimPrefix(rr.String(), rr.Header().String())
	switch rr.Header().Rrtype {
	case dns.TypeTXT, dns.TypeCAA, dns.TypeURI:
		return data == want
	}
	return strings.EqualFold(data, want)
}
