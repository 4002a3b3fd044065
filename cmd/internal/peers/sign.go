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

// Keys are what a zone is signed with. DS is the record for the zone above.
type Keys struct {
	DS       string
	dir      string
	zsk, ksk string
}

// NewKeys makes keys for a zone by ldns.
func NewKeys(tb testing.TB, apex string) Keys {
	tb.Helper()
	k := Keys{dir: Dir(tb)}
	k.zsk = k.run(tb, "ldns-keygen", "-a", "ECDSAP256SHA256", origin(apex))
	k.ksk = k.run(tb, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", origin(apex))
	k.DS = k.read(tb, k.ksk+".ds")
	return k
}

// Sign signs a zone by ldns for four weeks.
func (k Keys) Sign(tb testing.TB, z Zone, denial Denial) Zone {
	tb.Helper()
	zone := Write(tb, k.dir, "zone", z.Text)
	args := []string{"-o", origin(z.Apex), "-f", "signed"}
	if denial == NSEC3 {
		args = append(args, "-n", "-t", "0") // RFC 9276, section 3.1
	}
	k.run(tb, "ldns-signzone", append(args, zone, k.zsk, k.ksk)...)
	return Zone{Apex: z.Apex, Text: k.read(tb, "signed")}
}

// Sign signs a zone with new keys and returns it with the DS record for the zone above.
func Sign(tb testing.TB, z Zone, denial Denial) (signed Zone, ds string) {
	tb.Helper()
	k := NewKeys(tb, z.Apex)
	return k.Sign(tb, z, denial), k.DS
}

func (k Keys) run(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	return strings.TrimSpace(Run(tb, Program{Name: program, Args: args, Dir: k.dir}))
}

func (k Keys) read(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
