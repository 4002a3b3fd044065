package wire

import (
	"encoding/binary"
	"net/netip"
)

// Options of EDNS.
const (
	optionSubnet   = 8  // RFC 7871
	optionExtended = 15 // RFC 8914
)

const flagDO = 1 << 15

// An infoCode is a code of an extended error (RFC 8914, section 4), or infoNone.
type infoCode int32

const (
	infoNone             infoCode = -1
	infoNotReady         infoCode = 14
	infoNotAuthoritative infoCode = 20
	infoInvalidQueryType infoCode = 30
)

// edns is what the OPT record of a query says.
type edns struct {
	present bool
	size    uint16 // the largest datagram that the client takes
	do      bool
	option  []byte       // the data of the client subnet option, as it came; nil without one, and where it is at fault
	subnet  netip.Prefix // what it says; the zero Prefix where that is nothing
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
	e.present, e.size, e.do = true, binary.BigEndian.Uint16(record[2:]), flags&flagDO != 0
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
		if 4+size > len(options) {
			q.fail(FormErr)
			return
		}
		if code == optionSubnet && !e.readSubnet(options[4:4+size]) {
			q.fail(FormErr)
			return
		}
		options = options[4+size:]
	}
}

// fail notes a fault of the OPT record. FORMERR outweighs BADVERS.
func (q *query) fail(rcode uint16) {
	q.fault = rcode
	q.edns.option, q.edns.subnet = nil, netip.Prefix{}
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

// length is how many bytes the OPT record of the answer takes, without an extended error.
func (e *edns) length() int {
	switch {
	case !e.present:
		return 0
	case e.option == nil:
		return 11
	}
	return 11 + 4 + len(e.option)
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

// appendOPT appends the OPT record of the answer.
func (e *edns) appendOPT(b []byte, rcode uint16, scope int, extended infoCode) []byte {
	var flags uint16
	if e.do {
		flags = flagDO // RFC 3225, section 3
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
	if extended != infoNone {
		b = append(b, 0, optionExtended, 0, 2)
		b = binary.BigEndian.AppendUint16(b, uint16(extended))
	}
	binary.BigEndian.PutUint16(b[length:], uint16(len(b)-length-2))
	return b
}
