// Package mmdb reads MaxMind-format databases into a geo.Table; it holds the embedded default.
//
// It keeps no file open, watches nothing and logs nothing: a file is read whole, and a table is
// independent of it. It takes no coordinates for granted: a place that no file locates is put at
// its country's centroid.
//
// A damaged file is an error that names it, never a panic and never half a table. Several files make
// one table: each address has what all of them know of it, and where two disagree the later one holds.
//
// The default says the country of every announced prefix as of 2026-06-17 (IPtoASN, packed by ip-location-db
// 2.3.2026061719, PDDL-1.0: public domain). Centroids are computed from Natural Earth 4.1.0 (public domain, packed
// by world-atlas 2.0.2, ISC). See CREDITS.
package mmdb

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

//go:generate go run ./gen

//go:embed embedded.mmdb.gz
var embedded []byte

// Embedded stands in Info.Path for the default database.
const Embedded = "embedded"

// An Info says which database a table was made from. Infos compare by ==, but for the time's location (UTC).
type Info struct {
	Path     string    `json:"path"`     // as given, or Embedded
	Type     string    `json:"type"`     // database_type of its metadata: GeoLite2-City
	Built    time.Time `json:"built"`    // build_epoch of its metadata
	Networks int       `json:"networks"` // networks it has data for
}

// Load is Read without the infos.
func Load(paths []string) (*geo.Table, error) {
	table, _, err := Read(paths)
	return table, err
}

// Default returns the table of the embedded country database.
func Default() (*geo.Table, error) { return Load(nil) }

// Read makes one table from the files, in this order, and says what each is; without paths, from the embedded database.
//
// An address is placed by the network around it in every file. Of a field that two files know, the later file's
// value holds, and then nothing finer is taken from the earlier one: a later file that moves a network to another
// country takes the earlier city away too. The continent and the coordinates that no file knows are the country's.
//
// The error has a line for each file that is missing, damaged or of an unsupported type; it names the file.
func Read(paths []string) (*geo.Table, []Info, error) {
	files, err := open(paths)
	if err != nil {
		return nil, nil, err
	}
	return tableOf(files)
}

func tableOf(files []*file) (*geo.Table, []Info, error) {
	var b geo.Builder
	if err := addAll(&b, files); err != nil {
		return nil, nil, err
	}
	infos := make([]Info, len(files))
	for i, f := range files {
		infos[i] = f.info
	}
	return b.Build(), infos, nil
}

// addAll adds what the files know. Most networks are of few places, so each of a file's is looked up once.
func addAll(b *geo.Builder, files []*file) error {
	known := make([]placeIDs, len(files))
	return merge(files, func(p netip.Prefix, f, place int) error {
		return b.AddID(p, known[f].of(place, func() geo.PlaceID { return b.Intern(complete(files[f].places[place])) }))
	}, func(p netip.Prefix, place geo.Place) error { return b.Add(p, complete(place)) })
}

// placeIDs are the numbers of a file's places, as far as they came up; one more than each.
type placeIDs []geo.PlaceID

func (ids *placeIDs) of(place int, intern func() geo.PlaceID) geo.PlaceID {
	for len(*ids) <= place {
		*ids = append(*ids, 0)
	}
	if (*ids)[place] == 0 {
		(*ids)[place] = intern() + 1
	}
	return (*ids)[place] - 1
}

func open(paths []string) ([]*file, error) {
	if len(paths) == 0 {
		data, err := unpack(embedded)
		if err != nil {
			return nil, err
		}
		f, err := parse(Embedded, data)
		return []*file{f}, err
	}
	files, errs := make([]*file, len(paths)), make([]error, len(paths))
	for i, path := range paths {
		data, err := readFile(path)
		if err == nil {
			files[i], err = parse(path, data)
		}
		errs[i] = err
	}
	return files, errors.Join(errs...)
}

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Embedded, err)
	}
	var data bytes.Buffer
	size := binary.LittleEndian.Uint32(packed[len(packed)-4:]) // RFC 1952, section 2.3.1: ISIZE
	data.Grow(int(min(size, maxFileSize)) + bytes.MinRead)
	if _, err := data.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("%s: %w", Embedded, err)
	}
	return data.Bytes(), nil
}
