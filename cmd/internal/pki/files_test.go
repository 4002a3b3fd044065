package pki

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pair writes an authority and a node as the commands do.
func pair(t *testing.T) (dir string, file func(string) string) {
	t.Helper()
	dir = t.TempDir()
	file = func(name string) string { return filepath.Join(dir, name) }
	ca := newAuthority(t, "example", start)
	certPEM, keyPEM, err := ca.Issue(use1, start, NodeValidity)
	if err != nil {
		t.Fatal(err)
	}
	if err := WritePair(file("ca.crt"), ca.certPEM, file("ca.key"), ca.keyPEM); err != nil {
		t.Fatal(err)
	}
	if err := WritePair(file("use1.crt"), certPEM, file("use1.key"), keyPEM); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func TestFiles(t *testing.T) {
	_, file := pair(t)
	for name, want := range map[string]fs.FileMode{"ca.crt": 0o644, "ca.key": 0o600, "use1.crt": 0o644, "use1.key": 0o600} {
		info, err := os.Stat(file(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got&^want != 0 {
			t.Errorf("mode of %s = %04o, want %04o", name, got, want)
		}
	}
	ca, err := LoadCA(file("ca.crt"), file("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.Issue(euw1, start, NodeValidity); err != nil {
		t.Error(err)
	}
	n, err := LoadNode(file("use1.crt"), file("use1.key"), file("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Identity(); got != use1 {
		t.Errorf("Identity = %v, want %v", got, use1)
	}
	if got, want := n.Expires(), start.Add(NodeValidity); !got.Equal(want) {
		t.Errorf("Expires = %v, want %v", got, want)
	}
}

func TestKeyModes(t *testing.T) {
	tests := []struct {
		mode fs.FileMode
		ok   bool
	}{{0o600, true}, {0o400, true}, {0o640, false}, {0o604, false}, {0o620, false}, {0o644, false}, {0o601, false}, {0o777, false}}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%04o", test.mode), func(t *testing.T) {
			_, file := pair(t)
			for _, name := range []string{"use1.key", "ca.key"} {
				if err := os.Chmod(file(name), test.mode); err != nil {
					t.Fatal(err)
				}
			}
			want := ""
			if !test.ok {
				want = fmt.Sprintf("keys.key: %s: mode %04o lets others at the key, want 0600", file("use1.key"), test.mode)
			}
			if _, err := LoadNode(file("use1.crt"), file("use1.key"), file("ca.crt")); text(err) != want {
				t.Errorf("LoadNode = %v, want %q", err, want)
			}
			if _, err := LoadCA(file("ca.crt"), file("ca.key")); (err == nil) != test.ok {
				t.Errorf("LoadCA = %v, want error %v", err, !test.ok)
			}
		})
	}
}

func TestWriteNeverOverwrites(t *testing.T) {
	_, file := pair(t)
	before, err := os.ReadFile(file("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	want := "pki: open " + file("ca.key") + ": file exists"
	if err := WritePair(file("other.crt"), []byte("x"), file("ca.key"), []byte("y")); text(err) != want {
		t.Errorf("WritePair over a key = %v, want %q", err, want)
	}
	want = "pki: open " + file("ca.crt") + ": file exists"
	if err := WritePair(file("ca.crt"), []byte("x"), file("other.key"), []byte("y")); text(err) != want {
		t.Errorf("WritePair over a certificate = %v, want %q", err, want)
	}
	if after, err := os.ReadFile(file("ca.key")); err != nil || string(after) != string(before) {
		t.Errorf("the key changed, or %v", err)
	}
	for _, name := range []string{"other.crt", "other.key"} {
		if _, err := os.Stat(file(name)); err == nil {
			t.Errorf("%s was left behind", name)
		}
	}
}

func TestLoadNodeRefuses(t *testing.T) {
	_, file := pair(t)
	other := newAuthority(t, "other", start)
	if err := WritePair(file("other.crt"), other.certPEM, file("other.key"), other.keyPEM); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("empty.crt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, cert, key, ca, err string }{
		{"an authority that did not sign it", "use1.crt", "use1.key", "other.crt", "x509: certificate signed by unknown authority"},
		{"another key", "use1.crt", "other.key", "ca.crt", "certificate and key are not a pair"},
		{"a node as authority", "use1.crt", "use1.key", "use1.crt", `authority: the certificate of "use1" is no authority's`},
		{"an authority as node", "ca.crt", "ca.key", "ca.crt", "not a node certificate: want one URI meridian:/region/roles"},
		{"an empty file", "empty.crt", "use1.key", "ca.crt", "certificate: no certificate in PEM"},
		{"a certificate for a key", "use1.crt", "use1.key", "use1.key", `authority: PEM block "PRIVATE KEY", want "CERTIFICATE"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := fmt.Sprintf("keys.certificate %s, keys.key %s, keys.ca %s: %s", file(test.cert), file(test.key), file(test.ca), test.err)
			if _, err := LoadNode(file(test.cert), file(test.key), file(test.ca)); text(err) != want {
				t.Errorf("LoadNode = %v, want %q", err, want)
			}
		})
	}
	want := strings.ReplaceAll("keys.certificate: open FILE: no such file or directory\nkeys.key: open FILE: no such file or directory\nkeys.ca: open FILE: no such file or directory",
		"FILE", file("none"))
	if _, err := LoadNode(file("none"), file("none"), file("none")); text(err) != want {
		t.Errorf("LoadNode of files that are not there = %v, want %s", err, want)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
