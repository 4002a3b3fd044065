package host

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
)

// Of two nodes with one data directory the second does not start, and changes nothing in it; who only reads is not kept out.
func TestDataDirectoryOfAnother(t *testing.T) {
	cfg := newNode(t)
	cfg.Voters = nil // whose log would be locked too
	h, _, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(cfg.Data, "some"+newInfix+"1") // what the first is writing
	write(t, half, "")
	second, _, err := start(t, cfg)
	if want := "data directory: lock " + cfg.Data + ": in use by another process (end that one, or give this node a directory of its own: key data of the node's file)"; err == nil || err.Error() != want || !errors.Is(err, disk.ErrInUse) {
		t.Errorf("Start = %v\nwant    %s", err, want)
	}
	if err == nil {
		second.Close()
	}
	remove(t, half)
	if _, wrong := Check(cfg); len(wrong) > 0 {
		t.Errorf("Check beside a node that runs = %v", wrong)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if h, _, err = start(t, cfg); err != nil {
		t.Fatalf("when the first has ended: Start = %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
