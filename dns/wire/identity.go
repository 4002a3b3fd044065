package wire

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/zones"
)

// MaxNSID is the most bytes of an NSID, so that whatever else it carries an answer without records fits everywhere.
const MaxNSID = 128

// An Identity is what a nameserver says of itself to those who ask. The zero value says nothing and knows no cookies. It is
// not changed once answers are made with it.
type Identity struct {
	NSID    []byte          // RFC 5001; at most MaxNSID bytes, empty: there is none
	Chaos   []ChaosName     // every other name of class CH is REFUSED
	Cookies *cookie.Secrets // of this moment; nil: cookie options are ignored
	Explain bool            // steered answers say by an extended error when health is held, or all is down
}

var nobody Identity

// A ChaosName is a name of class CH with its text (RFC 4892).
type ChaosName struct {
	name string // wire format, lower case
	set  zones.RecordSet
}

// NewChaosName makes the answer to a name, such as "id.server", of text with 1 to 255 bytes.
func NewChaosName(name, text string) (ChaosName, error) {
	if text == "" || len(text) > 255 {
		return ChaosName{}, fmt.Errorf("text of %s has %d bytes, want 1 to 255", name, len(text))
	}
	var wire []byte
	for label := range strings.SplitSeq(strings.ToLower(name), ".") {
		if label == "" || len(label) > 63 || len(wire)+len(label)+2 > maxName {
			return ChaosName{}, fmt.Errorf("%q is not the name of a host", name)
		}
		wire = append(append(wire, byte(len(label))), label...)
	}
	b := []byte{0xC0, atQuestion, 0, typeTXT, 0, classCHAOS, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(text)))
	b = append(append(b, byte(len(text))), text...)
	return ChaosName{string(append(wire, 0)), zones.RecordSet{Type: typeTXT, Count: 1, Bytes: b}}, nil
}

// chaos answers a question of class CH. Who may not know is told no more than who asks for what is not there.
func (a *answer) chaos() {
	if qtype := a.query.qtype; qtype == typeTXT || qtype == typeANY {
		for i := range a.query.identity.Chaos {
			if c := &a.query.identity.Chaos[i]; c.name == string(a.query.name) {
				a.authoritative = true
				a.message.add(sectionAnswer, &c.set, atQuestion)
				return
			}
		}
	}
	a.out.RCode, a.extended = Refused, infoNotAuthoritative
}
