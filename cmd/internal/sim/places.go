package sim

import (
	"fmt"
	"net/netip"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

// places are where clients of simulations are.
var places = [...]struct {
	country, continent string
	at                 geo.Coordinates
	prefixes           [2]string
}{
	{"US", "NA", geo.Coordinates{Latitude: 39.8, Longitude: -86.1}, [2]string{"17.0.0.0/8", "2600::/12"}},
	{"DE", "EU", geo.Coordinates{Latitude: 51.1, Longitude: 10.4}, [2]string{"5.0.0.0/8", "2a00::/12"}},
	{"IN", "AS", geo.Coordinates{Latitude: 22.9, Longitude: 79.6}, [2]string{"49.0.0.0/8", "2400::/16"}},
	{"JP", "AS", geo.Coordinates{Latitude: 37.6, Longitude: 138.0}, [2]string{"133.0.0.0/8", "2401::/16"}},
	{"BR", "SA", geo.Coordinates{Latitude: -10.8, Longitude: -53.1}, [2]string{"177.0.0.0/8", "2800::/12"}},
	{"ZA", "AF", geo.Coordinates{Latitude: -29.0, Longitude: 25.1}, [2]string{"41.0.0.0/8", "2c00::/12"}},
}

// Table places a few large networks in a few countries.
func Table() *geo.Table {
	var b geo.Builder
	for _, p := range places {
		for _, prefix := range p.prefixes {
			place := geo.Place{Continent: p.continent, Country: p.country, Located: true, At: p.at}
			if err := b.Add(netip.MustParsePrefix(prefix), place); err != nil {
				panic(fmt.Sprintf("sim: place %s: %v", p.country, err))
			}
		}
	}
	return b.Build()
}

// Clients returns one of each kind: in every country by either family and by subnet, and from nowhere.
func Clients() []zones.Client {
	var clients []zones.Client
	resolver := netip.MustParseAddr("17.53.0.1")
	for _, p := range places {
		for family, length := range [2]int{24, 56} {
			network := netip.MustParsePrefix(p.prefixes[family])
			clients = append(clients, zones.Client{Source: network.Addr().Next()},
				zones.Client{Source: resolver, Subnet: netip.PrefixFrom(network.Addr(), length)})
		}
	}
	return append(clients,
		zones.Client{Source: netip.MustParseAddr("199.9.14.1")},
		zones.Client{Source: netip.MustParseAddr("192.168.1.1")},
		zones.Client{Source: resolver, Subnet: netip.MustParsePrefix("10.1.2.0/24")},
		zones.Client{Source: resolver, Subnet: netip.MustParsePrefix("0.0.0.0/0")})
}
