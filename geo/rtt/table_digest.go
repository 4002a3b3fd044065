package rtt

import (
	"encoding/binary"
	"hash/fnv"
	"io"
)

// Digest is equal for tables that say the same of the same clients, whatever they are called and however they are written.
func (t *Table) Digest() uint64 {
	h := fnv.New64a()
	var b []byte
	for i := range t.entries {
		e := &t.entries[i]
		b = binary.BigEndian.AppendUint64(b[:0], uint64(e.id))
		b = binary.BigEndian.AppendUint32(b, e.rtt)
		h.Write(append(b, byte(len(e.region))))
		io.WriteString(h, string(e.region))
	}
	return h.Sum64()
}
