package geo

import (
	"cmp"
	"net/netip"
	"slices"
)

// An entry says that the addresses of a prefix have a value, unless a longer prefix says otherwise.
type entry struct {
	lo    key // the first address
	value uint32
	bits  uint8
}

func newEntry(p netip.Prefix, value uint32) (family int, e entry) {
	return familyOf(p.Addr()), entry{keyOf(p.Addr()), value, uint8(p.Bits())}
}

// hi returns the last address of an entry's prefix.
func (e entry) hi() key { return e.lo.last(int(e.bits)) }

// compare orders entries by their first address; of those that begin together, the longer prefix is later.
func (e entry) compare(o entry) int {
	if c := e.lo.compare(o.lo); c != 0 {
		return c
	}
	return cmp.Compare(e.bits, o.bits)
}

// A sweep turns nested prefixes, which come in order, into stretches that cover the whole space once, each with the value of the longest
// prefix around it, Unknown where there is none. Of equal prefixes the last one counts. Neighbours may have the same value.
type sweep struct {
	add  func(start key, value uint32)
	head span    // not told yet
	open []entry // the prefixes around the position, outermost first
}

func (w *sweep) begin(start key, value uint32) {
	if start != w.head.start {
		w.add(w.head.start, w.head.value)
	}
	w.head = span{start, value}
}

// next takes the next prefix.
func (w *sweep) next(e entry) {
	for n := len(w.open); n > 0; n = len(w.open) {
		hi := w.open[n-1].hi()
		if hi.compare(e.lo) >= 0 {
			break
		}
		w.close(hi)
	}
	w.begin(e.lo, e.value)
	w.open = append(w.open, e)
}

// close ends the innermost prefix, whose last address is hi.
func (w *sweep) close(hi key) {
	w.open = w.open[:len(w.open)-1]
	if hi == lastKey {
		return
	}
	outer := uint32(Unknown)
	if n := len(w.open); n > 0 {
		outer = w.open[n-1].value
	}
	w.begin(hi.next(), outer)
}

// end ends all prefixes.
func (w *sweep) end() {
	for n := len(w.open); n > 0; n = len(w.open) {
		w.close(w.open[n-1].hi())
	}
	w.add(w.head.start, w.head.value)
}

// flatten returns the stretches of entries, which it puts in order; neighbours of equal value are one.
func flatten(entries []entry) []span {
	var spans []span
	w := sweep{add: func(start key, value uint32) {
		if n := len(spans); n == 0 || spans[n-1].value != value {
			spans = append(spans, span{start, value})
		}
	}}
	slices.SortStableFunc(entries, entry.compare) // of equal prefixes the last one stays last
	for _, e := range entries {
		w.next(e)
	}
	w.end()
	return spans
}
