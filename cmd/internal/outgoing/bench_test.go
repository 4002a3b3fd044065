package outgoing

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A zone of 50,000 names, signed whole and signed again a day later.
func BenchmarkMake(b *testing.B) {
	var text strings.Builder
	text.WriteString(zoneText)
	const names = 50_000
	for i := range names {
		fmt.Fprintf(&text, "n%d A 192.0.2.%d\n", i, i%256)
	}
	plan := planOf(b, worldText, text.String())
	s := source(b, plan, "signed.example.", begin)
	before := made(b, s, nil)
	size := 0
	for _, c := range before.chunks {
		size += len(c)
	}
	for _, row := range []struct {
		name   string
		before *Version
		after  time.Duration
	}{{"anew", nil, 0}, {"same day", before, 0}, {"next day", before, day}} {
		b.Run(row.name, func(b *testing.B) {
			s.Now = begin.Add(row.after)
			for b.Loop() {
				made(b, s, row.before)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*names), "us/name")
			b.ReportMetric(float64(size)/names, "B/name")
		})
	}
}
