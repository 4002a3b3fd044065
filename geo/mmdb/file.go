package mmdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"syscall"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/meridian-gslb/meridian/geo"
)

// maxFileSize limits what one file takes of memory while it is read. The largest City databases are under 200 MB.
const maxFileSize = 1 << 30

// A file is one database, open in memory. It fills one builder.
type file struct {
	info   Info
	reader *maxminddb.Reader
	decode decoder
	finish func(geo.Place) geo.Place // what becomes of each place

	records records // many networks share one
}

// readFile reads a file of at most so many bytes. It reads instead of mapping: a mapped file that is rewritten in place kills the process.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, pathError(path, err)
	}
	if info.IsDir() {
		return nil, pathError(path, syscall.EISDIR)
	}
	var data bytes.Buffer
	if info.Size() <= most {
		data.Grow(int(max(0, info.Size())) + bytes.MinRead)
		if _, err := data.ReadFrom(io.LimitReader(f, most+1)); err != nil {
			return nil, pathError(path, err)
		}
	}
	if info.Size() > most || int64(data.Len()) > most { // it may have grown
		return nil, pathError(path, fmt.Errorf("larger than %d bytes", most))
	}
	return data.Bytes(), nil
}

// pathError puts the file first, as all our errors do; os puts the system call before it.
func pathError(path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// parse opens the database in data. The caller leaves data unchanged.
func parse(path string, data []byte, finish func(geo.Place) geo.Place) (*file, error) {
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("%s: not a MaxMind-format database, or damaged: %w", path, err)
	}
	m := reader.Metadata
	decode, err := decoderOf(m.DatabaseType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &file{
		info:   Info{Path: path, Type: m.DatabaseType, Built: m.BuildTime().UTC()},
		reader: reader,
		decode: decode,
		finish: finish,
	}, nil
}

var (
	allIPv4   = netip.MustParsePrefix("0.0.0.0/0")
	firstIPv6 = netip.IPv6Unspecified()
)

// fill adds the networks that have data, IPv4 before IPv6, each family in order of address; none overlap. It ends with the first error.
func (f *file) fill(b *geo.Builder) error {
	leaves := 0
	for result := range f.reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
		// A tree of n nodes has at most n+1 leaves. One whose nodes meet or loop can have 2^128.
		if leaves++; leaves > int(f.reader.Metadata.NodeCount)+1 {
			return fmt.Errorf("%s: damaged: the search tree is not a tree", f.info.Path)
		}
		if err := result.Err(); err != nil {
			return fmt.Errorf("%s: damaged: %w", f.info.Path, err)
		}
		if !result.Found() {
			continue
		}
		place, err := f.place(b, result)
		if err != nil {
			return err
		}
		f.info.Networks++
		p := result.Prefix()
		// IPv4 lives in ::/96 of an IPv6 tree, so a leaf above that holds all of IPv4.
		if p.Addr() == firstIPv6 && p.Bits() <= 96 {
			if err := b.AddID(allIPv4, place); err != nil {
				return err
			}
		}
		if err := b.AddID(p, place); err != nil {
			return err
		}
	}
	return nil
}

// place returns the number of a record's place. A record is decoded once.
func (f *file) place(b *geo.Builder, result maxminddb.Result) (geo.PlaceID, error) {
	offset := uint32(result.Offset()) // below maxFileSize
	if id, ok := f.records.find(offset); ok {
		return id, nil
	}
	place, err := f.decode(result)
	if err != nil {
		return 0, fmt.Errorf("%s: record of %v: %w", f.info.Path, result.Prefix(), err)
	}
	id := b.Intern(f.finish(place))
	f.records.add(offset, id)
	return id, nil
}

// records are the places of those that were decoded, by their offsets. One is looked up for each of millions of networks, and a map
// waits for memory three times where this waits once.
type records struct {
	slots []decoded // 1 << bits, at least half of which are empty
	bits  int
	count int
}

// A decoded record was at an offset; the zero one is none.
type decoded struct {
	above uint32 // one more than its offset
	place geo.PlaceID
}

// slot returns the slot of an offset, or the empty one for it.
func (r *records) slot(above uint32) *decoded {
	i := above * 0x9e3779b1 >> (32 - r.bits) // Fibonacci hashing
	for r.slots[i].above != 0 && r.slots[i].above != above {
		i = (i + 1) & (1<<r.bits - 1)
	}
	return &r.slots[i]
}

func (r *records) find(offset uint32) (geo.PlaceID, bool) {
	if r.count == 0 {
		return 0, false
	}
	s := r.slot(offset + 1)
	return s.place, s.above != 0
}

func (r *records) add(offset uint32, place geo.PlaceID) {
	if 2*r.count >= len(r.slots) {
		old := r.slots
		r.bits = max(10, r.bits+1)
		r.slots = make([]decoded, 1<<r.bits)
		for _, s := range old {
			if s.above != 0 {
				*r.slot(s.above) = s
			}
		}
	}
	*r.slot(offset + 1) = decoded{offset + 1, place}
	r.count++
}
