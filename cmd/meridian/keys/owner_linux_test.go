package keys

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

const owner, group = 12345, 12346 // of a node; nobody has them here

// ownedRing makes a file of keys as an installation has it: owned by the node, behind a symbolic link.
func ownedRing(t *testing.T) (file, link string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root gives files to others")
	}
	dir := t.TempDir()
	file, link = filepath.Join(dir, "real", "mesh.keys"), filepath.Join(dir, "mesh.keys")
	for _, err := range []error{
		os.Chmod(filepath.Dir(dir), 0o755),
		os.Mkdir(filepath.Dir(file), 0o755),
		os.Chown(filepath.Dir(file), owner, owner),
		os.WriteFile(file, []byte(strings.Repeat("ab", 32)+"\n"), 0o600),
		os.Chown(file, owner, group),
		os.Symlink("real/mesh.keys", link),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return file, link
}

func ownerOf(t *testing.T, file string) string {
	t.Helper()
	info, err := os.Lstat(file)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
}

// Whoever changes the keys, it is the node that reads them, where it has always read them.
func TestRingKeepsItsOwner(t *testing.T) {
	file, link := ownedRing(t)
	old := prints(t, file)
	fresh, err := AddToRing(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []error{nil, UseInRing(link, fresh), RemoveFromRing(link, old)} {
		if got, want := ownerOf(t, file), "-rw------- 12345:12346"; change != nil || got != want {
			t.Errorf("%v, %s, want %s", change, got, want)
		}
	}
	if to, err := os.Readlink(link); err != nil || to != "real/mesh.keys" {
		t.Errorf("the link is to %q, %v, want it as it was", to, err)
	}
	if got := prints(t, file); got != fresh {
		t.Errorf("keys %s, want %s", got, fresh)
	}
}

// The node itself may change its file though it is not in its group, which has no say with such a mode.
func TestRingOfAnotherGroup(t *testing.T) {
	file, link := ownedRing(t)
	if err := as(owner, func() error {
		_, err := AddToRing(link)
		return err
	}); err != nil {
		t.Errorf("AddToRing = %v", err)
	}
	if got := ownerOf(t, file); !strings.HasPrefix(got, "-rw------- 12345:") {
		t.Errorf("the file is %s, want its owner's, and nobody else's", got)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v, want the file alone", left, err)
	}
}

// Who can't keep the owner changes nothing.
func TestRingOfAnotherOwner(t *testing.T) {
	file, link := ownedRing(t)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := as(owner+1, func() error { return writeRing(link, [][]byte{make([]byte, 32)}) }); err == nil ||
		!strings.Contains(err.Error(), file+" is not changed: chown ") || !strings.Contains(err.Error(), "operation not permitted") {
		t.Errorf("writeRing = %v, want that the file is not changed, and why", err)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file has %q, %v, want it as it was", after, err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v, want the file alone", left, err)
	}
}

// as does something as the kernel lets another user do it with files.
func as(user int, do func() error) error {
	errs := make(chan error)
	go func() {
		runtime.LockOSThread() // until the thread ends with this goroutine
		err := syscall.Setfsuid(user)
		if err == nil {
			err = do()
		}
		errs <- err
	}()
	return <-errs
}
