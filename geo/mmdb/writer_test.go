package mmdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// record is the data of a network: maps, slices, strings, floats, uint32 and uint64.
type record = map[string]any

// A testDB is a database to be written: a small writer of the MaxMind DB format, version 2.
type testDB struct {
	kind       string // database_type
	version    int    // ip_version: 4 or 6
	recordSize int    // 24, 28 or 32 bits
	networks   map[string]record
	aliases    bool // 2002::/16 and ::ffff:0:0/96 point at the IPv4 subtree, as in MaxMind's own files
}

// A testNode has two branches: a *testNode, a string (a network whose record it is) or nil.
type testNode [2]any

func (db testDB) bytes(t testing.TB) []byte {
	t.Helper()
	root := &testNode{}
	// The short ones first: a longer one then splits what it is in.
	for _, text := range slices.SortedFunc(maps.Keys(db.networks), func(a, b string) int {
		return netip.MustParsePrefix(a).Bits() - netip.MustParsePrefix(b).Bits()
	}) {
		db.insert(t, root, netip.MustParsePrefix(text), text)
	}
	if db.aliases {
		v4 := any(root)
		for range 96 {
			v4 = v4.(*testNode)[0]
		}
		db.insert(t, root, netip.MustParsePrefix("2002::/16"), v4)
		db.insert(t, root, netip.PrefixFrom(netip.MustParseAddr("::ffff:0:0"), 96), v4)
	}

	var nodes []*testNode
	number := map[*testNode]int{}
	var visit func(*testNode)
	visit = func(n *testNode) {
		if _, seen := number[n]; seen {
			return
		}
		number[n] = len(nodes)
		nodes = append(nodes, n)
		for _, branch := range n {
			if child, ok := branch.(*testNode); ok {
				visit(child)
			}
		}
	}
	visit(root)

	var data bytes.Buffer
	offsets := map[string]int{}
	for _, text := range slices.Sorted(maps.Keys(db.networks)) {
		offsets[text] = data.Len()
		encode(t, &data, db.networks[text])
	}
	var out bytes.Buffer
	for _, n := range nodes {
		var values [2]uint32
		for i, branch := range n {
			switch b := branch.(type) {
			case nil:
				values[i] = uint32(len(nodes))
			case *testNode:
				values[i] = uint32(number[b])
			case string:
				values[i] = uint32(len(nodes) + 16 + offsets[b])
			}
		}
		out.Write(nodeBytes(values[0], values[1], db.recordSize))
	}
	out.Write(make([]byte, 16))
	out.Write(data.Bytes())
	out.WriteString("\xab\xcd\xefMaxMind.com")
	encode(t, &out, record{
		"binary_format_major_version": uint32(2), "binary_format_minor_version": uint32(0),
		"build_epoch": uint64(1781726061), "database_type": db.kind, "description": record{}, "languages": []any{},
		"ip_version": uint32(db.version), "node_count": uint32(len(nodes)), "record_size": uint32(db.recordSize),
	})
	return out.Bytes()
}

// insert hangs a branch (a *testNode or a string) at p. What was there goes on around it.
func (db testDB) insert(t testing.TB, n *testNode, p netip.Prefix, branch any) {
	address, bits := p.Addr().As16(), p.Bits()
	skip := 0
	if p.Addr().Is4() {
		address = [16]byte{12: address[12], 13: address[13], 14: address[14], 15: address[15]}
		if db.version == 6 {
			bits += 96
		} else {
			skip = 96
		}
	} else if db.version == 4 {
		t.Fatalf("%v in an IPv4 database", p)
	}
	for i := range bits {
		side := address[(skip+i)/8] >> (7 - (skip+i)%8) & 1
		if i == bits-1 {
			n[side] = branch
			return
		}
		child, ok := n[side].(*testNode)
		if !ok {
			child = &testNode{n[side], n[side]}
			n[side] = child
		}
		n = child
	}
}

func nodeBytes(left, right uint32, size int) []byte {
	l, r := binary.BigEndian.AppendUint32(nil, left), binary.BigEndian.AppendUint32(nil, right)
	switch size {
	case 24:
		return append(l[1:], r[1:]...)
	case 28:
		return append(append(l[1:], l[0]<<4|r[0]&0xf), r[1:]...)
	}
	return append(l, r...)
}

// encode writes one value of the data section.
func encode(t testing.TB, b *bytes.Buffer, value any) {
	const (
		typeString, typeDouble, typeUint32, typeMap = 2, 3, 6, 7
		typeUint64, typeArray, typeFloat            = 9, 11, 15
	)
	control := func(kind, size int) {
		if size >= 29+256 {
			t.Fatalf("a value of size %d is too large for this writer", size)
		}
		first, rest := size, []byte(nil)
		if size >= 29 {
			first, rest = 29, []byte{byte(size - 29)}
		}
		if kind > 7 {
			b.Write([]byte{byte(first), byte(kind - 7)})
		} else {
			b.WriteByte(byte(kind<<5 | first))
		}
		b.Write(rest)
	}
	switch v := value.(type) {
	case string:
		control(typeString, len(v))
		b.WriteString(v)
	case float64:
		control(typeDouble, 8)
		b.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
	case float32:
		control(typeFloat, 4)
		b.Write(binary.BigEndian.AppendUint32(nil, math.Float32bits(v)))
	case uint32:
		control(typeUint32, 4)
		b.Write(binary.BigEndian.AppendUint32(nil, v))
	case uint64:
		control(typeUint64, 8)
		b.Write(binary.BigEndian.AppendUint64(nil, v))
	case []any:
		control(typeArray, len(v))
		for _, element := range v {
			encode(t, b, element)
		}
	case record:
		control(typeMap, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			encode(t, b, key)
			encode(t, b, v[key])
		}
	default:
		panic(fmt.Sprintf("no encoding for %T", value))
	}
}

// write puts the database into a file of its own and returns the path.
func (db testDB) write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(path, db.bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
