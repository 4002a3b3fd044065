//go:build linux

package lab

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	e, other := netip.MustParseAddr("10.77.1.32"), netip.MustParseAddr("10.77.1.33")
	b := &board{endpoints: []netip.Addr{e, other}}
	begin := time.Unix(1000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	w := &watch{changes: make(map[sight][]change)}
	w.note(0, b, []netip.Addr{e, other}, at(-10))
	w.note(1, b, []netip.Addr{other, e}, at(-9))
	w.note(0, b, []netip.Addr{other}, at(11))
	w.note(1, b, []netip.Addr{e, other}, at(12))
	w.note(1, b, []netip.Addr{other}, at(13))
	w.note(1, b, []netip.Addr{other}, at(14))
	w.note(0, b, []netip.Addr{e, other}, at(50))

	for _, row := range []struct {
		why     string
		servers []int
		end     int
		took    time.Duration
		ok      bool
	}{
		{"nobody has left it out", []int{0, 1}, 10, 0, false},
		{"one has", []int{0, 1}, 12, 0, false},
		{"that one alone is asked about", []int{0}, 12, 11 * time.Second, true},
		{"the last one counts", []int{0, 1}, 40, 13 * time.Second, true},
		{"it is back", []int{0, 1}, 60, 0, false},
	} {
		if took, ok := w.out(e, row.servers, begin, at(row.end)); took != row.took || ok != row.ok {
			t.Errorf("%s: out(%v, %v) = %v, %t, want %v, %t", row.why, e, row.servers, took, ok, row.took, row.ok)
		}
	}
	if got := w.moved([]netip.Addr{other}, []int{0, 1}, begin, at(60)); len(got) > 0 {
		t.Errorf("moved(%v) = %v, want nothing", other, got)
	}
	if others := w.until(true, []netip.Addr{e, other}, []int{0, 1}, time.Now()); !slices.Equal(others, []sight{{e, 1}}) {
		t.Errorf("until = %v, want what the second does not answer", others)
	}
}
