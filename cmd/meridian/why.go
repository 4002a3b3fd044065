package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

type whyCommand struct {
	endpoint
	Subject string `arg:"" help:"Name of an endpoint, or of a check: CHECK, CHECK/ENDPOINT or CHECK/ENDPOINT/FAMILY." placeholder:"CHECK|ENDPOINT"`
	At      string `help:"When: RFC 3339, a time of day in UTC like 14:03 (when it was last so late), or how long ago like 15m; default now." placeholder:"TIME"`
	JSON    bool   `help:"Print the API's JSON, with all events in full." name:"json"`
}

// Run asks the node's journal.
func (c whyCommand) Run() error {
	values := url.Values{"subject": {c.Subject}}
	if c.At != "" {
		values.Set("at", c.At)
	}
	path := "/v1/why?" + values.Encode()
	if c.JSON {
		return c.print(path)
	}
	text, err := c.call(http.MethodGet, path, "text/plain", nil)
	if err != nil {
		return err
	}
	_, err = fmt.Println(strings.TrimRight(string(text), "\n"))
	return err
}

type journalCommand struct {
	endpoint
	From    string   `help:"Only events since then: RFC 3339, a time of day in UTC like 14:03 (when it was last so late), or how long ago like 2h." placeholder:"TIME"`
	To      string   `help:"Only events until then; likewise." placeholder:"TIME"`
	Subject string   `help:"Only events about this check, endpoint, pool, control, zone or node." placeholder:"NAME"`
	Kind    []string `help:"Only events of these kinds, such as status,held." placeholder:"KIND"`
	Limit   int      `help:"At most so many: with --from the first of them, else the newest." default:"200" placeholder:"N"`
	JSON    bool     `help:"Print events as JSON, one a line, with their evidence." name:"json"`
}

// mostInPage is how many events the API gives at once.
const mostInPage = 1000

// Run lists events page by page.
func (c journalCommand) Run() error {
	if c.Limit < 1 || c.From == "" && c.Limit > mostInPage {
		return fmt.Errorf("--limit: %d is not from 1 to %d (or more with --from)", c.Limit, mostInPage)
	}
	values := url.Values{}
	for name, text := range map[string]string{"from": c.From, "to": c.To, "subject": c.Subject, "kind": strings.Join(c.Kind, ",")} {
		if text != "" {
			values.Set(name, text)
		}
	}
	if len(values) == 0 {
		values.Set("to", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)) // the journal on disk, whatever the clocks
	}
	for left := c.Limit; ; {
		values.Set("limit", strconv.Itoa(min(left, mostInPage)))
		var page struct {
			Events []journalLine `json:"events"`
			More   bool          `json:"more"`
			Cursor string        `json:"cursor"`
		}
		if err := c.get("/v1/events?"+values.Encode(), &page); err != nil {
			return err
		}
		if err := c.show(page.Events); err != nil {
			return err
		}
		left -= len(page.Events)
		if !page.More || left <= 0 || c.From == "" {
			if page.More && !c.JSON {
				fmt.Fprintf(os.Stderr, "There are more: --limit, --from and --to choose which.\n")
			}
			return nil
		}
		values.Set("cursor", page.Cursor)
	}
}

// A journalLine is an event as it came, and what is shown of it.
type journalLine struct {
	text []byte
	health.Event
}

func (l *journalLine) UnmarshalJSON(text []byte) error {
	l.text = append(l.text[:0], text...)
	return json.Unmarshal(text, &l.Event)
}

func (c journalCommand) show(events []journalLine) error {
	if c.JSON {
		for _, e := range events {
			var line bytes.Buffer
			if err := json.Compact(&line, e.text); err != nil {
				return err
			}
			fmt.Println(line.String())
		}
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, e := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Kind, e.Subject, e.Text)
	}
	return w.Flush()
}
