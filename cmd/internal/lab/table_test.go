package lab

import (
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, row := range []struct {
		why     string
		samples []time.Duration
		q       float64
		want    time.Duration
	}{
		{"nothing was measured", nil, 0.5, 0},
		{"one sample is all of them", []time.Duration{7}, 0.01, 7},
		{"the lower of two is half of them", []time.Duration{9, 3}, 0.5, 3},
		{"half of a hundred", hundred, 0.5, 50},
		{"all but one of a hundred", hundred, 0.99, 99},
		{"the largest", hundred, 1, 100},
	} {
		if got := quantile(row.samples, row.q); got != row.want {
			t.Errorf("%s: quantile(%v) = %d, want %d", row.why, row.q, got, row.want)
		}
	}
}

func TestCities(t *testing.T) {
	c := readCities()
	if len(c.names) != 5 {
		t.Fatalf("%d cities, want 5", len(c.names))
	}
	for i, name := range c.names {
		if len(c.rtt[i]) != len(c.names) || c.rtt[i][i] != 0 {
			t.Errorf("%s: round trips %v, want one for each city and none to itself", name, c.rtt[i])
		}
	}
	if got, want := c.delay(way{0, 1}), 38200*time.Microsecond; got != want {
		t.Errorf("from %s to %s = %v, want %v", c.names[0], c.names[1], got, want)
	}
}
