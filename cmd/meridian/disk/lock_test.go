package disk

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestLock(t *testing.T) {
	dir := t.TempDir()
	first, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Lock of what is locked = %v, want %v and %s", err, ErrInUse, dir)
	}
	if other, err := Lock(t.TempDir()); err != nil || other.Close() != nil {
		t.Errorf("Lock of another directory = %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(dir) // the file is there, as after a crash
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Lock(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Lock of no directory = %v", err)
	}
}

func TestNext(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{Numbered(7, ".a"), Numbered(8, ".a"), Numbered(10, ".a"), Numbered(9, ".b")} {
		if err := os.WriteFile(dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ above, want uint64 }{{2, 3}, {6, 9}, {8, 11}, {11, 12}} {
		f, number, err := Next(dir, tt.above, ".a", Create)
		if err != nil || number != tt.want || f.Close() != nil {
			t.Errorf("Next above %d = %d, %v, want %d", tt.above, number, err, tt.want)
		}
	}
	if _, _, err := Next(dir+"/none", 1, ".a", Create); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Next in no directory: %v", err)
	}
}
