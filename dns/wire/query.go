package wire

import "encoding/binary"

const (
	headerSize = 12
	maxName    = 255

	classIN    = 1
	classCHAOS = 3
	classANY   = 255
)

// Bits of the second word of a header.
const (
	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
	flagCD = 1 << 4

	maskOpcode = 15 << 11
)

// The types that Answer knows by number; all others are only compared.
const (
	typeA      = 1
	typeNS     = 2
	typeCNAME  = 5
	typeTXT    = 16
	typeAAAA   = 28
	typeOPT    = 41
	typeDNAME  = 39
	typeDS     = 43
	typeRRSIG  = 46
	typeNSEC   = 47
	typeNSEC3  = 50
	typeNXNAME = 128
	typeIXFR   = 251
	typeAXFR   = 252
	typeANY    = 255
)

// A query is a query as far as it could be read.
type query struct {
	request  *Request
	identity *Identity

	id       uint16
	flags    uint16
	question []byte // as it came; nil where it could not be read
	qtype    uint16
	class    uint16
	edns     edns

	fault     uint16   // the response code where the query itself is at fault
	faultInfo infoCode // and what more is to be said of it

	name []byte // the question's, in lower case
}

func (q *query) readHeader(b []byte) Drop {
	if len(b) < headerSize {
		return DropShort
	}
	q.id, q.flags = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if q.flags&flagQR != 0 {
		return DropResponse
	}
	return Answered
}

// readBody reads what follows the header, and notes the first fault.
func (q *query) readBody(b []byte) {
	if q.flags&maskOpcode != 0 {
		q.flags &= maskOpcode // the other bits are QUERY's
		q.readAnyRecords(b)
		q.fault = NotImp
		return
	}
	switch binary.BigEndian.Uint16(b[4:]) {
	case 0:
		q.readRecords(b, headerSize)
		if q.fault == NoError && q.edns.cookie == nil {
			q.fault = FormErr
		}
		return // with a cookie, it is that which the client asks for (RFC 7873, section 5.4)
	case 1:
	default:
		q.readAnyRecords(b)
		q.fault = FormErr // RFC 9619
		return
	}
	offset := q.readQuestion(b)
	if offset == 0 {
		q.fault = FormErr
		return
	}
	q.readRecords(b, offset)
	if q.fault == NoError {
		q.fault, q.faultInfo = judgeType(q.qtype)
	}
	if q.fault == NoError && q.class != classIN && q.class != classCHAOS && q.class != classANY {
		q.fault, q.faultInfo = Refused, infoNotAuthoritative
	}
}

// readQuestion returns the offset of what follows the question; 0 if the question can't be read.
func (q *query) readQuestion(b []byte) int {
	offset := headerSize
	for {
		if offset >= len(b) {
			return 0
		}
		n := int(b[offset])
		// In the first name of a message a compression pointer has nothing to point to (RFC 1035, section 4.1.4).
		offset += 1 + n
		if n > 63 || offset > len(b) || offset-headerSize > maxName {
			return 0
		}
		if n == 0 {
			break
		}
	}
	q.name = q.name[:offset-headerSize]
	lower(q.name, b[headerSize:offset])
	if offset+4 > len(b) {
		return 0
	}
	q.qtype, q.class = binary.BigEndian.Uint16(b[offset:]), binary.BigEndian.Uint16(b[offset+2:])
	offset += 4
	q.question = b[headerSize:offset]
	return offset
}

// lower copies a name in lower case (RFC 4343). The lengths of its labels, at most 63, are no letters.
func lower(dst, name []byte) {
	const word = 8
	last := len(name) - word
	if last < 0 {
		for i, c := range name {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst[i] = c
		}
		return
	}
	for i := 0; i < last; i += word {
		binary.LittleEndian.PutUint64(dst[i:], lower8(binary.LittleEndian.Uint64(name[i:])))
	}
	binary.LittleEndian.PutUint64(dst[last:], lower8(binary.LittleEndian.Uint64(name[last:]))) // some of it once more
}

// lower8 makes eight bytes lower case. The sums have a byte's top bit set where its other bits are at least 'A', or above 'Z';
// none carries into the next byte.
func lower8(x uint64) uint64 {
	const each, top = 0x0101_0101_0101_0101, 0x80
	low := x &^ (each * top)
	letters := ((low + each*(top-'A')) ^ (low + each*(top-1-'Z'))) &^ x & (each * top)
	return x | letters>>2
}

// judgeType says what is wrong with asking for a type.
func judgeType(qtype uint16) (rcode uint16, info infoCode) {
	switch {
	case qtype == typeNXNAME:
		return FormErr, infoInvalidQueryType
	case qtype == typeOPT:
		return FormErr, infoNone
	case qtype == typeAXFR || qtype == typeIXFR:
		return Refused, infoProhibited
	case qtype >= 128 && qtype < typeANY: // RFC 6895, section 3.1: no types of data
		return NotImp, infoNone
	}
	return NoError, infoNone
}

// readAnyRecords is readRecords for a message that is not answered, whatever its questions: an OPT record has to be answered by one all the
// same (RFC 6891, section 6.1.1).
func (q *query) readAnyRecords(b []byte) {
	offset := headerSize
	for range binary.BigEndian.Uint16(b[4:]) {
		if offset = skipName(b, offset); offset == 0 || offset+4 > len(b) {
			return
		}
		offset += 4 // type and class
	}
	q.readRecords(b, offset)
}

// readRecords walks over the records behind the question and reads the OPT record among the additional ones.
func (q *query) readRecords(b []byte, offset int) {
	skipped := int(binary.BigEndian.Uint16(b[6:])) + int(binary.BigEndian.Uint16(b[8:]))
	additional := int(binary.BigEndian.Uint16(b[10:]))
	for i := range skipped + additional {
		owner := offset
		offset = skipName(b, offset)
		if offset == 0 || offset+10 > len(b) {
			q.fault = FormErr
			return
		}
		fixed := offset
		offset += 10 + int(binary.BigEndian.Uint16(b[fixed+8:]))
		if offset > len(b) {
			q.fault = FormErr
			return
		}
		if i >= skipped && binary.BigEndian.Uint16(b[fixed:]) == typeOPT {
			q.readOPT(b[owner] == 0, b[fixed:offset])
		}
	}
}

// skipName returns the offset of what follows a name; 0 if the name runs out of the message.
func skipName(b []byte, offset int) int {
	for offset < len(b) {
		n := int(b[offset])
		switch {
		case n == 0:
			return offset + 1
		case n >= 0xC0:
			return offset + 2
		case n > 63:
			return 0
		}
		offset += 1 + n
	}
	return 0
}
