package wire

import (
	"bytes"
	"testing"
)

// Only A to Z change, wherever in a name of whatever length they stand, and nothing behind the name.
func TestLower(t *testing.T) {
	const behind = 0xAA
	for length := range 40 {
		for at := range length {
			for c := range 256 {
				name := bytes.Repeat([]byte{'Z', 0xDA, '@', '['}, 10)[:length]
				name[at] = byte(c)
				want := make([]byte, length, length+1)
				for i, c := range name {
					want[i] = c
					if 'A' <= c && c <= 'Z' {
						want[i] = c + 32
					}
				}
				got := bytes.Repeat([]byte{behind}, length+1)
				lower(got[:length], name)
				if !bytes.Equal(got, append(want, behind)) {
					t.Fatalf("lower(%q) = %q, want %q", name, got, want)
				}
			}
		}
	}
}
