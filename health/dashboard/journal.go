package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A JournalQuery says which events of the journal on disk are wanted.
type JournalQuery struct {
	From, To time.Time          // both included; zero: no bound
	Subject  string             // of the event, or a name in the path that it is
	Kinds    []health.EventKind // none: any
	Limit    int
	Newest   bool   // the last of those that fit; otherwise the first
	Cursor   string // of a page: only what came behind it
}

// A JournalPage is what was found, oldest first.
type JournalPage struct {
	Events []health.Event
	More   bool   // there are others that fit
	Cursor string // behind the last event
}

// ErrCursor is wrapped by the error about a cursor that is none.
var ErrCursor = errors.New("no cursor of this journal")

// timesTaken says for the reference what parameters.past takes.
const timesTaken = "RFC 3339, a time of day in UTC that was last, as `14:03`, or how long ago, as `15m`"

func kindNames() string {
	var names []string
	for _, k := range health.EventKinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// kinds reads kinds of events.
func (p *parameters) kinds(name string) (kinds []health.EventKind) {
	for _, text := range p.values[name] {
		for one := range strings.SplitSeq(text, ",") {
			kind := health.EventKind(one)
			if !slices.Contains(health.EventKinds[:], kind) {
				p.bad("%s: unknown kind %q (have %s)", name, one, kindNames())
			}
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// subject reads what events are about.
func (p *parameters) subject(name string) string {
	text := strings.Trim(p.values.Get(name), "/")
	if len(text) > maxSubject {
		p.bad("%s: %d bytes, want at most %d", name, len(text), maxSubject)
	}
	return text
}

const (
	maxSubject = 512
	searchWait = 20 * time.Second // for all searches of one request: less than replyWait, so that its client hears of it
)

type eventList struct {
	Events []health.Event `json:"events"`
	More   bool           `json:"more"`             // there are others
	Cursor string         `json:"cursor,omitempty"` // of the journal on disk: behind these
}

func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	p := query(r, "after", "cursor", "from", "kind", "limit", "subject", "to")
	now := time.Now()
	after, limit := p.number("after", 0, 1<<63), int(p.number("limit", 200, maxEvents))
	q := JournalQuery{From: p.past("from", now), To: p.past("to", now), Subject: p.subject("subject"), Kinds: p.kinds("kind"), Limit: limit, Cursor: p.values.Get("cursor")}
	q.Newest = q.From.IsZero() && q.Cursor == ""
	onDisk := slices.ContainsFunc([]string{"cursor", "from", "kind", "subject", "to"}, p.values.Has)
	if onDisk && p.values.Has("after") {
		p.bad("after: it is of this run of the node alone; use cursor")
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.From.After(q.To) {
		p.bad("from: %s is after to, %s", q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339))
	}
	if p.refused(w) {
		return
	}
	if onDisk {
		ctx, over := context.WithTimeout(r.Context(), searchWait)
		defer over()
		page, err := s.src.Journal(ctx, q)
		if refusal := journalProblem(err); refusal != nil {
			refusal.write(w)
			return
		}
		reply(w, eventList{append([]health.Event{}, page.Events...), page.More, page.Cursor})
		return
	}
	events := append([]health.Event{}, s.src.Events(after)...)
	more := len(events) > limit
	if p.values.Has("after") {
		events = events[:min(len(events), limit)]
	} else {
		events = events[max(0, len(events)-limit):]
	}
	reply(w, eventList{Events: events, More: more})
}

func journalProblem(err error) *problem {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrCursor):
		return &problem{Status: http.StatusBadRequest, Detail: "cursor: " + err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{Status: http.StatusServiceUnavailable, Detail: fmt.Sprintf("the journal was searched for %v and not all of it was read: its disk is slow, or many search it at once", searchWait)}
	}
	return &problem{Status: http.StatusInternalServerError, Detail: err.Error()}
}
