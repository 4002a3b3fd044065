//go:build linux

package peers_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A rule explains one way in which two servers may differ and both be right, or in which the other one is wrong.
type rule struct {
	name   string
	reason string
	// explain takes out of both answers what it explains, and reports whether that was anything.
	explain func(d *difference) bool
}

// A difference is two answers to one query, as far as they are not explained.
type difference struct {
	query        query
	peer         string
	ours, theirs *answer

	// The answers over TCP, where one of those over UDP was truncated.
	wholeOurs, wholeTheirs *answer
}

// explain applies the rules in turn until the answers are equal, and returns the numbers of those that were of use.
func (d *difference) explain() (used []int, explained bool) {
	for i, r := range rules {
		if d.ours.equal(d.theirs) {
			return used, true
		}
		if r.explain(d) {
			used = append(used, i)
		}
	}
	return used, d.ours.equal(d.theirs)
}

// kind says in which respects the answers differ.
func (d *difference) kind() string {
	words := []string{d.peer}
	if d.ours.rcode != d.theirs.rcode {
		words = append(words, dns.RcodeToString[d.ours.rcode]+" or "+dns.RcodeToString[d.theirs.rcode])
	}
	for _, flag := range []struct {
		name         string
		ours, theirs any
	}{{"AA", d.ours.aa, d.theirs.aa}, {"TC", d.ours.tc, d.theirs.tc}, {"echo", d.ours.echo, d.theirs.echo}, {"OPT", d.ours.opt, d.theirs.opt}} {
		if flag.ours != flag.theirs {
			words = append(words, flag.name)
		}
	}
	for i, name := range sectionNames {
		for _, side := range []struct {
			name string
			set  recordSet
		}{{"only ours", d.ours.sections[i].minus(d.theirs.sections[i])}, {"only theirs", d.theirs.sections[i].minus(d.ours.sections[i])}} {
			if len(side.set) > 0 {
				words = append(words, fmt.Sprintf("%s %s %v", name, side.name, side.set.types()))
			}
		}
	}
	return strings.Join(words, ", ")
}

// all returns the records of all sections.
func (a *answer) all() recordSet { return slices.Concat(a.sections[:]...) }

func (s recordSet) types() []string {
	set := make(map[string]bool)
	for _, r := range s {
		set[parseRecord(r).rrtype] = true
	}
	return slices.Sorted(maps.Keys(set))
}
