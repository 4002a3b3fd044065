package main

import (
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/keys"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

type caCommand struct {
	Init  caInit  `cmd:"" help:"Make the CA of a new cluster and the key of its mesh."`
	Issue caIssue `cmd:"" help:"Make the certificate and key of a node."`
}

type caInit struct {
	Dir     string `help:"Directory for ca.crt, ca.key and gossip.key." default:"keys"`
	Cluster string `help:"Name of the cluster, for people." default:"meridian"`
}

// Run makes the CA.
func (c caInit) Run() error {
	if err := keys.Init(c.Dir, c.Cluster); err != nil {
		return err
	}
	fmt.Printf("made %s/%s, %s and %s; keep the last two secret, and %s off the nodes\n",
		c.Dir, keys.CACertificate, keys.CAKey, keys.Gossip, keys.CAKey)
	return nil
}

type caIssue struct {
	Name   string   `arg:"" help:"Name of the node, as in its file."`
	Dir    string   `help:"Directory of the CA, and for NAME.crt and NAME.key." default:"keys"`
	Region string   `help:"Region of the node, as in its file." required:""`
	Roles  []string `help:"Roles of the node: just those that its file lists. All four by default." default:"dns,probe,gateway,control"`
	Days   int      `help:"For how many days it is good." default:"365"`
}

// Run makes a node's certificate.
func (c caIssue) Run() error {
	roles, err := health.ParseRoles(c.Roles)
	if err != nil {
		return err
	}
	id := pki.Identity{Name: health.NodeID(c.Name), Region: geo.RegionID(c.Region), Roles: roles}
	if err := keys.Issue(c.Dir, id, time.Duration(c.Days)*24*time.Hour); err != nil {
		return err
	}
	fmt.Printf("made %s/%s.crt and %s.key, good for %d days\n", c.Dir, c.Name, c.Name, c.Days)
	return nil
}
