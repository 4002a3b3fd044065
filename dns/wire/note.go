package wire

import (
	"encoding/binary"

	"github.com/meridian-gslb/meridian/zones"
)

// What steered answers say of themselves where Identity.Explain is on: the extended error Other, in a few words (RFC 8914, section 4.1).
var (
	noteHeld       = newNote("health is held: too few vantages are heard")
	noteOpen       = newNote("all endpoints are down: answered as if they were up")
	noteLastResort = newNote("all endpoints are down: the last resort")
)

func newNote(words string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, optionExtended}, uint16(2+len(words)))
	return append(append(b, 0, 0), words...)
}

// noteOf returns the option that says what is amiss with an answer; nil where nothing is.
func noteOf(rung zones.Rung, option *zones.Option) []byte {
	switch {
	case rung == zones.RungLastResort:
		return noteLastResort
	case rung == zones.RungOpen:
		return noteOpen
	case option.Held:
		return noteHeld
	}
	return nil
}
