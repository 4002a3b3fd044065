// Package master reads master files (zone files, RFC 1035 section 5).
//
// Read goes through a file once and hands over each record in wire format and each mistake with its line. A record that
// can't be read says nothing of the next: reading goes on behind it. Whether the records make a zone is for the receiver to
// judge. $GENERATE is understood, $INCLUDE is refused, for what a zone holds stands in one file.
//
// The package opens no file and holds none: it keeps one entry at a time, and records of the common types cost no
// allocation. What it hands over is well-formed: names are within their limits, and data unpacks as its type. Equal bytes
// give equal records and mistakes, however the reader portions them.
package master

import (
	"bytes"
	"fmt"
	"io"

	"github.com/miekg/dns"
)

const (
	firstBuffer  = 4 << 10 // most files are small, and there may be 100,000 of them
	bufferSize   = 64 << 10
	maxEntry     = 1 << 20 // bytes of one entry, with its comments
	maxMistakes  = 1000    // of a file, before reading stops
	maxData      = 65535   // RFC 1035, section 3.2.1: RDLENGTH has 16 bits
	maxName      = 255     // RFC 1035, section 2.3.4
	maxLabel     = 63
	maxString    = 255   // RFC 1035, section 3.3
	maxGenerated = 65536 // entries of one $GENERATE
	maxNoReads   = 100   // in a row that give neither bytes nor an error
)

// A Record is one record. It and what it points to are good until the call returns; the receiver copies what it keeps.
type Record struct {
	Owner []byte // wire format, uncompressed, case as written
	Type  uint16
	Class uint16
	TTL   uint32 // seconds; RFC 2181, section 8 allows up to 2147483647, which is for the receiver to check
	Data  []byte // RDATA in wire format, names uncompressed and in the case as written
	Line  int    // where the record begins, from 1; all that a $GENERATE makes begin on its line
}

// A Mistake is an entry that can't be read.
type Mistake struct {
	Line int
	// Text says which record it is, as far as that is known, and what is wrong with it. It is empty where the entry itself
	// is none: its owner is that of an entry that can't be read.
	Text string
	// Lost says that records are missing because of the entry: those of this owner and type, so that what else lacks
	// because of them is no second mistake.
	Lost  bool
	Owner string // canonical text, lower case and fully qualified; empty: may be any
	Type  uint16 // 0: may be any
}

// A Reader reads files one after another and keeps its buffers for the next. The zero Reader is ready for use, by one goroutine
// at a time; it must not be copied.
type Reader struct {
	scanner scanner
}

// Read reads a master file from its first byte to its end. The origin is a fully qualified name as text; another is a bug of
// the caller's, and Read panics. Where the rest of a file can't be understood (an $ORIGIN that can't be read, a parenthesis or
// quotation mark that is left open, 1000 mistakes), the last mistake says that it is read no further.
//
// Read returns the first error of source, of record or of mistake, as it is, and io.ErrNoProgress for a source that gives
// nothing; nothing else is an error. After one it calls neither function again. The functions must not call the Reader.
func (r *Reader) Read(source io.Reader, origin string, record func(*Record) error, mistake func(Mistake) error) error {
	s := &r.scanner
	s.reset()
	n, err := dns.PackDomainName(origin, s.origin[:cap(s.origin)], 0, nil, false)
	if err != nil || n > maxName || !dns.IsFqdn(origin) {
		panic(fmt.Sprintf("master: origin %q is not a fully qualified domain name", origin))
	}
	s.origin = s.origin[:n]
	s.source, s.record, s.mistake = source, record, mistake
	defer func() { s.source, s.record, s.mistake = nil, nil, nil }()
	return s.read()
}

// Read reads one file as a Reader does.
func Read(source io.Reader, origin string, record func(*Record) error, mistake func(Mistake) error) error {
	return new(Reader).Read(source, origin, record, mistake)
}

// A scanner reads one file.
type scanner struct {
	source  io.Reader
	record  func(*Record) error
	mistake func(Mistake) error

	buffer   []byte
	at, end  int // what of the buffer is not read yet
	complete bool
	stopped  bool // the rest of the file is not to be read

	own   entry
	entry *entry // that is read: own, or one that $GENERATE makes
	word  int    // of the entry, the next
	fault fault  // the first of the entry

	origin   []byte // wire format
	owner    []byte // wire format, of the last entry that had one; empty: unknown
	ttl      uint32 // of records that state none
	ttlKnown bool
	ttlFixed bool // by $TTL
	mistakes int

	out     Record
	data    []byte // RDATA of the record
	scratch []byte
	types   *bitmap // nil until a record has one
}

// reset makes the scanner as for a first file, but for buffers of usual size.
func (s *scanner) reset() {
	const usualWords = bufferSize / 64
	old := *s
	*s = scanner{origin: old.origin[:0], owner: old.owner[:0], types: old.types}
	if s.origin == nil {
		s.origin, s.owner, s.data = make([]byte, 0, maxName+1), make([]byte, 0, maxName+1), make([]byte, 0, 2*maxName)
	}
	if len(old.buffer) <= bufferSize {
		s.buffer = old.buffer
	}
	if cap(old.own.words) <= usualWords {
		s.own.words = old.own.words[:0]
	}
	if cap(old.data) <= bufferSize && old.data != nil {
		s.data = old.data[:0]
	}
	if cap(old.scratch) <= bufferSize {
		s.scratch = old.scratch[:0]
	}
	s.own.line = 1
	s.entry = &s.own
}

func (s *scanner) read() error {
	for !s.stopped {
		if !s.own.split(s.buffer[s.at:s.end]) {
			switch {
			case s.complete:
				return s.finish()
			case s.end-s.at >= maxEntry-1:
				return s.tooLong()
			}
			if err := s.fill(); err != nil {
				return err
			}
			continue
		}
		if err := s.readEntry(); err != nil {
			return err
		}
		s.at += s.own.size
		s.own.line = s.own.lastLine + 1
	}
	return nil
}

// fill makes the rest of the buffer begin at its first byte and fills it up. The buffer grows as the file goes on, beyond
// bufferSize only where an entry takes all of it.
func (s *scanner) fill() error {
	size := len(s.buffer)
	switch {
	case size == 0:
		size = firstBuffer
	case size < bufferSize:
		size *= 4
	case s.at == 0 && s.end >= size-1:
		size *= 2
	}
	to := s.buffer
	if size != len(to) {
		to = make([]byte, size)
	}
	copy(to, s.buffer[s.at:s.end])
	s.buffer = to
	s.at, s.end = 0, s.end-s.at
	for empty := 0; s.end < len(s.buffer)-1; { // one byte is left for the last line break
		n, err := s.source.Read(s.buffer[s.end : len(s.buffer)-1])
		s.end += n
		switch {
		case err == io.EOF:
			s.complete = true
			s.buffer[s.end] = '\n' // the last line may lack its own
			s.end++
			return nil
		case err != nil:
			return err
		case n > 0:
			empty = 0
		default:
			if empty++; empty == maxNoReads {
				return io.ErrNoProgress
			}
		}
	}
	return nil
}

// finish tells of an entry that is not ended at the end of the file.
func (s *scanner) finish() error {
	e := s.entry
	s.begin()
	switch {
	case e.quoteLine != 0:
		s.failAt(e.brokenLine, "a quotation mark is never closed")
	case e.depth > 0:
		s.failAt(e.openLine, "a parenthesis is never closed")
	default:
		return nil
	}
	return s.refuseRest()
}

// tooLong tells of an entry that is longer than what is kept of a file. Where it ends is not looked for: a parenthesis or
// quotation mark was forgotten.
func (s *scanner) tooLong() error {
	e := s.entry
	s.begin()
	switch {
	case e.quoteLine != 0:
		s.failAt(e.quoteLine, "is longer than %d MiB, and a quotation mark is not closed", maxEntry>>20)
	case e.depth > 0:
		s.failAt(e.openLine, "is longer than %d MiB, and a parenthesis is not closed", maxEntry>>20)
	default:
		s.failAt(e.line, "is longer than %d MiB", maxEntry>>20)
	}
	return s.refuseRest()
}

// begin sets the entry to its first word.
func (s *scanner) begin() {
	s.word = 0
	s.fault = fault{}
}

// readEntry reads one entry: a record, a directive or nothing.
func (s *scanner) readEntry() error {
	if len(s.entry.words) == 0 {
		return nil
	}
	s.begin()
	if d := s.entry.directive(); d != noDirective {
		return s.readDirective(d)
	}
	return s.readRecord()
}

// text returns a word as it is written, without its quotation marks.
func (s *scanner) text(w word) []byte {
	return s.entry.text[w.start:w.end]
}

// isWord reports whether a word is these letters, in whatever case.
func isWord(text []byte, upper string) bool {
	return len(text) == len(upper) && bytes.EqualFold(text, []byte(upper))
}
