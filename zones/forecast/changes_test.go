package forecast

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// Whatever field of the model is another, it shows, unless it is a name or compared elsewhere.
func TestEveryFieldShows(t *testing.T) {
	shown := 0
	for _, empty := range []any{
		zones.Region{}, zones.Check{}, zones.Pool{}, zones.Member{}, control.NewControl{}, control.Rule{}, zones.Zone{}, zones.Catalog{}, zones.Service{}, zones.World{},
	} {
		typ := reflect.TypeOf(empty)
		for _, field := range reflect.VisibleFields(typ) {
			if field.Anonymous || !field.IsExported() || keyOf(typ, field) == "" {
				continue
			}
			before, after := reflect.New(typ), reflect.New(typ)
			if !other(after.Elem().FieldByIndex(field.Index)) {
				t.Errorf("%s.%s is %v, of which this test knows no other value", typ.Name(), field.Name, field.Type)
				continue
			}
			differ := compare(settings(before.Interface()), settings(after.Interface()))
			if len(differ) != 1 || differ[0].Key != keyOf(typ, field) || differ[0].Before == differ[0].After {
				t.Errorf("%s.%s is %v instead of nothing, and that shows as %q", typ.Name(), field.Name, after.Elem().FieldByIndex(field.Index), differ)
			}
			shown++
		}
	}
	if shown < 50 {
		t.Errorf("only %d fields looked at", shown)
	}
}

// other gives a value another one than zero.
func other(v reflect.Value) bool {
	switch known := v.Addr().Interface().(type) {
	case *time.Duration:
		*known = time.Second
		return true
	case *netip.Addr:
		*known = netip.MustParseAddr("192.0.2.1")
		return true
	case *zones.LatencyTable:
		var report strict.Report
		known.Table = rtt.ParseTable("a.csv", []byte("client,region,ms\nDE,eu,25\n"), []geo.RegionID{"eu"}, &report)
		return report.Err() == nil
	case *netip.AddrPort:
		*known = netip.MustParseAddrPort("192.0.2.1:53")
		return true
	case *netip.Prefix:
		*known = netip.MustParsePrefix("192.0.2.0/24")
		return true
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("other")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return other(v.Elem())
	case reflect.Struct:
		return other(v.Field(0))
	case reflect.Array:
		return other(v.Index(0))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return other(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if !other(key) || !other(value) {
			return false
		}
		v.SetMapIndex(key, value)
	default:
		return false
	}
	return true
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{"", ""}, {"a", "a"}, {0, "0"}, {false, "false"}, {90 * time.Second, "1m30s"}, {[]string(nil), ""}, {[]string{"DE"}, "DE"}, {[]string{"DE", "FR"}, "[DE, FR]"},
		{[2]netip.Addr{netip.MustParseAddr("192.0.2.1")}, "192.0.2.1"}, {zones.MinUp{}, ""}, {zones.MinUp{Count: 2}, "2"}, {zones.MinUp{Percent: 50}, "50%"},
		{[]health.StatusRange{{Low: 200, High: 299}, {Low: 401, High: 401}}, "[200-299, 401]"}, {&zones.HTTPS{ALPN: []string{"h2", "h3"}}, "{alpn: [h2, h3]}"},
		{(*zones.HTTPS)(nil), ""}, {map[geo.RegionID][]string{"b": {"x", "y"}, "a": {"z"}}, "{a: z, b: [x, y]}"}, {[]byte("root"), "4 bytes, a354fd1ff0c467c5"},
		{&zones.Transfer{Allow: []zones.Grant{{Key: "k."}}, XoT: true}, "{allow: {key: k.}, xot: true}"},
		{geo.Coordinates{Latitude: 1.5, Longitude: -2}, "{latitude: 1.5, longitude: -2}"},
	} {
		if got := text(reflect.ValueOf(c.value)); got != c.want {
			t.Errorf("text(%#v) = %q, want %q", c.value, got, c.want)
		}
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{"TTL": "ttl", "WhenAllDown": "when_all_down", "MinUp": "min_up", "HTTPS": "https", "InitialOff": "initial_off", "ReportAgent": "report_agent"} {
		if got := snake(name); got != want {
			t.Errorf("snake(%s) = %s, want %s", name, got, want)
		}
	}
}

// The order of the members is a change only where it decides, and only of those that were there before.
func TestOrderOfMembers(t *testing.T) {
	table := table(t)
	pool := func(policy string, endpoints ...string) string {
		text := "  a:\n    policy: " + policy + "\n    members:\n"
		for _, e := range endpoints {
			text += "      - {endpoint: " + e + ", region: us-east, address: 192.0.2." + strings.TrimPrefix(e, "e") + "}\n"
		}
		return text
	}
	for _, c := range []struct{ why, before, after, want string }{
		{"turned", pool("failover", "e1", "e2", "e3"), pool("failover", "e2", "e1", "e3"), "e1, e2, e3 → e2, e1, e3"},
		{"turned, and one is new", pool("failover", "e1", "e2"), pool("failover", "e2", "e3", "e1"), "e1, e2 → e2, e3, e1"},
		{"one is new", pool("failover", "e1", "e2"), pool("failover", "e1", "e3", "e2"), ""},
		{"it does not decide", pool("weighted", "e1", "e2"), pool("weighted", "e2", "e1"), ""},
	} {
		f := Compare(snapshot(t, table, c.before, "www: {pool: a}"), snapshot(t, table, c.after, "www: {pool: a}"), nil)
		got := ""
		for _, change := range f.Changes {
			if change.Kind == KindPool {
				got = change.Settings[0].Before + " → " + change.Settings[0].After
			}
		}
		if got != c.want {
			t.Errorf("%s: order %q, want %q", c.why, got, c.want)
		}
	}
}

// A latency table that is written otherwise is no change; one that says another time is, and moves whom it is about.
func TestLatencyTables(t *testing.T) {
	table := table(t)
	world := func(csv string) *zones.Snapshot {
		text := frame + "latency_tables: [rtt/a.csv]\npools:\n  a: {policy: latency, members: [{endpoint: us, region: us-east, address: 192.0.2.1}, {endpoint: eu, region: eu-west, address: 192.0.2.2}]}\n" +
			"zones: {example.com: {file: z, steer: {www: {pool: a}}}}\n"
		return snapshotOf(t, table, zones.FileMap{"world.yaml": []byte(text), "z": []byte(zoneFile), "rtt/a.csv": []byte("client,region,ms\n" + csv)})
	}
	before := world("IN,us-east,10\nIN,eu-west,90\n")
	for _, c := range []struct {
		why, csv string
		changes  int
		moves    string
	}{
		{"as before", "IN,us-east,10\nIN,eu-west,90\n", 0, ""},
		{"written otherwise", "# India\nIN,eu-west,90\nIN,us-east,10\n", 0, ""},
		{"the other way round", "IN,eu-west,10\nIN,us-east,90\n", 1, "25.0/25.0: us-east→eu-west 25.0/25.0"},
	} {
		f := Compare(before, world(c.csv), nil)
		if got := movesText(&f.Clients); len(f.Changes) != c.changes || got != c.moves {
			t.Errorf("%s: %v and %q, want %d changes and %q", c.why, f.Changes, got, c.changes, c.moves)
		}
	}
}
