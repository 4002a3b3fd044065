package rtt

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

var (
	usEast  = Region{"us-east", geo.Coordinates{Latitude: 39, Longitude: -77.5}}
	euWest  = Region{"eu-west", geo.Coordinates{Latitude: 53.3, Longitude: -6.3}}
	apSouth = Region{"ap-south", geo.Coordinates{Latitude: 19.1, Longitude: 72.9}}
	regions = []Region{usEast, euWest, apSouth}

	// By distance from Germany: eu-west 46 ms, ap-south 136, us-east 140.
	germany = geo.Place{Country: "DE", ASN: 64500, Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}}
	cable   = geo.Place{Country: "DE", ASN: 64501, Located: true, At: germany.At}
	anyDE   = geo.Place{Country: "DE", Located: true, At: germany.At}
	nowhere = geo.Place{Country: "XX"}
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// testPlaces is a table of the places above.
func testPlaces(t testing.TB) *geo.Table {
	t.Helper()
	var b geo.Builder
	for _, p := range []struct {
		prefix string
		place  geo.Place
	}{{"5.0.0.0/8", germany}, {"2a00::/12", germany}, {"5.128.0.0/9", cable}, {"7.0.0.0/8", anyDE}, {"2.0.0.0/8", nowhere}} {
		if err := b.Add(netip.MustParsePrefix(p.prefix), p.place); err != nil {
			t.Fatal(err)
		}
	}
	return b.Build()
}

// A lab is a model that goes by the regions and places above, and its time.
type lab struct {
	t testing.TB
	*Model
	config Config
	now    time.Time
	orders *Orders
}

func newLab(t testing.TB, tables ...*Table) *lab {
	t.Helper()
	l := &lab{t: t, Model: New(), now: start, config: Config{Places: testPlaces(t), Regions: regions, Tables: tables}}
	l.orders = l.Model.Orders().For(l.config)
	l.Adopt(l.orders)
	return l
}

// settled is a lab whose model is no longer young.
func settled(t testing.TB, tables ...*Table) *lab {
	l := newLab(t, tables...)
	for range lastingEpochs {
		l.epoch()
	}
	return l
}

// epoch lets one begin.
func (l *lab) epoch() bool {
	l.now = l.now.Add(EpochLength)
	changed := l.Advance(l.now)
	l.orders = l.Model.Orders().For(l.config)
	return changed
}

// tell has a gateway of a region report.
func (l *lab) tell(region geo.RegionID, rows ...row) {
	l.t.Helper()
	r, err := ParseReport(reportOf(region, l.now, rows...).Append(nil))
	if err != nil {
		l.t.Fatal(err)
	}
	l.Replace("gateway-"+string(region), r, l.now)
}

func reportOf(region geo.RegionID, now time.Time, rows ...row) Report {
	rows = stamped(rows, now)
	slices.SortFunc(rows, row.compare)
	return Report{Region: region, epoch: EpochOf(now), rows: rows}
}

// stamped are rows as they come out of a report.
func stamped(rows []row, now time.Time) []row {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].epoch = uint32(EpochOf(now))
	}
	return rows
}

// count is so many samples of a time from the clients of a place to a region, by country alone or by ASN.
func count(p geo.Place, to Region, rtt float64, n float64) row {
	r := row{id: keyOf(p.Country, p.ASN, p.Located), rtt: uint32(rtt * 1000), weight: uint16(n * whole)}
	if p.Located {
		r.expected = uint32(Prior(p.At, to.At).Microseconds())
	}
	return r
}

// countPrefix is so many samples from a prefix.
func countPrefix(prefix string, rtt float64, n float64) row {
	return row{id: prefixID(netip.MustParsePrefix(prefix)), rtt: uint32(rtt * 1000), weight: uint16(n * whole)}
}

// first is the region that a client is sent to.
func (l *lab) first(client string) geo.RegionID { return l.order(client)[0] }

func (l *lab) order(client string) []geo.RegionID {
	a := netip.MustParseAddr(client)
	return l.orders.Order(l.config.Places.Place(l.config.Places.Lookup(a)), l.orders.Overlay().Find(a), regions)
}

func (l *lab) estimate(client string, r Region) Estimate {
	a := netip.MustParseAddr(client)
	return l.orders.Estimate(l.config.Places.Place(l.config.Places.Lookup(a)), l.orders.Overlay().Find(a), r)
}

func TestOrderByDistance(t *testing.T) {
	byDistance := []geo.RegionID{"eu-west", "ap-south", "us-east"}
	given := []geo.RegionID{"us-east", "eu-west", "ap-south"}
	var none *Orders
	for _, row := range []struct {
		why    string
		orders *Orders
		place  geo.Place
		want   []geo.RegionID
	}{
		{"nearest first", newLab(t).orders, germany, byDistance},
		{"a place that no table has", newLab(t).orders, geo.Place{Country: "AQ", Located: true, At: germany.At}, byDistance},
		{"nothing known: as given", newLab(t).orders, geo.Place{}, given},
		{"no orders yet: by distance", none, germany, byDistance},
		{"no orders and nothing known", none, nowhere, given},
		{"a model that was never told of a configuration", New().Orders(), germany, byDistance},
	} {
		if got := row.orders.Order(row.place, 0, regions); !slices.Equal(got, row.want) {
			t.Errorf("%s: Order = %v, want %v", row.why, got, row.want)
		}
		if got := row.orders.Knows(row.place, 0); got != row.place.Located {
			t.Errorf("%s: Knows = %v", row.why, got)
		}
	}
	if got := none.Estimate(germany, 0, euWest); got.From != "distance" || got.RTT != Prior(germany.At, euWest.At) || got.Deviation == 0 {
		t.Errorf("estimate without orders = %+v", got)
	}
	if got := none.Estimate(nowhere, 0, euWest); got != (Estimate{}) {
		t.Errorf("estimate of nowhere without orders = %+v", got)
	}
	if none.Epoch() != 0 || none.Overlay() != nil {
		t.Errorf("no orders are of epoch %d with overlay %v", none.Epoch(), none.Overlay())
	}
}

// The order of some regions is that of all with the others left out, and a region of another configuration has its distance.
func TestOrderOfSomeRegions(t *testing.T) {
	l := newLab(t)
	if got, want := l.orders.Order(germany, 0, []Region{usEast, apSouth}), []geo.RegionID{"ap-south", "us-east"}; !slices.Equal(got, want) {
		t.Errorf("Order of two = %v, want %v", got, want)
	}
	other := Region{"eu-north", geo.Coordinates{Latitude: 59, Longitude: 18}}
	if got, want := l.orders.Order(germany, 0, []Region{usEast, other}), []geo.RegionID{"eu-north", "us-east"}; !slices.Equal(got, want) {
		t.Errorf("Order with a region of no configuration = %v, want %v", got, want)
	}
	if got := l.orders.Estimate(germany, 0, other); got.From != "distance" || got.RTT != Prior(germany.At, other.At) {
		t.Errorf("estimate for a region of no configuration = %+v", got)
	}
}

func TestUnknownRegionsComeLast(t *testing.T) {
	l := settled(t)
	if got, want := l.order("2.0.0.1"), []geo.RegionID{"us-east", "eu-west", "ap-south"}; !slices.Equal(got, want) {
		t.Errorf("Order of a place that is nowhere = %v, want as given: %v", got, want)
	}
	l.tell("ap-south", count(nowhere, apSouth, 40, 5))
	for range lastingEpochs {
		l.epoch()
	}
	if got, want := l.order("2.0.0.1"), []geo.RegionID{"ap-south", "us-east", "eu-west"}; !slices.Equal(got, want) {
		t.Errorf("Order of a place that is nowhere, with samples of ap-south = %v, want %v", got, want)
	}
	if !l.orders.Knows(nowhere, 0) {
		t.Error("with samples nothing is known")
	}
	backwards := []Region{apSouth, euWest, usEast}
	if got, want := l.orders.Order(nowhere, 0, backwards), []geo.RegionID{"ap-south", "eu-west", "us-east"}; !slices.Equal(got, want) {
		t.Errorf("unknown regions = %v, want in the order given: %v", got, want)
	}
}

func TestEpochs(t *testing.T) {
	if got := EpochOf(time.Unix(0, 0)); got != 0 {
		t.Errorf("EpochOf(1970) = %d", got)
	}
	if got := EpochOf(time.Unix(-1e9, 0)); got != 0 {
		t.Errorf("EpochOf before 1970 = %d", got)
	}
	if a, b := EpochOf(start), EpochOf(start.Add(EpochLength-1)); a != b || EpochOf(start.Add(EpochLength)) != a+1 {
		t.Errorf("epochs of %v: %d, %d", EpochLength, a, b)
	}
	if HalfLife%EpochLength != 0 {
		t.Errorf("half-life %v is no multiple of %v", HalfLife, EpochLength)
	}
}
