package rtt

import (
	"testing"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

func TestTableDigest(t *testing.T) {
	digest := func(name, text string) uint64 {
		t.Helper()
		var report strict.Report
		table := ParseTable(name, []byte(text), []geo.RegionID{"eu", "us"}, &report)
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		return table.Digest()
	}
	const text = "client,region,ms\n192.0.2.0/24,eu,12.5\nDE,us,90\n"
	want := digest("a.csv", text)
	for _, same := range []struct{ why, name, text string }{
		{"another order", "b.csv", "client,region,ms\n# a comment\nDE,us,90\n192.0.2.0/24,eu,12.5\n"},
		{"YAML", "b.yaml", "192.0.2.0/24: {eu: 12.5}\nDE: {us: 90}\n"},
	} {
		if got := digest(same.name, same.text); got != want {
			t.Errorf("%s: digest %x, want %x", same.why, got, want)
		}
	}
	for _, other := range []struct{ why, text string }{
		{"another time", "client,region,ms\n192.0.2.0/24,eu,12.6\nDE,us,90\n"},
		{"another region", "client,region,ms\n192.0.2.0/24,us,12.5\nDE,us,90\n"},
		{"another client", "client,region,ms\n192.0.3.0/24,eu,12.5\nDE,us,90\n"},
		{"one less", "client,region,ms\n192.0.2.0/24,eu,12.5\n"},
	} {
		if got := digest("a.csv", other.text); got == want {
			t.Errorf("%s: digest %x as before", other.why, got)
		}
	}
}
