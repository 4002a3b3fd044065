package dnssec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// The types whose RDATA holds names that are lowered (RFC 4034, section 6.2, without NSEC and HINFO: RFC 6840, section 5.1):
// so many bytes, then so many names, then the rest as it is. NAPTR and A6 have bytes of their own before the name.
func lowered(rrtype uint16) (fixed, names int) {
	switch rrtype {
	case 2, 3, 4, 5, 7, 8, 9, 12, 30, 39: // NS MD MF CNAME MB MG MR PTR NXT DNAME
		return 0, 1
	case 6, 14, 17: // SOA MINFO RP
		return 0, 2
	case 15, 18, 21, 36: // MX AFSDB RT KX
		return 2, 1
	case 26: // PX
		return 2, 2
	case 33: // SRV
		return 6, 1
	case 24: // SIG
		return 18, 1
	case 35: // NAPTR
		return 4, 1
	case 38: // A6
		return 1, 1
	}
	return 0, 0
}

// appendCanonical appends RDATA in canonical form. Names in it must not be compressed.
func appendCanonical(dst []byte, rrtype uint16, data []byte) ([]byte, error) {
	fixed, names := lowered(rrtype)
	if names == 0 {
		return append(dst, data...), nil
	}
	if len(data) < fixed {
		return nil, fmt.Errorf("type %d: %d bytes of RDATA, want %d and a name", rrtype, len(data), fixed)
	}
	switch rrtype {
	case 35: // flags, services and regular expression (RFC 3403, section 4.1)
		for range 3 {
			if fixed >= len(data) {
				return nil, fmt.Errorf("type %d: RDATA ends in its strings", rrtype)
			}
			fixed += 1 + int(data[fixed])
		}
	case 38: // the rest of an address, and a name unless that is a whole one (RFC 2874, section 3.1)
		if data[0] > 128 {
			return nil, fmt.Errorf("type %d: prefix length %d, want at most 128", rrtype, data[0])
		}
		fixed += (128 - int(data[0]) + 7) / 8
		if data[0] == 0 {
			names = 0
		}
	}
	if fixed > len(data) {
		return nil, fmt.Errorf("type %d: RDATA of %d bytes ends before its name", rrtype, len(data))
	}
	dst = append(dst, data[:fixed]...)
	for data = data[fixed:]; names > 0; names-- {
		n := nameLength(data)
		if n == 0 {
			return nil, fmt.Errorf("type %d: RDATA holds no whole, uncompressed name", rrtype)
		}
		for _, c := range data[:n] { // no length of a label is a letter
			dst = append(dst, lower(c))
		}
		data = data[n:]
	}
	return append(dst, data...), nil
}

// A span is where a record in canonical form lies in a buffer, and where its RDATA begins.
type span struct{ from, data, to int }

// appendSigned appends the records of a set as they are signed (RFC 4034, sections 3.1.8.1, 6.2 and 6.3): canonical,
// in order, each once. It returns the type that they share.
func appendSigned(dst, owner, set []byte, c Cover) (signed []byte, rrtype uint16, err error) {
	labels := countLabels(owner)
	expanded := labels > int(c.Labels)
	if labels < int(c.Labels) || len(set) == 0 {
		return nil, 0, fmt.Errorf("%d labels and %d bytes of records at an owner of %d labels", c.Labels, len(set), labels)
	}
	for ; labels > int(c.Labels); labels-- {
		owner = owner[1+int(owner[0]):]
	}
	var few [16]span
	spans := few[:0]
	begin := len(dst)
	for len(set) > 0 {
		var r record
		if r, set, err = cutRecord(set); err != nil {
			return nil, 0, err
		}
		if rrtype == 0 {
			rrtype = r.rrtype
		}
		if r.rrtype != rrtype || r.class != classIN {
			return nil, 0, fmt.Errorf("type %d, class %d in a set of type %d, class %d", r.rrtype, r.class, rrtype, classIN)
		}
		s := span{from: len(dst)}
		if expanded { // the wildcard is what is signed (RFC 4035, section 5.3.2)
			dst = append(dst, 1, '*')
		}
		dst = append(dst, owner...)
		dst = binary.BigEndian.AppendUint16(dst, rrtype)
		dst = binary.BigEndian.AppendUint16(dst, classIN)
		dst = binary.BigEndian.AppendUint32(dst, c.OriginalTTL)
		dst = append(dst, 0, 0)
		s.data = len(dst)
		if dst, err = appendCanonical(dst, rrtype, r.data); err != nil {
			return nil, 0, err
		}
		s.to = len(dst)
		binary.BigEndian.PutUint16(dst[s.data-2:], uint16(s.to-s.data))
		spans = append(spans, s)
	}
	return sortSpans(dst, begin, spans), rrtype, nil
}

// sortSpans brings the records behind begin into the order of their RDATA and drops those that are there twice.
func sortSpans(buffer []byte, begin int, spans []span) []byte {
	data := func(s span) []byte { return buffer[s.data:s.to] }
	inOrder := true
	for i := 1; i < len(spans); i++ {
		inOrder = inOrder && bytes.Compare(data(spans[i-1]), data(spans[i])) < 0
	}
	if inOrder {
		return buffer
	}
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(data(a), data(b)) })
	spans = slices.CompactFunc(spans, func(a, b span) bool { return bytes.Equal(data(a), data(b)) })
	end := len(buffer)
	for _, s := range spans {
		buffer = append(buffer, buffer[s.from:s.to]...)
	}
	return append(buffer[:begin], buffer[end:]...)
}
