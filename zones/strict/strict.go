// Package strict decodes YAML strictly: every mistake at once, with file and line.
//
// A configuration is a table of keys per object. The table decodes a file, words the
// mistakes in it and prints the reference of its keys, so the three can't differ: a default
// is YAML text that is decoded like a user's. Aliases, anchors, tags and a second document
// in a file are refused, so what a file says is what stands in it.
//
// The package opens no file. Decoding never panics and never stops at the first mistake;
// what it makes of a file with mistakes is of no use but for finding more of them. Size,
// depth, counts and the number of reported mistakes have limits.
package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// MaxSize is the most bytes of one YAML file.
const MaxSize = 4 << 20

const (
	maxDepth    = 32   // nested lists and mappings
	maxProblems = 1000 // of one report
	maxQuoted   = 80   // bytes of a user's text in a problem
	maxListed   = 24   // good values in a problem
)

// A Problem is a mistake or a warning at a place in a file.
type Problem struct {
	File string
	Line int // 0: the whole file
	Text string
}

func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Text
	case p.Line == 0:
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Problems are an error: one line each, ordered by file and line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// A Position is a line of a file. The zero Position is nowhere: what has it was not written by the user.
type Position struct {
	File string
	Line int
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// A Report collects problems in any order. Its zero value is empty and ready. Not for use by several goroutines.
type Report struct {
	problems Problems
	dropped  int
}

// Add notes a problem. Past the limit problems are only counted.
func (r *Report) Add(at Position, format string, args ...any) {
	if len(r.problems) == maxProblems {
		r.dropped++
		return
	}
	r.problems = append(r.problems, Problem{at.File, at.Line, fmt.Sprintf(format, args...)})
}

// Join notes what another report has noted.
func (r *Report) Join(other *Report) {
	room := min(maxProblems-len(r.problems), len(other.problems))
	r.problems = append(r.problems, other.problems[:room]...)
	r.dropped += other.dropped + len(other.problems) - room
}

// Problems returns what was noted, ordered by file, line and text, each once.
func (r *Report) Problems() Problems {
	all := slices.Clone(r.problems)
	slices.SortFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	all = slices.Compact(all)
	if r.dropped > 0 {
		all = append(all, Problem{Text: fmt.Sprintf("%d more problems", r.dropped)})
	}
	return all
}

// Err returns the problems as an error; nil without any.
func (r *Report) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return r.Problems()
}

// Quote quotes a user's text for a problem, shortened if it is long.
func Quote(text string) string {
	if len(text) > maxQuoted {
		text = text[:maxQuoted] + "…"
	}
	return fmt.Sprintf("%q", text)
}

// Unknown words the use of a name that is not among the good ones.
func Unknown(what, name string, have []string) string {
	return fmt.Sprintf("unknown %s %s (%s)", what, Quote(name), listed(have))
}

// listed returns the good values as words of a problem, in order.
func listed(have []string) string {
	if len(have) == 0 {
		return "have none"
	}
	have = slices.Sorted(slices.Values(have))
	if len(have) > maxListed {
		return fmt.Sprintf("have %s and %d more", strings.Join(have[:maxListed], ", "), len(have)-maxListed)
	}
	return "have " + strings.Join(have, ", ")
}

// nearest returns the candidate that the least edits make of a word; empty if that would be another word.
func nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", 3
	for _, c := range candidates {
		if d := distance(word, c); d < least && d <= max(1, len(c)/3) {
			best, least = c, d
		}
	}
	return best
}

// distance returns how many inserted, deleted, replaced or swapped neighbouring bytes make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
