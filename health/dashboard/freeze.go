package dashboard

import (
	"net/http"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
)

// The fields of the bodies, in the order in which a mistake lists them.
var (
	freezeFields  = []string{"frozen", "reason", "actor", "key"}
	releaseFields = []string{"reason", "actor", "key"}
)

func (s *Server) postFreeze(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Frozen *bool  `json:"frozen"`
		Reason string `json:"reason"`
		Actor  string `json:"actor"`
		Key    string `json:"key"`
	}
	wrong, bad := readBody(r, freezeFields, &body)
	if bad == nil {
		if wrong.decoded {
			frozen := ""
			if body.Frozen != nil {
				frozen = "given"
			}
			wrong.missing(map[string]string{"frozen": frozen, "reason": body.Reason, "actor": body.Actor})
		}
		bad = wrong.problem()
	}
	s.command(w, r, control.Command{Kind: control.KindFreeze, Actor: body.Actor, Reason: body.Reason, Key: body.Key, Freeze: body.Frozen}, bad)
}

func (s *Server) postRelease(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Reason string `json:"reason"`
		Actor  string `json:"actor"`
		Key    string `json:"key"`
	}
	wrong, bad := readBody(r, releaseFields, &body)
	if bad == nil {
		if wrong.decoded {
			wrong.missing(map[string]string{"reason": body.Reason, "actor": body.Actor})
		}
		bad = wrong.problem()
	}
	s.command(w, r, control.Command{Kind: control.KindRelease, Actor: body.Actor, Reason: body.Reason, Key: body.Key}, bad)
}

// restraints finds what keeps statuses from following what is measured.
func (f *findings) restraints(c scene) {
	if freeze, on := c.control.Frozen(); on {
		f.add(levelCritical, 0, kindFreeze, "statuses", freeze.Since, "All automatic change is frozen since %s (%s: %s): nothing that is measured is obeyed until meridian freeze off",
			freeze.Since.Format(time.RFC3339), freeze.Actor, freeze.Reason)
	}
	if m := c.health.Mass(); m != nil {
		f.add(levelCritical, 0, kindMass, "targets", m.Since, "%d of %d targets went down within a minute and are held where a pool would lose what it needs, until %s or meridian release: %s",
			m.Down, m.Of, m.Until.Format(time.RFC3339), m.Why)
	}
}
