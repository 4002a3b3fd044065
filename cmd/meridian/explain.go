package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/host"
	"github.com/meridian-gslb/meridian/geo/mmdb"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

type explainCommand struct {
	endpoint
	Name   string     `arg:"" help:"Name that is asked for."`
	Type   string     `arg:"" optional:"" help:"Type of record." default:"A"`
	Client netip.Addr `help:"Address that the query comes from." default:"127.0.0.1" placeholder:"IP"`
	Subnet string     `help:"EDNS client subnet of the query." placeholder:"PREFIX"`
	Random string     `help:"Number that decides between weighted answers, 0 to 4294967295; by default a random one." placeholder:"N"`
	Config string     `help:"Answer offline from this world's directory, with all endpoints up and all controls as they start." placeholder:"DIR"`
	JSON   bool       `help:"Print JSON." name:"json"`
}

// Run asks the running node, or a world offline.
func (c explainCommand) Run() error {
	if c.Config != "" {
		return c.offline()
	}
	values := url.Values{"name": {c.Name}, "type": {c.Type}, "client": {c.Client.String()}}
	if c.Subnet != "" {
		values.Set("subnet", c.Subnet)
	}
	if c.Random != "" {
		values.Set("random", c.Random)
	}
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
	table, err := mmdb.Default()
	if err != nil {
		return err
	}
	plan, err := host.Load(c.Config, table)
	if err != nil {
		return mistakes(err)
	}
	now := time.Now()
	var up []health.Status
	for _, t := range plan.Targets {
		up = append(up, health.Status{Check: t.ID, State: health.Up, Measured: health.Up, Since: now})
	}
	snapshot := plan.Publish(nil, zones.Inputs{Health: health.NewView(up)}, zones.Change{All: true}, now)
	explanation, err := snapshot.Explain(question)
	if err != nil {
		return err
	}
	_, err = fmt.Print(explanation)
	return err
}
