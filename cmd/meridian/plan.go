package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/host"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/forecast"
	"github.com/meridian-gslb/meridian/zones/whatif"
)

type planCommand struct {
	Old          string           `arg:"" help:"World's directory as it is; with --if the only one." placeholder:"OLD"`
	New          string           `arg:"" optional:"" help:"World's directory as it is to be." placeholder:"NEW"`
	If           []string         `help:"Say what happens in one world if this were so: down ENDPOINT, up ENDPOINT, drain ENDPOINT, lose REGION, off CONTROL or on CONTROL; several times, or with commas, for several at once." sep:"none" placeholder:"'lose REGION'"`
	Clients      string           `help:"File of client prefixes, one a line, with a weight if it is not 1: shares are said of them too." placeholder:"FILE"`
	Geo          []string         `help:"MaxMind-format files that place clients; none: the embedded country database." placeholder:"FILE"`
	GeoOverrides []string         `help:"YAML files that place prefixes over what the databases say." placeholder:"FILE"`
	Allow        []forecast.Guard `help:"Take what a guard finds: empty, records or ttl; several times for several." placeholder:"GUARD"`
	All          bool             `help:"Leave nothing out of long lists."`
	JSON         bool             `help:"Print JSON." name:"json"`
}

// Run prints what a change of a world does, or what happens in one if something were otherwise.
func (c planCommand) Run() error { return c.run(os.Stdout, os.Stderr) }

func (c planCommand) run(out, findings io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	hypothesis, err := whatif.Parse(c.If)
	if err != nil {
		return fmt.Errorf("--if: %w", err)
	}
	var prefixes []forecast.Prefix
	if c.Clients != "" {
		if prefixes, err = readPrefixes(c.Clients); err != nil {
			return mistakes(err)
		}
	}
	table, err := readPlaces(c.Geo, c.GeoOverrides)
	if err != nil {
		return mistakes(err)
	}
	plan, err := c.load(findings, c.Old, table)
	if err != nil {
		return err
	}
	if len(hypothesis) > 0 {
		return c.suppose(out, plan, hypothesis, prefixes)
	}
	return c.compare(out, findings, plan, table, prefixes)
}

func (c planCommand) check() error {
	for _, guard := range c.Allow {
		if !slices.Contains(forecast.Guards(), guard) {
			return fmt.Errorf("--allow: unknown guard %q (have %s, %s, %s)", guard, forecast.Empty, forecast.Fewer, forecast.TTL)
		}
	}
	switch {
	case len(c.If) == 0 && c.New == "":
		return errors.New("plan: want two directories, the world as it is and as it is to be; or one and --if")
	case len(c.If) > 0 && c.New != "":
		return errors.New("plan: --if is about one world, not two")
	case len(c.If) > 0 && len(c.Allow) > 0:
		return errors.New("plan: --allow is for a change: with --if nothing is changed")
	}
	return nil
}

// load reads one of the worlds, and says which of them has mistakes.
func (c planCommand) load(findings io.Writer, dir string, table *geo.Table) (*zones.Plan, error) {
	plan, err := host.Load(dir, table)
	var problems zones.Problems
	if !errors.As(err, &problems) {
		return plan, err
	}
	fmt.Fprintf(findings, "%s has mistakes:\n%v\n", dir, problems)
	return nil, errSaid
}

func readPrefixes(name string) ([]forecast.Prefix, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, forecast.MaxPrefixFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > forecast.MaxPrefixFile {
		return nil, fmt.Errorf("%s: more than %d bytes", name, forecast.MaxPrefixFile)
	}
	return forecast.ParsePrefixes(name, text)
}

// answers is the snapshot of a plan by some inputs.
func answers(plan *zones.Plan, in zones.Inputs) *zones.Snapshot {
	return plan.Publish(nil, in, zones.Change{All: true}, time.Now())
}

// compare says what differs from one world to the other, and fails where a guard finds something that is not allowed.
func (c planCommand) compare(out, findings io.Writer, before *zones.Plan, table *geo.Table, prefixes []forecast.Prefix) error {
	after, err := c.load(findings, c.New, table)
	if err != nil {
		return err
	}
	f := forecast.Compare(answers(before, forecast.Steady(before)), answers(after, forecast.Steady(after)), prefixes)
	if err := c.print(out, f, f.Text(c.All)); err != nil {
		return err
	}
	refused := false
	for _, found := range f.Guards {
		if slices.Contains(c.Allow, found.Guard) {
			fmt.Fprintf(findings, "allowed: %s: %s\n", found.Guard, found.Found)
			continue
		}
		refused = true
		fmt.Fprintf(findings, "guard %s: %s (--allow %s takes it)\n", found.Guard, found.Found, found.Guard)
	}
	if refused {
		return errSaid
	}
	return nil
}

// A supposed is what would happen in a world.
type supposed struct {
	If      string           `json:"if"`
	Notes   []string         `json:"notes"` // what the hypothesis does not come to
	Clients forecast.Clients `json:"clients"`
}

func (c planCommand) suppose(out io.Writer, plan *zones.Plan, hypothesis whatif.Hypothesis, prefixes []forecast.Prefix) error {
	in := forecast.Steady(plan)
	then, err := hypothesis.Apply(plan, in)
	if err != nil {
		return fmt.Errorf("--if: %w", err)
	}
	s := supposed{hypothesis.String(), append([]string{}, hypothesis.Notes(plan, in)...), forecast.Moves(answers(plan, in), answers(plan, then), prefixes)}
	text := "if: " + s.If + "\n"
	for _, note := range s.Notes {
		text += "note: " + note + "\n"
	}
	return c.print(out, s, text+s.Clients.Text(c.All))
}

func (c planCommand) print(out io.Writer, data any, text string) error {
	if !c.JSON {
		_, err := io.WriteString(out, text)
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(data)
}
