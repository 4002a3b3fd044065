package lab

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// quantile is the smallest sample that at least the share q of the samples do not exceed.
func quantile(samples []time.Duration, q float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// spread says how the samples lie.
func spread(samples []time.Duration) string {
	return fmt.Sprintf("p50 %s, p99 %s, max %s, n %d", seconds(quantile(samples, 0.5)), seconds(quantile(samples, 0.99)), seconds(quantile(samples, 1)), len(samples))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// row prints a line of the table: what was measured, and what is to be reached.
func row(name, measured, reach string) {
	fmt.Println(strings.TrimRight(fmt.Sprintf("lab: %-44s %-52s %s", name, measured, reach), " "))
}
