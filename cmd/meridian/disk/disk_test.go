package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestDisk(t *testing.T) {
	name := filepath.Join(t.TempDir(), "segment")
	f, err := Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, "0123456789"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if _, err := Create(name); !errors.Is(err, os.ErrExist) {
		t.Errorf("Create of what is there: %v", err)
	}
	if err := SyncDir(filepath.Dir(name)); err != nil {
		t.Error(err)
	}
	if err := SyncDir(name + "/not/there"); err == nil {
		t.Error("SyncDir of no directory: no error")
	}
	for _, c := range []struct {
		from, size int64
		want       string
	}{{0, 10, "0123456789"}, {0, 4, "0123"}, {3, 5, "34"}, {5, 5, ""}, {8, 3, ""}, {8, 99, "89"}} {
		r, err := Part(name, c.from, c.size)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if string(got) != c.want || err != nil || r.Close() != nil {
			t.Errorf("Part(%d, %d) = %q, %v, want %q", c.from, c.size, got, err, c.want)
		}
	}
	if _, err := Part(name+"x", 0, 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Part of no file: %v", err)
	}
}
