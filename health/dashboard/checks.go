package dashboard

import (
	"fmt"
	"net/http"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// A checkView is the status of a check with what it is a check of.
type checkView struct {
	health.Status
	Why     string       `json:"why"`
	Target  *targetView  `json:"target,omitempty"` // nil: the configuration does not name it
	Members []memberName `json:"members"`          // of pools, that it decides about
}

// A targetView is what is probed.
type targetView struct {
	Endpoint string       `json:"endpoint"`
	Region   geo.RegionID `json:"region"`
	Kind     string       `json:"kind"`
	Address  string       `json:"address"`
	Path     string       `json:"path,omitempty"`
	Interval string       `json:"interval"`
	Fall     int          `json:"fall"`
	Rise     int          `json:"rise"`
	HoldDown string       `json:"hold_down"`
}

// A memberName is a member of a pool, and what people have decided of it.
type memberName struct {
	Pool    string            `json:"pool"`
	Member  string            `json:"member"`
	Control control.ControlID `json:"control,omitempty"`
	On      bool              `json:"on"`
	Manual  control.Manual    `json:"manual"` // what the endpoint is set to by hand
}

// barred reports whether people have decided that the member is not answered, however healthy it is.
func (m memberName) barred() bool { return !m.On || m.Manual == control.ForceDown }

type checkList struct {
	Checks []checkView `json:"checks"`
}

func (c scene) checks(only func(health.CheckID) bool) []checkView {
	targets, members := make(map[health.CheckID]*health.Target), c.members()
	if c.snapshot != nil {
		for _, t := range c.snapshot.Plan.Targets {
			targets[t.ID] = t
		}
	}
	views := []checkView{}
	for _, id := range c.health.Checks() {
		if !only(id) {
			continue
		}
		v := checkView{Status: c.health.Status(id, health.Global), Members: members[id]}
		v.Why = explainStatus(&v.Status)
		if v.Members == nil {
			v.Members = []memberName{}
		}
		if t := targets[id]; t != nil {
			v.Target = &targetView{t.Endpoint, t.Region, t.Kind, t.Address.String(), t.Path, t.Interval.String(), t.Fall, t.Rise, t.HoldDown.String()}
		}
		views = append(views, v)
	}
	return views
}

// members returns the members of pools that each check decides about.
func (c scene) members() map[health.CheckID][]memberName {
	members := make(map[health.CheckID][]memberName)
	if c.snapshot == nil {
		return members
	}
	for _, pool := range c.snapshot.Plan.World.Pools {
		for i := range pool.Members {
			m := &pool.Members[i]
			for _, id := range c.checksOf(&pool, m) {
				members[id] = append(members[id], memberName{pool.Name, m.Endpoint, m.Control, c.on(m.Control), c.manual(m.Endpoint).State})
			}
		}
	}
	return members
}

// on reports whether a member with this control may be answered.
func (c scene) on(id control.ControlID) bool { return id == "" || c.control.On(id) }

func (s *Server) getChecks(w http.ResponseWriter, _ *http.Request) {
	reply(w, checkList{s.scene(time.Now()).checks(func(health.CheckID) bool { return true })})
}

func (s *Server) getCheck(w http.ResponseWriter, r *http.Request) {
	id := health.CheckID(r.PathValue("id"))
	views := s.scene(time.Now()).checks(func(other health.CheckID) bool { return other == id })
	if len(views) == 0 {
		refuse(w, http.StatusNotFound, fmt.Sprintf("unknown check %q", id))
		return
	}
	reply(w, views[0])
}
