package dashboard

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// The limits of one question.
const (
	maxWhy        = 8                // checks
	seenBefore    = 10 * time.Minute // this vantage's verdict, before the status that it led to
	seenAfter     = time.Minute      // or after the status that others led to
	mostVerdicts  = 200              // of that time
	mostOfSubject = 200              // events that are read to learn which checks a name had
)

// A whyAnswer says why the checks of a name were in their states at a time.
type whyAnswer struct {
	Subject string     `json:"subject"`
	At      time.Time  `json:"at"`
	Node    string     `json:"node"` // whose view it is
	Checks  []whyCheck `json:"checks"`
	Notes   []string   `json:"notes,omitempty"` // what of it is not certain
	Text    string     `json:"text"`            // for a terminal
}

// A whyCheck is one check at that time. Events are lines of the journal; nil: there is none.
type whyCheck struct {
	Check   health.CheckID `json:"check"`
	Known   bool           `json:"known"` // otherwise the journal does not say
	State   health.State   `json:"state"`
	Held    bool           `json:"held,omitempty"`
	Since   time.Time      `json:"since,omitzero"`    // of the state
	Until   time.Time      `json:"until,omitzero"`    // zero: it is so still
	Event   *health.Event  `json:"event,omitempty"`   // that made it so
	Hold    *health.Event  `json:"hold,omitempty"`    // the last one since that held it, or no longer
	Next    *health.Event  `json:"next,omitempty"`    // that ended it
	Verdict *health.Event  `json:"verdict,omitempty"` // of the node itself, nearest to Event
	ByHand  []health.Event `json:"by_hand,omitempty"` // what people had set then
	Notes   []string       `json:"notes,omitempty"`
}

func (s *Server) getWhy(w http.ResponseWriter, r *http.Request) {
	p := query(r, "at", "subject")
	now := time.Now()
	a := whyAnswer{Subject: p.subject("subject"), At: p.past("at", now)}
	if a.At.IsZero() {
		a.At = now
	}
	if a.Subject == "" {
		p.bad("subject: missing, want the name of an endpoint or check")
	}
	if a.At.After(now) {
		p.bad("at: %s is in the future, it is %s", a.At.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if p.refused(w) {
		return
	}
	if refusal := s.why(r.Context(), &a, s.scene(now)); refusal != nil {
		refusal.write(w)
		return
	}
	if wantsText(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprint(w, a.Text)
		return
	}
	reply(w, a)
}

// why fills an answer in.
func (s *Server) why(ctx context.Context, a *whyAnswer, c scene) *problem {
	ctx, over := context.WithTimeout(ctx, searchWait)
	defer over()
	a.At, a.Node = a.At.UTC(), string(c.node.Name)
	j := asker{s: s, ctx: ctx}
	ids, refusal := j.checks(a, c)
	if refusal != nil {
		return refusal
	}
	members := c.members()
	for _, id := range ids {
		a.Checks = append(a.Checks, j.check(id, a.At, c, members[id]))
	}
	a.Notes = j.running(a.At)
	if refusal := journalProblem(j.err); refusal != nil {
		return refusal
	}
	a.Text = a.text()
	return nil
}

// An asker asks the journal; after the first error it finds nothing.
type asker struct {
	s   *Server
	ctx context.Context
	err error
}

func (j *asker) find(q JournalQuery) []health.Event {
	if j.err != nil {
		return nil
	}
	var page JournalPage
	page, j.err = j.s.src.Journal(j.ctx, q)
	return page.Events
}

// last is the last event of some kinds until a time, about exactly a subject, or any; nil: there is none.
func (j *asker) last(from, to time.Time, subject string, kinds ...health.EventKind) *health.Event {
	for limit := 1; ; limit = maxEvents {
		events := j.find(JournalQuery{From: from, To: to, Subject: subject, Kinds: kinds, Limit: limit, Newest: true})
		for i := range slices.Backward(events) {
			if subject == "" || events[i].Subject == subject {
				return &events[i]
			}
		}
		if len(events) < limit || limit == maxEvents {
			return nil
		}
	}
}

// checks are those that a name has, or had at the time.
func (j *asker) checks(a *whyAnswer, c scene) ([]health.CheckID, *problem) {
	found, endpoints := make(map[health.CheckID]bool), make(map[string]bool)
	for _, id := range c.health.Checks() {
		if about(string(id), a.Subject) {
			found[id] = true
		}
		endpoints[endpointOf(id)] = true
	}
	for _, e := range j.find(JournalQuery{To: a.At, Subject: a.Subject, Kinds: []health.EventKind{health.EventStatus}, Limit: mostOfSubject, Newest: true}) {
		found[health.CheckID(e.Subject)] = true
	}
	ids := slices.Sorted(maps.Keys(found))
	switch {
	case j.err != nil:
		return nil, journalProblem(j.err)
	case len(ids) == 0:
		names := slices.Sorted(maps.Keys(endpoints))
		return nil, &problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("no check or endpoint %q, now or in the journal (have %s)", a.Subject, firstOf(names))}
	case len(ids) > maxWhy:
		var names []string
		for _, id := range ids {
			names = append(names, string(id))
		}
		return nil, &problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("subject: %q has %d checks, ask for %d at most (have %s)", a.Subject, len(ids), maxWhy, firstOf(names))}
	}
	return ids, nil
}

// about reports whether a check has a name in its path.
func about(check, name string) bool { return strings.Contains("/"+check+"/", "/"+name+"/") }

// firstOf names a few, of what may be many.
func firstOf(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	text := strings.Join(names[:min(len(names), maxListed)], ", ")
	if len(names) > maxListed {
		text += fmt.Sprintf(" and %d more", len(names)-maxListed)
	}
	return text
}

// endpointOf is the endpoint of a check: check/endpoint/family.
func endpointOf(id health.CheckID) string {
	parts := strings.Split(string(id), "/")
	if len(parts) != 3 {
		return ""
	}
	return parts[1]
}

// check finds out how one check was.
//
//	a status event until then        its state, since then
//	none, but it has not changed     what it is now, since when
//	neither                          not known
func (j *asker) check(id health.CheckID, at time.Time, c scene, members []memberName) whyCheck {
	k := whyCheck{Check: id, Event: j.last(time.Time{}, at, string(id), health.EventStatus)}
	if e := k.Event; e != nil && e.Evidence != nil {
		k.Known, k.State, k.Since = true, e.Evidence.After, e.Time.UTC()
		k.Verdict = j.verdict(e)
	} else if is := c.health.Status(id, health.Global); is.State != health.Unknown && !is.Since.After(at) {
		k.Known, k.State, k.Since = true, is.State, is.Since.UTC()
		k.Notes = append(k.Notes, "the journal has no word of when it became so; it is so still")
	}
	from := k.Since.Add(1)
	if k.Hold = j.last(from, at, string(id), health.EventHeld); k.Hold != nil && k.Hold.Evidence != nil {
		k.Held = k.Hold.Evidence.Held
	}
	for _, e := range j.find(JournalQuery{From: at.Add(1), Subject: string(id), Kinds: []health.EventKind{health.EventStatus}, Limit: 1}) {
		k.Next, k.Until = &e, e.Time.UTC()
	}
	k.ByHand = j.byHand(id, at, members)
	if !k.Known {
		return k
	}
	if e := j.last(from, at, "", health.EventStarted); e != nil {
		k.Notes = append(k.Notes, fmt.Sprintf("the node was started anew at %s; what it knew of this check it had from its disk", clock(e.Time, at)))
	}
	if e := j.last(from, at, "", health.EventGap); e != nil {
		k.Notes = append(k.Notes, fmt.Sprintf("not certain: near %s, %s", clock(e.Time, at), e.Text))
	}
	return k
}

// verdict is the change of the node's own mind that is nearest to a change of status, to the same state.
func (j *asker) verdict(status *health.Event) (nearest *health.Event) {
	distance := func(e *health.Event) time.Duration { return e.Time.Sub(status.Time).Abs() }
	for _, e := range j.find(JournalQuery{From: status.Time.Add(-seenBefore), To: status.Time.Add(seenAfter), Subject: status.Subject,
		Kinds: []health.EventKind{health.EventVerdict}, Limit: mostVerdicts}) {
		if e.Evidence != nil && e.Evidence.After == status.Evidence.After && (nearest == nil || distance(&e) <= distance(nearest)) {
			nearest = &e
		}
	}
	return nearest
}

// byHand is what people had set of a check's endpoint.
func (j *asker) byHand(id health.CheckID, at time.Time, members []memberName) (set []health.Event) {
	if endpoint := endpointOf(id); endpoint != "" {
		if e := j.last(time.Time{}, at, endpoint, health.EventEndpoint); e != nil && !strings.HasPrefix(e.Text, string(control.Auto)) {
			set = append(set, *e)
		}
	}
	seen := make(map[control.ControlID]bool)
	for _, m := range members {
		if m.Control == "" || seen[m.Control] {
			continue
		}
		seen[m.Control] = true
		if e := j.last(time.Time{}, at, string(m.Control), health.EventControl); e != nil && strings.HasPrefix(e.Text, "off") {
			set = append(set, *e)
		}
	}
	return set
}

// running says where the node itself had no eyes.
func (j *asker) running(at time.Time) (notes []string) {
	switch e := j.last(time.Time{}, at, "", health.EventStarted, health.EventStopped); {
	case j.err != nil:
	case e == nil:
		notes = append(notes, "the journal does not reach back to that time")
	case e.Kind == health.EventStopped:
		notes = append(notes, fmt.Sprintf("this node was not running then (%s: %s); this is how it saw things last", clock(e.Time, at), e.Text))
	}
	return notes
}
