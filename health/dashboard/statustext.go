package dashboard

import (
	"fmt"
	"strings"

	"github.com/meridian-gslb/meridian/health"
)

// explainStatus says in words why a check has its status.
//
//	held                as before      which vantages are missing, or what else holds it and what is measured
//	held back           down           measured up, not for long enough, or damped
//	unknown, in grace   unknown        nobody has a verdict yet
//	up                  up             who sees it otherwise
//	any other                          the votes
func explainStatus(s *health.Status) string {
	switch {
	case s.Hold == health.HoldUnsteady:
		return fmt.Sprintf("held as %v: too few vantages have been heard steadily to believe a change", s.State)
	case s.Hold == health.HoldUnproven:
		return fmt.Sprintf("held as %v: measured %v, but nothing was ever up under this definition of the check: %s", s.State, s.Measured, s.Summary())
	case s.Hold == health.HoldFrozen:
		return fmt.Sprintf("held as %v: all automatic change is frozen; measured %v: %s", s.State, s.Measured, s.Summary())
	case s.Hold == health.HoldMass:
		return fmt.Sprintf("held as %v: measured %v, as most targets since a minute, and its pool would lose what it needs: %s", s.State, s.Measured, s.Summary())
	case s.Hold == health.HoldSlim:
		return fmt.Sprintf("held as %v for a moment: measured %v, but by a slim majority: %s", s.State, s.Measured, s.Summary())
	case s.Held:
		return fmt.Sprintf("held as %v: only %d of %d vantages are fresh", s.State, s.Fresh, s.Assigned)
	case s.Damped:
		return "up again, but held back: it came and went too often, and must be well for some minutes"
	case s.HeldBack:
		return "recovered, but held back until it was up for long enough"
	case s.State == health.Unknown && s.Grace:
		return "no verdict yet; keeps its rank for now"
	case s.State == health.Unknown:
		return "no verdict: " + s.Summary()
	case s.State == health.Drain:
		return "draining: it asks for no new clients"
	case s.State == health.Up && dissents(s) != "":
		return "up, but " + dissents(s)
	}
	return s.Summary()
}

// dissents says which regions see a check otherwise than its status; empty: none.
func dissents(s *health.Status) string {
	var said []string
	for _, vote := range s.Regions {
		if vote.State != health.Unknown && vote.State != s.State {
			said = append(said, fmt.Sprintf("%s says %v%s", vote.Region, vote.State, reasonOf(vote)))
		}
	}
	return strings.Join(said, ", ")
}

func reasonOf(vote health.Vote) string {
	for _, o := range vote.Vantages {
		if o.Fresh && o.State == vote.State && o.Reason > health.ReasonOK {
			return fmt.Sprintf(" (%v)", o.Reason)
		}
	}
	return ""
}
