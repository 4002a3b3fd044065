package health

import (
	"fmt"
	"strconv"
	"strings"
)

// Rules say how the verdicts on a target become its status. They change no verdict, but Damping, so verdicts made under other rules count.
// The zero value is not what a world gives where it is silent: that is damped.
type Rules struct {
	Quorum   Quorum
	Vantages int  // of each region that probe the target; 0: VantagesPerRegion, AllVantages: every one
	Damping  bool // of endpoints that come and go
	Shadow   bool // measured and shown, and never obeyed
}

// AllVantages is every vantage of a region.
const AllVantages = -1

// A Quorum says how many must see an endpoint for it to be up. The zero value is the default rule. It is comparable.
type Quorum struct {
	Preset  QuorumPreset
	Regions int // of QuorumCount: that many regions, or all that vote if they are fewer; 1 or more
}

// A QuorumPreset is a kind of quorum.
type QuorumPreset uint8

const (
	QuorumDefault  QuorumPreset = iota // two regions and more than 18 % of them; fewer than three: any
	QuorumRoute53                      // more than 18 % of the fresh vantages
	QuorumMajority                     // half of the regions
	QuorumAny                          // one region
	QuorumAll                          // every region
	QuorumCount
)

// QuorumNames are the presets in configuration files; a number stands for QuorumCount.
var QuorumNames = [...]string{"default", "route53", "majority", "any", "all"}

// ParseQuorum reads a preset or a number of regions.
func ParseQuorum(text string) (Quorum, error) {
	for i, name := range QuorumNames {
		if text == name {
			return Quorum{Preset: QuorumPreset(i)}, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRegions {
		return Quorum{}, fmt.Errorf("want %s or a number of regions, 1 to %d", strings.Join(QuorumNames[:], ", "), maxRegions)
	}
	return Quorum{QuorumCount, n}, nil
}

func (q Quorum) String() string {
	if int(q.Preset) < len(QuorumNames) {
		return QuorumNames[q.Preset]
	}
	return strconv.Itoa(q.Regions)
}

// MarshalText makes a quorum its name in JSON.
func (q Quorum) MarshalText() ([]byte, error) { return []byte(q.String()), nil }
