package mmdb

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
)

func sample(t testing.TB) []byte {
	return testDB{kind: "GeoLite2-City", version: 6, recordSize: 24, networks: map[string]record{
		"5.0.0.0/8": germany, "5.5.0.0/16": sanJose, "2a00::/16": usa,
	}}.bytes(t)
}

// loop is a database whose nodes all have both branches at the next node: 2^24 leaves of 24 nodes.
func loop(t testing.TB) []byte {
	b := testDB{kind: "country ipv4", version: 4, recordSize: 24, networks: map[string]record{"5.5.5.0/24": {"country_code": "DE"}}}.bytes(t)
	for i := range uint32(23) {
		copy(b[i*6:], nodeBytes(i+1, i+1, 24))
	}
	return b
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		why  string
		data []byte
		want string // after the path
	}{
		{"empty", nil, "not a MaxMind-format database, or damaged: error opening database: invalid MaxMind DB file"},
		{"not a database", []byte("network,country\n"), "not a MaxMind-format database, or damaged: error opening database: invalid MaxMind DB file"},
		{"the end is missing", sample(t)[:500], "not a MaxMind-format database, or damaged: error opening database: invalid MaxMind DB file"},
		{"the metadata ends early", sample(t)[:len(sample(t))-20], "not a MaxMind-format database, or damaged: at offset 0, path /node_count: unexpected end of database"},
		{"the tree is missing", sample(t)[400:], "not a MaxMind-format database, or damaged: the MaxMind DB contains invalid metadata"},
		{"the tree loops", loop(t), "damaged: the search tree is not a tree"},
		{"no place in it", testDB{kind: "GeoIP2-Domain", version: 4, recordSize: 24, networks: map[string]record{"5.0.0.0/8": {"domain": "example.com"}}}.bytes(t),
			`unsupported database type "GeoIP2-Domain" (have GeoLite2-City, GeoLite2-Country, GeoLite2-ASN, the GeoIP2, Enterprise, ISP and DBIP types like them; city, country, asn of ip-location-db)`},
		{"another schema under a known name", testDB{kind: "GeoLite2-City", version: 4, recordSize: 24, networks: map[string]record{"5.0.0.0/8": {"city": "Berlin"}}}.bytes(t),
			"record of 5.0.0.0/8: decoding field city: at offset 6: maxminddb: cannot unmarshal String (decoder.Kind) into type geoip2.CityRecord"},
	} {
		path := filepath.Join(dir, "bad.mmdb")
		if err := os.WriteFile(path, row.data, 0o644); err != nil {
			t.Fatal(err)
		}
		table, err := Load([]string{path})
		if want := path + ": " + row.want; err == nil || err.Error() != want {
			t.Errorf("%s: Load = %v, %v, want %s", row.why, table, err, want)
		}
	}
}

func TestMissingFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := Load([]string{filepath.Join(dir, "a.mmdb"), testDB{kind: "GeoLite2-ASN", version: 4, recordSize: 24}.write(t), dir})
	want := filepath.Join(dir, "a.mmdb") + ": no such file or directory\n" + dir + ": is a directory"
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// loadBytes is Load up to the building of the table, which no longer sees the file and costs the most.
func loadBytes(data []byte) error {
	f, err := parse("x.mmdb", data, complete)
	if err != nil {
		return err
	}
	var b geo.Builder
	return f.fill(&b)
}

func TestDamageNeverPanics(t *testing.T) {
	whole := sample(t)
	if err := loadBytes(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := loadBytes(whole[:n:n]); err == nil {
			t.Errorf("the first %d of %d bytes made a table", n, len(whole))
		}
	}
	for i := range whole {
		for _, flip := range []byte{0x01, 0x20, 0x80, 0xff} {
			data := bytes.Clone(whole)
			data[i] ^= flip
			_ = loadBytes(data) // a changed letter is no error
		}
	}
	data, err := unpack(embedded)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{len(data) / 3, len(data) - 1, len(data) - 60} {
		if err := loadBytes(data[:n]); err == nil || !strings.HasPrefix(err.Error(), "x.mmdb: ") {
			t.Errorf("the first %d bytes of the default: %v, want an error that names the file", n, err)
		}
	}
}

func TestATruncatedDefaultIsAnError(t *testing.T) {
	if _, err := unpack(embedded[:len(embedded)/2]); err == nil || err.Error() != "embedded: unexpected EOF" {
		t.Errorf("unpack = %v, want embedded: unexpected EOF", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return // large inputs find nothing that small ones do not
		}
		if err := loadBytes(data); err != nil && !strings.HasPrefix(err.Error(), "x.mmdb: ") {
			t.Errorf("%v does not name the file", err)
		}
	})
}
