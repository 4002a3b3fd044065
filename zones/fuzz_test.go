package zones

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzConfiguration compiles whatever is accepted and publishes it with all endpoints up and all down. A pool that has nothing to answer
// some clients with, though all is well, was warned of; every answer adds up; and another publish gives the same.
func FuzzConfiguration(f *testing.F) {
	for _, world := range []string{policiesWorld, kindsWorld, rampWorld, dualWorld, stickyWorld(5, Weighted)} {
		f.Add([]byte(world))
	}
	bad, err := filepath.Glob("testdata/bad/*/world.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range bad {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	table := testTable(f)
	f.Fuzz(func(t *testing.T, config []byte) {
		world, err := Parse(FileMap{"w.yaml": config, "z": []byte(kindsZone)})
		if err != nil {
			return
		}
		plan, err := world.Compile(table, nil)
		if err != nil {
			t.Fatalf("accepted, but not compiled: %v", err)
		}
		for _, words := range []string{"", "all=down", "all=unknown"} {
			in := Inputs{Health: statuses(plan, words)}
			s := plan.Publish(nil, in, Change{All: true}, time.Unix(0, 0))
			if again := plan.Publish(s, in, Change{All: true}, time.Unix(0, 0)); again.Digest != s.Digest {
				t.Fatalf("digest %v, and once more %v", s.Digest, again.Digest)
			}
			for _, p := range s.Pools {
				for g := range p.Groups {
					for family, rrtype := range p.Plan.Types {
						c := &p.Groups[g].Families[family]
						checkChoice(t, p, c)
						if words == "" && rrtype != 0 && len(c.Options) == 0 && p.Plan.HasFamily(family) && !warned(world, p.Plan.Pool.Name) {
							t.Errorf("pool %q answers group %d no %s with all endpoints up, and nobody was warned", p.Plan.Pool.Name, g, dns.Type(rrtype))
						}
					}
					checkChoice(t, p, &p.Groups[g].HTTPS)
				}
			}
		}
	})
}

func warned(w *World, pool string) bool {
	return slices.ContainsFunc(w.Warnings, func(p Problem) bool { return strings.Contains(p.Text, fmt.Sprintf("pool %q", pool)) })
}

// checkChoice checks that a choice adds up, and that any number and prefix falls on an option.
func checkChoice(t *testing.T, p *PoolAnswers, c *Choice) {
	t.Helper()
	total := uint32(0)
	for i := range c.Options {
		o := &c.Options[i]
		total += o.Weight
		if o.Weight == 0 || o.Set == nil || int(o.Set.Count) < len(o.Members) || o.Set.Count == 0 {
			t.Fatalf("pool %q: option %+v", p.Plan.Pool.Name, o)
		}
		if rrs, err := o.Set.RRs("x.example."); err != nil || len(rrs) != int(o.Set.Count) {
			t.Fatalf("pool %q: records %v, %v, want %d", p.Plan.Pool.Name, rrs, err, o.Set.Count)
		}
	}
	if total != c.Total || len(c.Options) > maxLeaves {
		t.Fatalf("pool %q: total %d of %d options, want %d", p.Plan.Pool.Name, c.Total, len(c.Options), total)
	}
	for i := range c.Others {
		if o := &c.Others[i]; o.From >= o.To || o.To > FullRamp || len(o.Choice.Options) == 0 {
			t.Fatalf("pool %q: other %+v", p.Plan.Pool.Name, o)
		}
		checkChoice(t, p, &c.Others[i].Choice)
	}
	for _, random := range []uint32{0, 1 << 31, 1<<32 - 1} {
		if o := c.Pick(random, Prefix(uint64(random)<<32|uint64(random))); (o == nil) != (len(c.Options) == 0) {
			t.Fatalf("pool %q: pick = %v of %d options", p.Plan.Pool.Name, o, len(c.Options))
		}
	}
}
