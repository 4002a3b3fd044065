package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

type controlCommand struct {
	List    controlList    `cmd:"" help:"List the controls and their rules."`
	Set     controlSet     `cmd:"" help:"Switch controls of one panel, all or none: NAME on|off, and more pairs."`
	Rules   controlRules   `cmd:"" help:"List the safety rules."`
	History controlHistory `cmd:"" help:"Show who switched what, when and why."`
}

// controlsView is what the commands read of /v1/controls.
type controlsView struct {
	Known  bool   `json:"known"`
	Epoch  uint64 `json:"epoch"`
	Index  uint64 `json:"index"`
	Quorum bool   `json:"quorum"`
	Panels []struct {
		Panel    string `json:"panel"`
		Controls []struct {
			Name    string    `json:"name"`
			On      bool      `json:"on"`
			Changed time.Time `json:"changed"`
			Actor   string    `json:"actor"`
			Reason  string    `json:"reason"`
			Pools   []string  `json:"pools"`
		} `json:"controls"`
		Rules []ruleView `json:"rules"`
	} `json:"panels"`
}

type ruleView struct {
	ID    string   `json:"id"`
	Needs string   `json:"needs"`
	Of    []string `json:"of"`
	On    int      `json:"on"`
	Holds bool     `json:"holds"`
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "OFF"
}

type controlList struct {
	endpoint
	JSON bool `help:"Print the API's JSON." name:"json"`
}

// Run lists the controls.
func (c controlList) Run() error {
	if c.JSON {
		return c.print("/v1/controls")
	}
	var v controlsView
	if err := c.get("/v1/controls", &v); err != nil {
		return err
	}
	if !v.Known {
		return fmt.Errorf("the node has not heard of any control state yet")
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PANEL\tCONTROL\tSTATE\tSINCE\tBY\tREASON\tPOOLS")
	for _, p := range v.Panels {
		for _, ctl := range p.Controls {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Panel, ctl.Name, onOff(ctl.On),
				ctl.Changed.UTC().Format(time.RFC3339), ctl.Actor, ctl.Reason, strings.Join(ctl.Pools, " "))
		}
	}
	fmt.Fprintf(w, "\nepoch %d, index %d", v.Epoch, v.Index)
	if !v.Quorum {
		fmt.Fprint(w, " — no quorum of voters: this is the last state, and it can't be changed now")
	}
	fmt.Fprintln(w)
	return w.Flush()
}

type controlRules struct{ endpoint }

// Run lists the safety rules.
func (c controlRules) Run() error {
	var v struct {
		Rules []ruleView `json:"rules"`
	}
	if err := c.get("/v1/rules", &v); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tNEEDS\tOF\tNOW ON\tHOLDS")
	for _, r := range v.Rules {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%v\n", r.ID, r.Needs, strings.Join(r.Of, " "), r.On, r.Holds)
	}
	return w.Flush()
}

type controlSet struct {
	endpoint
	Pairs    []string `arg:"" help:"Control and on or off; more pairs of the same panel may follow." placeholder:"NAME on|off"`
	Reason   string   `help:"Why; goes into the audit log." required:""`
	Actor    string   `help:"Who; by default the name of the user."`
	Override []string `help:"A safety rule to break, by the name that the refusal gave." placeholder:"RULE"`
	Key      string   `help:"Idempotency key: repeating the command with it changes nothing more."`
}

// Run switches the controls.
func (c controlSet) Run() error {
	if len(c.Pairs)%2 != 0 {
		return fmt.Errorf("%q: want pairs of a control and on or off", strings.Join(c.Pairs, " "))
	}
	body := struct {
		Set      map[string]string `json:"set"`
		Reason   string            `json:"reason"`
		Actor    string            `json:"actor"`
		Override []string          `json:"override,omitempty"`
		Key      string            `json:"key,omitempty"`
	}{make(map[string]string), c.Reason, c.Actor, c.Override, c.Key}
	for i := 0; i < len(c.Pairs); i += 2 {
		if _, twice := body.Set[c.Pairs[i]]; twice {
			return fmt.Errorf("control %s is named twice", c.Pairs[i])
		}
		body.Set[c.Pairs[i]] = c.Pairs[i+1]
	}
	body.Actor = actor(c.Actor)
	var result struct {
		Epoch   uint64   `json:"epoch"`
		Index   uint64   `json:"index"`
		Changed []string `json:"changed"`
		Repeat  bool     `json:"repeat"`
	}
	if err := c.post("/v1/controls", body, &result); err != nil {
		return err
	}
	switch {
	case result.Repeat:
		fmt.Printf("done before, at index %d\n", result.Index)
	case len(result.Changed) == 0:
		fmt.Printf("nothing to change (index %d)\n", result.Index)
	default:
		fmt.Printf("changed %s (index %d)\n", strings.Join(result.Changed, ", "), result.Index)
	}
	return nil
}

// actor is who gives a command: the user, unless another name was given.
func actor(given string) string {
	if given != "" {
		return given
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "cli"
}

type controlHistory struct {
	endpoint
	Limit int  `help:"How many commands, newest first." default:"20"`
	JSON  bool `help:"Print the API's JSON." name:"json"`
}

// historyView is what the command reads of /v1/controls/history.
type historyView struct {
	History []historyEntry `json:"history"`
}

type historyEntry struct {
	Index   uint64    `json:"index"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Zone    string    `json:"zone"`
	Order   string    `json:"order"`
	Actor   string    `json:"actor"`
	Via     string    `json:"via"`
	Reason  string    `json:"reason"`
	Changes []struct {
		Control string `json:"control"`
		After   bool   `json:"after"`
	} `json:"changes"`
	Overlays []struct {
		Endpoint string    `json:"endpoint"`
		Before   string    `json:"before"`
		After    string    `json:"after"`
		Expires  time.Time `json:"expires"`
	} `json:"overlays"`
	Latches []struct {
		Pool     string `json:"pool"`
		Endpoint string `json:"endpoint"`
	} `json:"latches"`
	Pool    string   `json:"pool"`
	Member  string   `json:"endpoint"`
	Rules   []string `json:"rules"`
	Refused string   `json:"refused"`
	Text    string   `json:"text"`
}

// what says what was ordered: "api-eu-west OFF", "euw1 force_down until 2026-03-01T18:00:00Z", "latch use1 in api", "keys example.com.
// roll-zsk", "challenge set _acme-challenge.example.com.".
func (e historyEntry) what() string {
	var changes []string
	for _, c := range e.Changes {
		changes = append(changes, c.Control+" "+onOff(c.After))
	}
	for _, o := range e.Overlays {
		text := o.Endpoint + " " + o.After
		switch {
		case e.Kind == "expire":
			text = fmt.Sprintf("%s %s expired", o.Endpoint, o.Before)
		case !o.Expires.IsZero():
			text += " until " + o.Expires.UTC().Format(time.RFC3339)
		}
		changes = append(changes, text)
	}
	for _, l := range e.Latches {
		changes = append(changes, fmt.Sprintf("%s %s in %s", e.Kind, l.Endpoint, l.Pool))
	}
	if len(changes) > 0 {
		return strings.Join(changes, ", ")
	}
	words := []string{e.Kind, e.Pool, e.Member, e.Zone, e.Order}
	if e.Refused == "" {
		words = append(words, e.Text) // else it is why
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// Run shows the audit log.
func (c controlHistory) Run() error {
	path := fmt.Sprintf("/v1/controls/history?limit=%d", c.Limit)
	if c.JSON {
		return c.print(path)
	}
	var v historyView
	if err := c.get(path, &v); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "INDEX\tTIME\tBY\tVIA\tWHAT\tREASON\tRESULT")
	for _, e := range v.History {
		result := "done"
		if e.Refused != "" {
			result = "refused: " + e.Refused
		}
		if len(e.Rules) > 0 {
			result += ", " + strings.Join(e.Rules, " ")
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Index, e.Time.UTC().Format(time.RFC3339), e.Actor, e.Via,
			e.what(), e.Reason, result)
	}
	return w.Flush()
}

// print shows a JSON document as it is, indented.
func (e endpoint) print(path string) error {
	data, err := e.call(http.MethodGet, path, "application/json", nil)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Println(strings.TrimSpace(indented.String()))
	return err
}
