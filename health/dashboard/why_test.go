package dashboard

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

var whyDay = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// A line is an event of a journal that a test writes: when on that day, and what.
type line struct {
	at       string
	kind     health.EventKind
	subject  string
	text     string
	evidence *health.Evidence
}

func dayTime(t *testing.T, text string) time.Time {
	t.Helper()
	d, err := time.ParseDuration(strings.NewReplacer("/", "h", ":", "m").Replace(text) + "s")
	if err != nil {
		t.Fatal(err)
	}
	return whyDay.Add(d)
}

func opinion(node health.NodeID, state health.State, reason health.Reason, stale string) health.Opinion {
	return health.Opinion{Vantage: node, State: state, Reason: reason, Fresh: stale == "", Stale: stale}
}

func TestWhy(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	const check = "gateway/euw1/ipv4"
	at := func(text string) time.Time { return dayTime(t, text) }
	up := &health.Evidence{After: health.Up, Assigned: 1, Fresh: 1, Regions: []health.Vote{
		{Region: "us-east", State: health.Up, Vantages: []health.Opinion{opinion("us1", health.Up, health.ReasonOK, "")}}}}
	down := &health.Evidence{Before: health.Up, After: health.Down, Since: at("9/0:0"), Assigned: 4, Fresh: 3, Regions: []health.Vote{
		{Region: "ap-south", State: health.Down, Vantages: []health.Opinion{opinion("ap1", health.Down, health.ReasonTimeout, "")}},
		{Region: "eu-west", State: health.Up, Vantages: []health.Opinion{opinion("eu1", health.Up, health.ReasonOK, ""), opinion("eu2", health.Down, health.ReasonTLS, "no heartbeat")}},
		{Region: "sa-east"},
		{Region: "us-east", State: health.Down, Vantages: []health.Opinion{opinion("us1", health.Down, health.ReasonStatus, ""), opinion("us2", health.Unknown, 0, "no verdict")}}}}
	verdict := &health.Evidence{Before: health.Up, After: health.Down, Attempts: []health.Attempt{
		{Start: at("14/2:0"), Reason: health.ReasonOK, Detail: "status 200", Connect: 10 * time.Millisecond, TLS: 21 * time.Millisecond, FirstByte: 1500 * time.Millisecond, Total: 1534 * time.Millisecond},
		{Start: at("14/2:10.5"), Reason: health.ReasonStatus, Detail: "status 500", Connect: 400 * time.Microsecond, FirstByte: 2 * time.Millisecond, Total: 3 * time.Millisecond}}}
	held := &health.Evidence{Before: health.Down, After: health.Down, Held: true, Hold: health.HoldSilent, Quorum: health.Quorum{Preset: health.QuorumMajority}, Assigned: 4, Fresh: 1, Regions: down.Regions[:1]}
	journal := []line{
		{"8/59:0", health.EventStarted, "us1", "started", nil},
		{"9/0:0", health.EventStatus, check, "up, was unknown", up},
		{"14/1:0", health.EventEndpoint, "euw1", "drain by mia: new disk; measured up", nil},
		{"14/2:11", health.EventVerdict, check, "down: status 500", verdict},
		{"14/2:12.345", health.EventStatus, check, "down, was up", down},
		{"14/4:0", health.EventHeld, check, "held as down", held},
		{"14/5:0", health.EventEndpoint, "euw1", "auto, was drain", nil},
		{"14/5:30.12", health.EventStatus, check, "up, was down", &health.Evidence{Before: health.Down, After: health.Up, Since: at("14/2:12.345")}},
		{"15/0:0", health.EventStopped, "us1", "ended without a word", nil},
		{"15/10:0", health.EventStarted, "us1", "started", nil},
		{"15/11:0", health.EventGap, "us1", "7 events were not written down", nil},
	}
	for i, tt := range []struct{ name, at, want string }{
		{"down, by votes and probes, while a person had drained it", "14/3:0", `
gateway/euw1/ipv4 was DOWN at 2026-03-01 14:03:00 UTC, as node us1 saw it.
It was down since 14:02:12.345, for 47.7 s by then; it became up at 14:05:30.120, after 3 min 17 s.
Before it was up, for 5 h 2 min.

By hand, since 14:01:00.000: endpoint euw1: drain by mia: new disk; measured up

The votes that made it down, at 14:02:12.345: 1 of 3 regions that voted said up, 3 of 4 vantages counted.
  ap-south  down     ap1: down, timeout
  eu-west   up       eu1: up; eu2: not counted (no heartbeat), last said down, tls
  sa-east   no vote  no vantage is known
  us-east   down     us1: down, status; us2: not counted (no verdict)

The probes from here, node us1, the last of which made its own verdict down at 14:02:11.000:
  14:02:00.000  ok      connected in 10 ms, TLS in 21 ms, first byte after 1.5 s, over after 1.53 s
  14:02:10.500  status  connected in 0.4 ms, first byte after 2 ms, over after 3 ms: status 500
`},
		{"held meanwhile", "14/4:30", `
gateway/euw1/ipv4 was DOWN (held) at 2026-03-01 14:04:30 UTC, as node us1 saw it.
…
Held since 14:04:00.000, so that the state stayed: half or fewer of the vantages were fresh: 0 of 1 regions that voted said up, 1 of 4 vantages counted. The quorum is majority.
  ap-south  down  ap1: down, timeout
…
`},
		{"up again, of which nobody has set anything by hand any more", "14/6:0", `
gateway/euw1/ipv4 was UP at 2026-03-01 14:06:00 UTC, as node us1 saw it.
It was up since 14:05:30.120, for 29.9 s by then; it is so still.
Before it was down, for 3 min 17 s.

The votes that made it up, at 14:05:30.120: 0 of 0 regions that voted said up, 0 of 0 vantages counted.
`},
		{"the node was not running", "15/5:0", `
…
Mind: this node was not running then (15:00:00.000: ended without a word); this is how it saw things last.
`},
		{"on another day, after a restart, with events missing", "39/0:0", `
gateway/euw1/ipv4 was UP at 2026-03-02 15:00:00 UTC, as node us1 saw it.
It was up since 2026-03-01 14:05:30.120, for 1 d 0 h by then; it is so still.
…
Mind: the node was started anew at 2026-03-01 15:10:00.000; what it knew of this check it had from its disk.

Mind: not certain: near 2026-03-01 15:11:00.000, 7 events were not written down.
`},
		{"before all that is kept", "8/0:0", `
gateway/euw1/ipv4 was not known at 2026-03-01 08:00:00 UTC, as node us1 saw it.
The journal of this node says nothing of it until then. The first word is of 09:00:00.000: up, was unknown.

Mind: the journal does not reach back to that time.
`},
	} {
		f := &fake{node: NodeInfo{Name: "us1"}}
		for i, l := range journal {
			f.journal = append(f.journal, health.Event{Sequence: uint64(i), Time: dayTime(t, l.at), Kind: l.kind, Subject: l.subject, Text: l.text, Evidence: l.evidence})
		}
		s := &Server{src: Source{Journal: f.find}}
		a := whyAnswer{Subject: "euw1", At: dayTime(t, tt.at)}
		view := health.NewView([]health.Status{{Check: check, State: health.Up, Since: at("14/5:30.12")}})
		if refusal := s.why(context.Background(), &a, scene{node: f.node, health: view}); refusal != nil {
			t.Errorf("%s: %v", tt.name, refusal)
			continue
		}
		if got := a.Text; !like(got, strings.TrimPrefix(tt.want, "\n")) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		} else if i == 0 && !strings.Contains(string(manual), "```\n$ meridian why euw1 --at 14:03\n"+got+"```\n") {
			t.Errorf("docs/operation.md does not show\n%s", got)
		}
	}
}

func TestSayTerms(t *testing.T) {
	var b strings.Builder
	sayVotes(&b, "The votes that made it down, at 14:02", &health.Evidence{Terms: []health.TermState{
		{Check: "web/euw1/ipv4", State: health.Up}, {Check: "disk/euw1/ipv4", State: health.Down, Invert: true, Veto: true}, {Check: "new/euw1/ipv4", Shadow: true}}})
	if got, want := b.String(), `
The votes that made it down, at 14:02, by the checks of the group:
  web/euw1/ipv4   up
  disk/euw1/ipv4  down, inverted, veto
  new/euw1/ipv4   unknown, shadow: does not count
`; got != want {
		t.Errorf("of a group: %s\nwant %s", got, want)
	}
	for _, hold := range []health.Hold{health.HoldNone, health.HoldSilent, health.HoldUnsteady, health.HoldUnproven, health.HoldFrozen, health.HoldMass, health.HoldSlim} {
		if holdWords[hold] == "" {
			t.Errorf("no words for %q", hold)
		}
	}
}

// like reports whether a text has the parts of another, between … of a line, at its ends and in their order.
func like(got, want string) bool {
	parts := strings.Split("\x00"+want+"\x00", "…\n")
	got = "\x00" + got + "\x00"
	for _, part := range parts {
		i := strings.Index(got, part)
		if i < 0 {
			return false
		}
		got = got[i+len(part):]
	}
	return got == ""
}

// A check that has not changed since the journal begins is as it is now.
func TestWhyUnchanged(t *testing.T) {
	since := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	f := &fake{node: NodeInfo{Name: "us1"}}
	s := &Server{src: Source{Journal: f.find}}
	var statuses []health.Status
	for i := range maxWhy + 1 {
		statuses = append(statuses, health.Status{Check: health.CheckID(fmt.Sprintf("many/e%d/ipv4", i)), State: health.Down, Since: since})
	}
	c := scene{node: f.node, health: health.NewView(statuses)}
	a := whyAnswer{Subject: "e3", At: since.Add(time.Hour)}
	if refusal := s.why(context.Background(), &a, c); refusal != nil || !strings.HasPrefix(a.Text, "many/e3/ipv4 was DOWN at 2026-03-01 11:00:00 UTC") ||
		!strings.Contains(a.Text, "Mind: the journal has no word of when it became so; it is so still.") {
		t.Errorf("of a check that has not changed: %v\n%s", refusal, a.Text)
	}
	a = whyAnswer{Subject: "e3", At: since.Add(-time.Hour)}
	if refusal := s.why(context.Background(), &a, c); refusal != nil || a.Checks[0].Known {
		t.Errorf("of a time before its state: %v\n%s", refusal, a.Text)
	}
	a = whyAnswer{Subject: "many", At: since}
	if refusal := s.why(context.Background(), &a, c); refusal == nil || refusal.Detail != `subject: "many" has 9 checks, ask for 8 at most (have many/e0/ipv4, many/e1/ipv4, `+
		`many/e2/ipv4, many/e3/ipv4, many/e4/ipv4, many/e5/ipv4, many/e6/ipv4, many/e7/ipv4, many/e8/ipv4)` {
		t.Errorf("of too many checks: %v", refusal)
	}
}

func TestPastTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 30, 15, 5, time.FixedZone("east", 2*60*60)) // 08:30:15 UTC
	for _, tt := range []struct{ name, text, want string }{
		{"RFC 3339", "2026-01-31T03:12:00Z", "2026-01-31T03:12:00Z"},
		{"RFC 3339 with all there is", "2026-01-31T03:12:00.123456789-05:00", "2026-01-31T08:12:00.123456789Z"},
		{"how long ago", "15m", "2026-03-01T08:15:15.000000005Z"},
		{"how long ago, with a minus", "-15m", "2026-03-01T08:15:15.000000005Z"},
		{"of today", "03:12", "2026-03-01T03:12:00Z"},
		{"of today, to the second", "08:30:15", "2026-03-01T08:30:15Z"},
		{"later today in UTC, so of yesterday", "08:30:16", "2026-02-28T08:30:16Z"},
		{"no time", "yesterday", ""},
		{"no time of day", "24:00", ""},
		{"date alone", "2026-01-31", ""},
	} {
		got, err := pastTime(tt.text, now)
		if (err == nil) != (tt.want != "") || err == nil && got.UTC().Format(time.RFC3339Nano) != tt.want {
			t.Errorf("%s: pastTime(%q) = %v, %v, want %q", tt.name, tt.text, got, err, tt.want)
		}
	}
}
