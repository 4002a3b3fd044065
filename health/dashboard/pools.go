package dashboard

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// A poolView is what one pool answers, and from what.
type poolView struct {
	Pool        string        `json:"pool"`
	Policy      zones.Policy  `json:"policy"`
	View        zones.View    `json:"view"`
	TTL         float64       `json:"ttl_seconds"`
	WhenAllDown zones.AllDown `json:"when_all_down"`
	Names       []string      `json:"names"` // that are answered from it
	Rung        zones.Rung    `json:"rung"`  // the worst that any client is answered from
	Members     []memberView  `json:"members"`
	Answers     []answerView  `json:"answers"` // each once, in the order of the first group of clients that gets it
}

// A memberView is one endpoint in a pool.
type memberView struct {
	Member  string            `json:"member"`
	Pool    bool              `json:"pool,omitempty"` // it is a pool, which has members of its own
	Region  geo.RegionID      `json:"region"`
	Address []string          `json:"address"`
	Weight  int               `json:"weight"`
	Enabled bool              `json:"enabled"`
	Control control.ControlID `json:"control,omitempty"`
	On      bool              `json:"on"`
	Checks  []memberStatus    `json:"checks"` // what is measured; none: always up
	Manual  manualView        `json:"manual"` // what the endpoint is set to by hand
	Latched bool              `json:"latched,omitempty"`

	Capacity string `json:"capacity,omitempty"` // as in the world; none: no limit
	Kept     int    `json:"kept,omitempty"`     // per mille of the prefixes that it has room for; none: all
}

type memberStatus struct {
	Check health.CheckID `json:"check"`
	State health.State   `json:"state"`
	Held  bool           `json:"held,omitempty"`
}

// An answerView is what some groups of clients are answered.
type answerView struct {
	Families []string   `json:"families"` // in which it is the same
	Rung     zones.Rung `json:"rung"`
	Clients  []string   `json:"clients"` // the first of the groups, in words
	Groups   int        `json:"groups"`
	Members  []share    `json:"members"` // none: NODATA
	Others   []other    `json:"others,omitempty"`
}

// An other is what some prefixes are answered instead.
type other struct {
	PerMille int     `json:"per_mille"` // of the prefixes
	Why      string  `json:"why"`
	Members  []share `json:"members"`
}

// A share is how much of an answer falls to a member; "last_resort" is none of them.
type share struct {
	Member string  `json:"member"`
	Share  float64 `json:"share"` // 0 to 1
}

type poolList struct {
	Snapshot health.Hash64 `json:"snapshot"`
	Pools    []poolView    `json:"pools"`
}

func (c scene) pools() poolList {
	list := poolList{Pools: []poolView{}}
	if c.snapshot == nil {
		return list
	}
	// What a snapshot answers was decided by its own health and controls; the newest may be a moment ahead.
	c.health, c.control = c.snapshot.Health, c.snapshot.Control
	if c.health == nil {
		c.health = &health.View{}
	}
	list.Snapshot = c.snapshot.Digest
	names := make(map[string][]string)
	for _, z := range c.snapshot.Plan.World.Zones {
		for _, steer := range z.Steer {
			names[steer.Pool] = append(names[steer.Pool], steer.Owner)
		}
	}
	for _, answers := range c.snapshot.Pools {
		p := answers.Plan.Pool
		v := poolView{Pool: p.Name, Policy: p.Policy, View: p.View, TTL: p.TTL.Seconds(), WhenAllDown: p.WhenAllDown,
			Names: append([]string{}, names[p.Name]...), Rung: answers.Worst(), Answers: fold(answers)}
		for i := range p.Members {
			member := c.member(p, &p.Members[i])
			if kept := c.snapshot.Spill.PerMille(p.Name, member.Member); kept < zones.FullRamp {
				member.Kept = int(kept)
			}
			v.Members = append(v.Members, member)
		}
		list.Pools = append(list.Pools, v)
	}
	return list
}

func (c scene) member(p *zones.Pool, m *zones.Member) memberView {
	v := memberView{Member: m.Name(), Pool: m.Endpoint == "", Region: m.Region, Weight: m.Weight, Enabled: m.Enabled, Control: m.Control,
		On: c.on(m.Control), Address: []string{}, Checks: c.measured(p, m), Manual: c.manual(m.Endpoint), Latched: c.control.Latched(p.Name, m.Endpoint)}
	if m.Capacity != (zones.Capacity{}) {
		v.Capacity = m.Capacity.String()
	}
	for _, address := range m.Address {
		if address.IsValid() {
			v.Address = append(v.Address, address.String())
		}
	}
	return v
}

// fold takes the groups of clients that are answered alike together, for each family that the pool has, and then the
// families in which that comes to the same.
func fold(answers *zones.PoolAnswers) []answerView {
	views := []answerView{}
	for family, name := range zones.FamilyNames {
		if !answers.Plan.HasFamily(family) {
			continue
		}
		for _, v := range foldFamily(answers, family) {
			same := slices.IndexFunc(views, func(o answerView) bool {
				return o.Rung == v.Rung && o.Groups == v.Groups && slices.Equal(o.Clients, v.Clients) && slices.Equal(o.Members, v.Members) && len(o.Others)+len(v.Others) == 0
			})
			if same < 0 {
				same = len(views)
				views = append(views, v)
			}
			views[same].Families = append(views[same].Families, name)
		}
	}
	return views
}

func foldFamily(answers *zones.PoolAnswers, family int) (views []answerView) {
	at := make(map[string]int)
	for g := range answers.Groups {
		choice := &answers.Groups[g].Families[family]
		shares := sharesOf(answers.Plan, choice)
		var others []other
		for _, o := range choice.Others {
			others = append(others, other{int(o.To - o.From), o.Why, sharesOf(answers.Plan, &o.Choice)})
		}
		key := fmt.Sprint(choice.Rung, shares, others)
		i, known := at[key]
		if !known {
			i = len(views)
			at[key] = i
			views = append(views, answerView{Rung: choice.Rung, Members: shares, Others: others, Clients: []string{}})
		}
		v := &views[i]
		v.Groups++
		if label := groupLabel(answers.Plan, g); len(v.Clients) < maxListed && !slices.Contains(v.Clients, label) {
			v.Clients = append(v.Clients, label)
		}
	}
	return views
}

// sharesOf returns how much of a choice's answers has each endpoint. What has no endpoint is named for what it is.
func sharesOf(p *zones.PoolPlan, choice *zones.Choice) []share {
	shares := []share{}
	add := func(name string, weight uint32) {
		i := slices.IndexFunc(shares, func(s share) bool { return s.Member == name })
		if i < 0 {
			i = len(shares)
			shares = append(shares, share{Member: name})
		}
		shares[i].Share += float64(weight) / float64(choice.Total)
	}
	for _, o := range choice.Options {
		if len(o.Members) == 0 {
			add(strings.ReplaceAll(choice.Rung.String(), " ", "_"), o.Weight)
		}
		for _, m := range o.Members {
			add(p.Leaves[m].Endpoint, o.Weight)
		}
	}
	return shares
}

// groupLabel says in a few words which clients are in a group.
func groupLabel(p *zones.PoolPlan, g int) string {
	group := &p.Groups[g]
	switch {
	case len(p.Groups) == 1:
		return "everyone"
	case group.Region != "":
		return "near " + string(group.Region)
	case len(group.Tiers) == 0:
		return "nobody's"
	case group.Tiers[0].Why == "default":
		return "everyone else"
	}
	return group.Tiers[0].Why
}

func (s *Server) getPools(w http.ResponseWriter, _ *http.Request) {
	reply(w, s.scene(time.Now()).pools())
}
