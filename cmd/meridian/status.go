package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

type statusCommand struct {
	endpoint
	JSON bool `help:"Print the API's JSON." name:"json"`
}

// statusView is what the command reads of /v1/status.
type statusView struct {
	Now      time.Time `json:"now"`
	Summary  string    `json:"summary"`
	Findings []struct {
		Level string `json:"level"`
		Text  string `json:"text"`
	} `json:"findings"`
	Node struct {
		Name    string `json:"name"`
		Region  string `json:"region"`
		Version string `json:"version"`
		Raft    string `json:"raft"`
	} `json:"node"`
	Peers []struct {
		Name     string    `json:"name"`
		Region   string    `json:"region"`
		Alive    bool      `json:"alive"`
		Heard    time.Time `json:"heard"`
		World    string    `json:"world"`
		Snapshot string    `json:"snapshot"`
		Index    uint64    `json:"index"`
	} `json:"peers"`
	Control struct {
		Epoch uint64 `json:"epoch"`
		Index uint64 `json:"index"`
	} `json:"control"`
	Snapshot struct {
		Digest string  `json:"digest"`
		Age    float64 `json:"age_seconds"`
	} `json:"snapshot"`
}

type checksView struct {
	Checks []struct {
		Check   string `json:"check"`
		State   string `json:"state"`
		Held    bool   `json:"held"`
		Why     string `json:"why"`
		Regions []struct {
			Region   string `json:"region"`
			State    string `json:"state"`
			Vantages []struct {
				Vantage string `json:"vantage"`
				State   string `json:"state"`
				Reason  string `json:"reason"`
				Stale   string `json:"stale"`
			} `json:"vantages"`
		} `json:"regions"`
	} `json:"checks"`
}

// Run prints what is wrong first, then checks and nodes.
func (c statusCommand) Run() error {
	if c.JSON {
		return c.print("/v1/status")
	}
	var s statusView
	if err := c.get("/v1/status", &s); err != nil {
		return err
	}
	var checks checksView
	if err := c.get("/v1/checks", &checks); err != nil {
		return err
	}
	fmt.Println(s.Summary)
	for _, f := range s.Findings {
		fmt.Printf("  %s: %s\n", f.Level, f.Text)
	}
	fmt.Printf("\nnode %s in %s, %s; %s; snapshot %s, %.0f s old; controls at epoch %d, index %d\n\n",
		s.Node.Name, s.Node.Region, s.Node.Version, s.Node.Raft, s.Snapshot.Digest, s.Snapshot.Age, s.Control.Epoch, s.Control.Index)
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CHECK\tSTATUS\tVANTAGES")
	for _, check := range checks.Checks {
		var views []string
		for _, r := range check.Regions {
			for _, v := range r.Vantages {
				view := fmt.Sprintf("%s: %s (%s)", v.Vantage, v.State, v.Reason)
				if v.Stale != "" {
					view = fmt.Sprintf("%s: not counted (%s)", v.Vantage, v.Stale)
				}
				views = append(views, view)
			}
		}
		state := check.State
		if check.Held {
			state += ", held"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", check.Check, state, strings.Join(views, ", "))
	}
	fmt.Fprintln(w, "\nNODE\tREGION\tHEARD\tSNAPSHOT\tWORLD\tINDEX")
	for _, p := range s.Peers {
		heard := "never"
		if !p.Heard.IsZero() {
			heard = fmt.Sprintf("%.1f s ago", s.Now.Sub(p.Heard).Seconds())
		}
		if !p.Alive {
			heard = "LOST, " + heard
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\n", p.Name, p.Region, heard, p.Snapshot, p.World, p.Index)
	}
	return w.Flush()
}
