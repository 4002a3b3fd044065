package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/zonekeys"
	"github.com/meridian-gslb/meridian/dns/dnssec"
)

// keysView is what the commands read of /v1/keys.
type keysView struct {
	Zones []struct {
		Zone       string `json:"zone"`
		Stage      string `json:"stage"`
		Generation uint64 `json:"generation"`
		Keys       []struct {
			Tag       uint16 `json:"tag"`
			Role      string `json:"role"`
			Algorithm string `json:"algorithm"`
			Does      string `json:"does"`
		} `json:"keys"`
		DS    []string `json:"ds"`
		Waits []string `json:"waits"`
		Error string   `json:"error"`
	} `json:"zones"`
}

// zoneName is how the API names a zone.
func zoneName(text string) (string, error) {
	apex, err := dnssec.WireName(text)
	if err != nil {
		return "", err
	}
	return dnssec.TextName(apex), nil
}

// person is who orders something and why.
type person struct {
	Reason string `help:"Why; goes into the audit log." required:""`
	Actor  string `help:"Who; by default the name of the user."`
}

func (p person) name() string {
	if p.Actor != "" {
		return p.Actor
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "cli"
}

// order has the cluster decide something about the keys of a zone.
func (e endpoint) order(p person, zone, do string, more map[string]any) error {
	name, err := zoneName(zone)
	if err != nil {
		return err
	}
	if p.Reason == "" {
		return fmt.Errorf("--reason is missing: it goes into the audit log")
	}
	body := map[string]any{"zone": name, "do": do, "reason": p.Reason, "actor": p.name()}
	for key, value := range more {
		body[key] = value
	}
	var result struct {
		Index uint64 `json:"index"`
	}
	if err := e.post("/v1/keys", body, &result); err != nil {
		return err
	}
	fmt.Printf("%s %s: done (index %d)\n", name, do, result.Index)
	return nil
}

type keyStatus struct {
	endpoint
	Zone string `arg:"" optional:"" help:"Name of a zone; all that the cluster has keys of without."`
	JSON bool   `help:"Print the API's JSON, of all zones." name:"json"`
}

// Run shows the keys of a running cluster.
func (c keyStatus) Run() error {
	if c.JSON {
		return c.print("/v1/keys")
	}
	return c.eachZone(c.Zone, func(v keysView, i int) {
		z := v.Zones[i]
		if z.Error != "" {
			fmt.Printf("%s: %s\n", z.Zone, z.Error)
			return
		}
		fmt.Printf("%s is at %s, generation %d\n", z.Zone, z.Stage, z.Generation)
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		for _, k := range z.Keys {
			fmt.Fprintf(table, "  %d\t%s\t%s\t%s\n", k.Tag, k.Role, k.Algorithm, k.Does)
		}
		table.Flush()
		for _, w := range z.Waits {
			fmt.Printf("  %s\n", w)
		}
	})
}

// eachZone shows one zone, or all if none is named.
func (e endpoint) eachZone(zone string, show func(keysView, int)) error {
	if zone != "" {
		var err error
		if zone, err = zoneName(zone); err != nil {
			return err
		}
	}
	var v keysView
	if err := e.get("/v1/keys", &v); err != nil {
		return err
	}
	found := false
	for i, z := range v.Zones {
		if zone == "" || z.Zone == zone {
			found = true
			show(v, i)
		}
	}
	if !found && zone != "" {
		return fmt.Errorf("the cluster has no keys of zone %s", zone)
	}
	return nil
}

// printDS prints the DS records that the parent should have, as the cluster says.
func (e endpoint) printDS(zone string) error {
	none, name := "", ""
	err := e.eachZone(zone, func(v keysView, i int) {
		for _, ds := range v.Zones[i].DS {
			fmt.Println(ds)
		}
		if len(v.Zones[i].DS) == 0 {
			none, name = v.Zones[i].Stage, v.Zones[i].Zone
		}
	})
	if err == nil && none != "" {
		err = fmt.Errorf("zone %s is at %s: the parent should have no DS now", name, none)
	}
	return err
}

type keySeen struct {
	endpoint
	person
	Zone string `arg:"" help:"Name of the zone."`
}

// Run says that the parent has the DS that it should have.
func (c keySeen) Run() error { return c.order(c.person, c.Zone, "ds-seen", nil) }

type keyForget struct {
	endpoint
	person
	Zone       string `arg:"" help:"Name of the zone."`
	Nameserver string `arg:"" help:"Name of the node that is gone for good."`
}

// Run makes rolls no longer wait for a nameserver.
func (c keyForget) Run() error {
	return c.order(c.person, c.Zone, "forget", map[string]any{"nameserver": c.Nameserver})
}

type keyImport struct {
	endpoint
	person
	keyDir
	Zone    string `arg:"" help:"Name of the zone."`
	Cluster string `help:"File with the key of the mesh, by which the private keys are sealed before they leave this program." required:"" placeholder:"FILE"`
}

// Run seals the keys of a directory and gives them to the cluster.
func (c keyImport) Run() error {
	keys, err := zonekeys.Load(c.Dir, c.Zone)
	if err != nil {
		return err
	}
	info, err := os.Stat(c.Cluster)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s: mode %04o lets others read it, want 0600", c.Cluster, mode)
	}
	text, err := os.ReadFile(c.Cluster)
	if err != nil {
		return err
	}
	cluster, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(cluster) != dnssec.ClusterKeySize {
		return fmt.Errorf("%s: want 64 hexadecimal digits", c.Cluster)
	}
	var sealed []dnssec.KeyState
	for _, k := range keys {
		if gone := k.Timing.Delete; !gone.IsZero() && !gone.After(time.Now()) {
			continue
		}
		state, err := dnssec.SealKey(cluster, k, rand.Reader)
		if err != nil {
			return err
		}
		sealed = append(sealed, state)
	}
	if len(sealed) == 0 {
		return fmt.Errorf("no keys of zone %s in %s", c.Zone, c.Dir)
	}
	return c.order(c.person, c.Zone, "import", map[string]any{"keys": sealed})
}
