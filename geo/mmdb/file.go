package mmdb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/netip"
	"os"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/meridian-gslb/meridian/geo"
)

// maxFileSize limits what one file takes of memory while it is read. The largest City databases are under 200 MB.
const maxFileSize = 1 << 30

// A file is one database, open in memory. Its networks can be walked once.
type file struct {
	info   Info
	reader *maxminddb.Reader
	decode decoder

	// Many networks share a record, and many records differ only in what a Place has no field for.
	// Both are decoded and kept once.
	places   []geo.Place
	byOffset map[uintptr]int
	byPlace  map[geo.Place]int
}

// A network is one leaf of a database: the place is an index into its file's places.
type network struct {
	prefix netip.Prefix
	place  int
}

// readFile reads instead of mapping: a mapped file that is rewritten in place kills the process.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, pathError(path, err)
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFileSize)
	}
	return data, nil
}

// pathError puts the file first, as all our errors do; os puts the system call before it.
func pathError(path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// parse opens the database in data. The caller leaves data unchanged.
func parse(path string, data []byte) (*file, error) {
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
		info:     Info{Path: path, Type: m.DatabaseType, Built: m.BuildTime().UTC()},
		reader:   reader,
		decode:   decode,
		byOffset: map[uintptr]int{},
		byPlace:  map[geo.Place]int{},
	}, nil
}

var (
	allIPv4   = netip.MustParsePrefix("0.0.0.0/0")
	firstIPv6 = netip.IPv6Unspecified()
)

// networks walks the networks that have data, IPv4 before IPv6, each family in order of address; none overlap.
// It ends after the first error.
func (f *file) networks() iter.Seq2[network, error] {
	return func(yield func(network, error) bool) {
		leaves := 0
		for result := range f.reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
			// A tree of n nodes has at most n+1 leaves. One whose nodes meet or loop can have 2^128.
			if leaves++; leaves > int(f.reader.Metadata.NodeCount)+1 {
				yield(network{}, fmt.Errorf("%s: damaged: the search tree is not a tree", f.info.Path))
				return
			}
			if err := result.Err(); err != nil {
				yield(network{}, fmt.Errorf("%s: damaged: %w", f.info.Path, err))
				return
			}
			if !result.Found() {
				continue
			}
			place, err := f.place(result)
			if err != nil {
				yield(network{}, err)
				return
			}
			f.info.Networks++
			p := result.Prefix()
			// IPv4 lives in ::/96 of an IPv6 tree, so a leaf above that holds all of IPv4.
			if p.Addr() == firstIPv6 && p.Bits() <= 96 && !yield(network{allIPv4, place}, nil) {
				return
			}
			if !yield(network{p, place}, nil) {
				return
			}
		}
	}
}

func (f *file) place(result maxminddb.Result) (int, error) {
	if i, ok := f.byOffset[result.Offset()]; ok {
		return i, nil
	}
	place, err := f.decode(result)
	if err != nil {
		return 0, fmt.Errorf("%s: record of %v: %w", f.info.Path, result.Prefix(), err)
	}
	i, ok := f.byPlace[place]
	if !ok {
		i = len(f.places)
		f.places = append(f.places, place)
		f.byPlace[place] = i
	}
	f.byOffset[result.Offset()] = i
	return i, nil
}
