package rtt

import (
	"cmp"
	"slices"
)

// held are the orders in force, of sites or of listed prefixes, by number. What is shared with a picture is not changed.
type held struct {
	regions  int
	order    []uint8 // by number and rank: a region's number
	position []uint8 // by number: the first rank at which another region would be a gain
	streak   []uint8 // for how many epochs running it would
}

func newHeld(n, regions int) held {
	return held{regions, make([]uint8, n*regions), make([]uint8, n), make([]uint8, n)}
}

func (h *held) clone() held {
	return held{h.regions, slices.Clone(h.order), slices.Clone(h.position), slices.Clone(h.streak)}
}

// of returns the order in force for a number.
func (h *held) of(i int) []uint8 { return h.order[i*h.regions : (i+1)*h.regions] }

// set puts an order in force.
func (h *held) set(i int, order []uint8) {
	copy(h.of(i), order)
	h.position[i], h.streak[i] = 0, 0
}

// carry puts what another one holds in force.
func (h *held) carry(i int, from *held, j int) {
	copy(h.of(i), from.of(j))
	h.position[i], h.streak[i] = from.position[j], from.streak[j]
}

// advance is an epoch for an order. It reports whether the order changed:
//
//	the first rank whose region is slower by a gain than one behind it   then
//	none                                                                  the order stays
//	is another than in the epoch before                                   the order stays, and this is the first such epoch
//	is the same, for the third epoch running                              the fastest of those behind goes before it, no other moves
//
// So no region passes another for less than a gain, and none for a gain that does not last.
func (h *held) advance(i int, est []micros) bool {
	order := h.of(i)
	rank, best := slower(order, est)
	switch {
	case rank < 0:
		h.position[i], h.streak[i] = 0, 0
		return false
	case h.streak[i] == 0 || int(h.position[i]) != rank:
		h.position[i], h.streak[i] = uint8(rank), 1
	default:
		h.streak[i]++
	}
	if h.streak[i] < lastingEpochs {
		return false
	}
	forward(order, rank, best)
	h.position[i], h.streak[i] = 0, 0
	return true
}

// settle moves what would be a gain at once, and reports whether anything moved.
func settle(order []uint8, est []micros) (moved bool) {
	for {
		rank, best := slower(order, est)
		if rank < 0 {
			return moved
		}
		forward(order, rank, best)
		moved = true
	}
}

// slower returns the first rank of an order whose region is slower than some region behind it by a gain, and the rank of the
// fastest of those; -1 where there is none.
func slower(order []uint8, est []micros) (rank, best int) {
	rank = -1
	fastest := len(order) - 1
	for i := len(order) - 2; i >= 0; i-- {
		now, then := est[order[i]], est[order[fastest]]
		if now-then > gain(now) {
			rank, best = i, fastest
		}
		if now <= then {
			fastest = i
		}
	}
	return rank, best
}

// forward moves a region to an earlier rank.
func forward(order []uint8, to, from int) {
	region := order[from]
	copy(order[to+1:from+1], order[to:from])
	order[to] = region
}

// sorted puts the regions in the order of their estimates, equal ones in the order of their numbers.
func sorted(order []uint8, est []micros) {
	for r := range order {
		order[r] = uint8(r)
	}
	slices.SortStableFunc(order, func(a, b uint8) int { return cmp.Compare(est[a], est[b]) })
}
