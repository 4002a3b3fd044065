package forecast

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A writer writes for a terminal.
type writer struct {
	strings.Builder
	all bool
}

// shownLines is how many lines of a list are shown, unless all are asked for.
const shownLines = 20

func (w *writer) line(format string, args ...any) {
	w.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	w.WriteByte('\n')
}

// shown returns how many of so many lines are to be shown.
func (w *writer) shown(n int) int {
	if w.all {
		return n
	}
	return min(n, shownLines)
}

// more says that some are not shown.
func (w *writer) more(n int, what string) {
	if left := n - w.shown(n); left > 0 {
		w.line("  … and %d more %s (--all shows them)", left, what)
	}
}

// rows writes lines whose words stand in columns; of each column all but the last are padded.
func (w *writer) rows(indent string, rows [][]string) {
	var width []int
	for _, row := range rows {
		for i, word := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(word))
		}
	}
	for _, row := range rows {
		line := indent
		for i, word := range row {
			line += word
			if i+1 < len(row) {
				line += strings.Repeat(" ", width[i]-utf8.RuneCountInString(word)+2)
			}
		}
		w.line("%s", line)
	}
}

// Text is the forecast for a terminal; long lists are cut unless all is asked for.
func (f *Forecast) Text(all bool) string {
	w := &writer{all: all}
	if len(f.Changes) == 0 && len(f.Records) == 0 {
		w.line("the configuration does not differ")
	}
	f.writeChanges(w)
	f.writeRecords(w)
	if len(f.Unproven) > 0 {
		w.line("not proven: until an endpoint is up by such a check as it is now, it takes nothing down: %s", strings.Join(f.Unproven, ", "))
	}
	w.line("")
	f.Clients.write(w)
	return w.String()
}

// Text is who moves, for a terminal; long lists are cut unless all is asked for.
func (c *Clients) Text(all bool) string {
	w := &writer{all: all}
	c.write(w)
	return w.String()
}

var marks = map[Operation]string{Added: "+", Removed: "-", Changed: "~"}

var plurals = map[Kind]string{
	KindName: "names", KindPool: "pools", KindMember: "members", KindCheck: "checks", KindPanel: "panels", KindControl: "controls", KindRule: "safety rules",
	KindRegion: "regions", KindZone: "zones", KindCatalog: "catalogs", KindService: "services", KindRoute: "routes", KindWorld: "the world as a whole",
}

func (f *Forecast) writeChanges(w *writer) {
	for i := 0; i < len(f.Changes); {
		end := i
		of := map[Operation]int{}
		for end < len(f.Changes) && f.Changes[end].Kind == f.Changes[i].Kind {
			of[f.Changes[end].Operation]++
			end++
		}
		kind := plurals[f.Changes[i].Kind]
		w.line("%s: %s", kind, counts(of))
		var rows [][]string
		for _, c := range f.Changes[i:][:w.shown(end-i)] {
			name := c.Name
			if c.Kind == KindMember || c.Kind == KindControl || c.Kind == KindRule {
				name = c.In + "/" + name
			}
			rows = append(rows, []string{marks[c.Operation] + " " + name, c.text()})
		}
		w.rows("  ", rows)
		w.more(end-i, kind)
		i = end
	}
}

func counts(of map[Operation]int) string {
	var parts []string
	for _, op := range []Operation{Added, Removed, Changed} {
		if of[op] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", of[op], op))
		}
	}
	return strings.Join(parts, ", ")
}

// short are the settings that say enough of a thing that comes or goes.
var short = map[Kind][]string{
	KindName: {"pool"}, KindPool: {"policy"}, KindMember: {"region", "address", "target", "weight", "control"}, KindCheck: {"type", "port", "interval"},
	KindRule: {"assert", "threshold", "of"}, KindControl: {"initial_off"}, KindRegion: {"coordinates"}, KindZone: {"file"}, KindService: {"upstreams"}, KindRoute: {"service"},
}

func (c *Change) text() string {
	var texts []string
	if c.Operation == Changed {
		for _, s := range c.Settings {
			texts = append(texts, fmt.Sprintf("%s: %s → %s", s.Key, orNone(s.Before), orNone(s.After)))
		}
		return strings.Join(texts, "; ")
	}
	for _, key := range short[c.Kind] {
		for _, s := range c.Settings {
			if s.Key == key {
				texts = append(texts, key+" "+s.Before+s.After)
			}
		}
	}
	return strings.Join(texts, ", ")
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func (f *Forecast) writeRecords(w *writer) {
	for i := range f.Records[:w.shown(len(f.Records))] {
		r := &f.Records[i]
		w.line("static records of %s: %s; %d records → %d", r.Zone, counts(map[Operation]int{Added: r.Added, Removed: r.Removed, Changed: r.Changed}), r.Before, r.After)
		var rows [][]string
		for _, set := range r.Sets[:w.shown(len(r.Sets))] {
			rows = append(rows, []string{marks[set.Operation] + " " + set.Name, set.Type, set.text()})
		}
		w.rows("  ", rows)
		w.more(len(r.Sets), "record sets")
	}
	w.more(len(f.Records), "zones")
}

// The most records of a set, and bytes of a record, in a line.
const (
	shownRecords = 3
	shownBytes   = 60
)

// text is the set's data; of one that changes, what does.
func (s *RecordSet) text() string {
	switch s.Operation {
	case Added:
		return fmt.Sprintf("%d %s", s.After.TTL, recordTexts(s.After.Records))
	case Removed:
		return fmt.Sprintf("%d %s", s.Before.TTL, recordTexts(s.Before.Records))
	}
	var texts []string
	gone, come := without(s.Before.Records, s.After.Records), without(s.After.Records, s.Before.Records)
	switch {
	case len(gone) > 0 && len(come) > 0:
		texts = append(texts, recordTexts(gone)+" → "+recordTexts(come))
	case len(gone) > 0:
		texts = append(texts, "without "+recordTexts(gone))
	case len(come) > 0:
		texts = append(texts, "with "+recordTexts(come))
	}
	if s.Before.TTL != s.After.TTL {
		texts = append(texts, fmt.Sprintf("TTL %d → %d", s.Before.TTL, s.After.TTL))
	}
	return strings.Join(texts, "; ")
}

// without is the records of a list that another does not have.
func without(records, others []string) (rest []string) {
	for _, r := range records {
		if _, has := slices.BinarySearch(others, r); !has {
			rest = append(rest, r)
		}
	}
	return rest
}

func recordTexts(records []string) string {
	var texts []string
	for _, record := range records[:min(len(records), shownRecords)] {
		if len(record) > shownBytes {
			record = strings.ToValidUTF8(record[:shownBytes], "") + "…"
		}
		texts = append(texts, record)
	}
	text := strings.Join(texts, " | ")
	if more := len(records) - shownRecords; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
