package host

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
)

// newStore is a store in a directory that is not there yet; its name means something to filepath.Glob.
func newStore(t *testing.T) *store {
	t.Helper()
	s, err := openStore(filepath.Join(t.TempDir(), "state", "[n1]*"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) mustSave(t *testing.T, name, data string, sync bool) {
	t.Helper()
	if err := s.save(node.Record{Name: name, Data: []byte(data), Sync: sync}); err != nil {
		t.Fatal(err)
	}
}

// loaded returns the records as text, and the damaged ones as their errors.
func (s *store) loaded(t *testing.T) (map[string]string, []error) {
	t.Helper()
	records, damaged, err := s.load(time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, r := range records {
		texts[r.Name] = string(r.Data)
	}
	return texts, damaged
}

func (s *store) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestStoreKeepsRecords(t *testing.T) {
	s := newStore(t)
	s.mustSave(t, "incarnation", "old", true)
	s.mustSave(t, "incarnation", "\x00\x01\nnew\n", true)
	s.mustSave(t, "statuses", "", false)
	s.mustSave(t, "members", strings.Repeat("m", 1<<20), false)
	want := map[string]string{"incarnation": "\x00\x01\nnew\n", "statuses": "", "members": strings.Repeat("m", 1<<20)}
	if got, damaged := s.loaded(t); !maps.Equal(got, want) || damaged != nil {
		t.Errorf("load = %.100q, damaged %v, want what was saved last", got, damaged)
	}
	if got, want := s.files(t), []string{"incarnation.record", "members.record", "statuses.record"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	again, err := openStore(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := again.loaded(t); !maps.Equal(got, want) {
		t.Errorf("load after a restart = %.100q, want the same", got)
	}
}

func TestStoreIsTheOwnersAlone(t *testing.T) {
	s := newStore(t)
	s.mustSave(t, "a", "1", true)
	s.mustSave(t, "b", "1", false)
	for path, want := range map[string]os.FileMode{
		s.dir: 0o700 | os.ModeDir, filepath.Dir(s.dir): 0o700 | os.ModeDir,
		filepath.Join(s.dir, "a.record"): 0o600, filepath.Join(s.dir, "b.record"): 0o600,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestStoreSetsDamageAside(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(file []byte) []byte
	}{
		{"a bit of the content flipped", func(f []byte) []byte { f[len(f)-1] ^= 1; return f }},
		{"a bit of the header flipped", func(f []byte) []byte { f[0] ^= 1; return f }},
		{"the checksum is of other content", func(f []byte) []byte { return bytes.Replace(f, []byte("crc32 "), []byte("crc32 f"), 1) }},
		{"cut off within the content", func(f []byte) []byte { return f[:len(f)-1] }},
		{"cut off behind the header's line", func(f []byte) []byte { return f[:bytes.IndexByte(f, '\n')+1] }},
		{"cut off within the header", func(f []byte) []byte { return f[:10] }},
		{"empty", func([]byte) []byte { return nil }},
		{"something behind the content", func(f []byte) []byte { return append(f, 0) }},
		{"a version of tomorrow", func(f []byte) []byte { return bytes.Replace(f, []byte(" v1 "), []byte(" v2 "), 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			s.mustSave(t, "controls", "content", true)
			s.mustSave(t, "other", "good", true)
			file := filepath.Join(s.dir, "controls.record")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text = tt.damage(text)
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			got, damaged := s.loaded(t)
			if want := map[string]string{"other": "good"}; !maps.Equal(got, want) {
				t.Errorf("load = %q, want %q", got, want)
			}
			aside := file + ".damaged-1000"
			header, _, _ := bytes.Cut(text, []byte("\n"))
			want := fmt.Sprintf("%s: damaged: header %.60q does not fit the content; set aside as %s", file, header, aside)
			if len(damaged) != 1 || damaged[0].Error() != want || !errors.Is(damaged[0], errDamaged) {
				t.Errorf("damaged = %v, want %s", damaged, want)
			}
			if kept, err := os.ReadFile(aside); err != nil || !bytes.Equal(kept, text) {
				t.Errorf("set aside: %q, %v, want the file as it was", kept, err)
			}
			// The next start finds a store without it.
			if got, damaged := s.loaded(t); len(got) != 1 || damaged != nil {
				t.Errorf("load again = %q, damaged %v, want the good one alone", got, damaged)
			}
		})
	}
}

func TestStoreAfterACrash(t *testing.T) {
	s := newStore(t)
	s.mustSave(t, "controls", "old", true)
	if _, err := s.write(node.Record{Name: "controls", Data: []byte("new")}); err != nil { // and no rename
		t.Fatal(err)
	}
	if got, damaged := s.loaded(t); !maps.Equal(got, map[string]string{"controls": "old"}) || damaged != nil {
		t.Errorf("load = %q, damaged %v, want the old record", got, damaged)
	}
	for name, text := range map[string]string{"README": "by hand", "controls.record.damaged-1": "earlier"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.dir, "folder.record"), 0o700); err != nil {
		t.Fatal(err)
	}
	again, err := openStore(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, damaged := again.loaded(t); !maps.Equal(got, map[string]string{"controls": "old"}) || damaged != nil {
		t.Errorf("load after a restart = %q, damaged %v, want the old record and nothing that is no record", got, damaged)
	}
	if got, want := again.files(t), []string{"README", "controls.record", "controls.record.damaged-1", "folder.record"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q: the half-written one is gone, the rest is not ours", got, want)
	}
}

func TestStoreThatCannotWrite(t *testing.T) {
	s := newStore(t)
	s.mustSave(t, "taken", "old", true)
	if err := os.MkdirAll(filepath.Join(s.dir, "folder.record", "in it"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.save(node.Record{Name: "folder", Data: []byte("new")}); err == nil {
		t.Error("save over a folder = nil, want an error")
	}
	if got, want := s.files(t), []string{"folder.record", "taken.record"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q: nothing half-written stays", got, want)
	}
	if _, err := openStore(filepath.Join(s.dir, "taken.record")); err == nil || !strings.HasPrefix(err.Error(), "data directory: ") {
		t.Errorf("openStore at a file = %v, want an error about the data directory", err)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	if err := s.save(node.Record{Name: "taken", Data: []byte("new"), Sync: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("save without the directory = %v, want %v", err, os.ErrNotExist)
	}
}
