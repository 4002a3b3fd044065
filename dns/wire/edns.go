package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/meridian-gslb/meridian/dns/cookie"
)

// Options of EDNS.
const (
	optionNSID      = 3  // RFC 5001
	optionSubnet    = 8  // RFC 7871
	optionCookie    = 10 // RFC 7873
	optionKeepalive = 11 // RFC 7828
	optionPadding   = 12 // RFC 7830
	optionExtended  = 15 // RFC 8914
)

// Flags of EDNS.
const (
	flagDO = 1 << 15
	flagCO = 1 << 14 // RFC 9824, section 5.1
)

// padTo is what the length of a padded answer is a multiple of (RFC 8467, section 4.1).
const padTo = 468

// An infoCode is a code of an extended error (RFC 8914, section 4), or infoNone.
type infoCode int32

const (
	infoNone             infoCode = -1
	infoNotReady         infoCode = 14
	infoProhibited       infoCode = 18
	infoNotAuthoritative infoCode = 20
	infoInvalidQueryType infoCode = 30
)

// edns is what the OPT record of a query says and what that of the answer is to say to it.
type edns struct {
	present bool
	size    uint16 // the largest datagram that the client takes
	do      bool
	co      bool // the client takes NXDOMAIN beside a compact denial
	options
}

// options are what a fault of the OPT record makes void.
type options struct {
	option    []byte       // the data of the client subnet option, as it came; nil without one
	subnet    netip.Prefix // what it says; the zero Prefix where that is nothing
	cookie    []byte       // the data of the cookie option; nil without one, or if cookies are of no interest here
	cookies   [cookie.Size]byte
	nsid      []byte // to be said
	keepalive uint16 // to be said, in 100 ms; 0: nothing
	pad       bool
}

// readOPT reads an OPT record from its type on. It must be the only one and belong to the root (RFC 6891, section 6.1.1).
// The answer to a query with a bad OPT record carries one nevertheless (section 7).
func (q *query) readOPT(atRoot bool, record []byte) {
	e := &q.edns
	if e.present || !atRoot {
		e.present = true
		q.fail(FormErr)
		return
	}
	version, flags := record[5], binary.BigEndian.Uint16(record[6:])
	e.present, e.size, e.do, e.co = true, binary.BigEndian.Uint16(record[2:]), flags&flagDO != 0, flags&flagCO != 0
	if version > 0 {
		q.fail(BadVers) // its options may be anything
		return
	}
	for options := record[10:]; len(options) > 0; {
		if len(options) < 4 {
			q.fail(FormErr)
			return
		}
		code, size := binary.BigEndian.Uint16(options), int(binary.BigEndian.Uint16(options[2:]))
		if 4+size > len(options) || !q.readOption(code, options[4:4+size]) {
			q.fail(FormErr)
			return
		}
		options = options[4+size:]
	}
}

// readOption reads one option and reports whether it is well-formed. Options that are not known are (RFC 6891, section
// 6.1.2), and so are those that mean nothing where the query came in.
func (q *query) readOption(code uint16, data []byte) bool {
	e, r := &q.edns, q.request
	switch code {
	case optionSubnet:
		return e.readSubnet(data)
	case optionCookie:
		return q.identity.Cookies == nil || e.readCookie(data)
	case optionNSID:
		e.nsid = q.identity.NSID // what the client puts in is of no meaning (RFC 5001, section 2.1)
	case optionKeepalive:
		if !r.Stream {
			return true // RFC 7828, section 3.2.1
		}
		e.keepalive = r.Keepalive
		return len(data) == 0 // the timeout is the server's to say
	case optionPadding:
		e.pad = r.Encrypted // RFC 7830, section 6: elsewhere it hides nothing
	}
	return true
}

// readCookie takes a cookie option in: a client cookie of 8 bytes, and a server cookie of 8 to 32 or none (RFC 7873,
// section 5.2.2). Of several the first counts (section 5.2).
func (e *edns) readCookie(data []byte) bool {
	if e.cookie != nil {
		return true
	}
	if n := len(data); n != cookie.ClientSize && (n < cookie.ClientSize+8 || n > cookie.ClientSize+32) {
		return false
	}
	e.cookie = data
	return true
}

// judgeCookie says what the query's server cookie is worth, and prepares the one that the answer carries.
func (q *query) judgeCookie() cookie.Verdict {
	e, r, secrets := &q.edns, q.request, q.identity.Cookies
	client := [cookie.ClientSize]byte(e.cookie)
	verdict := secrets.Judge(client, e.cookie[cookie.ClientSize:], r.Source, r.Now)
	if verdict == cookie.Fresh {
		copy(e.cookies[:], e.cookie)
	} else {
		secrets.Append(e.cookies[:0], client, r.Source, r.Now)
	}
	return verdict
}

// fail notes a fault of the OPT record. FORMERR outweighs BADVERS.
func (q *query) fail(rcode uint16) {
	q.fault = rcode
	q.edns.options = options{}
}

// readSubnet reads a client subnet option and reports whether it is as RFC 7871, section 6 wants it: a known family, no
// more and no fewer bytes of address than the source length needs, no bit set behind it, scope 0. There is at most one.
// Family 0 says nothing, in no bits: the client asks not to be located.
func (e *edns) readSubnet(data []byte) bool {
	if e.option != nil || len(data) < 4 {
		return false
	}
	family, source, scope, address := binary.BigEndian.Uint16(data), int(data[2]), data[3], data[4:]
	if scope != 0 || len(address) != (source+7)/8 {
		return false
	}
	switch {
	case family == 0 && source == 0:
	case family == 1 && source <= 32:
		var b [4]byte
		copy(b[:], address)
		e.subnet = netip.PrefixFrom(netip.AddrFrom4(b), source)
	case family == 2 && source <= 128:
		var b [16]byte
		copy(b[:], address)
		e.subnet = netip.PrefixFrom(netip.AddrFrom16(b), source)
	default:
		return false
	}
	if used := source % 8; used != 0 && address[len(address)-1]<<used != 0 {
		return false
	}
	e.option = data
	return true
}

// length is how many bytes the OPT record of the answer takes, without an extended error and padding.
func (e *edns) length() int {
	if !e.present {
		return 0
	}
	n := 11
	if e.option != nil {
		n += 4 + len(e.option)
	}
	if e.cookie != nil {
		n += 4 + cookie.Size
	}
	if len(e.nsid) > 0 {
		n += 4 + len(e.nsid)
	}
	if e.keepalive > 0 {
		n += 6
	}
	return n
}

// limit is the most bytes that the answer may have over a transport with a limit of its own.
func (e *edns) limit(transport int) int {
	switch {
	case transport >= MaxMessage:
		return MaxMessage
	case !e.present:
		return minMessage
	}
	return min(transport, max(minMessage, int(e.size))) // RFC 6891, section 6.2.3
}

// appendOPT appends the OPT record of the answer that begins at an offset of b and may have limit bytes. The optional options, for which
// nobody has asked, are in it if there is room left (for the Report-Channel option RFC 9567, section 6.2).
func (e *edns) appendOPT(b []byte, start, limit int, rcode uint16, scope int, extended infoCode, optional [2][]byte) []byte {
	var flags uint16
	if e.do {
		flags = flagDO // RFC 3225, section 3
		if e.co {
			flags |= flagCO // RFC 9824, section 5.1
		}
	}
	b = append(b, 0, 0, typeOPT)
	b = binary.BigEndian.AppendUint16(b, MaxUDP)
	b = append(b, byte(rcode>>4), 0)
	b = binary.BigEndian.AppendUint16(b, flags)
	length := len(b)
	b = append(b, 0, 0)
	if e.option != nil {
		b = append(b, 0, optionSubnet, 0, byte(len(e.option)))
		option := len(b)
		b = append(b, e.option...)
		b[option+3] = byte(scope)
	}
	if e.cookie != nil {
		b = append(b, 0, optionCookie, 0, cookie.Size)
		b = append(b, e.cookies[:]...)
	}
	if len(e.nsid) > 0 {
		b = append(b, 0, optionNSID, 0, byte(len(e.nsid)))
		b = append(b, e.nsid...)
	}
	if e.keepalive > 0 {
		b = append(b, 0, optionKeepalive, 0, 2)
		b = binary.BigEndian.AppendUint16(b, e.keepalive)
	}
	if extended != infoNone {
		b = append(b, 0, optionExtended, 0, 2)
		b = binary.BigEndian.AppendUint16(b, uint16(extended))
	}
	for _, option := range optional {
		if len(b)-start+len(option) <= limit {
			b = append(b, option...)
		}
	}
	if e.pad {
		b = appendPadding(b, len(b)-start, limit)
	}
	binary.BigEndian.PutUint16(b[length:], uint16(len(b)-length-2))
	return b
}

// appendPadding fills an answer of size bytes up to the next multiple of padTo, or to the limit.
func appendPadding(b []byte, size, limit int) []byte {
	const head = 4
	padded := min((size+head+padTo-1)/padTo*padTo, limit)
	if padded < size+head {
		return b
	}
	n := padded - size - head
	b = append(b, 0, optionPadding)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	return append(b, make([]byte, n)...)
}
