package wire

import (
	"encoding/binary"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// The sections of an answer, as indices of message.counts.
const (
	sectionAnswer = iota
	sectionAuthority
	sectionAdditional
)

// atQuestion is the offset of the question's name in every message, and what packed record sets point to.
const atQuestion = headerSize

// A message is an answer in the making. It stands at the end of bytes.
type message struct {
	bytes  []byte
	start  int // of the message in bytes
	body   int // where its records begin in bytes
	limit  int // bytes that the message may have
	room   int // bytes that records may still take: the OPT record has its place already
	counts [3]uint16
	full   bool // something did not fit, so the client is to ask again over TCP
}

// begin appends the header, which end completes, and the question.
func (m *message) begin(dst []byte, q *query) {
	m.start = len(dst)
	m.bytes = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	m.bytes = append(m.bytes, q.question...)
	m.body = len(m.bytes)
	m.limit = q.edns.limit(q.request.Limit)
	m.room = m.limit - (m.body - m.start) - q.edns.length()
}

// offset is where the next record will stand in the message.
func (m *message) offset() int { return len(m.bytes) - m.start }

// take reports whether size bytes of records still fit, and takes them off the room.
func (m *message) take(size int) bool {
	if !m.fits(size) {
		m.full = true
		return false
	}
	m.room -= size
	return true
}

// at returns the message from an offset on.
func (m *message) at(offset int) []byte { return m.bytes[m.start+offset:] }

// add appends a record set whose owner stands at an offset of the message.
func (m *message) add(section int, set *zones.RecordSet, owner int) {
	if !m.take(len(set.Bytes)) {
		return
	}
	at := len(m.bytes)
	m.bytes = append(m.bytes, set.Bytes...)
	if owner != atQuestion {
		for rest := m.bytes[at:]; len(rest) > 0; rest = rest[static.RecordSize(rest):] {
			binary.BigEndian.PutUint16(rest, 0xC000|uint16(owner))
		}
	}
	m.counts[section] += set.Count
}

// addOwned appends a record set whose owner does not stand in the message. The first record has it, the others point to that.
func (m *message) addOwned(section int, owner []byte, set *zones.RecordSet) {
	const pointer, farthest = 2, 0x3FFF
	at, copies := m.offset(), 1
	if at > farthest {
		copies = int(set.Count)
	}
	if !m.take(copies*(len(owner)-pointer) + len(set.Bytes)) {
		return
	}
	for rest := set.Bytes; len(rest) > 0; copies-- {
		if copies > 0 {
			m.bytes = append(m.bytes, owner...)
		} else {
			m.bytes = binary.BigEndian.AppendUint16(m.bytes, 0xC000|uint16(at))
		}
		size := static.RecordSize(rest)
		m.bytes = append(m.bytes, rest[pointer:size]...)
		rest = rest[size:]
	}
	m.counts[section] += set.Count
}

// fits reports whether so many bytes of records still have room.
func (m *message) fits(size int) bool { return !m.full && size <= m.room }

// addRaw appends whole records as they are.
func (m *message) addRaw(section int, set zones.RecordSet) {
	if !m.take(len(set.Bytes)) {
		return
	}
	m.bytes = append(m.bytes, set.Bytes...)
	m.counts[section] += set.Count
}

// setTTL gives all records from an offset on a TTL. Their owners are pointers.
func (m *message) setTTL(from int, ttl uint32) {
	for rest := m.at(from); len(rest) > 0; rest = rest[static.RecordSize(rest):] {
		binary.BigEndian.PutUint32(rest[6:], ttl)
	}
}

// truncate takes all records out again: a client that asks over TCP has no use for some of them (RFC 2181, section 9).
func (m *message) truncate() {
	m.bytes = m.bytes[:m.body]
	m.counts, m.full = [3]uint16{}, true
}

// end appends the OPT record and completes the header.
func (m *message) end(q *query, rcode uint16, authoritative bool, scope int, extended infoCode, optional [2][]byte) {
	if q.edns.present {
		m.bytes = q.edns.appendOPT(m.bytes, m.start, m.limit, rcode, scope, extended, optional)
		m.counts[sectionAdditional]++
	}
	flags := flagQR | q.flags&(maskOpcode|flagRD|flagCD) | rcode&15
	if authoritative {
		flags |= flagAA
	}
	if m.full {
		flags |= flagTC
	}
	header := m.bytes[m.start:]
	binary.BigEndian.PutUint16(header, q.id)
	binary.BigEndian.PutUint16(header[2:], flags)
	if q.question != nil {
		header[5] = 1
	}
	for section, count := range m.counts {
		binary.BigEndian.PutUint16(header[6+2*section:], count)
	}
}
