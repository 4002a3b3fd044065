package node

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// observeOnly ends a probe of the targets whose name begins so.
func (d *driver) observeOnly(prefix string, reason health.Reason) Ready {
	for id, a := range d.voice.assigned {
		if strings.HasPrefix(string(id), prefix) {
			d.Observe(health.Result{Check: id, Definition: a.definition, Reason: reason}, d.now)
		}
	}
	return d.step()
}

// says is what a node publishes of a check.
func (d *driver) says(check health.CheckID) string {
	r, known := d.table.Record(d.cfg.Name, check.Key())
	if !known {
		return "nothing"
	}
	return r.State.String() + " (" + r.Reason.String() + ")"
}

const withReferences = "  eu: {coordinates: [53.3, -6.3], references: [\"198.51.100.1:53\", \"198.51.100.2:53\", \"198.51.100.3:53\"]}"

// A vantage gives no verdicts while most of its references fail, and none of what it saw then when they answer again.
func TestReferences(t *testing.T) {
	eu, _, _ := mesh(t)
	eu.Compiled(planOf(t, strings.Replace(testWorld, "  eu: {coordinates: [53.3, -6.3]}", withReferences, 1)), eu.now)
	eu.step()
	if n := len(eu.voice.probes.Targets); n != 6 {
		t.Fatalf("it probes %d targets, want 3 endpoints and 3 references", n)
	}
	probes := eu.voice.probes
	eu.Compiled(planOf(t, strings.Replace(testWorld, "  eu: {coordinates: [53.3, -6.3]}", withReferences, 1)), eu.now)
	eu.step()
	for i, target := range eu.voice.probes.Targets {
		if strings.HasPrefix(string(target.ID), referencePrefix) && !sameTarget(target, probes.Targets[i]) {
			t.Errorf("the same world again changes reference %s", target.ID)
		}
	}
	eu.observeOnly("", health.ReasonOK)
	if got := eu.says("api/us1/ipv4"); got != "up (ok)" {
		t.Fatalf("it says %s, want up", got)
	}
	if got := eu.says("reference/eu/198.51.100.1:53"); got != "nothing" {
		t.Errorf("it says %s of a reference, want nothing", got)
	}
	fail := func(references ...string) {
		for range 3 {
			for _, r := range references {
				eu.observeOnly("reference/eu/"+r, health.ReasonTimeout)
			}
		}
	}
	fail("198.51.100.1")
	if eu.happened(health.EventAbstain) != 0 {
		t.Error("one of three references is enough to abstain")
	}
	fail("198.51.100.2")
	if got := eu.says("api/us1/ipv4"); got != "unknown (references fail)" || eu.happened(health.EventAbstain) != 1 {
		t.Errorf("two of three references fail: it says %s, %d events, want that it abstains", got, eu.happened(health.EventAbstain))
	}
	for range 3 {
		eu.observeOnly("api/", health.ReasonTimeout)
	}
	if got := eu.says("api/us1/ipv4"); got != "unknown (references fail)" {
		t.Errorf("while it abstains it says %s", got)
	}
	eu.pass(2 * time.Second)
	if eu.shown.Abstains != health.ReasonReferences {
		t.Errorf("the view shows that it abstains for %v", eu.shown.Abstains)
	}
	for range 3 {
		eu.observeOnly("reference/", health.ReasonOK)
	}
	if got := eu.says("api/us1/ipv4"); got != "nothing" || eu.happened(health.EventAbstain) != 2 {
		t.Errorf("when they answer again it says %s of what it saw in between, %d events, want nothing", got, eu.happened(health.EventAbstain))
	}
	eu.observeOnly("api/", health.ReasonOK)
	if got := eu.says("api/us1/ipv4"); got != "up (ok)" {
		t.Errorf("after the next probe it says %s, want up", got)
	}
}

// A vantage that reaches nothing of a family for want of a route says nothing of it, and goes on about the other.
func TestFamilyThatIsNotThere(t *testing.T) {
	eu, _, _ := mesh(t)
	eu.Compiled(planOf(t, strings.ReplaceAll(testWorld, "address: 192.0.2.20", `address: [192.0.2.20, "2001:db8::20"]`)), eu.now)
	eu.step()
	for range 3 {
		for id, a := range eu.voice.assigned {
			reason := health.ReasonOK
			if strings.HasSuffix(string(id), "/ipv6") {
				reason = health.ReasonNoRoute
			}
			eu.Observe(health.Result{Check: id, Definition: a.definition, Reason: reason}, eu.now)
		}
	}
	eu.step()
	eu.pass(2 * time.Second)
	if got := eu.says("api/eu1/ipv6"); got != "unknown (no such family)" {
		t.Errorf("it says %s of what it has no route to", got)
	}
	if got := eu.says("api/eu1/ipv4"); got != "up (ok)" {
		t.Errorf("it says %s of the family that it has", got)
	}
	eu.observeOnly("api/eu1/ipv6", health.ReasonOK)
	eu.observeOnly("api/eu1/ipv6", health.ReasonOK)
	eu.observeOnly("api/eu1/ipv6", health.ReasonOK)
	eu.pass(2 * time.Second)
	if got := eu.says("api/eu1/ipv6"); got != "up (ok)" {
		t.Errorf("when it has a route it says %s", got)
	}
}
