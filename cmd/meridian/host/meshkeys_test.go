package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// A file that is refused is read until it is not, and only what is new of that is said.
func TestWatched(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mesh.keys")
	w := watched{name: name}
	denied := fmt.Errorf("open %s: %w", name, fs.ErrPermission)
	begun := time.Now()
	touch := func() {
		t.Helper()
		begun = begun.Add(time.Second)
		if err := os.Chtimes(name, begun, begun); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		change func()
		result error // of reading it
		read   bool
		told   error
	}{
		{"at the first look", func() { write(t, name, "old") }, nil, true, nil},
		{"as it was", func() {}, nil, false, nil},
		{"changed", touch, nil, true, nil},
		{"replaced, and not yet its owner's", touch, denied, true, denied},
		{"still not", func() {}, denied, true, nil},
		{"still not, in other words", func() {}, fs.ErrInvalid, true, fs.ErrInvalid},
		{"changed, and not either", touch, fs.ErrInvalid, true, nil},
		{"its owner's, which changes nothing that is looked at", func() {}, nil, true, nil},
		{"taken", func() {}, nil, false, nil},
		{"refused as before, which is new", touch, fs.ErrInvalid, true, fs.ErrInvalid},
		{"taken again", func() {}, nil, true, nil},
		{"removed", func() { remove(t, name) }, fs.ErrNotExist, true, fs.ErrNotExist},
		{"still not there", func() {}, fs.ErrNotExist, true, nil},
		{"there again", func() { write(t, name, "old") }, nil, true, nil},
		{"left alone", func() {}, nil, false, nil},
		{"moded", func() { loosen(t, name) }, nil, true, nil},
	} {
		tt.change()
		read := false
		err := w.look(func() error {
			read = true
			return tt.result
		})
		if read != tt.read || (err == nil) != (tt.told == nil) || !errors.Is(err, tt.told) {
			t.Errorf("%s: read %v and said %v, want %v and %v", tt.name, read, err, tt.read, tt.told)
		}
	}
}
