package dnssec

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

const recordHead = 12 // bytes of a record in answer form before its RDATA

// A record is one of a set in answer form. It points into the set.
type record struct {
	rrtype, class uint16
	ttl           uint32
	data          []byte
}

// cutRecord takes the first record off a set.
func cutRecord(set []byte) (r record, rest []byte, err error) {
	if len(set) < recordHead || set[0] != 0xC0 || set[1] != 12 {
		return r, nil, fmt.Errorf("%d bytes left of a set are no record with the owner C00C", len(set))
	}
	r.rrtype = binary.BigEndian.Uint16(set[2:])
	r.class = binary.BigEndian.Uint16(set[4:])
	r.ttl = binary.BigEndian.Uint32(set[6:])
	end := recordHead + int(binary.BigEndian.Uint16(set[10:]))
	if end > len(set) {
		return r, nil, fmt.Errorf("a record of %d bytes, of which the set holds %d", end, len(set))
	}
	r.data = set[recordHead:end]
	return r, set[end:], nil
}

// appendHead appends what stands before the RDATA of a record in answer form.
func appendHead(dst []byte, rrtype uint16, ttl uint32, length int) []byte {
	dst = append(dst, 0xC0, 12)
	dst = binary.BigEndian.AppendUint16(dst, rrtype)
	dst = binary.BigEndian.AppendUint16(dst, classIN)
	dst = binary.BigEndian.AppendUint32(dst, ttl)
	return binary.BigEndian.AppendUint16(dst, uint16(length))
}

// AppendRecord appends a record in answer form. data holds at most 65535 bytes.
func AppendRecord(dst []byte, rrtype uint16, ttl uint32, data []byte) []byte {
	return append(appendHead(dst, rrtype, ttl, len(data)), data...)
}

// nameLength returns the length in bytes of the uncompressed name that b begins with, 0 if there is none.
func nameLength(b []byte) int {
	for i := 0; i < len(b) && i < maxName; i += 1 + int(b[i]) {
		if b[i] == 0 {
			return i + 1
		}
		if b[i] > maxLabel {
			return 0
		}
	}
	return 0
}

// Labels returns the number of labels of a name as an RRSIG counts them: without the root and a leading asterisk
// (RFC 4034, section 3.1.3).
func Labels(name []byte) uint8 {
	n := countLabels(name)
	if isWildcard(name) {
		n--
	}
	return uint8(n)
}

func isWildcard(name []byte) bool { return len(name) > 2 && name[0] == 1 && name[1] == '*' }

func countLabels(name []byte) int {
	n := 0
	for ; name[0] != 0; name = name[1+int(name[0]):] {
		n++
	}
	return n
}

// within reports whether a name is an ancestor's or lies below it.
func within(name, ancestor []byte) bool {
	for len(name) > len(ancestor) {
		name = name[1+int(name[0]):]
	}
	return string(name) == string(ancestor)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// Median returns the median of durations, of an even number the one nearer to 0; 0 of none. The order of them changes.
func Median(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	high := of[len(of)/2]
	if len(of)%2 == 1 {
		return high
	}
	if low := of[len(of)/2-1]; low.Abs() < high.Abs() {
		return low
	}
	return high
}

// CompareNames orders names in wire form and lower case canonically (RFC 4034, section 6.1): by their labels from the
// right, each as bytes, of which none comes first.
func CompareNames(a, b []byte) int {
	var startsA, startsB [maxName]uint8
	x, y := labelStarts(&startsA, a), labelStarts(&startsB, b)
	for x > 0 && y > 0 {
		x, y = x-1, y-1
		if c := bytes.Compare(labelAt(a, startsA[x]), labelAt(b, startsB[y])); c != 0 {
			return c
		}
	}
	return cmp.Compare(x, y)
}

// labelStarts notes where the labels of a name begin and returns how many there are.
func labelStarts(starts *[maxName]uint8, name []byte) (n int) {
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		starts[n], n = uint8(i), n+1
	}
	return n
}

func labelAt(name []byte, start uint8) []byte {
	return name[int(start)+1 : int(start)+1+int(name[start])]
}
