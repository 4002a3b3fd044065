package rtt

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// prefixNumber is a /24 of its own for each number.
func prefixNumber(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i>>16) + 20, byte(i >> 8), byte(i), 0}), 24)
}

// A store holds what a map would, but for those that it says are gone; and it never holds more than it may.
func TestStoreTwin(t *testing.T) {
	for _, most := range []int{1, 2, 7, 100, 3000} {
		random := rand.New(rand.NewPCG(uint64(most), 4))
		s, twin := store{most: most}, make(map[id]uint32)
		gone := 0
		for n := range uint32(30_000) {
			i := prefixID(prefixNumber(random.IntN(2 * most)))
			m, out := s.get(i, func(m *mean) int { return int(m.rtt) })
			if _, held := twin[i]; held != (m.rtt != 0) || held && m.rtt != twin[i] {
				t.Fatalf("%d: %v has %d, want %d", most, i, m.rtt, twin[i])
			}
			if out != 0 {
				gone++
				if _, held := twin[out]; !held || out == i || len(twin) != most {
					t.Fatalf("%d: %v is gone, of %d", most, out, len(twin))
				}
				delete(twin, out)
			}
			m.rtt = n + 1
			twin[i] = m.rtt
			if len(s.means) != len(twin) || len(twin) > most {
				t.Fatalf("%d: holds %d, want %d", most, len(s.means), len(twin))
			}
		}
		for i := range 2 * most {
			i := prefixID(prefixNumber(i))
			if m := s.find(i); (m == nil) != (twin[i] == 0) || m != nil && (m.rtt != twin[i] || m.id != i) {
				t.Fatalf("%d: find(%v) = %v, want %d", most, i, m, twin[i])
			}
		}
		if gone == 0 {
			t.Errorf("%d: nothing had to go", most)
		}
	}
	if (&store{most: 1}).find(prefixID(prefixNumber(1))) != nil {
		t.Error("an empty store holds something")
	}
}

// Of the few that are looked at the least useful goes.
func TestLeastUsefulGoes(t *testing.T) {
	s := store{most: candidates}
	for i := range candidates {
		m, _ := s.get(prefixID(prefixNumber(i)), nil)
		m.rtt = uint32(100 - i)
	}
	_, gone := s.get(prefixID(prefixNumber(99)), func(m *mean) int { return int(m.rtt) })
	if want := prefixID(prefixNumber(candidates - 1)); gone != want {
		t.Errorf("%v is gone, want %v", gone, want)
	}
}

// A mean is that of its samples while there are few, and follows new ones once there are many.
func TestMean(t *testing.T) {
	m := mean{}
	m.add(100_000, 40_000, 10, 5)
	m.add(200_000, 80_000, 30, 5)
	if m.rtt != 175_000 || m.expected != 70_000 || m.weight != 40*whole {
		t.Errorf("mean of 10 and 30 samples = %+v", m)
	}
	m.add(175_000, 70_000, 20, 5+uint32(halfEpochs))
	if m.weight != 40*whole || m.epoch != 5+uint32(halfEpochs) {
		t.Errorf("20 samples and 40 of a half-life ago weigh %d, want %d", m.weight, 40*whole)
	}
	m.add(100_000, 0, 1_000_000, m.epoch)
	if m.weight != maxWeight || m.rtt != 100_000 {
		t.Errorf("mean after a million samples = %+v", m)
	}
	for range 10 {
		m.add(20_000, 0, 300, m.epoch)
	}
	if m.weight != maxWeight || m.rtt > 23_000 {
		t.Errorf("mean after new samples = %+v, want about 20 ms", m)
	}
	m.add(90_000, 0, 1, 3) // a clock that went back
	if m.epoch != 5+uint32(halfEpochs) {
		t.Errorf("the epoch went back to %d", m.epoch)
	}
}
