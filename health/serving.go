package health

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"
)

// A Serving says what a node's clock shows and which keys its nameserver signs by. It is a message of its own, and not part
// of the heartbeat, because it is larger, is due less often, and nodes of the version before refuse a longer heartbeat.
type Serving struct {
	Origin      NodeID
	Incarnation uint64
	Sequence    uint64    // of the message
	Time        time.Time // when it was sent, to the millisecond
	Keys        []ServedKeys
}

// ServedKeys is the generation of a zone's keys that a nameserver signs by, and by none before it any more.
type ServedKeys struct {
	Zone       uint64 // ZoneKey of its apex
	Generation uint64
}

// MaxServed is how many zones a Serving can name; the rest is left out, which holds up what waits for them.
const MaxServed = 2000

// ZoneKey is the 64-bit name of a zone in messages, by its apex as text: lower case, fully qualified.
func ZoneKey(apex string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(apex))
	return h.Sum64()
}

// Generation returns the generation of a zone's keys that the node serves.
func (s *Serving) Generation(apex string) (generation uint64, known bool) {
	if s == nil {
		return 0, false
	}
	zone := ZoneKey(apex)
	i := slices.IndexFunc(s.Keys, func(k ServedKeys) bool { return k.Zone == zone })
	if i < 0 {
		return 0, false
	}
	return s.Keys[i].Generation, true
}

// Append appends the body of the message to b.
func (s *Serving) Append(b []byte) []byte {
	for _, n := range []uint64{s.Incarnation, s.Sequence, uint64(s.Time.UnixMilli())} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	keys := s.Keys[:min(len(s.Keys), MaxServed)]
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		b = binary.AppendUvarint(binary.BigEndian.AppendUint64(b, k.Zone), k.Generation)
	}
	return b
}

// ParseServing reads the body of the message.
func ParseServing(origin NodeID, body []byte) (*Serving, error) {
	r := reader{b: body}
	s := &Serving{Origin: origin, Incarnation: r.uint64(), Sequence: r.uint64(), Time: time.UnixMilli(int64(r.uint64())).UTC()}
	for range r.count(MaxServed, 8+1) {
		s.Keys = append(s.Keys, ServedKeys{r.uint64(), r.uvarint()})
	}
	return s, r.end(KindServing)
}
