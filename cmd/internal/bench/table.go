//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// A table is printed as Markdown.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	b.WriteString(strings.Repeat("|---", len(t.head)) + "|\n")
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// spread formats the median of figures and their range: "1.07 (1.05–1.12)". Without a figure it is "–".
func spread(format string, figures []float64) string {
	if len(figures) == 0 {
		return "–"
	}
	sorted := slices.Sorted(slices.Values(figures))
	number := func(v float64) string { return fmt.Sprintf(format, v) }
	if len(sorted) == 1 {
		return number(sorted[0])
	}
	return fmt.Sprintf("%s (%s–%s)", number(median(sorted)), number(sorted[0]), number(sorted[len(sorted)-1]))
}

// median returns the middle of sorted figures, or the mean of the two in the middle.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// column returns one figure of each element.
func column[T any](elements []T, figure func(T) float64) []float64 {
	figures := make([]float64, len(elements))
	for i, e := range elements {
		figures[i] = figure(e)
	}
	return figures
}
