package zones

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

type regionKeys struct {
	at         geo.Coordinates
	vantage    bool
	references []netip.AddrPort
}

var regionObject = strict.Object[regionKeys]{
	strict.Required("coordinates", "where it is, for distances",
		strict.Convert(strict.List(strict.Decimal(-180, 180), 2), "[latitude, longitude] in degrees", coordinates),
		func(r *regionKeys) *geo.Coordinates { return &r.at }),
	strict.Optional("vantage", "whether probe nodes run there, so that their silence is a missing vote", "true", strict.Bool(),
		func(r *regionKeys) *bool { return &r.vantage }),
	strict.Optional("references", "TCP ports of others that its probe nodes connect to; while more than half of them fail, they give no verdicts", "",
		strict.List(strict.AddrPort(), maxReferences), func(r *regionKeys) *[]netip.AddrPort { return &r.references }),
}

func coordinates(degrees []float64) (geo.Coordinates, error) {
	if len(degrees) != 2 {
		return geo.Coordinates{}, errors.New("want two numbers, [latitude, longitude]")
	}
	c := geo.Coordinates{Latitude: degrees[0], Longitude: degrees[1]}
	if !c.Valid() {
		return c, fmt.Errorf("latitude %v is outside -90 to 90 (write [latitude, longitude])", c.Latitude)
	}
	return c, nil
}

// minVantages is how many regions must see an endpoint for a quorum that one cut-off region can't sway.
const minVantages = 3

const maxReferences = 8

func (p *parser) regions() {
	p.source.regions = byName(p, "region", p.source.regions, maxRegions)
	vantages := 0
	for _, r := range p.source.regions {
		p.world.Regions = append(p.world.Regions, Region{geo.RegionID(r.Name), r.Value.at, r.Value.vantage, r.Value.references})
		if r.Value.vantage {
			vantages++
		}
	}
	if len(p.source.checks) > 0 && len(p.source.regions) > 0 && vantages < minVantages {
		p.warnings.Add(p.source.regions[0].Position, "%d regions are vantages: with fewer than %d, one that is cut off can take endpoints down", vantages, minVantages)
	}
}

// knownRegion notes a region that is not defined. It reports whether it is.
func (p *parser) knownRegion(at strict.Position, context, region string) bool {
	if isDefined(p.source.regions, region) {
		return true
	}
	p.mistakes.Add(at, "%s: %s", context, strict.Unknown("region", region, namesOf(p.source.regions)))
	return false
}
