package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// said is the evidence of an event in a line.
func said(e *health.Evidence) string {
	text := fmt.Sprintf("%v to %v, since %v", e.Before, e.After, e.Since.Sub(testEpoch))
	if e.Since.IsZero() {
		text = fmt.Sprintf("%v to %v", e.Before, e.After)
	}
	if e.Held {
		text += ", held"
	}
	for _, vote := range e.Regions {
		text += fmt.Sprintf("; %s %v:", vote.Region, vote.State)
		for _, o := range vote.Vantages {
			text += fmt.Sprintf(" %s %v", o.Vantage, o.State)
			if o.Fresh {
				text += fmt.Sprintf(" (%v)", o.Reason)
			} else {
				text += fmt.Sprintf(" (not fresh: %s)", o.Stale)
			}
		}
	}
	for _, a := range e.Attempts {
		text += fmt.Sprintf("; %v %v %s %v+%v+%v=%v", a.Start.Sub(testEpoch), a.Reason, a.Detail, a.Connect, a.TLS, a.FirstByte, a.Total)
	}
	return text
}

// evidence are the events of a kind about eu1's endpoint, each with what it rests on.
func (d *driver) evidence(kind health.EventKind) string {
	var lines []string
	for _, e := range d.seen {
		if e.Kind == kind && e.Subject == "api/eu1/ipv4" {
			lines = append(lines, said(e.Evidence))
		}
	}
	return strings.Join(lines, "\n")
}

func TestEvidence(t *testing.T) {
	eu, in, us := mesh(t)
	all := []*driver{eu, in, us}
	probe := func(d *driver, reason health.Reason, detail string) {
		a := d.voice.assigned["api/eu1/ipv4"]
		r := health.Result{Check: a.target.ID, Definition: a.definition, Reason: reason, Detail: detail, Start: d.now,
			Connect: 2 * time.Millisecond, Total: 5 * time.Millisecond}
		if reason == health.ReasonRefused {
			r.Connect = 0
		}
		d.Observe(r, d.now)
	}
	for range 6 { // seconds 0 to 59: up everywhere
		for _, d := range all {
			probe(d, health.ReasonOK, "")
		}
		run(10*time.Second, all...)
	}
	for range 3 { // seconds 60 to 62: refused everywhere
		for _, d := range all {
			probe(d, health.ReasonRefused, "connect: refused")
		}
		run(time.Second, all...)
	}
	run(time.Minute, eu) // and then nobody is heard any more

	for _, want := range []struct {
		name string
		kind health.EventKind
		text string
	}{
		{"of a verdict, the last probes, the last of which made it", health.EventVerdict, strings.TrimSpace(`
unknown to up; 0s ok  2ms+0s+0s=5ms
up to down, since 0s; 40s ok  2ms+0s+0s=5ms; 50s ok  2ms+0s+0s=5ms; 1m0s refused connect: refused 0s+0s+0s=5ms; 1m1s refused connect: refused 0s+0s+0s=5ms; 1m2s refused connect: refused 0s+0s+0s=5ms`)},
		{"of a status, all votes", health.EventStatus, strings.TrimSpace(`
unknown to up, since 0s; eu up: eu1 up (ok); in up: in1 up (ok); us unknown: us1 unknown (not fresh: no heartbeat)
up to down, since 1s; eu down: eu1 down (refused); in down: in1 down (refused); us up: us1 up (ok)`)},
		{"of a held one, who is missing and why", health.EventHeld,
			"down to down, since 1m3s, held; eu down: eu1 down (refused); in unknown: in1 down (not fresh: no heartbeat); us unknown: us1 down (not fresh: no heartbeat)"},
	} {
		if got := eu.evidence(want.kind); got != want.text {
			t.Errorf("%s:\n%s\nwant\n%s", want.name, got, want.text)
		}
	}
	probes := eu.voice.assigned["api/eu1/ipv4"].attempts.list()
	for range attemptsKept {
		probe(eu, health.ReasonOK, "")
	}
	if probes[0].Reason != health.ReasonOK || probes[attemptsKept-1].Reason != health.ReasonRefused {
		t.Errorf("a list of attempts changed with the probes after it: %v", probes)
	}
}
