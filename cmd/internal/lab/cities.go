package lab

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed rtt.csv
var rttText string

// cities are where the regions are.
type cities struct {
	names       []string
	coordinates [][2]float64
	rtt         [][]time.Duration // as measured from the first
}

// delay is half of the round trip as measured from where the way begins: the two halves differ, as they do where packets go out one way
// and come back another.
func (c *cities) delay(w way) time.Duration { return c.rtt[w.from][w.to] / 2 }

// readCities reads rtt.csv, which is part of the program: a mistake in it is a bug.
func readCities() *cities {
	c := &cities{}
	for line := range strings.Lines(rttText) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if line[0] == '#' || fields[0] == "city" {
			continue
		}
		var numbers []float64
		for _, f := range fields[1:] {
			n, err := strconv.ParseFloat(f, 64)
			if err != nil {
				panic(fmt.Sprintf("rtt.csv: %q: %v", line, err))
			}
			numbers = append(numbers, n)
		}
		c.names, c.coordinates = append(c.names, fields[0]), append(c.coordinates, [2]float64{numbers[0], numbers[1]})
		var row []time.Duration
		for _, n := range numbers[2:] {
			row = append(row, time.Duration(n*float64(time.Millisecond)))
		}
		c.rtt = append(c.rtt, row)
	}
	return c
}
