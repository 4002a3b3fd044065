package dashboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// A controlList is the controls as this node knows them.
type controlList struct {
	Known  bool          `json:"known"` // false: no state was ever seen
	Epoch  uint64        `json:"epoch"`
	Index  uint64        `json:"index"`
	Time   time.Time     `json:"time,omitzero"` // of the last entry
	Digest health.Hash64 `json:"definitions"`
	Quorum bool          `json:"quorum"`
	Panels []panelView   `json:"panels"`
}

type panelView struct {
	Panel    control.PanelID `json:"panel"`
	Controls []controlView   `json:"controls"`
	Rules    []ruleView      `json:"rules"`
}

type controlView struct {
	control.Control
	Pools []string `json:"pools"` // that have a member under it
}

// A ruleView is a safety rule and how it stands.
type ruleView struct {
	ID    string              `json:"id"`    // as an override names it
	Panel control.PanelID     `json:"panel"` // empty for a rule that is built in
	Needs string              `json:"needs"`
	Of    []control.ControlID `json:"of"`
	Wait  float64             `json:"wait_seconds"`
	On    int                 `json:"on"`
	Holds bool                `json:"holds"`
}

func (c scene) controls() controlList {
	list := controlList{Known: c.control != nil, Digest: c.control.Digest(), Quorum: c.node.Quorum, Panels: []panelView{}}
	if c.control != nil {
		list.Epoch, list.Index, list.Time = c.control.Epoch, c.control.Index, c.control.Time
	}
	pools := make(map[control.ControlID][]string)
	if c.snapshot != nil {
		for _, p := range c.snapshot.Plan.World.Pools {
			for i := range p.Members {
				if id := p.Members[i].Control; id != "" && !slices.Contains(pools[id], p.Name) {
					pools[id] = append(pools[id], p.Name)
				}
			}
		}
	}
	rules := c.rules()
	for _, p := range c.control.Definitions().Panels {
		v := panelView{Panel: p.Name, Controls: []controlView{}, Rules: []ruleView{}}
		for _, ctl := range c.control.Controls() {
			if ctl.Panel == p.Name {
				v.Controls = append(v.Controls, controlView{ctl, append([]string{}, pools[ctl.Name]...)})
			}
		}
		for _, r := range rules {
			if r.Panel == p.Name || r.Panel == "" && slices.ContainsFunc(p.Controls, func(n control.NewControl) bool { return slices.Contains(r.Of, n.Name) }) {
				v.Rules = append(v.Rules, r)
			}
		}
		list.Panels = append(list.Panels, v)
	}
	return list
}

// rules returns every safety rule, the built-in ones last.
func (c scene) rules() []ruleView {
	broken := make(map[string]bool)
	for _, v := range c.control.Violations() {
		broken[ruleID(v)] = true
	}
	rules := []ruleView{}
	add := func(v ruleView) {
		v.Holds = !broken[v.ID]
		for _, id := range v.Of {
			if c.control.On(id) {
				v.On++
			}
		}
		rules = append(rules, v)
	}
	d := c.control.Definitions()
	for _, p := range d.Panels {
		for _, r := range p.Rules {
			add(ruleView{ID: string(p.Name) + "/" + r.Name, Panel: p.Name, Needs: needs(r), Of: r.Of, Wait: max(0, r.Wait.Seconds())})
		}
	}
	for _, p := range d.Pools {
		add(ruleView{ID: control.LastOn + p.Pool, Needs: fmt.Sprintf("at least 1 of %d on", len(p.Controls)), Of: p.Controls})
	}
	return rules
}

// needs says in words what holds when the rule does.
func needs(r control.Rule) string {
	n, least := len(r.Of), r.Threshold
	switch r.Assert {
	case control.All:
		least = n
	case control.Any:
		least = 1
	}
	switch {
	case r.Inverted && r.Assert == control.All:
		return fmt.Sprintf("not all %d on", n)
	case r.Inverted && least == 1:
		return fmt.Sprintf("none of %d on", n)
	case r.Inverted:
		return fmt.Sprintf("at most %d of %d on", least-1, n)
	case r.Assert == control.All:
		return fmt.Sprintf("all %d on", n)
	}
	return fmt.Sprintf("at least %d of %d on", least, n)
}

func (s *Server) getControls(w http.ResponseWriter, _ *http.Request) {
	reply(w, s.scene(time.Now()).controls())
}

func (s *Server) getRules(w http.ResponseWriter, _ *http.Request) {
	reply(w, map[string][]ruleView{"rules": s.scene(time.Now()).rules()})
}

func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) {
	q := query(r, "limit")
	limit := q.number("limit", 100, maxEvents)
	if q.refused(w) {
		return
	}
	history := s.src.Control().History()
	slices.Reverse(history)
	history = append([]*control.Entry{}, history[:min(len(history), int(limit))]...)
	reply(w, map[string][]*control.Entry{"history": history})
}

func (s *Server) postControls(w http.ResponseWriter, r *http.Request) {
	cmd, bad := readCommand(r)
	s.command(w, r, cmd, bad)
}

// command has the voters decide a command that was read, unless there is a problem with it.
func (s *Server) command(w http.ResponseWriter, r *http.Request, cmd control.Command, bad *problem) {
	if bad != nil {
		bad.write(w)
		return
	}
	if cmd.Key == "" {
		cmd.Key = rand.Text()
	}
	ctx, cancel := context.WithTimeout(r.Context(), submitWait)
	defer cancel()
	result, err := s.src.Submit(ctx, cmd)
	s.decided(w, result, err, cmd.Key)
}

// decided answers with what the voters made of a command, which had an idempotency key or none.
func (s *Server) decided(w http.ResponseWriter, result control.Result, err error, key string) {
	if err != nil && result.Index > 0 && result.Code == "" {
		problem{Status: http.StatusServiceUnavailable, Code: "unconfirmed", Detail: fmt.Sprintf("decided at index %d, but %v", result.Index, err)}.write(w)
		return
	}
	if err == nil {
		err = result.Err()
	} else if result.Code == "" {
		if result = control.Refuse(err); result.Code == "refused" && !errors.Is(err, control.ErrRefused) {
			again := "send the same key"
			if key == "" {
				again = "send the same"
			}
			problem{Status: http.StatusServiceUnavailable, Code: "no_quorum", Key: key,
				Detail: fmt.Sprintf("the voters did not decide, nothing is known to have changed: %v. To try again, %s", err, again)}.write(w)
			return
		}
	}
	if err != nil {
		problem{Status: refusalStatus(result.Code), Code: string(result.Code), Detail: err.Error(), Rules: result.Rules}.write(w)
		return
	}
	reply(w, result)
}

// refusalStatus tells a command that could be right at another time from one that never is.
func refusalStatus(c control.Code) int {
	switch c {
	case "unsafe", "wait", "version", "key":
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

// parseIndex reads a number of a query; the error says what is right.
func parseIndex(text string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", text, most)
	}
	return n, nil
}
