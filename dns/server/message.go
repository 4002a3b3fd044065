package server

import "encoding/binary"

// What the server itself reads of messages. It trusts none of their lengths.

const (
	headerSize   = 12
	questionTail = 4  // bytes of a question behind its name
	recordTail   = 10 // bytes of a record between its name and its data

	servFail = 2
	classANY = 255

	opcodeQuery  = 0
	opcodeNotify = 4 // RFC 1996
	opcodeUpdate = 5 // RFC 2136

	typeSOA  = 6
	typeOPT  = 41
	typeTSIG = 250 // RFC 8945
	typeIXFR = 251 // RFC 1995
	typeAXFR = 252 // RFC 5936

	optionKeepalive = 11 // RFC 7828
)

// isUpkeep reports whether a message is about zones rather than names.
func isUpkeep(message []byte) bool {
	if len(message) < headerSize || message[2]&0x80 != 0 {
		return false
	}
	switch message[2] >> 3 & 15 {
	case opcodeNotify, opcodeUpdate:
		return true
	case opcodeQuery:
		switch questionType(message) {
		case typeIXFR, typeAXFR:
			return true
		}
		return isSigned(message)
	}
	return false
}

// isSigned reports whether the last record of a message is a TSIG record, which is of class ANY with TTL 0 (RFC 8945, sections 4.2
// and 5.1).
func isSigned(message []byte) (signed bool) {
	if binary.BigEndian.Uint16(message[10:]) == 0 {
		return false
	}
	records(message, func(r record) {
		signed = r.section == 3 && r.rtype == typeTSIG && r.class == classANY && r.ttl == 0
	})
	return signed
}

// appendBusy appends the answer to a request that there is no room for: SERVFAIL, with nothing but the question.
func appendBusy(b, message []byte) []byte {
	end := headerSize
	if questionType(message) != 0 {
		end = skipName(message, headerSize) + questionTail
	}
	start := len(b)
	b = append(b, message[:end]...)
	header := b[start:]
	header[2] = header[2]&0x79 | 0x80 // the opcode and RD stay
	header[3] = servFail
	clear(header[4:headerSize])
	if end > headerSize {
		header[5] = 1
	}
	return b
}

// mayBeSigned reports whether a message ends as one with a TSIG record does: with its ID, no error and no other data. Next to no
// other does, so this is all that most queries pay.
func mayBeSigned(message []byte) bool {
	end := message[len(message)-6:]
	return message[10]|message[11] != 0 && end[2]|end[3]|end[4]|end[5] == 0 && end[0] == message[0] && end[1] == message[1]
}

// isUpkeepDatagram is isUpkeep for UDP, where there is no AXFR (RFC 5936, section 4.2). Most queries need one look: an
// IXFR has a SOA record in its authority section (RFC 1995, section 3), where others have nothing.
func isUpkeepDatagram(message []byte) bool {
	if len(message) < headerSize || message[2]&0x78 == 0 && message[8]|message[9] == 0 && !mayBeSigned(message) {
		return false
	}
	return isUpkeep(message) && questionType(message) != typeAXFR
}

// questionType returns the type of the first question; 0 where there is none.
func questionType(message []byte) uint16 {
	if len(message) < headerSize || binary.BigEndian.Uint16(message[4:]) == 0 {
		return 0
	}
	end := skipName(message, headerSize)
	if end == 0 || end+questionTail > len(message) {
		return 0
	}
	return binary.BigEndian.Uint16(message[end:])
}

// skipName returns the offset of what follows a name; 0 if the message ends before.
func skipName(b []byte, offset int) int {
	for offset < len(b) {
		switch n := int(b[offset]); {
		case n == 0:
			return offset + 1
		case n >= 0xC0:
			return offset + 2
		default:
			offset += 1 + n
		}
	}
	return 0
}

// A record is one of a message, without its name.
type record struct {
	section int // 1 answer, 2 authority, 3 additional
	rtype   uint16
	class   uint16
	ttl     uint32
	data    []byte
}

// records calls visit for each record, until the message ends or has a mistake.
func records(b []byte, visit func(record)) {
	if len(b) < headerSize {
		return
	}
	offset := headerSize
	for range binary.BigEndian.Uint16(b[4:]) {
		if offset = skipName(b, offset); offset == 0 {
			return
		}
		offset += questionTail
	}
	for section := 1; section <= 3; section++ {
		for range binary.BigEndian.Uint16(b[4+2*section:]) {
			offset = skipName(b, offset)
			if offset == 0 || offset+recordTail > len(b) {
				return
			}
			data := offset + recordTail
			end := data + int(binary.BigEndian.Uint16(b[data-2:]))
			if end > len(b) {
				return
			}
			visit(record{section, binary.BigEndian.Uint16(b[offset:]), binary.BigEndian.Uint16(b[offset+2:]), binary.BigEndian.Uint32(b[offset+4:]), b[data:end]})
			offset = end
		}
	}
}

// hasOption reports whether the OPT record of a message has an option.
func hasOption(message []byte, code uint16) (has bool) {
	records(message, func(r record) {
		if r.rtype != typeOPT {
			return
		}
		for options := r.data; len(options) >= 4; {
			has = has || binary.BigEndian.Uint16(options) == code
			options = options[min(4+int(binary.BigEndian.Uint16(options[2:])), len(options)):]
		}
	})
	return has
}

// freshness is for how many seconds an answer may be kept: the smallest TTL of its records, or where it says that there
// is nothing, what the SOA record says about that (RFC 8484, section 5.1, and RFC 2308, section 5). Other answers are not
// to be kept.
func freshness(message []byte) uint32 {
	const never = 1<<32 - 1
	smallest := uint32(never)
	records(message, func(r record) {
		switch {
		case r.section == 1:
			smallest = min(smallest, positiveTTL(r.ttl))
		case r.section == 2 && r.rtype == typeSOA && len(r.data) >= 4:
			minimum := binary.BigEndian.Uint32(r.data[len(r.data)-4:])
			smallest = min(smallest, positiveTTL(r.ttl), positiveTTL(minimum))
		}
	})
	if smallest == never {
		return 0
	}
	return smallest
}

// positiveTTL takes a TTL with the highest bit set for 0 (RFC 2181, section 8).
func positiveTTL(ttl uint32) uint32 {
	if ttl >= 1<<31 {
		return 0
	}
	return ttl
}
