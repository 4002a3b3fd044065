package replay

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// large are so many statuses of checks with three vantages in each of three regions.
func large(checks int) []health.Status {
	var statuses []health.Status
	for i := range checks {
		s := health.Status{Check: health.CheckID(fmt.Sprintf("gateway/endpoint-%d/ipv4", i)), State: health.Up, Measured: health.Up, Since: noon, Assigned: 9, Fresh: 9}
		for r := range 3 {
			vote := health.Vote{Region: geo.RegionID(fmt.Sprint("region-", r)), State: health.Up}
			for v := range 3 {
				vote.Vantages = append(vote.Vantages, health.Opinion{Vantage: health.NodeID(fmt.Sprint("node-", r, "-", v)), State: health.Up, Reason: health.ReasonOK, Fresh: true})
			}
			s.Regions = append(s.Regions, vote)
		}
		statuses = append(statuses, s)
	}
	return statuses
}

const manyChecks = 20_000

// BenchmarkWhole writes a moment as a segment begins with it.
func BenchmarkWhole(b *testing.B) {
	m := &Moment{Published: noon, Health: health.NewView(large(manyChecks))}
	w := NewWriter(noon, time.Time{}, 1<<30)
	var buffer []byte
	for b.Loop() {
		w.Break()
		var err error
		if buffer, _, err = w.Moment(buffer[:0], m, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(buffer)), "bytes/moment")
}

// BenchmarkChange writes a moment in which one check of many is otherwise, and nothing says so of the others but that they are equal.
func BenchmarkChange(b *testing.B) {
	up := large(manyChecks)
	down := slices.Clone(up)
	down[manyChecks/2].State = health.Down
	moments := [2]*Moment{{Published: noon, Health: health.NewView(up)}, {Published: noon, Health: health.NewView(down)}}
	w := NewWriter(noon, time.Time{}, 1<<30)
	var buffer []byte
	i := 0
	for b.Loop() {
		var err error
		if buffer, _, err = w.Moment(buffer[:0], moments[i%2], 0); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(len(buffer)), "bytes/moment")
}

// BenchmarkRead reads a segment of one whole moment and makes the moment.
func BenchmarkRead(b *testing.B) {
	w := NewWriter(noon, time.Time{}, 1<<30)
	segment, _, err := w.Moment(nil, &Moment{Published: noon, Health: health.NewView(large(manyChecks))}, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(segment)))
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(segment), time.UTC)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = r.Next()
		}
		if m, err := r.Moment(); err != nil || len(m.Health.Checks()) != manyChecks {
			b.Fatal(m, err)
		}
	}
}
