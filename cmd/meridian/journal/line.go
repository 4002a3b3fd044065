package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A line is a JSON object that ends with the checksum of what is before it: {…,"crc32":"0123abcd"}.
const (
	maxLine  = 64 << 10 // bytes
	checksum = `,"crc32":"`
	sumEnd   = "\"}\n"
	sumSize  = len(checksum) + 8 + len(sumEnd)

	version = 1
)

// What is left of an event that is too long for a line: its evidence not at all. JSON may need six bytes for one.
const (
	maxText    = 8 << 10
	maxSubject = 1 << 10
)

var errLine = errors.New("not as it was written")

func appendLine(b []byte, e health.Event) []byte {
	e.Time = e.Time.UTC()
	text, err := json.Marshal(&e)
	if err == nil && len(text)+sumSize > maxLine {
		e.Evidence, e.Subject, e.Text = nil, cut(e.Subject, maxSubject), cut(e.Text, maxText)
		text, err = json.Marshal(&e)
	}
	if err != nil {
		panic(fmt.Sprintf("journal: event %+v does not encode: %v", e, err)) // structs of strings, numbers and times always do
	}
	return appendSum(b, text)
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func appendSum(b, object []byte) []byte {
	begin := len(b)
	b = append(b, object[:len(object)-1]...)
	return fmt.Appendf(b, "%s%08x%s", checksum, crc32.ChecksumIEEE(b[begin:]), sumEnd)
}

// sound reports whether a line is as it was written.
func sound(line []byte) bool {
	n := len(line) - sumSize
	if n <= 0 || len(line) > maxLine {
		return false
	}
	return string(line[n:]) == fmt.Sprintf("%s%08x%s", checksum, crc32.ChecksumIEEE(line[:n]), sumEnd)
}

// parseLine reads the event of a line that is sound.
func parseLine(line []byte) (e health.Event, err error) {
	err = json.Unmarshal(line, &e)
	return e, err
}

// timeOf returns when the event of a line was, without the rest of it; zero: the line is no event.
func timeOf(line []byte) time.Time {
	const key = `,"time":"`
	_, rest, found := bytes.Cut(line, []byte(key))
	text, _, ended := bytes.Cut(rest, []byte(`"`))
	if !found || !ended {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return time.Time{}
	}
	return at
}

// kindOf is timeOf for the kind.
func kindOf(line []byte) health.EventKind {
	var e struct{ Kind health.EventKind }
	_ = json.Unmarshal(line, &e) // then it has none
	return e.Kind
}

const headerStart = `{"journal":`

func headerOf(node health.NodeID) []byte {
	text, err := json.Marshal(struct {
		Journal int           `json:"journal"`
		Node    health.NodeID `json:"node"`
	}{version, node})
	if err != nil {
		panic(err) // a number and a string
	}
	return appendSum(nil, text)
}

// versionOf returns that of the segment whose first line it is; 0: it is no such line.
func versionOf(line []byte) (v int) {
	if !bytes.HasPrefix(line, []byte(headerStart)) {
		return 0
	}
	var h struct{ Journal int }
	if json.Unmarshal(line, &h) != nil {
		return 0
	}
	return h.Journal
}

// A scanned is what was found in a segment, or in part of one.
type scanned struct {
	end  int64 // of the last whole line
	torn int64 // bytes behind it: of a line that was never finished
	bad  int   // whole lines that are not as they were written
}

// scan calls each with every sound line, and where it ends, until that is false. It has one line in memory, which each must
// not keep.
func scan(r io.Reader, from int64, each func(line []byte, end int64) bool) (s scanned, err error) {
	s.end = from
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		size := int64(len(line))
		long := false
		for errors.Is(err, bufio.ErrBufferFull) {
			long = true
			line, err = in.ReadSlice('\n')
			size += int64(len(line))
		}
		if errors.Is(err, io.EOF) {
			s.torn = size
			return s, nil
		}
		if err != nil {
			return s, err
		}
		s.end += size
		if long || !sound(line) {
			s.bad++
			continue
		}
		if !each(line, s.end) {
			return s, nil
		}
	}
}
