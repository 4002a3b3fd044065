// Package importer makes a world of what other nameservers have for a configuration.
//
// Its packages read bytes and return bytes: the files of a world's directory, and a report of
// what became of every feature that they met. They open no file and ask nobody, so an import
// that was made once is made again alike.
//
// Nothing is dropped without a word: what has no equal here is in the report, and where it can be
// shown it stands as a comment in the file where it would be, marked LOOK. What is written has
// good keys and names throughout; mistakes that were in the input, an alias beside other records say,
// may be in it, and meridian check finds them.
package importer

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// Guide is the document on imports, without the tables of features: each stands where the name of its importer does, in {{ }}.
//
//go:embed guide.md
var Guide string

// Mark begins a comment in an imported file that a person has to read.
const Mark = "LOOK: "

// An Outcome says what becomes of a feature.
type Outcome string

const (
	Imported  Outcome = "imported"   // as it is
	Mapped    Outcome = "mapped"     // to something that does nearly the same; how is said
	NotMapped Outcome = "not mapped" // left out; why is said
)

// A Feature is something that a configuration can have, and what becomes of it.
type Feature struct {
	Name    string // for programs: "weighted"
	Title   string // for people: "weighted records"
	Outcome Outcome
	How     string // to what it is mapped, or why not; a sentence without a full stop
}

// A File is one input.
type File struct {
	Name string
	Data []byte
}

// MaxInput is the most bytes of all inputs together.
const MaxInput = 256 << 20

// A Note says what became of one use of a feature.
type Note struct {
	Feature Feature
	At      strict.Position
	Subject string // "www.example.com. A us-east"
	Detail  string // what is special here; may be empty
}

// A Report is the notes of an import. Its zero value is empty and ready.
type Report struct{ notes []Note }

// Add notes a use of a feature.
func (r *Report) Add(f Feature, at strict.Position, subject, format string, args ...any) {
	r.notes = append(r.notes, Note{f, at, subject, fmt.Sprintf(format, args...)})
}

// Notes returns what was noted: by outcome, feature and place.
func (r *Report) Notes() []Note {
	notes := slices.Clone(r.notes)
	rank := map[Outcome]int{Imported: 0, Mapped: 1, NotMapped: 2}
	slices.SortStableFunc(notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(rank[a.Feature.Outcome], rank[b.Feature.Outcome]), strings.Compare(a.Feature.Name, b.Feature.Name),
			strings.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line))
	})
	return notes
}

// A Result is what an import made.
type Result struct {
	Files  map[string][]byte // of the world's directory, by name
	Report Report
}

// The most places of a feature that the text of a report names.
const maxPlaces = 5

// Text returns the report for people. What was imported as it is is counted; of all else each feature is explained once, with the places
// where it occurs, the first ones by name.
func (r *Report) Text() string {
	var b strings.Builder
	notes := r.Notes()
	for len(notes) > 0 {
		n := slices.IndexFunc(notes, func(n Note) bool { return n.Feature != notes[0].Feature })
		if n < 0 {
			n = len(notes)
		}
		writeFeature(&b, notes[:n])
		notes = notes[n:]
	}
	return b.String()
}

func writeFeature(b *strings.Builder, notes []Note) {
	f := notes[0].Feature
	fmt.Fprintf(b, "%s: %s (%d)", f.Outcome, f.Title, len(notes))
	if f.Outcome == Imported {
		b.WriteByte('\n')
		return
	}
	fmt.Fprintf(b, ": %s\n", f.How)
	for i, n := range notes {
		if i == maxPlaces {
			fmt.Fprintf(b, "  and %d more\n", len(notes)-i)
			break
		}
		fmt.Fprintf(b, "  %s: %s", n.At, n.Subject)
		if n.Detail != "" {
			fmt.Fprintf(b, ": %s", n.Detail)
		}
		b.WriteByte('\n')
	}
}

// Table returns features as a table of Markdown.
func Table(features []Feature) string {
	var b strings.Builder
	b.WriteString("| feature | outcome | how, or why not |\n|---|---|---|\n")
	for _, f := range features {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.Title, f.Outcome, strings.ReplaceAll(f.How, "|", `\|`))
	}
	return b.String()
}
