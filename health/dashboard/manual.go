package dashboard

import (
	"fmt"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// manualWords say what an endpoint is that is set by hand.
var manualWords = map[control.Manual]string{
	control.ForceUp:   "is forced up",
	control.ForceDown: "is forced down",
	control.Drain:     "is drained",
}

// manual finds what people have set by hand, beside controls, and says what is measured under it.
func (f *findings) manual(c scene) {
	overlays, latches := c.control.Overlays(), c.control.Latches()
	if len(overlays)+len(latches) == 0 {
		return
	}
	known := c.known()
	for _, o := range overlays {
		said := fmt.Sprintf("Endpoint %s %s since %s", o.Endpoint, manualWords[o.State], o.Changed.Format(time.RFC3339))
		l := levelNotice
		switch {
		case o.Overdue(c.now.Add(-driftSettles)):
			l = levelWarning
			said += fmt.Sprintf(", although it was to end at %s: the voters have not ended it", o.Expires.Format(time.RFC3339))
		case !o.Expires.IsZero():
			said += ", expires " + o.Expires.Format(time.RFC3339)
		}
		v := known[o.Endpoint]
		if v != nil && o.State == control.ForceUp && len(v.Checks) > 0 && !allSay(v.Checks, health.Up) {
			l = levelWarning
		}
		f.add(l, 0, kindEndpoint, o.Endpoint, o.Changed, "%s (%s: %s); %s", said, o.Actor, o.Reason, sayMeasured(v))
	}
	for _, l := range latches {
		v := known[l.Endpoint]
		since := l.Since.Format(time.RFC3339)
		if !v.in(l.Pool) {
			f.add(levelNotice, 0, kindLatch, l.Pool, l.Since, "Pool %s has no endpoint %s, which waits since %s to be resumed", l.Pool, l.Endpoint, since)
			continue
		}
		f.add(levelNotice, 0, kindLatch, l.Pool, l.Since, "Endpoint %s is passed over in pool %s since %s, until it is resumed; %s", l.Endpoint, l.Pool, since, sayMeasured(v))
	}
	if len(latches) >= control.MaxLatches {
		f.add(levelWarning, 1, kindLatch, latches[0].Pool, time.Time{}, "%d members wait to be resumed, and there is no room for more: clients go back to others by themselves", len(latches))
	}
}

func allSay(checks []memberStatus, state health.State) bool {
	for _, s := range checks {
		if s.State != state {
			return false
		}
	}
	return true
}

// sayMeasured says what the checks of an endpoint show: "measured up" where they agree, and else each by itself.
func sayMeasured(v *endpointView) string {
	switch {
	case v == nil:
		return "no pool here has it"
	case len(v.Checks) == 0:
		return "no check measures it"
	case allSay(v.Checks, v.Checks[0].State):
		return fmt.Sprintf("measured %v", v.Checks[0].State)
	}
	var said []string
	for _, s := range v.Checks {
		said = append(said, fmt.Sprintf("%s %v", s.Check, s.State))
	}
	return "measured " + strings.Join(said, ", ")
}
