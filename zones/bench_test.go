package zones

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// benchWorld has 1000 pools of ten members in three regions, each with a check.
func benchWorld(b *testing.B) *World {
	var yaml strings.Builder
	yaml.WriteString("regions: {us: {coordinates: [39, -77]}, eu: {coordinates: [53, -6]}, ap: {coordinates: [19, 72]}}\n")
	yaml.WriteString("checks: {c: {type: tcp, port: 80}}\npools:\n")
	policies := []Policy{Failover, Latency}
	for i := range 1000 {
		fmt.Fprintf(&yaml, "  p%d:\n    policy: %s\n    check: c\n    members:\n", i, policies[i%2])
		for j := range 10 {
			fmt.Fprintf(&yaml, "      - {endpoint: e%d-%d, region: %s, address: 192.%d.%d.%d}\n", i, j, []string{"us", "eu", "ap"}[j%3], 1+i/250, i%250, j)
		}
	}
	world, err := Parse(map[string][]byte{"w.yaml": []byte(yaml.String())})
	if err != nil {
		b.Fatal(err)
	}
	return world
}

func BenchmarkCompile1000Pools(b *testing.B) {
	world, table := benchWorld(b), testTable(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := world.Compile(table, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	plan := planOf(b, benchWorld(b))
	in := Inputs{Health: statuses(plan, "")}
	first := plan.Publish(nil, in, Change{All: true}, time.Unix(0, 0))
	b.Run("one endpoint of 10000", func(b *testing.B) {
		change := Change{Checks: []health.CheckID{plan.Targets[17].ID}}
		b.ReportAllocs()
		for b.Loop() {
			plan.Publish(first, in, change, time.Unix(0, 0))
		}
	})
	b.Run("all of 1000 pools", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			plan.Publish(first, in, Change{All: true}, time.Unix(0, 0))
		}
	})
}

func BenchmarkExplain(b *testing.B) {
	plan := planOf(b, worldOf(b, demoFiles(b)))
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	for b.Loop() {
		if _, err := s.Explain(Question{Name: "api.example.com", Type: 1, Client: Client{Source: german.Addr()}}); err != nil {
			b.Fatal(err)
		}
	}
}
