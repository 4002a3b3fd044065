package forecast

import (
	"fmt"
	"math"
	"strings"
)

func (c *Clients) write(w *writer) {
	if c.Names == 0 {
		w.line("no name is steered, so no client moves")
		return
	}
	w.line("%s", c.scope())
	if len(c.Moves) == 0 {
		w.line("nobody moves: the clients of %s have the answers that they had", plural(c.Names, "steered name"))
		c.writeRegions(w)
		return
	}
	w.line("")
	rows := [][]string{append([]string{"who moves"}, c.heads()...)}
	for i := range c.Moves[:w.shown(len(c.Moves))] {
		m := &c.Moves[i]
		what := m.Before
		if m.After != m.Before {
			what += " → " + m.After
		}
		rows = append(rows, append([]string{listOf(m.Names) + " (" + what + ")"}, c.columns(m.Moved)...))
		for _, flow := range m.Flows[:w.shown(len(m.Flows))] {
			to := flow.To
			if to == flow.From {
				to += ", another address"
			}
			rows = append(rows, append([]string{"  " + flow.From + " → " + to}, c.columns(flow.Share)...))
		}
		if left := len(m.Flows) - w.shown(len(m.Flows)); left > 0 {
			rows = append(rows, []string{fmt.Sprintf("  … and %d more ways (--all shows them)", left)})
		}
		rows = append(rows, c.regionRows(m.Regions, "  ", true, w)...)
	}
	if left := len(c.Moves) - w.shown(len(c.Moves)); left > 0 {
		rows = append(rows, []string{fmt.Sprintf("… and %d more that move less (--all shows them)", left)})
	}
	w.rows("", rows)
	c.writeRegions(w)
}

// scope says what the shares are of.
func (c *Clients) scope() string {
	of := fmt.Sprintf("shares of the address space that the geo table places: %d million IPv4 addresses, %d IPv6 networks of length 32;\n",
		(c.Addresses+500_000)/1_000_000, c.Networks)
	if c.Listed > 0 {
		return of + fmt.Sprintf("and of %s by weight", plural(c.Listed, "listed prefix"))
	}
	return of + "only that was looked at: without --clients nothing says where how many clients are"
}

func (c *Clients) heads() []string {
	heads := []string{"   IPv4", "   IPv6"}
	if c.Listed > 0 {
		return append(heads, "prefixes")
	}
	return heads
}

func (c *Clients) columns(s Share) []string {
	columns := []string{percent(s.IPv4), percent(s.IPv6)}
	if c.Listed > 0 {
		return append(columns, percent(s.Prefixes))
	}
	return columns
}

// shareText is a share in a sentence.
func (c *Clients) shareText(s Share) string {
	columns, heads := c.columns(s), c.heads()
	for i := range columns {
		columns[i] = strings.TrimSpace(columns[i]) + " of " + strings.TrimSpace(heads[i])
	}
	return strings.Join(columns, ", ")
}

// percent rounds to a tenth, but to none or all only what is so. It is seven bytes wide.
func percent(share float64) string {
	p := 100 * share
	switch {
	case share < negligible:
		return "      -"
	case p < 0.1:
		return " <0.1 %"
	case p > 99.9 && share < 1-negligible:
		return ">99.9 %"
	}
	return fmt.Sprintf("%5.1f %%", p)
}

// writeRegions says what each region has of all names.
func (c *Clients) writeRegions(w *writer) {
	w.line("")
	rows := [][]string{append([]string{"all " + plural(c.Names, "name") + ", each alike"}, c.heads()...)}
	rows = append(rows, c.regionRows(c.Regions, "  ", false, w)...)
	w.rows("", rows)
}

// regionRows says how much each region has before and after; of a name only regions that come to have another share.
func (c *Clients) regionRows(regions []Load, indent string, changed bool, w *writer) (rows [][]string) {
	left := 0
	for _, l := range regions {
		if changed && (!l.differs() || l.Region[0] == '(') {
			continue
		}
		if len(rows) == w.shown(len(regions)) {
			left++
			continue
		}
		row := []string{indent + l.Region}
		if changed {
			row[0] += " has"
		}
		before, after := c.columns(l.Before), c.columns(l.After)
		for i := range before {
			row = append(row, before[i]+change(after[i], c.values(l.Before)[i], c.values(l.After)[i]))
		}
		rows = append(rows, row)
	}
	if left > 0 {
		rows = append(rows, []string{fmt.Sprintf("%s… and %d more regions (--all shows them)", indent, left)})
	}
	return rows
}

func (c *Clients) values(s Share) []float64 { return []float64{s.IPv4, s.IPv6, s.Prefixes} }

func (l *Load) differs() bool {
	for i, before := range []float64{l.Before.IPv4, l.Before.IPv6, l.Before.Prefixes} {
		if math.Abs(before-[]float64{l.After.IPv4, l.After.IPv6, l.After.Prefixes}[i]) > negligible {
			return true
		}
	}
	return false
}

// change says what a share becomes, and how much more that is of what it was.
func change(is string, before, after float64) string {
	text := " → " + strings.TrimLeft(is, " ")
	switch {
	case math.Abs(after-before) < negligible:
		return ""
	case before < negligible, after < negligible:
		return text
	case after > 10*before:
		return fmt.Sprintf("%s (×%.0f)", text, after/before)
	}
	return fmt.Sprintf("%s (%+.0f %%)", text, 100*(after-before)/before)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "x") {
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
