package dashboard

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// text is the answer for a terminal: first what was so, then why, then what to mind.
func (a *whyAnswer) text() string {
	var b strings.Builder
	for i := range a.Checks {
		if i > 0 {
			b.WriteByte('\n')
		}
		a.Checks[i].text(&b, a)
	}
	for _, note := range a.Notes {
		fmt.Fprintf(&b, "\nMind: %s.\n", note)
	}
	return b.String()
}

func (k *whyCheck) text(b *strings.Builder, a *whyAnswer) {
	state := strings.ToUpper(k.State.String())
	if !k.Known {
		state = "not known"
	}
	if k.Held {
		state += " (held)"
	}
	fmt.Fprintf(b, "%s was %s at %s UTC, as node %s saw it.\n", k.Check, state, a.At.Format("2006-01-02 15:04:05"), a.Node)
	k.sayWhen(b, a.At)
	for _, e := range k.ByHand {
		fmt.Fprintf(b, "\nBy hand, since %s: %s %s: %s\n", clock(e.Time, a.At), e.Kind, e.Subject, e.Text)
	}
	if k.Event != nil && k.Event.Evidence != nil {
		sayVotes(b, fmt.Sprintf("The votes that made it %v, at %s", k.State, clock(k.Event.Time, a.At)), k.Event.Evidence)
	}
	if k.Hold != nil && k.Held {
		sayVotes(b, fmt.Sprintf("Held since %s, so that the state stayed: %s", clock(k.Hold.Time, a.At), holdWords[k.Hold.Evidence.Hold]), k.Hold.Evidence)
	}
	if e := k.Verdict; e != nil {
		k.sayProbes(b, a, e)
	}
	for _, note := range k.Notes {
		fmt.Fprintf(b, "\nMind: %s.\n", note)
	}
}

// sayWhen says since when the state was so, until when, and what was before.
func (k *whyCheck) sayWhen(b *strings.Builder, at time.Time) {
	if !k.Known {
		fmt.Fprint(b, "The journal of this node says nothing of it until then.")
		if k.Next != nil {
			fmt.Fprintf(b, " The first word is of %s: %s.", clock(k.Next.Time, at), k.Next.Text)
		}
		b.WriteByte('\n')
		return
	}
	fmt.Fprintf(b, "It was %v since %s, for %s by then; ", k.State, clock(k.Since, at), long(at.Sub(k.Since)))
	if k.Next == nil {
		fmt.Fprint(b, "it is so still.\n")
	} else {
		fmt.Fprintf(b, "it became %v at %s, after %s.\n", after(k.Next), clock(k.Until, at), long(k.Until.Sub(k.Since)))
	}
	if k.Event == nil || k.Event.Evidence == nil {
		return
	}
	if e := k.Event.Evidence; e.Since.IsZero() || e.Before == health.Unknown {
		fmt.Fprintf(b, "Before it was %v.\n", e.Before)
	} else {
		fmt.Fprintf(b, "Before it was %v, for %s.\n", e.Before, long(k.Since.Sub(e.Since)))
	}
}

func after(e *health.Event) string {
	if e.Evidence == nil {
		return "something else"
	}
	return e.Evidence.After.String()
}

// holdWords say why a status was held. A reason of another version is none of them, and the event's own text says it.
var holdWords = map[health.Hold]string{
	health.HoldNone:     "the journal does not say why",
	health.HoldSilent:   "half or fewer of the vantages were fresh",
	health.HoldUnsteady: "half or fewer of the vantages were heard steadily",
	health.HoldUnproven: "nothing was ever up under this definition of the check",
	health.HoldFrozen:   "all automatic change was frozen",
	health.HoldMass:     "most targets went down at once, by doubtful evidence",
	health.HoldSlim:     "less than two thirds of the vantages said down, and not yet for 15 s",
}

// sayVotes lists what every vantage said, region by region.
func sayVotes(b *strings.Builder, title string, e *health.Evidence) {
	up, voting := 0, 0
	for _, vote := range e.Regions {
		if vote.State != health.Unknown {
			voting++
		}
		if vote.State == health.Up {
			up++
		}
	}
	rule := ""
	if e.Quorum != (health.Quorum{}) {
		rule = fmt.Sprintf(" The quorum is %v.", e.Quorum)
	}
	if len(e.Terms) > 0 {
		sayTerms(b, title, e.Terms)
		return
	}
	fmt.Fprintf(b, "\n%s: %d of %d regions that voted said up, %d of %d vantages counted.%s\n", title, up, voting, e.Fresh, e.Assigned, rule)
	w := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for _, vote := range e.Regions {
		voted := vote.State.String()
		if vote.State == health.Unknown {
			voted = "no vote"
		}
		var said []string
		for _, o := range vote.Vantages {
			said = append(said, sayOpinion(o))
		}
		if said == nil {
			said = []string{"no vantage is known"}
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", vote.Region, voted, strings.Join(said, "; "))
	}
	w.Flush() // a strings.Builder takes everything
}

// sayTerms lists the checks of a group, which decide instead of votes.
func sayTerms(b *strings.Builder, title string, terms []health.TermState) {
	fmt.Fprintf(b, "\n%s, by the checks of the group:\n", title)
	w := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for _, t := range terms {
		said := t.State.String()
		for _, is := range []struct {
			so   bool
			name string
		}{{t.Invert, "inverted"}, {t.Veto, "veto"}, {t.Shadow, "shadow: does not count"}} {
			if is.so {
				said += ", " + is.name
			}
		}
		fmt.Fprintf(w, "  %s\t%s\n", t.Check, said)
	}
	w.Flush() // a strings.Builder takes everything
}

func sayOpinion(o health.Opinion) string {
	said := o.State.String()
	if o.Reason > health.ReasonOK {
		said += ", " + o.Reason.String()
	}
	switch {
	case o.Fresh:
		return fmt.Sprintf("%s: %s", o.Vantage, said)
	case o.State == health.Unknown:
		return fmt.Sprintf("%s: not counted (%s)", o.Vantage, o.Stale)
	}
	return fmt.Sprintf("%s: not counted (%s), last said %s", o.Vantage, o.Stale, said)
}

// sayProbes lists the probes of this node that led it to its own verdict.
func (k *whyCheck) sayProbes(b *strings.Builder, a *whyAnswer, e *health.Event) {
	fmt.Fprintf(b, "\nThe probes from here, node %s, the last of which made its own verdict %v at %s:\n", a.Node, e.Evidence.After, clock(e.Time, a.At))
	w := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for _, p := range e.Evidence.Attempts {
		text := sayTimes(p)
		if p.Detail != "" && p.Reason != health.ReasonOK {
			text += ": " + p.Detail
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", clock(p.Start, a.At), p.Reason, text)
	}
	w.Flush() // a strings.Builder takes everything
}

// sayTimes says how far a probe came, and when it was over.
func sayTimes(p health.Attempt) string {
	var parts []string
	for _, step := range []struct {
		name string
		took time.Duration
	}{{"connected in", p.Connect}, {"TLS in", p.TLS}, {"first byte after", p.FirstByte}} {
		if step.took > 0 {
			parts = append(parts, step.name+" "+long(step.took))
		}
	}
	return strings.Join(append(parts, "over after "+long(p.Total)), ", ")
}

// clock is a time of day in UTC, with the date if that is another one.
func clock(t, at time.Time) string {
	t, at = t.UTC(), at.UTC()
	if t.Year() == at.Year() && t.YearDay() == at.YearDay() {
		return t.Format("15:04:05.000")
	}
	return t.Format("2006-01-02 15:04:05.000")
}

// long is how long something took, in the two units that matter.
func long(d time.Duration) string {
	switch {
	case d < 0:
		return "no time"
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
