//go:build linux

package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Denial is how a signed zone says that something does not exist.
type Denial int

const (
	NSEC Denial = iota
	NSEC3
)

// Sign signs a zone by ldns with new keys, for four weeks, and returns it with the DS record for the zone above.
func Sign(tb testing.TB, z Zone, denial Denial) (signed Zone, ds string) {
	tb.Helper()
	dir := Dir(tb)
	origin := strings.TrimSuffix(z.Apex, ".")
	if origin == "" {
		origin = "."
	}
	run := func(program string, args ...string) string {
		return strings.TrimSpace(Run(tb, Program{Name: program, Args: args, Dir: dir}))
	}
	zone := Write(tb, dir, "zone", z.Text)
	zsk := run("ldns-keygen", "-a", "ECDSAP256SHA256", origin)
	ksk := run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", origin)
	args := []string{"-o", origin, "-f", "signed"}
	if denial == NSEC3 {
		args = append(args, "-n", "-t", "0") // RFC 9276, section 3.1
	}
	run("ldns-signzone", append(args, zone, zsk, ksk)...)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		return string(text)
	}
	return Zone{Apex: z.Apex, Text: read("signed")}, read(ksk + ".ds")
}
