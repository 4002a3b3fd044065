package host

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/zones"
)

// worldDir writes a world of one zone file in a directory of zones, and one that is named.
func worldDir(t *testing.T) directory {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"api.yaml":                 "zone_directories: [customers]\nzones: {example.com: {file: example.com.zone}}\n",
		"example.com.zone":         "@ 300 SOA ns.example.net. a. 1 3600 600 86400 60\n@ 300 NS ns.example.net.\n@ 300 NS ns2.example.net.\n",
		"customers/a.example.zone": "@ 300 SOA ns.example.net. a. 1 3600 600 86400 60\n@ 300 NS ns.example.net.\n@ 300 NS ns2.example.net.\nwww 300 A 192.0.2.1\n",
		".hidden.yaml":             "nonsense",
		"deep/er.yaml":             "nonsense",
		"real":                     "regions: {}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, text)
	}
	for link, to := range map[string]string{"link.yaml": "real", "gone.yaml": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return directory(dir)
}

func TestDirectory(t *testing.T) {
	d := worldDir(t)
	names, err := d.List(".")
	if want := []string{"api.yaml", "example.com.zone", "link.yaml", "real"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("List = %q, %v, want %q", names, err, want)
	}
	for _, name := range []string{"../" + filepath.Base(string(d)) + "/api.yaml", "/etc/passwd", "gone.yaml", "customers"} {
		if v := d.Version(name); v != (zones.Version{}) {
			t.Errorf("Version(%s) = %v, want none", name, v)
		}
	}
	if _, _, err := d.Open("../api.yaml"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Open above the directory = %v, want %v", err, fs.ErrInvalid)
	}
	if err := directory(filepath.Join(string(d), "deep", "missing")).configured(); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "world: ") {
		t.Errorf("configured of nothing = %v, want an error about the world", err)
	}
	if err := directory(filepath.Join(string(d), "customers")).configured(); !errors.Is(err, errNotConfigured) {
		t.Errorf("configured of zone files = %v, want %v", err, errNotConfigured)
	}
}

// Whatever changes in a world changes its fingerprint, and nothing else does.
func TestFingerprint(t *testing.T) {
	d := worldDir(t)
	root, err := d.rootPrint()
	if err != nil {
		t.Fatal(err)
	}
	world, err := loadWorld(d, nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	at := func() uint64 {
		t.Helper()
		f, err := d.fingerprint(world, later)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	before := at()
	if again, err := d.fingerprintOf(root, world, later); at() != before || err != nil || again != before {
		t.Error("the fingerprint changes by itself")
	}
	if f, err := d.fingerprint(world, time.Now()); err != nil || f != 0 {
		t.Errorf("fingerprint of a directory that has just changed = %x, %v, want 0", f, err)
	}
	write(t, filepath.Join(string(d), "deep/er.yaml"), "more nonsense")
	if at() != before {
		t.Error("the fingerprint covers a file that is not read")
	}
	for _, name := range []string{"customers/a.example.zone", "customers/b.example.zone", "example.com.zone", "api.yaml"} {
		write(t, filepath.Join(string(d), name), "changed")
		after := at()
		if after == before {
			t.Errorf("the fingerprint does not cover %s", name)
		}
		before = after
	}
}

// Only the zone whose file changed is read again, and one whose file has mistakes stays as it was.
func TestReloadOfOneZone(t *testing.T) {
	d := worldDir(t)
	first, err := loadWorld(d, nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(string(d), "customers/a.example.zone"), "@ 300 SOA ns.example.net. a. 2 3600 600 86400 60\n@ 300 NS ns.example.net.\n@ 300 NS ns2.example.net.\n")
	second, err := loadWorld(d, first, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if first.Zones[1].Static != second.Zones[1].Static {
		t.Error("example.com was read again though its file did not change")
	}
	if second.Zones[0].Static.Serial != 2 || second.Digest == first.Digest {
		t.Errorf("serial %d of a.example, digests %x, %x, want 2 and two digests", second.Zones[0].Static.Serial, first.Digest, second.Digest)
	}
	write(t, filepath.Join(string(d), "customers/a.example.zone"), "@ 300 A 1\n")
	third, err := loadWorld(d, second, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if third.Zones[0].Static != second.Zones[0].Static || len(third.Refused) == 0 {
		t.Errorf("a zone file with mistakes: problems %v, want some, and the zone as it was", third.Refused)
	}
	fresh, err := loadWorld(d, nil, func() {})
	if err != nil || fresh.Zones[0].Static != nil || fresh.Zones[1].Static == nil {
		t.Errorf("the same without a world before: %v, zone %v, want no data of that zone only", err, fresh.Zones[0].Static)
	}
}

// A damaged pack is found once after a start, as long as there is a good world to write in its place.
func TestDamagedPack(t *testing.T) {
	d := worldDir(t)
	world, err := loadWorld(d, nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) func([]byte) string {
		return func(whole []byte) string {
			copy(whole[at:], "XXXX")
			return string(whole)
		}
	}
	const told = "last good world is written anew"
	for _, tt := range []struct {
		name   string
		damage func(whole []byte) string
		want   string
	}{
		{"whole", func(whole []byte) string { return string(whole) }, ""},
		{"in a file", flipped(200), told},
		{"in the digest", flipped(20), told},
		{"cut", func(whole []byte) string { return string(whole[:100]) }, told},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, log := t.TempDir(), new(lockedLog)
			c := &compiler{dir: d, data: data, world: world, log: slog.New(slog.NewTextHandler(log, nil))}
			c.keep()
			whole, err := os.ReadFile(filepath.Join(data, packName))
			if err != nil {
				t.Fatal(err)
			}
			if got := log.take(); got != "" {
				t.Errorf("the first pack is told of: %s", got)
			}
			write(t, filepath.Join(data, packName), tt.damage(slices.Clone(whole)))
			c.sound = false // it starts again
			c.keep()
			if got := log.take(); !strings.Contains(got, tt.want) || got != "" && tt.want == "" {
				t.Errorf("log %q, want %q", got, tt.want)
			}
			if err := checkPack(data); err != nil {
				t.Errorf("the pack is left damaged: %v", err)
			}
			write(t, filepath.Join(data, packName), flipped(200)(slices.Clone(whole)))
			c.keep()
			if err := checkPack(data); err == nil {
				t.Error("the pack is read again though it was found whole")
			}
		})
	}
}

func TestPack(t *testing.T) {
	d, data := worldDir(t), t.TempDir()
	world, err := loadWorld(d, nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openPack(filepath.Join(data, packName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("openPack of nothing = %v, want %v", err, fs.ErrNotExist)
	}
	if err := writePack(data, packName, d, world); err != nil {
		t.Fatal(err)
	}
	if got := packDigest(data); got != world.Digest {
		t.Errorf("digest %x, want %x", got, world.Digest)
	}
	p, err := openPack(filepath.Join(data, packName))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	again, err := loadWorld(p, nil, func() {})
	if err != nil || again.Digest != world.Digest || len(again.Zones) != 2 {
		t.Fatalf("world of the pack: %v, %+v, want that which was packed", err, again)
	}
	f, _, err := p.Open("real")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that the world does not use is packed: %v", err)
		io.Copy(io.Discard, f)
	}
	whole, err := os.ReadFile(filepath.Join(data, packName))
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		torn := slices.Clone(whole)
		torn[at] ^= 0x20
		write(t, filepath.Join(data, packName), string(torn))
		if p, err := openPack(filepath.Join(data, packName)); err == nil {
			p.Close()
			t.Fatalf("a pack with byte %d changed is taken", at)
		}
		if at%7 == 0 {
			write(t, filepath.Join(data, packName), string(whole[:at]))
			if p, err := openPack(filepath.Join(data, packName)); err == nil {
				p.Close()
				t.Fatalf("a pack cut at byte %d is taken", at)
			}
		}
	}
}
