package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/health/gossip"
)

func prints(t *testing.T, file string) string {
	t.Helper()
	ring, err := ReadRing(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, key := range ring {
		all = append(all, gossip.Fingerprint(key))
	}
	return strings.Join(all, " ")
}

func TestRing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mesh.keys")
	if err := os.WriteFile(file, []byte(strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := prints(t, file)
	fresh, err := AddToRing(file)
	if got := prints(t, file); err != nil || got != old+" "+fresh {
		t.Errorf("after add: %s, %v, want %s and then %s", got, err, old, fresh)
	}
	if err := RemoveFromRing(file, old); err == nil || !strings.Contains(err.Error(), "is the one that is sent under") {
		t.Errorf("the first key is removed: %v", err)
	}
	if err := UseInRing(file, fresh); err != nil || prints(t, file) != fresh+" "+old {
		t.Errorf("after use: %s, %v", prints(t, file), err)
	}
	third, _ := AddToRing(file)
	if err := UseInRing(file, third); err != nil || prints(t, file) != third+" "+fresh+" "+old {
		t.Errorf("after use of the third: %s, %v", prints(t, file), err)
	}
	if err := RemoveFromRing(file, fresh); err != nil || prints(t, file) != third+" "+old {
		t.Errorf("after remove: %s, %v", prints(t, file), err)
	}
	if err := RemoveFromRing(file, "12345678"); err == nil || !strings.Contains(err.Error(), `no key "12345678" (have `+third+", "+old+")") {
		t.Errorf("an unknown key: %v", err)
	}
	for len(strings.Fields(prints(t, file))) < gossip.MaxKeys {
		if _, err := AddToRing(file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AddToRing(file); err == nil {
		t.Error("a fifth key is added")
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if info, serr := os.Stat(file); err != nil || serr != nil || len(left) != 1 || info.Mode() != 0o600 {
		t.Errorf("%v is left with mode %v, want one file of 0600", left, info.Mode())
	}
}

func TestRingRefuses(t *testing.T) {
	dir := t.TempDir()
	good := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		err        string
	}{
		{"others may read it", good, 0o640, "mode 0640 lets others read it, want 0600"},
		{"empty", "\n\n", 0o600, "0 keys, want 1 to 4"},
		{"too short", good + "\n" + good[2:] + "\n", 0o600, ":2: want 64 hexadecimal digits"},
		{"no digits", strings.Repeat("xy", 32), 0o600, ":1: want 64 hexadecimal digits"},
		{"twice", good + "\n" + strings.ToUpper(good), 0o600, "is there twice"},
		{"long", strings.Repeat(good+"\n", 100), 0o600, "more than 4096 bytes"},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
		if err := os.WriteFile(file, []byte(tt.text), tt.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRing(file); err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(strings.ToLower(err.Error()), good[2:]) {
			t.Errorf("%s: ReadRing = %v, want %s and no key in it", tt.name, err, tt.err)
		}
	}
}
