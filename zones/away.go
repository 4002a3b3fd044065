package zones

import (
	"slices"

	"github.com/meridian-gslb/meridian/health/control"
)

// Away returns the members of pools with failback by hand that clients have been failed away from: they are down, and would be preferred
// to whoever answers. Once they are latched, they wait until somebody resumes them, and so clients stay where they are. Those that
// are latched are not among them.
//
//	answers now            down, not latched        is away
//	a member               before it in the order   yes
//	a latched member       anywhere                 yes: the latched one is to stay
//	nobody who is up       anywhere                 no
func (s *Snapshot) Away() (away []control.Member) {
	for _, p := range s.Pools {
		if p.Plan.Pool.Failback != FailbackManual {
			continue
		}
		in := s.inputs()
		standings, _ := p.Plan.standings(nil, in, &p.Plan.Groups[0], s.Published)
		latched := func(leaf int) bool { return in.latched(&p.Plan.Leaves[leaf]) }
		for family := range p.Plan.Types {
			c := &p.Groups[0].Families[family]
			if len(c.Options) == 0 || len(c.Options[0].Members) == 0 || c.Rung >= RungOpen {
				continue
			}
			first := c.Options[0].Members[0]
			for leaf := range standings {
				m := control.Member{Pool: p.Plan.Pool.Name, Endpoint: p.Plan.Leaves[leaf].Endpoint}
				down := standings[leaf].permitted && standings[leaf].rung[family] >= RungDrain && p.Plan.Leaves[leaf].Sets[family] != nil
				if down && !latched(leaf) && (leaf < first || latched(first)) && !slices.Contains(away, m) {
					away = append(away, m)
				}
			}
		}
	}
	return away
}
