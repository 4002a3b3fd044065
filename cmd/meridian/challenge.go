package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

type challengeCommand struct {
	List  challengeList  `cmd:"" help:"List the challenges that nameservers answer."`
	Set   challengeSet   `cmd:"" help:"Set a value, and wait until every nameserver answers it."`
	Clear challengeClear `cmd:"" help:"Clear a value, or all of a name."`
}

type challengeList struct{ endpoint }

// Run lists the challenges.
func (c challengeList) Run() error {
	var v struct {
		Challenges []struct {
			Name    string    `json:"name"`
			Value   string    `json:"value"`
			Expires time.Time `json:"expires"`
			Actor   string    `json:"actor"`
		} `json:"challenges"`
	}
	if err := c.get("/v1/challenges", &v); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tVALUE\tEXPIRES\tBY")
	for _, c := range v.Challenges {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Name, c.Value, c.Expires.UTC().Format(time.RFC3339), c.Actor)
	}
	return w.Flush()
}

type challengeBy struct {
	endpoint
	Reason string `help:"Why; goes into the audit log." default:"ACME challenge"`
	Actor  string `help:"Who; by default the name of the user."`
}

type challengeSet struct {
	Name  string        `arg:"" help:"_acme-challenge.HOST, in one of the zones."`
	Value string        `arg:"" help:"The text of the TXT record."`
	Life  time.Duration `help:"After which it expires, at most 24h." default:"1h"`
	challengeBy
}

// Run sets a value.
func (c challengeSet) Run() error {
	return c.order(map[string]any{"name": c.Name, "value": c.Value, "life_seconds": c.Life.Seconds()}, "set at every nameserver that can be reached")
}

type challengeClear struct {
	Name  string `arg:"" help:"_acme-challenge.HOST."`
	Value string `arg:"" optional:"" help:"The value; none: all of the name."`
	challengeBy
}

// Run clears values.
func (c challengeClear) Run() error {
	return c.order(map[string]any{"name": c.Name, "value": c.Value, "clear": true}, "cleared at every nameserver that can be reached")
}

func (c challengeBy) order(body map[string]any, done string) error {
	body["reason"], body["actor"] = c.Reason, actor(c.Actor)
	var result struct {
		Index uint64 `json:"index"`
	}
	if err := c.endpoint.post("/v1/challenges", body, &result); err != nil {
		return err
	}
	fmt.Printf("%s (index %d)\n", done, result.Index)
	return nil
}
