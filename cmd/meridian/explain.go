package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/host"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/whatif"
)

type explainCommand struct {
	endpoint
	Name         string     `arg:"" help:"Name that is asked for."`
	Type         string     `arg:"" optional:"" help:"Type of record." default:"A"`
	Client       netip.Addr `help:"Address that the query comes from." default:"127.0.0.1" placeholder:"IP"`
	Subnet       string     `help:"EDNS client subnet of the query." placeholder:"PREFIX"`
	Random       string     `help:"Number that decides between weighted answers, 0 to 4294967295; by default a random one." placeholder:"N"`
	At           string     `help:"Replay what the node answered at a time: RFC 3339, a time of day in UTC like 03:12 (when it was last so late), or how long ago like 15m." placeholder:"TIME"`
	If           []string   `sep:"none" help:"Suppose that something is otherwise, more than once if need be: ${whatif}." placeholder:"'WORD NAME'"`
	Config       string     `help:"Answer offline from this world's directory, with all endpoints up and all controls as they start." placeholder:"DIR"`
	Geo          []string   `help:"With --config, MaxMind-format files that place clients; none: the embedded country database." placeholder:"FILE"`
	GeoOverrides []string   `help:"With --config, YAML files that place prefixes over what the databases say." placeholder:"FILE"`
	JSON         bool       `help:"Print JSON." name:"json"`
}

// Run asks the running node, or a world offline.
func (c explainCommand) Run() error {
	if c.Config != "" {
		if c.At != "" {
			return errors.New("--at asks what a running node has kept: leave --config out")
		}
		return c.offline()
	}
	if len(c.Geo) > 0 || len(c.GeoOverrides) > 0 {
		return errors.New("--geo and --geo-overrides are for --config: a running node has places of its own")
	}
	values := url.Values{"name": {c.Name}, "type": {c.Type}, "client": {c.Client.String()}}
	if c.Subnet != "" {
		values.Set("subnet", c.Subnet)
	}
	if c.Random != "" {
		values.Set("random", c.Random)
	}
	if c.At != "" {
		values.Set("at", c.At)
	}
	values["if"] = c.If
	path := "/v1/explain?" + values.Encode()
	if c.JSON {
		return c.print(path)
	}
	text, err := c.call(http.MethodGet, path, "text/plain", nil)
	if err != nil {
		return err
	}
	_, err = fmt.Println(strings.TrimRight(string(text), "\n"))
	return err
}

func (c explainCommand) offline() error {
	supposed, err := whatif.Parse(c.If)
	if err != nil {
		return fmt.Errorf("--if: %w", err)
	}
	question := zones.Question{Name: c.Name, Type: dns.StringToType[strings.ToUpper(c.Type)], Client: zones.Client{Source: c.Client}, Random: rand.Uint32()}
	if question.Type == 0 {
		return fmt.Errorf("unknown type %q", c.Type)
	}
	if c.Random != "" {
		n, err := strconv.ParseUint(c.Random, 10, 32)
		if err != nil {
			return fmt.Errorf("--random: %w", err)
		}
		question.Random = uint32(n)
	}
	if c.Subnet != "" {
		prefix, err := netip.ParsePrefix(c.Subnet)
		if err != nil {
			return fmt.Errorf("--subnet: %w", err)
		}
		question.Client.Subnet = prefix.Masked()
	}
	table, err := readPlaces(c.Geo, c.GeoOverrides)
	if err != nil {
		return mistakes(err)
	}
	plan, err := host.Load(c.Config, table)
	if err != nil {
		return mistakes(err)
	}
	now := time.Now()
	var up []health.Status
	for _, s := range plan.Subjects {
		up = append(up, health.Status{Check: s.Check, State: health.Up, Measured: health.Up, Since: now})
	}
	in := zones.Inputs{Health: health.NewView(up), Control: control.Initial(plan.World.Definitions)}
	as, err := supposed.Apply(plan, in)
	if err != nil {
		return fmt.Errorf("--if: %w", err)
	}
	explanation, err := plan.Publish(nil, as, zones.Change{All: true}, now).Explain(question)
	if err != nil {
		return err
	}
	if len(supposed) > 0 {
		explanation.Premises = append([]string{"supposed: " + supposed.String()}, supposed.Notes(plan, in)...)
	}
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(explanation)
	}
	_, err = fmt.Print(explanation)
	return err
}
