package mmdb

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// cities and asns are two databases that say different things of the same networks.
func cities() testDB {
	return testDB{kind: "GeoLite2-City", version: 6, recordSize: 28, networks: map[string]record{
		"5.0.0.0/8": germany, "5.5.0.0/16": sanJose, "6.0.0.0/16": usa, "2a00::/16": germany, "2a00:1::/32": sanJose,
	}}
}

func asns() testDB {
	return testDB{kind: "GeoLite2-ASN", version: 6, recordSize: 24, networks: map[string]record{
		"5.0.0.0/9": as64500, "5.5.5.0/24": as64501, "6.0.0.0/8": as64500, "2a00:1::/33": as64500,
	}}
}

// keep writes the cache of places to a file.
func keep(t *testing.T, p *Places, path string) {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteCache(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, s Sources, before *Places) *Places {
	t.Helper()
	p, err := s.Read(before)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCache(t *testing.T) {
	s := Sources{Databases: []string{cities().write(t), asns().write(t)}, Overrides: []string{"testdata/overrides/good.yaml"}, Cache: filepath.Join(t.TempDir(), "cache"), Version: "v1"}
	made := mustRead(t, s, nil)
	if made.Cached || made.Missed != nil || !made.Kept() {
		t.Fatalf("without a cache: %+v, want it made, and fit to be kept", made)
	}
	keep(t, made, s.Cache)
	// The files are others with the same contents, and old.
	for i, path := range s.Databases {
		s.Databases[i] = filepath.Join(t.TempDir(), "moved.mmdb")
		if err := os.Rename(path, s.Databases[i]); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(s.Databases[i], time.Time{}, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	cached := mustRead(t, s, nil)
	if !cached.Cached || cached.Missed != nil {
		t.Fatalf("with the cache: cached %v, missed: %v", cached.Cached, cached.Missed)
	}
	if cached.Table.Digest() != made.Table.Digest() || placeOf(cached.Table, "5.5.5.5") != placeOf(made.Table, "5.5.5.5") || cached.Overrides != 9 {
		t.Errorf("from the cache the places are others: %x, want %x", cached.Table.Digest(), made.Table.Digest())
	}
	for i := range made.Infos {
		want := made.Infos[i]
		want.Path = s.Databases[i]
		if cached.Infos[i] != want {
			t.Errorf("info %d = %+v, want %+v", i, cached.Infos[i], want)
		}
	}
	keep(t, cached, s.Cache)
	if again := mustRead(t, s, nil); !again.Cached {
		t.Errorf("a cache that was written of a cache is not taken: %v", again.Missed)
	}
	if embedded := mustRead(t, Sources{Version: "v1", Cache: s.Cache}, nil); embedded.Kept() || embedded.Cached || embedded.Missed != nil {
		t.Errorf("the embedded database: %+v, want it made, and no matter of the cache", embedded)
	}
}

// What was read before is used again, if the databases are the same.
func TestReadAgain(t *testing.T) {
	path := cities().write(t)
	s := Sources{Databases: []string{path}, Version: "v1"}
	first := mustRead(t, s, nil)
	s.Overrides = []string{"testdata/overrides/good.yaml"}
	second := mustRead(t, s, first)
	if second.base != first.base || second.Table.Digest() == first.Table.Digest() || second.Infos[0] != first.Infos[0] {
		t.Error("with overrides beside the same database it was read again, or they do not count")
	}
	if err := os.WriteFile(path, asns().bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	if third := mustRead(t, s, second); third.base == first.base || third.Infos[0].Type != "GeoLite2-ASN" {
		t.Errorf("a database that has changed was not read: %+v", third.Infos)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Read(second); !errors.Is(err, fs.ErrNotExist) || err.Error() != path+": no such file or directory" {
		t.Errorf("a database that is gone: %v, %v, want an error that names it", p, err)
	}
	none := mustRead(t, Sources{Version: "v1"}, nil)
	if again := mustRead(t, Sources{Version: "v1"}, none); again.base != none.base {
		t.Error("the embedded database was read again")
	}
}

func TestStaleCache(t *testing.T) {
	for _, row := range []struct {
		why    string
		change func(t *testing.T, s *Sources)
		want   string // behind the name of the cache
	}{
		{"a database says something else", func(t *testing.T, s *Sources) {
			db := asns()
			db.networks["5.5.5.0/24"] = as64500
			s.Databases[1] = db.write(t)
		}, "stale: DB1 has changed"},
		{"another order", func(t *testing.T, s *Sources) { slices.Reverse(s.Databases) }, "stale: DB0 has changed"},
		{"one database less", func(t *testing.T, s *Sources) { s.Databases = s.Databases[:1] }, "stale: made of 2 databases, there are 1"},
		{"one database more", func(t *testing.T, s *Sources) { s.Databases = append(s.Databases, s.Databases[0]) }, "stale: made of 2 databases, there are 3"},
		{"another version of the program", func(t *testing.T, s *Sources) { s.Version = "v2" }, "stale: made by version v1"},
	} {
		s := Sources{Databases: []string{cities().write(t), asns().write(t)}, Cache: filepath.Join(t.TempDir(), "cache"), Version: "v1"}
		keep(t, mustRead(t, s, nil), s.Cache)
		row.change(t, &s)
		p := mustRead(t, s, nil)
		want := s.Cache + ": " + strings.NewReplacer("DB0", s.Databases[0], "DB1", s.Databases[min(1, len(s.Databases)-1)]).Replace(row.want)
		if p.Cached || p.Missed == nil || p.Missed.Error() != want {
			t.Errorf("%s: cached %v, missed: %v, want %s", row.why, p.Cached, p.Missed, want)
		}
		if fresh := mustRead(t, Sources{Databases: s.Databases, Version: s.Version}, nil); fresh.Table.Digest() != p.Table.Digest() {
			t.Errorf("%s: the places are not those of the databases", row.why)
		}
	}
}

// Whatever happens to a cache, the places are those of the databases.
func TestDamagedCache(t *testing.T) {
	s := Sources{Databases: []string{cities().write(t)}, Cache: filepath.Join(t.TempDir(), "cache"), Version: "v1"}
	right := mustRead(t, s, nil)
	keep(t, right, s.Cache)
	whole, err := os.ReadFile(s.Cache)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 12))
	damage := [][]byte{nil, {0}, []byte(cacheFormat), append(bytes.Clone(whole), 0), append(bytes.Clone(whole), whole...), bytes.Repeat([]byte{0xff}, 1000)}
	for range 60 {
		damage = append(damage, whole[:r.IntN(len(whole))])
		flipped := bytes.Clone(whole)
		flipped[r.IntN(len(flipped))] ^= 1 << r.IntN(8)
		damage = append(damage, flipped)
		early := bytes.Clone(whole) // in the header and the first numbers
		early[r.IntN(600)] ^= 1 << r.IntN(8)
		damage = append(damage, early)
	}
	for i, data := range damage {
		if err := os.WriteFile(s.Cache, data, 0o600); err != nil {
			t.Fatal(err)
		}
		p := mustRead(t, s, nil)
		if p.Cached || p.Missed == nil || !strings.HasPrefix(p.Missed.Error(), s.Cache+": ") {
			t.Errorf("damage %d: cached %v, missed: %v, want an error that names the cache", i, p.Cached, p.Missed)
		}
		if p.Table.Digest() != right.Table.Digest() {
			t.Fatalf("damage %d: other places", i)
		}
	}
	if err := os.Remove(s.Cache); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.Cache, 0o700); err != nil {
		t.Fatal(err)
	}
	if p := mustRead(t, s, nil); p.Cached || p.Missed == nil {
		t.Errorf("a directory as the cache: cached %v, missed: %v", p.Cached, p.Missed)
	}
}

// A cache is bound to what tables are made by. If this fails, they are made otherwise than they were: change compiled, and the numbers here.
func TestCompiledVersion(t *testing.T) {
	embedded, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	flat := testDB{kind: "city ipv4", version: 4, recordSize: 24, networks: map[string]record{"5.6.0.0/16": frankfurt, "7.0.0.0/8": {"country_code": "AP"}}}
	got := [...]uint64{compiled, embedded.Digest(), load(t, cities(), asns(), flat).Digest()}
	if want := [...]uint64{1, 0x59ea2040450b1829, 0x463b669f9b8aa53f}; got != want {
		t.Errorf("version and digests are %#x, want %#x", got, want)
	}
}

func FuzzCache(f *testing.F) {
	var b bytes.Buffer
	p := &Places{base: new(geo.Builder).Build(), header: cacheHeader{Version: "v1", Compiled: compiled}}
	if err := p.WriteCache(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		for _, file := range [][]byte{data, append(bytes.Clone(data), sum[:]...)} { // the second one's checksum is right
			table, _, err := parseCache(bytes.NewReader(file), int64(len(file)), &p.header)
			if (table == nil) == (err == nil) {
				t.Fatalf("%v, %v", table, err)
			}
			if table != nil {
				placeOf(table, "8.8.8.8")
			}
		}
	})
}

// What was kept can be read when the databases are gone, whoever made it; but not what is damaged, nor beside mistakes in overrides.
func TestReadKept(t *testing.T) {
	s := Sources{Databases: []string{cities().write(t)}, Cache: filepath.Join(t.TempDir(), "cache"), Version: "v1"}
	made := mustRead(t, s, nil)
	if _, err := s.ReadKept(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before anything was kept: %v, want that there is no file", err)
	}
	keep(t, made, s.Cache)
	if err := os.Remove(s.Databases[0]); err != nil {
		t.Fatal(err)
	}
	s.Version = "v2"
	kept, err := s.ReadKept()
	if err != nil || !kept.Cached || kept.Table.Digest() != made.Table.Digest() || !slices.Equal(kept.Infos, made.Infos) {
		t.Fatalf("ReadKept() = %+v, %v; want what was made", kept, err)
	}
	s.Overrides = []string{"testdata/overrides/bad/values.yaml"}
	if _, err := s.ReadKept(); err == nil {
		t.Error("overrides with mistakes are taken")
	}
	s.Overrides = nil
	if err := os.Truncate(s.Cache, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadKept(); !errors.Is(err, errDamaged) {
		t.Errorf("of a cache that was cut: %v, want that it is damaged", err)
	}
}
