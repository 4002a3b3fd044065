package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
)

type endpointCommand struct {
	List endpointList `cmd:"" help:"List the endpoints: what is measured of each, and what it is set to by hand."`
	Set  endpointSet  `cmd:"" help:"Set what endpoints count as in every pool, all or none, whatever is measured; a control that is off still wins."`
}

type poolCommand struct {
	Resume poolResume `cmd:"" help:"Let clients go back to members that they were failed away from, of a pool with failback by hand."`
}

// endpointsView is what the commands read of /v1/endpoints.
type endpointsView struct {
	Known     bool           `json:"known"`
	Epoch     uint64         `json:"epoch"`
	Index     uint64         `json:"index"`
	Quorum    bool           `json:"quorum"`
	Endpoints []endpointView `json:"endpoints"`
	Latches   []struct {
		Pool     string    `json:"pool"`
		Endpoint string    `json:"endpoint"`
		Since    time.Time `json:"since"`
		Unused   bool      `json:"unused"`
	} `json:"latches"`
}

type endpointView struct {
	Endpoint string `json:"endpoint"`
	Region   string `json:"region"`
	Pools    []struct {
		Pool    string `json:"pool"`
		On      bool   `json:"on"`
		Latched bool   `json:"latched"`
	} `json:"pools"`
	Checks []struct {
		Check string `json:"check"`
		State string `json:"state"`
		Held  bool   `json:"held"`
	} `json:"checks"`
	Manual struct {
		State   control.Manual `json:"state"`
		Since   time.Time      `json:"since"`
		Expires time.Time      `json:"expires"`
		Overdue bool           `json:"overdue"`
		Actor   string         `json:"actor"`
		Reason  string         `json:"reason"`
	} `json:"manual"`
}

// measured says what each check shows: "gateway/ipv4 up, gateway/ipv6 down".
func (e *endpointView) measured() string {
	var said []string
	for _, c := range e.Checks {
		text := strings.Replace(c.Check, "/"+e.Endpoint+"/", "/", 1) + " " + c.State
		if c.Held {
			text += " (held)"
		}
		said = append(said, text)
	}
	if len(said) == 0 {
		return "no check"
	}
	return strings.Join(said, ", ")
}

// byHand says what the endpoint is set to, and until when.
func (e *endpointView) byHand() (state, since, expires string) {
	m := e.Manual
	if m.State == control.Auto {
		return string(m.State), "", ""
	}
	expires = "never"
	if !m.Expires.IsZero() {
		expires = m.Expires.UTC().Format(time.RFC3339)
	}
	if m.Overdue {
		expires += " OVERDUE"
	}
	return string(m.State), m.Since.UTC().Format(time.RFC3339), expires
}

// in lists the pools that have the endpoint, and what else decides about it there.
func (e *endpointView) in() string {
	var pools []string
	for _, p := range e.Pools {
		text := p.Pool
		if !p.On {
			text += " (control OFF)"
		}
		if p.Latched {
			text += " (LATCHED)"
		}
		pools = append(pools, text)
	}
	if len(pools) == 0 {
		return "none, so it has no effect"
	}
	return strings.Join(pools, ", ")
}

type endpointList struct {
	endpoint
	JSON bool `help:"Print the API's JSON." name:"json"`
}

// Run lists the endpoints.
func (c endpointList) Run() error {
	if c.JSON {
		return c.print("/v1/endpoints")
	}
	var v endpointsView
	if err := c.get("/v1/endpoints", &v); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ENDPOINT\tREGION\tMEASURED\tBY HAND\tSINCE\tEXPIRES\tBY\tREASON\tPOOLS")
	for i := range v.Endpoints {
		e := &v.Endpoints[i]
		state, since, expires := e.byHand()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Endpoint, e.Region, e.measured(), state, since, expires,
			e.Manual.Actor, e.Manual.Reason, e.in())
	}
	if len(v.Latches) > 0 {
		fmt.Fprintln(w, "\nPOOL\tLATCHED\tSINCE\tUNTIL")
	}
	for _, l := range v.Latches {
		until := fmt.Sprintf("meridian pool resume %s %s", l.Pool, l.Endpoint)
		if l.Unused {
			until += " (the pool has no such endpoint)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Pool, l.Endpoint, l.Since.UTC().Format(time.RFC3339), until)
	}
	fmt.Fprintln(w, standing(v.Known, v.Quorum, v.Epoch, v.Index))
	return w.Flush()
}

// standing says which state of the voters is shown, below it.
func standing(known, quorum bool, epoch, index uint64) string {
	text := fmt.Sprintf("\nepoch %d, index %d", epoch, index)
	if !known {
		text = "\nthe node has not heard of any control state yet"
	}
	if !quorum {
		text += " — no quorum of voters: this is the last state, and it can't be changed now"
	}
	return text
}

type endpointSet struct {
	endpoint
	Words  []string       `arg:"" name:"name" help:"Endpoints, and then what they are to count as: auto (what is measured), force_up, force_down (not answered) or drain (no new clients)." placeholder:"NAME ... STATE"`
	For    *time.Duration `help:"After which it ends by itself; default: it stays until auto." placeholder:"DURATION"`
	Reason string         `help:"Why; goes into the audit log." required:""`
	Actor  string         `help:"Who; by default the name of the user."`
	Key    string         `help:"Idempotency key: repeating the command with it changes nothing more."`
}

// Run sets the endpoints.
func (c endpointSet) Run() error {
	names := c.Words[:len(c.Words)-1]
	state := control.Manual(c.Words[len(c.Words)-1])
	if !slices.Contains(control.Manuals(), state) {
		return fmt.Errorf("%q: want auto, force_up, force_down or drain as the last word, after the endpoints", state)
	}
	if len(names) == 0 {
		return fmt.Errorf("want endpoints before %s", state)
	}
	body := struct {
		Set    map[string]control.Manual `json:"set"`
		For    *float64                  `json:"for_seconds,omitempty"`
		Reason string                    `json:"reason"`
		Actor  string                    `json:"actor"`
		Key    string                    `json:"key,omitempty"`
	}{make(map[string]control.Manual), nil, c.Reason, actor(c.Actor), c.Key}
	if c.For != nil {
		seconds := c.For.Seconds()
		body.For = &seconds
	}
	for _, name := range names {
		if _, twice := body.Set[name]; twice {
			return fmt.Errorf("endpoint %s is named twice", name)
		}
		body.Set[name] = state
	}
	var result byHandResult
	if err := c.post("/v1/endpoints", body, &result); err != nil {
		return err
	}
	did := fmt.Sprintf("set %s to %s", strings.Join(result.Endpoints, ", "), state)
	if c.For != nil {
		did += fmt.Sprintf(" for %v", *c.For)
	}
	result.tell(did, "nothing to change")
	return nil
}

// byHandResult is what the commands read of an answer.
type byHandResult struct {
	Index     uint64   `json:"index"`
	Endpoints []string `json:"endpoints"`
	Repeat    bool     `json:"repeat"`
}

// tell prints what was done, or that nothing was to be done.
func (r byHandResult) tell(did, nothing string) {
	switch {
	case r.Repeat:
		fmt.Printf("done before, at index %d\n", r.Index)
	case len(r.Endpoints) == 0:
		fmt.Printf("%s (index %d)\n", nothing, r.Index)
	default:
		fmt.Printf("%s (index %d)\n", did, r.Index)
	}
}

type poolResume struct {
	endpoint
	Pool   string `arg:"" help:"Pool."`
	Member string `arg:"" name:"endpoint" optional:"" help:"One of its endpoints; none: all of them."`
	Reason string `help:"Why; goes into the audit log." required:""`
	Actor  string `help:"Who; by default the name of the user."`
	Key    string `help:"Idempotency key: repeating the command with it changes nothing more."`
}

// Run resumes members of a pool.
func (c poolResume) Run() error {
	body := struct {
		Pool     string `json:"pool"`
		Endpoint string `json:"endpoint,omitempty"`
		Reason   string `json:"reason"`
		Actor    string `json:"actor"`
		Key      string `json:"key,omitempty"`
	}{c.Pool, c.Member, c.Reason, actor(c.Actor), c.Key}
	var result byHandResult
	if err := c.post("/v1/pools/resume", body, &result); err != nil {
		return err
	}
	nothing := "nothing to resume: no endpoint of pool " + c.Pool + " is latched"
	if c.Member != "" {
		nothing = fmt.Sprintf("nothing to resume: endpoint %s of pool %s is not latched", c.Member, c.Pool)
	}
	result.tell(fmt.Sprintf("resumed %s in pool %s", strings.Join(result.Endpoints, ", "), c.Pool), nothing)
	return nil
}
