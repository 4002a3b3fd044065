//go:build !race

package master_test

import (
	"bytes"
	"testing"

	"github.com/meridian-gslb/meridian/zones/master"
)

// The race detector allocates, so that this can't be counted under it.
func TestRecordsAllocateNothing(t *testing.T) {
	for name, file := range map[string]func(int) []byte{"addresses": addressFile, "mixed": mixedFile, "signed": signedFile} {
		allocs := func(n int) float64 {
			text := file(n)
			return testing.AllocsPerRun(5, func() {
				err := master.Read(bytes.NewReader(text), "example.com.", func(*master.Record) error { return nil }, nil)
				if err != nil {
					t.Fatal(err)
				}
			})
		}
		if few, many := allocs(8000), allocs(80_000); many > few+2 || few > 20 {
			t.Errorf("%s: %v allocations for 8000 records, %v for 80000", name, few, many)
		}
	}
}
