package replica

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// An entry of the log on disk: version, type, then as varints index, term, time, length and bytes of
// extensions and data, and a CRC-32C of all of it. bbolt sums its meta pages only.
const entryVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeEntry(l *raft.Log) []byte {
	b := make([]byte, 0, len(l.Data)+len(l.Extensions)+48)
	b = append(b, entryVersion, byte(l.Type))
	b = binary.AppendUvarint(b, l.Index)
	b = binary.AppendUvarint(b, l.Term)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.AppendVarint(b, at)
	b = binary.AppendUvarint(b, uint64(len(l.Extensions)))
	b = append(b, l.Extensions...)
	b = binary.AppendUvarint(b, uint64(len(l.Data)))
	b = append(b, l.Data...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeEntry reads what encodeEntry wrote for an index. The entry shares no memory with b.
func decodeEntry(index uint64, b []byte) (raft.Log, error) {
	bad := func(what string) (raft.Log, error) { return raft.Log{}, fmt.Errorf("log: entry %d: %s", index, what) }
	if len(b) < 4 {
		return bad("too short")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return bad("checksum does not match")
	}
	if len(body) < 2 || body[0] != entryVersion {
		return bad("unknown version")
	}
	l := raft.Log{Type: raft.LogType(body[1])}
	r := reader{rest: body[2:]}
	l.Index, l.Term = r.uvarint(), r.uvarint()
	if at := r.varint(); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	l.Extensions, l.Data = r.bytes(), r.bytes()
	if r.short || len(r.rest) > 0 {
		return bad("lengths do not match")
	}
	if l.Index != index {
		return bad(fmt.Sprintf("is entry %d", l.Index))
	}
	return l, nil
}

// A reader takes numbers and bytes off a slice, and remembers if there were too few.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) skip(n int) {
	if n <= 0 {
		r.short, r.rest = true, nil
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.short || n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	if n == 0 {
		return nil
	}
	b := append([]byte(nil), r.rest[:n]...)
	r.rest = r.rest[n:]
	return b
}

func encodeStable(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return binary.BigEndian.AppendUint32(append([]byte(nil), value...), sum)
}

func decodeStable(key, b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("%s: too short", key)
	}
	value, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value) != sum {
		return nil, fmt.Errorf("%s: checksum does not match", key)
	}
	return append([]byte(nil), value...), nil
}
