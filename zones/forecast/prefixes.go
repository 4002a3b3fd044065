package forecast

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// The limits of a list of client prefixes.
const (
	MaxPrefixFile = 64 << 20 // bytes
	maxPrefixes   = 1_000_000
	maxWeight     = 1e12
)

// A Prefix is some clients, and how much they count.
type Prefix struct {
	netip.Prefix
	Weight float64 // greater than 0
}

// ParsePrefixes reads a list of client prefixes: a prefix or an address a line, then its weight, 1 if there is none; # begins a
// comment. The error is zones.Problems: every mistake, with the name of the file and its line.
func ParsePrefixes(file string, text []byte) ([]Prefix, error) {
	var prefixes []Prefix
	var report strict.Report
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line, _, _ = bytes.Cut(line, []byte("#"))
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		at := strict.Position{File: file, Line: number}
		if len(prefixes) == maxPrefixes {
			report.Add(at, "more than %d prefixes", maxPrefixes)
			break
		}
		p, err := parsePrefix(fields)
		if err != nil {
			report.Add(at, "%v", err)
			continue
		}
		prefixes = append(prefixes, p)
	}
	if err := report.Err(); err != nil {
		return nil, err
	}
	if len(prefixes) == 0 {
		report.Add(strict.Position{File: file}, "no prefix in it: want one a line, such as 8.8.8.0/24, and after a blank its weight if that is not 1")
	}
	return prefixes, report.Err()
}

func parsePrefix(fields []string) (p Prefix, err error) {
	if len(fields) > 2 {
		return p, fmt.Errorf("%d words, want a prefix and a weight", len(fields))
	}
	if a, bad := netip.ParseAddr(fields[0]); bad == nil && a.Zone() == "" {
		p.Prefix = netip.PrefixFrom(a, a.BitLen())
	} else if p.Prefix, err = netip.ParsePrefix(fields[0]); err != nil {
		return p, fmt.Errorf("%s is not a prefix, such as 8.8.8.0/24 or 2600::/32", strict.Quote(fields[0]))
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("%s is an IPv4 address in IPv6: write it as IPv4", strict.Quote(fields[0]))
	}
	if p.Prefix != p.Masked() {
		return p, fmt.Errorf("%s has bits set past its length: want %v", strict.Quote(fields[0]), p.Masked())
	}
	p.Weight = 1
	if len(fields) == 2 {
		if p.Weight, err = strconv.ParseFloat(fields[1], 64); err != nil || !(p.Weight > 0 && p.Weight <= maxWeight) {
			return p, fmt.Errorf("%s is not a weight: want a number greater than 0, at most %g", strict.Quote(fields[1]), maxWeight)
		}
	}
	return p, nil
}
