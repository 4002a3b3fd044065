package zones

import (
	"fmt"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// String is the explanation for a terminal: one reason a line, the answer last.
func (e *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", e.Name, e.Type)
	for _, premise := range e.Premises {
		fmt.Fprintf(&b, "├─ %s\n", premise)
	}
	if e.Zone != "" {
		fmt.Fprintf(&b, "├─ zone %s\n", e.Zone)
	}
	for _, step := range e.Steps {
		fmt.Fprintf(&b, "├─ %s\n", step)
	}
	if p := e.Pool; p != nil {
		fmt.Fprintf(&b, "├─ client %s (%s) is in %s: group %d\n", p.Client, p.From, placeText(p.Place), p.Group)
		if p.Prefix != nil {
			fmt.Fprintf(&b, "├─ %s\n", p.Prefix)
		}
		fmt.Fprintf(&b, "├─ pool %s, policy %s, in the order for this group; rung: %s\n", p.Pool, p.Policy, p.Rung)
		for i := range p.Members {
			p.Members[i].write(&b, "│  ", branches(i, len(p.Members)))
		}
	}
	fmt.Fprintf(&b, "└─ %s\n", e.Last())
	return b.String()
}

// A branch is how the tree goes on at an entry: what stands before it, and before what lies below it.
type branch struct{ at, below string }

func branches(i, n int) branch {
	if i == n-1 {
		return branch{"└─ ", "   "}
	}
	return branch{"├─ ", "│  "}
}

func (r *PrefixReason) String() string {
	text := fmt.Sprintf("the answer depends on the client's prefix, which is at %d of 1000", r.PerMille)
	if r.Sticky {
		text += "; it decides between members that are equally good"
	}
	if r.Why != "" {
		text += "; " + r.Why
	}
	return text
}

// write writes a member as a branch of the tree, and below it what the vantages say of it, or its own members.
func (m *MemberReason) write(b *strings.Builder, before string, at branch) {
	name := m.Endpoint
	if name == "" {
		name = "pool " + m.Pool
	}
	fmt.Fprintf(b, "%s%s%s", before, at.at, name)
	if m.Region != "" {
		fmt.Fprintf(b, " in %s", m.Region)
	}
	if m.Tier != "" && m.Tier != "region "+string(m.Region) {
		fmt.Fprintf(b, " (%s)", m.Tier)
	}
	if m.RTT > 0 {
		fmt.Fprintf(b, " (%d ms by %s)", m.RTT.Milliseconds(), m.From)
	}
	if !strings.HasPrefix(m.Why, "is ") && !strings.HasPrefix(m.Why, "has ") { // it is no end of the sentence
		b.WriteByte(':')
	}
	fmt.Fprintf(b, " %s", m.Why)
	if m.Share > 0 && m.Share < 1 {
		fmt.Fprintf(b, ", %.3g %%", 100*m.Share)
	}
	b.WriteByte('\n')
	for i := range m.Members {
		m.Members[i].write(b, before+at.below, branches(i, len(m.Members)))
	}
	if m.Status == nil {
		return
	}
	for i, vote := range m.Status.Regions {
		votes := "votes " + vote.State.String()
		if vote.State == health.Unknown {
			votes = "does not vote"
		}
		fmt.Fprintf(b, "%s%s%s%s %s:", before, at.below, branches(i, len(m.Status.Regions)).at, vote.Region, votes)
		for j, o := range vote.Vantages {
			if j > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(b, " %s %s (%s", o.Vantage, o.State, o.Reason)
			if o.Stale != "" {
				fmt.Fprintf(b, "; not counted: %s", o.Stale)
			}
			b.WriteByte(')')
		}
		b.WriteByte('\n')
	}
}

func placeText(p geo.Place) string {
	if p == (geo.Place{}) {
		return "no known place"
	}
	var parts []string
	for _, part := range []string{p.City, p.Subdivision, p.Country, p.Continent} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}
