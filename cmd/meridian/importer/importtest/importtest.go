// Package importtest judges what imports made, for the tests of all importers.
package importtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// ours are what package zones says of files that an importer must not have written, whatever its input was.
var ours = []string{"not YAML", "unknown key", "is not a name", "is not text", "missing key", "stands twice", "is in the pool twice", "only for policy", "want a ", "want an ",
	"unknown pool", "unknown check", "unknown region", "unknown control", "is defined twice", "pools come round", "another address", "another region", "another probe", "another target",
	"needs the key probe", "no member has default", "serves no place", "serves no client", "refers to this file"}

// CheckFiles fails if a world's files are not what an importer may write: YAML whose keys and names are good. Mistakes that were in the
// input may be in them.
func CheckFiles(t testing.TB, files map[string][]byte) {
	t.Helper()
	var problems zones.Problems
	if _, err := zones.Parse(files); err == nil {
		return
	} else if !errors.As(err, &problems) {
		t.Fatalf("zones.Parse: %v, want problems", err)
	}
	for _, p := range problems {
		if strings.HasSuffix(p.File, ".zone") {
			continue
		}
		for _, text := range ours {
			if strings.Contains(p.Text, text) {
				t.Errorf("%v\nin %s", strict.Problem(p), files[p.File])
			}
		}
	}
}
