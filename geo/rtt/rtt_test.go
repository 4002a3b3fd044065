package rtt

import (
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
	germany = geo.Place{Country: "DE", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}}
)

func TestOrderByDistance(t *testing.T) {
	for _, row := range []struct {
		why   string
		place geo.Place
		want  []geo.RegionID
	}{
		{"nearest first", germany, []geo.RegionID{"eu-west", "ap-south", "us-east"}},
		{"nothing known: as given", geo.Place{}, []geo.RegionID{"us-east", "eu-west", "ap-south"}},
	} {
		if got := New().Orders().Order(row.place, regions); !slices.Equal(got, row.want) {
			t.Errorf("%s: Order = %v, want %v", row.why, got, row.want)
		}
	}
}

// A timeline of reports from the gateways of two regions, and whom German clients are sent to.
func TestOrderLearnsWithHysteresis(t *testing.T) {
	m := New()
	report := func(region geo.RegionID, milliseconds int, count uint32) {
		m.Replace("gateway-"+string(region), Report{region, map[Key]Mean{"DE": {time.Duration(milliseconds) * time.Millisecond, count}}})
	}
	report("us-east", 140, 1000)
	for _, step := range []struct {
		why   string
		rtt   int
		count uint32
		want  geo.RegionID
	}{
		{"distance alone", 0, 0, "eu-west"},
		{"a few slow samples weigh less than the distance", 300, 3, "eu-west"},
		{"second is faster but not by enough", 148, 1000, "eu-west"},
		{"a gain worth a move", 170, 1000, "us-east"},
		{"back, but not by enough", 132, 1000, "us-east"},
		{"back by enough", 90, 1000, "eu-west"},
	} {
		report("eu-west", step.rtt, step.count)
		order := m.Orders().Order(germany, []Region{usEast, euWest})
		m.Settle(map[geo.Place][]geo.RegionID{germany: order})
		if order[0] != step.want {
			t.Errorf("%s: first region = %s, want %s", step.why, order[0], step.want)
		}
	}
}

func TestUnknownRegionsComeLast(t *testing.T) {
	m := New()
	m.Replace("gateway", Report{"eu-west", map[Key]Mean{"XX": {40 * time.Millisecond, 5}}})
	nowhere := geo.Place{Country: "XX"}
	if got, want := m.Orders().Order(nowhere, regions), []geo.RegionID{"eu-west", "us-east", "ap-south"}; !slices.Equal(got, want) {
		t.Errorf("Order of a place that is nowhere, with samples from eu-west = %v, want %v", got, want)
	}
	if !m.Forget("gateway") || m.Forget("gateway") {
		t.Error("Forget does not say whether there was something to forget")
	}
	if got := m.Orders().Order(nowhere, regions)[0]; got != "us-east" {
		t.Errorf("first region after Forget = %s, want the first given", got)
	}
}

func TestReplaceIsBounded(t *testing.T) {
	m := New()
	for i := range MaxSources + 5 {
		taken := m.Replace(string(rune(i)), Report{Region: "us-east"})
		if want := i < MaxSources; taken != want {
			t.Fatalf("Replace of source %d = %v, want %v", i, taken, want)
		}
	}
	if !m.Replace(string(rune(0)), Report{Region: "eu-west"}) {
		t.Error("Replace of a known source refused when full")
	}
}

func TestReportTravels(t *testing.T) {
	r := Report{"eu-west", map[Key]Mean{"DE": {41 * time.Millisecond, 7}, "FR": {Mean{}.RTT, 0}}}
	got, err := ParseReport(r.Append(nil))
	if err != nil || got.Region != r.Region || len(got.Means) != 2 || got.Means["DE"] != r.Means["DE"] {
		t.Errorf("ParseReport(Append(%v)) = %v, %v", r, got, err)
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add(Report{"eu-west", map[Key]Mean{"DE": {41 * time.Millisecond, 7}}}.Append(nil))
	f.Add([]byte{1, 'a', 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			return
		}
		if again, err := ParseReport(r.Append(nil)); err != nil || len(again.Means) != len(r.Means) {
			t.Errorf("ParseReport(%x) does not survive a second trip: %v", b, err)
		}
	})
}

func TestOldSamplesAreOutweighed(t *testing.T) {
	mean := Mean{}.Add(100*time.Millisecond, 1_000_000)
	for range 10 {
		mean = mean.Add(20*time.Millisecond, 1000)
	}
	if mean.Count != MaxCount || mean.RTT > 21*time.Millisecond {
		t.Errorf("mean after many new samples = %v, want about 20ms, count %d", mean, MaxCount)
	}
}
