package zones

import (
	"cmp"
	"fmt"
	"slices"
)

// A sample is some of the leaves that an answer could have.
type sample struct {
	leaves []int // ascending
	weight uint32
}

// sampleUnit is the sum of the weights of the samples by one order of the leaves.
const sampleUnit = 1 << 20

// samples returns at most maxSets sets of so many of the leaves. By the sets' weights each leaf is in as many as its own weight wants:
// exactly where there are at most maxSets leaves, else to one in maxSets. It is systematic sampling with probabilities in proportion to
// size (W. G. Madow, 1949): the leaves stand in a row, each as long as it is wanted, and a rake whose teeth are as far apart as an answer
// is long is put down anywhere. The leaves stand in several orders one after the other, so that not only neighbours meet.
func samples(shares []share, size int, seed uint64) (sets []sample) {
	wanted := inclusions(shares, size)
	at := make(map[string]int)
	add := func(leaves []int, weight uint64) {
		slices.Sort(leaves)
		key := fmt.Sprint(leaves)
		i, known := at[key]
		if !known {
			i = len(sets)
			at[key] = i
			sets = append(sets, sample{leaves: leaves})
		}
		sets[i].weight += uint32(weight)
	}
	const maxOrders = 4
	for order := range min(max(maxSets/len(shares), 1), maxOrders) {
		row := make([]int, len(shares))
		for i := range row {
			row[i] = i
		}
		slices.SortStableFunc(row, func(a, b int) int {
			return cmp.Compare(mix(seed^uint64(shares[a].leaf)<<8^uint64(order)), mix(seed^uint64(shares[b].leaf)<<8^uint64(order)))
		})
		for _, put := range rakes(row, wanted) {
			var leaves []int
			end := uint64(0)
			for _, i := range row {
				start := end
				end += wanted[i]
				// A tooth falls into start…end.
				if (start+sampleUnit-1-put.at)/sampleUnit < (end+sampleUnit-1-put.at)/sampleUnit {
					leaves = append(leaves, shares[i].leaf)
				}
			}
			add(leaves, put.length)
		}
	}
	return sets
}

// A rake is put down at a place between 0 and sampleUnit; on a stretch of some length from there it makes no difference where.
type rake struct{ at, length uint64 }

func rakes(row []int, wanted []uint64) (puts []rake) {
	cuts := []uint64{0, sampleUnit}
	end := uint64(0)
	for _, i := range row {
		end += wanted[i]
		cuts = append(cuts, end%sampleUnit)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	if len(cuts)-1 > maxSets {
		for i := range uint64(maxSets) {
			puts = append(puts, rake{at: i*sampleUnit/maxSets + sampleUnit/maxSets/2, length: 1})
		}
		return puts
	}
	for i, cut := range cuts[1:] {
		puts = append(puts, rake{cuts[i], cut - cuts[i]})
	}
	return puts
}

// inclusions returns in which part of the sets each leaf is to be, in units of sampleUnit; together that is size times the unit.
func inclusions(shares []share, size int) []uint64 {
	wanted := make([]uint64, len(shares))
	room, total := uint64(size), sum(shares)
	for again := true; again; { // those that are wanted in more than all sets are in all, and the others share the rest
		again = false
		for i, s := range shares {
			if wanted[i] == 0 && room > 0 && room*s.weight >= total {
				wanted[i], again = sampleUnit, true
				room, total = room-1, total-s.weight
			}
		}
	}
	left := room * sampleUnit
	for i, s := range shares {
		if wanted[i] == 0 && total > 0 {
			wanted[i] = mulDiv(room*sampleUnit, s.weight, total)
			left -= wanted[i]
		}
	}
	for i := 0; left > 0; i = (i + 1) % len(wanted) {
		if wanted[i] < sampleUnit {
			wanted[i]++
			left--
		}
	}
	return wanted
}
