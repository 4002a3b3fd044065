package mmdb

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/meridian-gslb/meridian/geo"
)

// A cache is the table of databases in a file of our own, so that a start need not make it anew:
//
//	a line that names the format
//	the length of the header, 4 bytes, the low one first
//	the header, JSON: who made it, of which files
//	the table, as geo.Table writes it
//	the SHA-256 of all that
//
// It is taken only if the same version of the program made it of the very same databases, whatever their names and times.
const (
	cacheFormat = "meridian places v1\n"

	// compiled is the version of what tables are made of databases: what records are read for, how several files are taken
	// together, where countries lie. Whoever changes that changes this, which a test reminds of.
	compiled = 1

	maxCacheHeader = 1 << 20
	maxCacheSize   = 4 << 30
)

// errStale is why a sound cache is not taken.
var errStale = errors.New("stale")

// errDamaged is why a file is none.
var errDamaged = errors.New("damaged")

// A cacheHeader says what a table was made of, and by what.
type cacheHeader struct {
	Version  string   `json:"version"` // of the program
	Compiled int      `json:"compiled"`
	Sources  []source `json:"sources"`
}

// A source is a database that a table was made of, in order.
type source struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Info   Info   `json:"info"` // its path is that of the time
}

// same says why a table that was made of these databases is not of the others.
func (h *cacheHeader) same(o *cacheHeader) error {
	switch {
	case h.Version != o.Version || h.Compiled != o.Compiled:
		return fmt.Errorf("%w: made by version %s", errStale, h.Version)
	case len(h.Sources) != len(o.Sources):
		return fmt.Errorf("%w: made of %d databases, there are %d", errStale, len(h.Sources), len(o.Sources))
	}
	for i, s := range o.Sources {
		if h.Sources[i].Size != s.Size || h.Sources[i].SHA256 != s.SHA256 {
			return fmt.Errorf("%w: %s has changed", errStale, s.Info.Path)
		}
	}
	return nil
}

// sourceOf is the source that a file is now. Nothing of it is kept.
func sourceOf(path string) (source, error) {
	f, err := os.Open(path)
	if err != nil {
		return source{}, pathError(path, err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return source{}, pathError(path, err)
	}
	return source{Size: n, SHA256: hex.EncodeToString(sum.Sum(nil)), Info: Info{Path: path}}, nil
}

// sourceIn is the source that data was read from.
func sourceIn(data []byte, info Info) source {
	sum := sha256.Sum256(data)
	return source{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), Info: info}
}

// readCache reads the table in a file if it was made of what want says; nil: of anything. Errors name the file; one that is fs.ErrNotExist says that there
// is none.
func readCache(path string, want *cacheHeader) (*geo.Table, *cacheHeader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, pathError(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, pathError(path, err)
	}
	table, header, err := parseCache(f, info.Size(), want)
	if err != nil {
		return nil, nil, pathError(path, err)
	}
	return table, header, nil
}

// parseCache is readCache for what is in a file of a size.
func parseCache(r io.Reader, size int64, want *cacheHeader) (*geo.Table, *cacheHeader, error) {
	if size > maxCacheSize {
		return nil, nil, fmt.Errorf("%w: larger than %d bytes", errDamaged, int64(maxCacheSize))
	}
	sum := sha256.New()
	body := size - sha256.Size // what is summed up
	s := &summing{r: bufio.NewReaderSize(r, 256<<10), sum: sum, left: body}
	head := make([]byte, len(cacheFormat)+4)
	if _, err := io.ReadFull(s, head); err != nil || string(head[:len(cacheFormat)]) != cacheFormat {
		return nil, nil, fmt.Errorf("%w: not a cache of this format", errDamaged)
	}
	length := int64(binary.LittleEndian.Uint32(head[len(cacheFormat):]))
	if length > maxCacheHeader || length > s.left {
		return nil, nil, fmt.Errorf("%w: a header of %d bytes", errDamaged, length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(s, text); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	var header cacheHeader
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&header); err != nil {
		return nil, nil, fmt.Errorf("%w: header: %w", errDamaged, err)
	}
	if want != nil {
		if err := header.same(want); err != nil {
			return nil, nil, err // no need to read the rest
		}
	}
	table, err := geo.ReadTable(s, s.left)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if s.left > 0 {
		return nil, nil, fmt.Errorf("%w: %d bytes behind the table", errDamaged, s.left)
	}
	var have [sha256.Size]byte
	if _, err := io.ReadFull(s.r, have[:]); err != nil || !bytes.Equal(have[:], sum.Sum(nil)) {
		return nil, nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	return table, &header, nil
}

// summing sums up what is read, and ends where that is to end.
type summing struct {
	r    io.Reader
	sum  hash.Hash
	left int64
}

func (s *summing) Read(b []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.EOF
	}
	n, err := s.r.Read(b[:min(int64(len(b)), s.left)])
	s.sum.Write(b[:n])
	s.left -= int64(n)
	return n, err
}

// writeCache writes a table and what it was made of.
func writeCache(w io.Writer, table *geo.Table, header *cacheHeader) error {
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	sum := sha256.New()
	both := bufio.NewWriterSize(io.MultiWriter(w, sum), 256<<10)
	both.WriteString(cacheFormat)
	both.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(text))))
	both.Write(text)
	if _, err := table.WriteTo(both); err != nil {
		return err
	}
	if err := both.Flush(); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}
