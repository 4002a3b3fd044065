package importtest

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// Clients of the places that Publish knows.
const (
	American    = "8.1.0.1"
	Californian = "8.2.0.1"
	Mexican     = "189.0.0.1"
	German      = "91.0.0.1"
	Indian      = "103.0.0.1"
	Kenyan      = "105.0.0.1"
)

// Publish makes a world of what was imported, with its endpoints up but for those that are named.
func Publish(t testing.TB, files map[string][]byte, down string) *zones.Snapshot {
	t.Helper()
	var b geo.Builder
	for prefix, place := range map[string]geo.Place{
		"8.0.0.0/8":   {Country: "US", Continent: "NA", Located: true, At: geo.Coordinates{Latitude: 39, Longitude: -78}},
		"8.2.0.0/16":  {Country: "US", Continent: "NA", Subdivision: "US-CA", Located: true, At: geo.Coordinates{Latitude: 37, Longitude: -120}},
		"189.0.0.0/8": {Country: "MX", Continent: "NA", Located: true, At: geo.Coordinates{Latitude: 23, Longitude: -102}},
		"91.0.0.0/8":  {Country: "DE", Continent: "EU", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}},
		"103.0.0.0/8": {Country: "IN", Continent: "AS", Located: true, At: geo.Coordinates{Latitude: 22, Longitude: 79}},
		"105.0.0.0/8": {Country: "KE", Continent: "AF", Located: true, At: geo.Coordinates{Latitude: 0, Longitude: 37}},
	} {
		if err := b.Add(netip.MustParsePrefix(prefix), place); err != nil {
			t.Fatal(err)
		}
	}
	world, err := zones.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(b.Build(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var statuses []health.Status
	for _, target := range plan.Targets {
		state := health.Up
		if slices.Contains(strings.Fields(down), target.Endpoint) {
			state = health.Down
		}
		statuses = append(statuses, health.Status{Check: target.ID, State: state, Measured: state, Since: now})
	}
	return plan.Publish(nil, zones.Inputs{Health: health.NewView(statuses)}, zones.Change{All: true}, now)
}

// Answers returns every answer that a question ("www.example.com. A") of a client can have, by so many random numbers: the data of its records
// in order, separated by spaces.
func Answers(t testing.TB, s *zones.Snapshot, question, client string, rounds int) []string {
	t.Helper()
	name, qtype, _ := strings.Cut(question, " ")
	got := map[string]bool{}
	for i := range rounds {
		q := zones.Question{Name: name, Type: dns.StringToType[qtype], Client: zones.Client{Source: netip.MustParseAddr(client)}, Random: uint32(i * (1 << 32 / rounds))}
		e, err := s.Explain(q)
		if err != nil {
			t.Fatal(err)
		}
		var data []string
		for _, text := range e.Answer {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		slices.Sort(data)
		got[strings.Join(data, " ")] = true
	}
	return slices.Sorted(maps.Keys(got))
}
