package main

import "fmt"

type freezeCommand struct {
	endpoint
	State  string `arg:"" enum:"on,off" help:"on: what is answered stays as it is, whatever is measured; off: it follows again. Controls and what is set by hand are obeyed all the same."`
	Reason string `help:"Why; goes into the audit log." required:""`
	Actor  string `help:"Who; by default the name of the user."`
	Key    string `help:"Idempotency key: repeating the command with it changes nothing more."`
}

// Run freezes all automatic change, or lets it go on.
func (c freezeCommand) Run() error {
	body := struct {
		Frozen bool   `json:"frozen"`
		Reason string `json:"reason"`
		Actor  string `json:"actor"`
		Key    string `json:"key,omitempty"`
	}{c.State == "on", c.Reason, actor(c.Actor), c.Key}
	var result byHandResult
	if err := c.post("/v1/freeze", body, &result); err != nil {
		return err
	}
	fmt.Printf("%s (index %d)\n", map[bool]string{true: "frozen: no status changes until meridian freeze off", false: "not frozen"}[body.Frozen], result.Index)
	return nil
}

type releaseCommand struct {
	endpoint
	Reason string `help:"Why; goes into the audit log." required:""`
	Actor  string `help:"Who; by default the name of the user."`
	Key    string `help:"Idempotency key: repeating the command with it changes nothing more."`
}

// Run ends the hold of a mass change.
func (c releaseCommand) Run() error {
	body := struct {
		Reason string `json:"reason"`
		Actor  string `json:"actor"`
		Key    string `json:"key,omitempty"`
	}{c.Reason, actor(c.Actor), c.Key}
	var result byHandResult
	if err := c.post("/v1/release", body, &result); err != nil {
		return err
	}
	fmt.Printf("released: what went down until now is obeyed (index %d)\n", result.Index)
	return nil
}
