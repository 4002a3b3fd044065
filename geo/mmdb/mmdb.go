// Package mmdb reads MaxMind-format databases into a geo.Table; it holds the embedded default.
//
// It keeps no file open, watches nothing and logs nothing: a file is read whole, and a table is
// independent of it. It takes no coordinates for granted: a place that no file locates is put at
// its country's centroid.
//
// A damaged file is an error that names it, never a panic and never half a table. Several files make
// one table: each address has what all of them know of it, and where two disagree the later one holds. Over that lie the prefixes
// that an operator's files place. A cache of what the databases say is taken only if it is whole and was made of the very same ones.
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
	table, sources, err := read(paths)
	if err != nil {
		return nil, nil, err
	}
	infos := make([]Info, len(sources))
	for i, s := range sources {
		infos[i] = s.Info
	}
	return table, infos, nil
}

func read(paths []string) (*geo.Table, []source, error) {
	var tables []*geo.Table
	var sources []source
	var errs []error
	finish := complete
	if len(paths) > 1 {
		finish = func(p geo.Place) geo.Place { return p } // it is complete when all are together
	}
	add := func(path string, data []byte, err error) {
		var t *geo.Table
		var s source
		if err == nil {
			t, s, err = tableOf(path, data, finish)
		}
		tables, sources, errs = append(tables, t), append(sources, s), append(errs, err)
	}
	if len(paths) == 0 {
		data, err := unpack(embedded)
		add(Embedded, data, err)
	}
	for _, path := range paths { // one after the other: a file takes more memory than its table
		data, err := readFile(path, maxFileSize)
		add(path, data, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	return together(tables), sources, nil
}

// tableOf returns what one database knows, and what it is.
func tableOf(path string, data []byte, finish func(geo.Place) geo.Place) (*geo.Table, source, error) {
	f, err := parse(path, data, finish)
	if err != nil {
		return nil, source{}, err
	}
	var b geo.Builder
	if err := f.fill(&b); err != nil {
		return nil, source{}, err
	}
	s := sourceIn(data, f.info)
	return b.Build(), s, nil // without the data, of which nothing is needed any more
}

// together returns what tables know together, the later ones over the earlier ones.
func together(tables []*geo.Table) *geo.Table {
	all := tables[0]
	for i, t := range tables[1:] {
		place := refine
		if i == len(tables)-2 {
			place = func(earlier, later geo.Place) geo.Place { return complete(refine(earlier, later)) }
		}
		all = all.Combine(t, place)
	}
	return all
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
