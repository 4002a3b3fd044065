package health

import (
	"fmt"
	"slices"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
)

func vantages(regions, nodes int) (all []Vantage) {
	for r := range regions {
		for n := range nodes {
			all = append(all, Vantage{Node: NodeID(fmt.Sprintf("r%d-n%d", r, n)), Region: geo.RegionID(fmt.Sprint("r", r))})
		}
	}
	slices.SortFunc(all, compareVantages)
	return all
}

func TestVantagesOf(t *testing.T) {
	all := vantages(3, 10)
	load := make(map[NodeID]int)
	for i := range 3000 {
		check := CheckID(fmt.Sprint("c/e", i, "/ipv4"))
		chosen := vantagesOf(check, 0, all)
		if len(chosen) != 3*VantagesPerRegion || !slices.IsSortedFunc(chosen, compareVantages) {
			t.Fatalf("vantagesOf(%s) = %v, want %d of each region, ordered", check, chosen, VantagesPerRegion)
		}
		for _, v := range chosen {
			load[v.Node]++
		}
	}
	for node, n := range load {
		if n < 800 || n > 1000 {
			t.Errorf("%s probes %d targets, want about 900", node, n)
		}
	}
}

func TestFewVantagesAllProbe(t *testing.T) {
	all := vantages(2, 3)
	if got := vantagesOf("c/e/ipv4", 0, all); !slices.Equal(got, all) {
		t.Errorf("vantagesOf = %v, want %v", got, all)
	}
}

// A node that leaves hands its own targets on, and moves no other.
func TestLeavingMovesOnlyItsOwn(t *testing.T) {
	all := vantages(1, 10)
	gone := all[4]
	rest := slices.Delete(slices.Clone(all), 4, 5)
	for i := range 1000 {
		check := CheckID(fmt.Sprint("c/e", i, "/ipv4"))
		before, after := vantagesOf(check, 0, all), vantagesOf(check, 0, rest)
		for _, v := range before {
			if v != gone && !slices.Contains(after, v) {
				t.Fatalf("%s: %s stopped probing when %s left", check, v.Node, gone.Node)
			}
		}
	}
}
