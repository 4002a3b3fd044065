package static_test

import "testing"

func TestAt(t *testing.T) {
	z, mistakes, _ := build(t, parse(t, head+`
a.ent A 192.0.2.3
*.wild A 192.0.2.4
sub NS ns.sub
ns.sub A 192.0.2.5
lost.sub A 192.0.2.6
`))
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	for _, c := range []struct {
		why, name string
		want      bool
	}{
		{"the apex", "example.com.", true},
		{"a name", "a.ent.example.com.", true},
		{"an empty non-terminal", "ent.example.com.", true},
		{"a wildcard itself", "*.wild.example.com.", true},
		{"what a wildcard covers", "x.wild.example.com.", false},
		{"a delegation", "sub.example.com.", true},
		{"glue", "ns.sub.example.com.", true},
		{"what lies below a delegation and is no glue", "lost.sub.example.com.", false},
		{"nothing", "none.example.com.", false},
	} {
		if got := z.At(wire(t, c.name)).Exists(); got != c.want {
			t.Errorf("%s: At(%s) exists: %v, want %v", c.why, c.name, got, c.want)
		}
	}
	for n := range z.All {
		if owner := z.Owner(nil, n); !z.At(owner).Is(n) {
			t.Errorf("At(%q) is not the name that All yields", owner)
		}
	}
}
