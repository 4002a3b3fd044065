package rtt

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
)

// listed are the prefixes of an overlay.
func listed(o *Orders) (prefixes []string) {
	for i := range o.entries {
		prefixes = append(prefixes, o.Overlay().Prefix(uint32(i+1)).String())
	}
	slices.Sort(prefixes)
	return prefixes
}

func TestOverlay(t *testing.T) {
	for _, row := range []struct {
		why   string
		table string
		rows  []row
		want  []string
	}{
		{"a prefix that is ordered like what is around it is not listed", "", []row{countPrefix("5.0.1.0/24", 50, 900)}, nil},
		{"neighbours that are ordered alike are one", "", []row{countPrefix("5.0.0.0/24", 300, 900), countPrefix("5.0.1.0/24", 400, 900)}, []string{"5.0.0.0/23"}},
		{"and four of them", "", []row{countPrefix("5.0.0.0/24", 300, 900), countPrefix("5.0.1.0/24", 400, 900), countPrefix("5.0.2.0/24", 300, 900), countPrefix("5.0.3.0/24", 300, 900)}, []string{"5.0.0.0/22"}},
		{"but not those that are no halves of one", "", []row{countPrefix("5.0.1.0/24", 300, 900), countPrefix("5.0.2.0/24", 300, 900)}, []string{"5.0.1.0/24", "5.0.2.0/24"}},
		{"nor those that are ordered otherwise", "5.0.0.0/24,us-east,20", []row{countPrefix("5.0.1.0/24", 300, 900)}, []string{"5.0.0.0/24", "5.0.1.0/24"}},
		{"nor those in different places", "", []row{countPrefix("5.127.255.0/24", 300, 900), countPrefix("5.128.0.0/24", 300, 900)}, []string{"5.127.255.0/24", "5.128.0.0/24"}},
		{"nor halves of one that are in different places", "5.0.0.0/9,eu-west,300\n5.128.0.0/9,eu-west,300", nil, []string{"5.0.0.0/9", "5.128.0.0/9"}},
		{"nor into one that something else is known of", "5.0.0.0/23,eu-west,50", []row{countPrefix("5.0.0.0/24", 300, 900), countPrefix("5.0.1.0/24", 300, 900)}, []string{"5.0.0.0/24", "5.0.1.0/24"}},
		{"one inside, ordered like the outermost, is listed", "", []row{countPrefix("5.0.0.0/20", 300, 900), countPrefix("5.0.1.0/24", 50, 900)}, []string{"5.0.0.0/20", "5.0.1.0/24"}},
		{"one inside, ordered like that around it, is not", "", []row{countPrefix("5.0.0.0/20", 300, 900), countPrefix("5.0.1.0/24", 310, 900)}, []string{"5.0.0.0/20"}},
		{"a table's prefix from the first compile on", "5.0.0.0/12,eu-west,500", nil, []string{"5.0.0.0/12"}},
	} {
		var tables []*Table
		if row.table != "" {
			tables = append(tables, testTable(t, "a.csv", row.table))
		}
		l := newLab(t, tables...)
		if len(row.rows) > 0 {
			l.tell("eu-west", row.rows...)
			l.epoch()
		}
		if got := listed(l.orders); !slices.Equal(got, row.want) {
			t.Errorf("%s: listed %q, want %q", row.why, got, row.want)
		}
	}
}

// What is listed as one is explained as one.
func TestMergedPrefixIsExplained(t *testing.T) {
	l := newLab(t, testTable(t, "a.csv", "5.0.0.128/25,eu-west,10\n5.0.0.128/25,us-east,400"))
	l.tell("eu-west", countPrefix("5.0.0.0/24", 300, 900), countPrefix("5.0.1.0/24", 400, 300), countPrefix("5.0.4.0/24", 300, 900))
	l.epoch()
	if got, want := listed(l.orders), []string{"5.0.0.0/23", "5.0.0.128/25", "5.0.4.0/24"}; !slices.Equal(got, want) {
		t.Fatalf("listed %q, want %q", got, want)
	}
	e := l.estimate("5.0.1.1", euWest)
	prior := float64(Prior(germany.At, euWest.At).Microseconds()) / 1000
	want := pull(prior, (300*900+400*300)/1200, 1200)
	if got := float64(e.RTT.Microseconds()) / 1000; e.From != "prefix 5.0.0.0/23" || e.Samples < 1180 || e.Samples > 1200 || got < want-0.1 || got > want+0.1 {
		t.Errorf("estimate %+v, want %.1f ms by about 1200 samples of prefix 5.0.0.0/23", e, want)
	}
	if e := l.estimate("5.0.5.1", euWest); e.From != "distance" {
		t.Errorf("beside it the estimate is %+v", e)
	}
}

// A prefix that is new has the order of what is around it, and another one only for a gain that lasts; one that nothing is told
// of any more has it again.
func TestListedPrefixHasHysteresis(t *testing.T) {
	l := settled(t)
	slow := countPrefix("5.0.1.0/24", 300, 900)
	other := countPrefix("5.0.9.0/24", 50, 900)
	for i := range lastingEpochs {
		l.tell("eu-west", slow)
		l.tell("us-east", other)
		changed := l.epoch()
		if got, want := l.first("5.0.1.1") == "ap-south", i == lastingEpochs-1; got != want || i > 0 && changed != want {
			t.Errorf("in epoch %d moved %v, changed %v, want %v", i+1, got, changed, want)
		}
	}
	gone := 0
	for l.first("5.0.1.1") != "eu-west" {
		if gone++; gone > 20*halfEpochs {
			t.Fatal("what was measured ages ago still counts")
		}
		l.tell("us-east", other)
		if changed, back := l.epoch(), l.first("5.0.1.1") == "eu-west"; back && !changed {
			t.Error("a prefix is ordered otherwise and it is not worth a compile")
		}
	}
}

// A prefix that is held in an order of its own and is told of no more has that of its surroundings, and that is worth a compile.
func TestPrefixThatIsGone(t *testing.T) {
	l := newLab(t)
	for range lastingEpochs + 1 {
		l.tell("us-east", countPrefix("5.0.1.0/24", 100, 900), countPrefix("5.0.9.0/24", 139, 900))
		l.epoch()
	}
	second := func() geo.RegionID { return l.order("5.0.1.1")[1] }
	if second() != "us-east" {
		t.Fatalf("the second region is %s, want us-east", second())
	}
	for n := 0; second() == "us-east"; n++ {
		l.tell("us-east", countPrefix("5.0.9.0/24", 139, 900))
		l.Model.news = false
		if changed := l.epoch(); changed != (second() != "us-east") {
			t.Errorf("after %d epochs worth a compile: %v, second region %s", n, changed, second())
		}
		if n > 20*halfEpochs {
			t.Fatal("what was measured ages ago still counts")
		}
	}
}

// Of two places in one listed prefix each is answered by its own estimates.
func TestPrefixOverSeveralPlaces(t *testing.T) {
	l := newLab(t, testTable(t, "wide.csv", "5.0.0.0/8,eu-west,300\n5.0.0.0/8,us-east,20"))
	check := func(client string, want geo.RegionID) {
		t.Helper()
		if got := l.first(client); got != want {
			t.Errorf("%s is sent to %s, want %s", client, got, want)
		}
	}
	check("5.1.1.1", "us-east")
	check("5.129.1.1", "us-east")
	l.tell("ap-south", count(cable, apSouth, 5, 1000))
	l.epoch()
	check("5.1.1.1", "us-east")
	check("5.129.1.1", "ap-south")
	covered := newLab(t) // a /20 whose samples are of one ASN says nothing of another's clients in it
	covered.tell("eu-west", countPrefix("5.0.0.0/20", 300, 900))
	covered.epoch()
	value := covered.orders.Overlay().Find(netip.MustParseAddr("5.0.0.1"))
	if mine, other := covered.orders.Order(germany, value, regions)[0], covered.orders.Order(cable, value, regions)[0]; mine != "ap-south" || other != "eu-west" {
		t.Errorf("the ASN's clients are sent to %s and another's to %s, want ap-south and eu-west", mine, other)
	}
}

// Orders outlive another table of places and other tables; with other regions they begin anew.
func TestOrdersOutliveAReload(t *testing.T) {
	l := settled(t)
	tell := func(rtt float64) {
		for range lastingEpochs {
			l.tell("eu-west", count(germany, euWest, rtt, 1000), countPrefix("5.0.1.0/24", 20, 900))
			l.tell("ap-south", count(germany, apSouth, 120, 1000))
			l.epoch()
		}
	}
	tell(180) // ap-south is worth a move, for all but the prefix
	tell(115) // and the way back is not
	check := func(why string, client string, want geo.RegionID) {
		t.Helper()
		if got := l.first(client); got != want {
			t.Errorf("%s: %s is sent to %s, want %s", why, client, got, want)
		}
	}
	check("before", "5.0.0.1", "ap-south")
	check("before", "5.0.1.1", "eu-west")
	l.config.Places = testPlaces(t)
	l.config.Tables = []*Table{testTable(t, "a.csv", "US,us-east,30")}
	l.orders = l.orders.For(l.config)
	check("compiled for new tables", "5.0.0.1", "ap-south")
	check("compiled for new tables", "5.0.1.1", "eu-west")
	if l.orders.For(l.config) != l.orders {
		t.Error("a picture is made anew for a configuration that it is for")
	}
	if l.Adopt(l.orders); l.Model.Orders().survey != l.orders.survey {
		t.Error("the model does not go by the survey of the plan")
	}
	l.epoch()
	check("an epoch later", "5.0.0.1", "ap-south")
	l.config.Tables = []*Table{testTable(t, "a.csv", "DE,us-east,1\nAS64500,us-east,1\n5.0.1.0/24,us-east,1\n5.0.1.0/24,eu-west,900")}
	l.orders = l.orders.For(l.config)
	check("by a table that says so", "5.0.0.1", "us-east")
	check("by a table that says so", "5.0.1.1", "us-east")
	l.config.Tables = nil
	l.orders = l.orders.For(l.config)
	check("without it", "5.0.0.1", "eu-west")
	check("without it", "5.0.1.1", "eu-west")
	l.config.Regions = []Region{usEast, euWest, apSouth, {"eu-north", geo.Coordinates{Latitude: 59, Longitude: 18}}}
	l.orders = l.orders.For(l.config)
	if got := l.orders.Order(germany, 0, l.config.Regions)[0]; got != "eu-north" {
		t.Errorf("with another region the first is %s, want eu-north", got)
	}
	check("with another region", "5.0.0.1", "eu-west")
	if l.Adopt(nil) || l.Adopt(New().Orders()) {
		t.Error("a picture without a configuration is adopted")
	}
}

// A plan that was compiled by a picture with other orders than the model's is out of date, whatever is different.
func TestLatePictures(t *testing.T) {
	for _, row := range []struct {
		why  string
		tell []row
		late bool
	}{
		{"nothing was heard since", nil, false},
		{"nobody moved by what was heard", []row{count(anyDE, euWest, 50, 10), countPrefix("5.0.1.0/24", 50, 10)}, false},
		{"a place moved", []row{count(anyDE, euWest, 300, 1000)}, true},
		{"a prefix moved", []row{countPrefix("5.0.1.0/24", 300, 1000)}, true},
	} {
		l := newLab(t)
		l.epoch()
		l.Model.worth = 0
		l.config.Places = testPlaces(t)
		before := l.orders.For(l.config)
		l.tell("eu-west", row.tell...)
		l.epoch()
		l.Model.worth = 0
		if got := l.Adopt(before); got != row.late {
			t.Errorf("%s: late is %v, want %v", row.why, got, row.late)
		}
		if l.Adopt(l.Model.Orders().For(l.config)) {
			t.Errorf("%s: the newest picture is late", row.why)
		}
	}
}

// The overlay answers every address as the longest prefix around it that something is known of, or its place.
func TestOverlayTwin(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 5))
		csv := ""
		for i := range 6 {
			csv += fmt.Sprintf("%v,%s,%d\n", netip.PrefixFrom(netip.AddrFrom4([4]byte{5, byte(random.IntN(2) * 128), byte(16 * i)}), 20+random.IntN(5)).Masked(), regions[random.IntN(3)].ID, 10+random.IntN(400))
		}
		l := newLab(t, testTable(t, "a.csv", csv))
		var rows []row
		for range 200 {
			rows = append(rows, row{id: prefixID(netip.PrefixFrom(netip.AddrFrom4([4]byte{5, byte(random.IntN(2) * 128), byte(random.IntN(96))}), 24)), rtt: uint32(1000 * (20 + 140*random.IntN(3))), weight: 900 * whole})
		}
		slices.SortFunc(rows, row.compare)
		l.tell("eu-west", slices.CompactFunc(rows, func(a, b row) bool { return a.id == b.id })...)
		l.epoch()
		o := l.orders
		for range 2000 {
			a := netip.AddrFrom4([4]byte{5, byte(random.IntN(2) * 128), byte(random.IntN(100)), byte(random.IntN(256))})
			place := l.config.Places.Place(l.config.Places.Lookup(a))
			var want []geo.RegionID
			longest := -1
			for u := range o.units {
				if p := o.units[u].id.prefix(); p.Contains(a) && p.Bits() > longest {
					longest, want = p.Bits(), nil
					for _, r := range o.listed.of(u) {
						want = append(want, regions[r].ID)
					}
				}
			}
			if longest < 0 {
				want = o.Order(place, 0, regions)
			}
			if got := o.Order(place, o.Overlay().Find(a), regions); !slices.Equal(got, want) {
				t.Fatalf("seed %d: Order of %v = %v, want %v by its longest prefix, a /%d", seed, a, got, want, longest)
			}
		}
		if len(o.entries) == 0 || len(o.entries) >= len(o.units) {
			t.Fatalf("seed %d: %d of %d prefixes are listed", seed, len(o.entries), len(o.units))
		}
	}
}

func TestExplore(t *testing.T) {
	l := newLab(t)
	near := Region{"eu-central", geo.Coordinates{Latitude: 50, Longitude: 8.7}}
	l.config.Regions = append(slices.Clone(regions), near)
	l.orders = l.orders.For(l.config)
	l.Adopt(l.orders)
	for _, step := range []struct {
		why     string
		tell    func()
		regions []Region
		want    geo.RegionID
	}{
		{"the first may be the best, others hardly better", func() {}, regions, ""},
		{"the first is slow, so the next may well be better", func() { l.tell("eu-west", count(germany, euWest, 130, 1000)); l.epoch() }, regions, "ap-south"},
		{"not if it may not be answered", func() {}, []Region{euWest, usEast}, "us-east"},
		{"nor once it was measured", func() { l.tell("ap-south", count(germany, apSouth, 160, 1000)); l.epoch() }, []Region{euWest, apSouth}, ""},
		{"a few samples leave a doubt", func() {
			l.Forget("gateway-ap-south")
			l.tell("ap-south", count(germany, apSouth, 150, 10))
			l.epoch()
		}, []Region{euWest, apSouth}, "ap-south"},
		{"alone there is no other", func() {}, []Region{euWest}, ""},
		{"nowhere there is nothing to go by", func() {}, nil, ""},
	} {
		step.tell()
		for range lastingEpochs {
			l.epoch()
		}
		got, ok := l.orders.Explore(germany, 0, step.regions)
		if got != step.want || ok != (step.want != "") {
			t.Errorf("%s: Explore = %q, %v, want %q; %+v", step.why, got, ok, step.want, l.orders.Estimate(germany, 0, apSouth))
		}
	}
	if got, ok := l.orders.Explore(geo.Place{}, 0, regions); ok {
		t.Errorf("where nothing is known %s is explored", got)
	}
	if got, ok := New().Orders().Explore(germany, 0, regions); ok {
		t.Errorf("without a configuration %s is explored", got)
	}
	l.tell("ap-south", count(nowhere, apSouth, 50, 100))
	l.epoch()
	if got, _ := l.orders.Explore(nowhere, 0, regions); got != "us-east" {
		t.Errorf("where one region is known %q is explored, want the first of which nothing is", got)
	}
}

// A region is not tried where no light comes in time: to us-east and back from Germany it needs 66 ms.
func TestExploreNoFasterThanLight(t *testing.T) {
	for rtt, want := range map[float64]bool{71: false, 85: true} {
		l := newLab(t)
		l.tell("us-east", count(anyDE, usEast, 80, 300))
		l.tell("eu-west", count(anyDE, euWest, rtt, 1000), count(germany, euWest, rtt, 1000))
		l.epoch()
		if got, ok := l.orders.Explore(germany, 0, []Region{euWest, usEast}); ok != want {
			t.Errorf("with %v ms to the first, %q is explored: %v, want %v; %+v", rtt, got, ok, want, l.orders.Estimate(germany, 0, usEast))
		}
	}
}

// One prefix in a hundred explores, another in each epoch, and all addresses of it do.
func TestExplored(t *testing.T) {
	const n, epoch = 200_000, 5_900_000
	explored, again, more := 0, 0, 0
	for i := range n {
		p := prefixNumber(i)
		if !Explored(p, epoch, 10) {
			continue
		}
		explored++
		if Explored(p, epoch+1, 10) {
			again++
		}
		if Explored(p, epoch, 11) {
			more++
		}
		if !Explored(netip.PrefixFrom(p.Addr().Next(), 32), epoch, 10) || !Explored(netip.PrefixFrom(p.Addr(), 20), epoch, 10) {
			t.Fatalf("%v explores, and an address or a resolver there does not", p)
		}
	}
	if explored < n/100*95/100 || explored > n/100*105/100 {
		t.Errorf("%d of %d prefixes explore, want 1 %%", explored, n)
	}
	if again > explored/20 {
		t.Errorf("%d of %d explore in the next epoch too", again, explored)
	}
	if more != explored {
		t.Errorf("%d of %d explore where more do", more, explored)
	}
	six := netip.MustParsePrefix("2a00:0:1::/48")
	for epoch := range uint64(10_000) {
		if Explored(six, epoch, 10) != Explored(netip.MustParsePrefix("2a00:0:1:2::/64"), epoch, 10) {
			t.Fatal("a /64 explores without its /48")
		}
		if Explored(six, epoch, 0) || Explored(netip.Prefix{}, epoch, 1000) || !Explored(six, epoch, 1000) {
			t.Fatal("of none some explore, or of all not all")
		}
	}
}
