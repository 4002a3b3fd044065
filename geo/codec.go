package geo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// A table on disk is what it is in memory, all numbers with the low byte first: its digest; the lengths of the lists; the places, the
// countries, where texts end, and the texts; and for each family the bits of the first step and the number of stretches, and then
// root nodes, nodes and values.
const (
	recordBytes = 32
	nodeBytes   = 24
	chunkBytes  = 96 << 10 // that are read or written at a time, a multiple of both

	mostElements = 1 << 28 // of any list
)

// errTable is what is wrong with a table that ReadTable refuses, if it was not cut.
var errTable = errors.New("not a table")

// WriteTo writes the table for ReadTable, but not by what it was overridden.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	e := &encoder{w: w}
	e.numbers(t.base().digest)
	p := &t.places
	e.numbers(uint64(len(p.records)), uint64(len(p.countries)), uint64(len(p.ends)), uint64(len(p.text)))
	for i := range p.records {
		r := &p.records[i]
		located := uint16(0)
		if r.located {
			located = 1
		}
		b := e.more(recordBytes)
		binary.LittleEndian.PutUint64(b, r.latitude)
		binary.LittleEndian.PutUint64(b[8:], r.longitude)
		binary.LittleEndian.PutUint32(b[16:], r.subdivision)
		binary.LittleEndian.PutUint32(b[20:], r.city)
		binary.LittleEndian.PutUint32(b[24:], r.asn)
		binary.LittleEndian.PutUint16(b[28:], r.country)
		binary.LittleEndian.PutUint16(b[30:], located)
	}
	for _, c := range p.countries {
		b := e.more(8)
		binary.LittleEndian.PutUint32(b, c.continent)
		binary.LittleEndian.PutUint32(b[4:], c.country)
	}
	e.values(p.ends)
	e.flush()
	e.write([]byte(p.text))
	for i := range t.tries {
		f := &t.tries[i]
		e.numbers(uint64(f.top), uint64(f.count), uint64(len(f.nodes)), uint64(f.runs()))
		e.nodes(f.root)
		e.nodes(f.nodes)
		for run := range f.runs() {
			binary.LittleEndian.PutUint32(e.more(4), f.value(uint32(run)))
		}
	}
	e.flush()
	return e.written, e.err
}

// An encoder writes until the first error.
type encoder struct {
	w       io.Writer
	buffer  []byte
	written int64
	err     error
}

// more returns the next n bytes of what is to be written.
func (e *encoder) more(n int) []byte {
	if len(e.buffer)+n > cap(e.buffer) {
		e.flush()
	}
	at := len(e.buffer)
	e.buffer = e.buffer[:at+n]
	return e.buffer[at:]
}

func (e *encoder) flush() {
	e.write(e.buffer)
	if e.buffer == nil {
		e.buffer = make([]byte, 0, chunkBytes)
	}
	e.buffer = e.buffer[:0]
}

func (e *encoder) write(b []byte) {
	if e.err == nil && len(b) > 0 {
		var n int
		n, e.err = e.w.Write(b)
		e.written += int64(n)
	}
}

func (e *encoder) numbers(all ...uint64) {
	for _, v := range all {
		binary.LittleEndian.PutUint64(e.more(8), v)
	}
}

func (e *encoder) nodes(nodes []node) {
	for i := range nodes {
		n, b := &nodes[i], e.more(nodeBytes)
		binary.LittleEndian.PutUint64(b, n.children)
		binary.LittleEndian.PutUint64(b[8:], n.runs)
		binary.LittleEndian.PutUint32(b[16:], n.child)
		binary.LittleEndian.PutUint32(b[20:], n.value)
	}
}

func (e *encoder) values(values []uint32) {
	for _, v := range values {
		binary.LittleEndian.PutUint32(e.more(4), v)
	}
}

// ReadTable reads what WriteTo has written, of which size bytes are to be read at most. It does not tell whether that is the same as
// was written: that is for a checksum to tell. But whatever is read, the table can be used, or there is an error.
func ReadTable(r io.Reader, size int64) (*Table, error) {
	d := &decoder{r: r, left: size, buffer: make([]byte, chunkBytes)}
	t := &Table{digest: d.number()}
	t.places = d.places()
	for family := range t.tries {
		t.tries[family] = d.trie(family, uint32(len(t.places.records)))
	}
	if d.err != nil {
		return nil, d.err
	}
	return t, nil
}

// A decoder reads until the first error.
type decoder struct {
	r      io.Reader
	left   int64 // bytes
	buffer []byte
	err    error
}

func (d *decoder) refuse(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errTable}, args...)...)
	}
}

func (d *decoder) read(b []byte) bool {
	if d.err != nil {
		return false
	}
	_, d.err = io.ReadFull(d.r, b)
	d.left -= int64(len(b))
	return d.err == nil
}

func (d *decoder) number() uint64 {
	b := d.buffer[:8]
	if !d.read(b) {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// length reads how many elements of some bytes a list has: no more than may follow.
func (d *decoder) length(bytes int64) int {
	n := d.number()
	if d.err == nil && (n > mostElements || int64(n)*bytes > d.left) {
		d.refuse("a list of %d elements", n)
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

// list reads n elements of some bytes each, in chunks.
func (d *decoder) list(n, bytes int, element func(b []byte)) {
	for n > 0 {
		chunk := d.buffer[:min(n, chunkBytes/bytes)*bytes]
		if !d.read(chunk) {
			return
		}
		for b := chunk; len(b) > 0; b = b[bytes:] {
			element(b[:bytes])
		}
		n -= len(chunk) / bytes
	}
}

func (d *decoder) values(n int) []uint32 {
	values := make([]uint32, 0, n)
	d.list(n, 4, func(b []byte) { values = append(values, binary.LittleEndian.Uint32(b)) })
	return values
}

func (d *decoder) places() (p places) {
	records, countries, ends, text := d.length(recordBytes), d.length(8), d.length(4), d.length(1)
	if d.err != nil {
		return p
	}
	p.records, p.countries = make([]placeRecord, 0, records), make([]placeCountry, 0, countries)
	d.list(records, recordBytes, func(b []byte) {
		r := placeRecord{
			latitude: binary.LittleEndian.Uint64(b), longitude: binary.LittleEndian.Uint64(b[8:]),
			subdivision: binary.LittleEndian.Uint32(b[16:]), city: binary.LittleEndian.Uint32(b[20:]), asn: binary.LittleEndian.Uint32(b[24:]),
			country: binary.LittleEndian.Uint16(b[28:]), located: binary.LittleEndian.Uint16(b[30:]) != 0,
		}
		if int(r.subdivision) >= ends || int(r.city) >= ends || int(r.country) >= countries {
			d.refuse("place %d", len(p.records))
		}
		p.records = append(p.records, r)
	})
	d.list(countries, 8, func(b []byte) {
		c := placeCountry{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
		if int(c.continent) >= ends || int(c.country) >= ends {
			d.refuse("country %d", len(p.countries))
		}
		p.countries = append(p.countries, c)
	})
	p.ends = d.values(ends)
	for i, end := range p.ends {
		if int(end) > text || i > 0 && end < p.ends[i-1] {
			d.refuse("text %d", i)
		}
	}
	all := make([]byte, text)
	d.read(all)
	p.text = string(all)
	if d.err == nil && (len(p.records) <= int(Special) || p.of(Unknown) != (Place{}) || p.of(Special) != (Place{})) {
		d.refuse("no unknown place")
	}
	return p
}

func (d *decoder) trie(family int, places uint32) (t trie) {
	top := d.number()
	switch {
	case d.err != nil:
		return t
	case top != uint64(topBits[family]) && top != uint64(topBits[family]+step):
		d.refuse("a first step of %d bits", top)
		return t
	}
	t.top, t.shift = uint8(top), uint8(64-top)
	count := d.number()
	t.count = int(min(count, mostElements))
	nodes, values := d.length(nodeBytes), d.length(4)
	if root := int64(nodeBytes) << top; d.err == nil && root > d.left {
		d.refuse("%d bits of root nodes", top)
	}
	if d.err != nil {
		return t
	}
	t.root, t.nodes = make([]node, 0, 1<<top), make([]node, 0, nodes)
	d.nodes(&t.root, 1<<top)
	d.nodes(&t.nodes, nodes)
	t.values = d.values(values)
	for i, v := range t.values {
		if v >= places {
			d.refuse("value %d", i)
		}
	}
	if d.err == nil {
		d.check(&t, family)
	}
	if d.err == nil {
		t.shrink()
		t.settle()
	}
	return t
}

func (d *decoder) nodes(into *[]node, n int) {
	d.list(n, nodeBytes, func(b []byte) {
		*into = append(*into, node{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]),
			binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])})
	})
}

// check refuses a trie in which a search could leave its lists, or its addresses, or which is none: were nodes the children of several, a
// walk would come by them more often than it ends.
func (d *decoder) check(t *trie, family int) {
	most := 32
	if family == family6 {
		most = 128
	}
	steps := make([]uint8, len(t.nodes)) // that a node and those below it take; 0 of a child, when it has been counted
	one := func(n *node, before int) (below uint8) {
		children, runs := uint32(bits.OnesCount64(n.children)), uint32(bits.OnesCount64(n.runs))
		first := bits.TrailingZeros64(^n.children) // slot without a child
		switch {
		case first < slots && n.runs>>first&1 == 0, // a slot without a value
			children > 0 && (n.child+1 >= uint32(before) || uint64(n.child+1)+uint64(children) > uint64(before)),
			runs > 0 && uint64(n.value+1)+uint64(runs) > uint64(len(t.values)):
			d.refuse("node of %d values", len(t.values))
			return 0
		}
		for i := range children {
			child := &steps[n.child+1+i]
			if *child == 0 {
				d.refuse("node %d is the child of two", n.child+1+i)
				return 0
			}
			below = max(below, *child)
			*child = 0
		}
		return below + 1
	}
	deepest := 0
	for i := range t.nodes {
		n := &t.nodes[i]
		if steps[i] = one(n, i); int(steps[i])*step > most || n.children == 0 && n.runs == 1 || d.err != nil {
			d.refuse("node %d", i)
			return
		}
	}
	for i := range t.root {
		n := &t.root[i]
		if n.children == 0 && n.runs == 1 {
			n.child = 0 // a scope, which settle writes
		}
		deepest = max(deepest, int(one(n, len(t.nodes))))
		if length := int(t.top) + step*(deepest-1); length >= most || d.err != nil {
			d.refuse("more than %d bits", most)
			return
		}
	}
	t.deep = step*deepest > 64
}
