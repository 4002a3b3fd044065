package rtt

// A mean is an average over samples of some clients.
type mean struct {
	id       id
	rtt      uint32 // µs
	expected uint32 // µs, of a key of located places
	epoch    uint32 // in which weight was right
	weight   uint16
}

// now returns its weight in an epoch.
func (m *mean) now(epoch uint32) uint16 { return aged(m.weight, m.epoch, epoch) }

// add takes samples in, measured where the distance suggests expected.
func (m *mean) add(rtt, expected, count, epoch uint32) {
	n := int64(min(count, MaxCount)) * whole
	w := min(int64(m.now(epoch)), maxWeight-n)
	average := func(old, new uint32) uint32 { return uint32((int64(old)*w + int64(new)*n + (w+n)/2) / (w + n)) }
	m.rtt, m.expected = average(m.rtt, rtt), average(m.expected, expected)
	m.weight, m.epoch = uint16(w+n), max(m.epoch, epoch)
}

// A store holds means by id, at most so many. It is a hash table of its own because a map takes twice the memory and has no order
// to look for the least useful in.
type store struct {
	most  int // at least 1
	means []mean
	slots []uint32 // open addressing: the number of a mean, plus one; 0: free. A power of two.
	hand  int      // where to look for the next mean to go
}

// candidates is among how many the least useful is looked for.
const candidates = 8

// slot returns where an id is, or would be.
func (s *store) slot(i id) int {
	at := s.home(i)
	for s.slots[at] != 0 && s.means[s.slots[at]-1].id != i {
		at = (at + 1) & (len(s.slots) - 1)
	}
	return at
}

func (s *store) home(i id) int { return int(mix(uint64(i)) & uint64(len(s.slots)-1)) }

// find returns the mean of an id, nil where there is none. It is good until the next get.
func (s *store) find(i id) *mean {
	if len(s.slots) == 0 {
		return nil
	}
	if n := s.slots[s.slot(i)]; n != 0 {
		return &s.means[n-1]
	}
	return nil
}

// get returns the mean of an id, an empty one where there was none. If there is no room, the least useful of a few goes, and its id
// is gone; 0: none.
func (s *store) get(i id, useful func(*mean) int) (m *mean, gone id) {
	if m := s.find(i); m != nil {
		return m, 0
	}
	if len(s.means) < s.most {
		s.means = append(s.means, mean{id: i})
		s.grow()
		return &s.means[len(s.means)-1], 0
	}
	least, value := 0, 0
	for n := range min(candidates, len(s.means)) {
		at := (s.hand + n) % len(s.means)
		if v := useful(&s.means[at]); n == 0 || v < value {
			least, value = at, v
		}
	}
	s.hand = (s.hand + candidates) % len(s.means)
	m = &s.means[least]
	gone = m.id
	s.remove(gone)
	*m = mean{id: i}
	s.slots[s.slot(i)] = uint32(least + 1)
	return m, gone
}

// grow enters the last mean, with a larger table if the old one is two thirds full.
func (s *store) grow() {
	if 3*len(s.means) <= 2*len(s.slots) {
		s.slots[s.slot(s.means[len(s.means)-1].id)] = uint32(len(s.means))
		return
	}
	s.slots = make([]uint32, max(64, 2*len(s.slots)))
	for n := range s.means {
		s.slots[s.slot(s.means[n].id)] = uint32(n + 1)
	}
}

// remove takes an id out of the table and moves up what stands behind it.
func (s *store) remove(i id) {
	mask := len(s.slots) - 1
	free := s.slot(i)
	s.slots[free] = 0
	for at := (free + 1) & mask; s.slots[at] != 0; at = (at + 1) & mask {
		home := s.home(s.means[s.slots[at]-1].id)
		if (at-home)&mask >= (at-free)&mask { // it would be found from free too
			s.slots[free], s.slots[at] = s.slots[at], 0
			free = at
		}
	}
}
