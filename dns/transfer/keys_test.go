package transfer

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodSecret = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func keyOfTest(t testing.TB, name, algorithm string) Key {
	t.Helper()
	k, err := NewKey(name, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func secretOf(k Key) map[string]string {
	_, rest, _ := strings.Cut(k.Declaration(), `secret "`)
	secret, _, _ := strings.Cut(rest, `"`)
	return map[string]string{k.Name: secret}
}

func TestParseKeys(t *testing.T) {
	for _, test := range []struct{ why, text, want string }{
		{"as BIND's tools write it", "key \"peer\" {\n\talgorithm hmac-sha256;\n\tsecret \"" + goodSecret + "\";\n};\n", "peer. hmac-sha256."},
		{"on a line, in the other order, without quotes", `key Peer.Example. {secret ` + goodSecret + `;algorithm HMAC-SHA512;};`, "peer.example. hmac-sha512."},
		{"two, with comments", "# one\nkey a { algorithm hmac-sha256; secret \"" + goodSecret + "\"; }; // and\n/* a\nsecond */ key b { algorithm hmac-sha384; secret \"" + goodSecret + "\"; };",
			"a. hmac-sha256. b. hmac-sha384."},
		{"empty", " \n", ""},
		{"SHA-1", "key a {\nalgorithm hmac-sha1; secret \"" + goodSecret + "\"; };", `keys:2: key a.: unknown algorithm "hmac-sha1" (have hmac-sha256, hmac-sha384, hmac-sha512)`},
		{"MD5", `key a { algorithm hmac-md5; }`, `keys:1: key a.: unknown algorithm "hmac-md5" (have hmac-sha256, hmac-sha384, hmac-sha512)`},
		{"a short secret", `key a { algorithm hmac-sha256; secret "c2VjcmV0"; };`, "keys:1: key a.: want 16 to 512 bytes in base64 as its secret"},
		{"no secret", `key a { algorithm hmac-sha256; };`, "keys:1: key a.: want an algorithm and a secret"},
		{"no name", `key { algorithm hmac-sha256; };`, `keys:1: want "{" after the name of key {`},
		{"twice", "key a { algorithm hmac-sha256; secret \"" + goodSecret + "\"; };\nkey A { algorithm hmac-sha256; secret \"" + goodSecret + "\"; };", `keys:2: key "a." is there twice`},
		{"something else", "server 192.0.2.1 { };", `keys:1: want "key" as the start of a key: key "name" { algorithm hmac-sha256; secret "base64"; };`},
		{"cut off", `key a { algorithm hmac-sha256`, `keys:1: want ";" after algorithm`},
		{"a secret in the wrong place is not shown", `key a { ` + goodSecret + ` };`, "keys:1: key a: want algorithm, secret or }"},
	} {
		keys, err := ParseKeys("keys", []byte(test.text))
		var got []string
		for _, k := range keys {
			got = append(got, k.Name+" "+k.Algorithm)
		}
		if err != nil {
			got = []string{err.Error()}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s:\n%s, want\n%s", test.why, strings.Join(got, " "), test.want)
		}
	}
}

func TestKeysAreSecret(t *testing.T) {
	key := keyOfTest(t, "peer", "hmac-sha256")
	secret := secretOf(key)["peer."]
	raw, err := base64.StdEncoding.DecodeString(secret)
	if err != nil || len(raw) != 32 {
		t.Fatalf("secret of %d bytes (%v)", len(raw), err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("a key", "key", key)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("a key", "key", key)
	shown := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		shown += fmt.Sprintf(verb+verb+verb, key, &key, []Key{key})
	}
	for _, form := range []string{secret, string(raw), fmt.Sprintf("%x", raw), strings.Trim(fmt.Sprint(raw), "[]")} {
		if strings.Contains(shown, form) {
			t.Errorf("the secret is shown as %q", form)
		}
	}

	dir := t.TempDir()
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o644: false, 0o602: false} {
		file := filepath.Join(dir, fmt.Sprintf("%o", mode))
		if err := os.WriteFile(file, []byte(key.Declaration()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		keys, err := LoadKeys(file)
		if (err == nil) != good || good && (len(keys) != 1 || !bytes.Equal(keys[0].secret, raw)) {
			t.Errorf("mode %04o: %v, %v", mode, keys, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("key \"peer\" { algorithm hmac-sha256; secret \"" + goodSecret + "\"; };"))
	f.Add([]byte("/* key { # \n } \" ;"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys("keys", text)
		if err != nil {
			return
		}
		for _, k := range keys {
			again, err := ParseKeys("keys", []byte(k.Declaration()))
			if err != nil || len(again) != 1 || again[0].Name != k.Name || !bytes.Equal(again[0].secret, k.secret) {
				t.Errorf("%s does not come back: %v", k.Name, err)
			}
		}
	})
}
