package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/zonekeys"
	"github.com/meridian-gslb/meridian/dns/dnssec"
)

type keyCommand struct {
	Status keyStatus `cmd:"" help:"Show the keys of a running cluster, and what their rolls wait for."`
	Make   keyMake   `cmd:"" help:"Make the keys of a zone, in files as BIND has them."`
	List   keyList   `cmd:"" help:"Show the keys in a directory, BIND's too, and what they do."`
	DS     keyDS     `cmd:"" name:"ds" help:"Print the DS records that the parent should have."`
	Roll   keyRoll   `cmd:"" help:"Replace a key, or go on with it: looks at all servers, takes the next step if it is time. With --endpoint a running cluster does all that, and of the other flags only --reason and --actor are for it."`
	Import keyImport `cmd:"" help:"Give the keys of a directory to a running cluster, sealed."`
	Seen   keySeen   `cmd:"" name:"ds-seen" help:"Tell a running cluster that the parent has just the DS that key ds prints, on all its servers."`
	Forget keyForget `cmd:"" help:"Tell a running cluster that a nameserver is gone for good: rolls wait for it no more."`
}

// ofCluster makes a command work on a running cluster instead of a directory.
type ofCluster struct {
	Endpoint string `help:"Address of a node's API: works on its cluster instead of a directory." placeholder:"URL"`
}

type keyDir struct {
	Dir string `help:"Directory of the keys." default:"keys"`
}

// A directoryFlag is a flag that means something for a directory of keys only.
type directoryFlag struct {
	name  string
	given bool
}

// ofDirectory refuses, for a cluster, the flags that were given: it would not go by them.
func ofDirectory(flags ...directoryFlag) error {
	var given []string
	for _, f := range flags {
		if f.given {
			given = append(given, f.name)
		}
	}
	switch len(given) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s is for a directory of keys: leave it out with --endpoint", given[0])
	}
	return fmt.Errorf("%s are for a directory of keys: leave them out with --endpoint", strings.Join(given, ", "))
}

type keyMake struct {
	keyDir
	Zone      string `arg:"" help:"Name of the zone."`
	Algorithm string `help:"ECDSAP256SHA256 or ED25519." default:"ECDSAP256SHA256" placeholder:"NAME"`
	CSK       bool   `name:"csk" help:"One key that signs everything, instead of a KSK and a ZSK." xor:"role"`
	KSK       bool   `name:"ksk" help:"Only a KSK." xor:"role"`
	ZSK       bool   `name:"zsk" help:"Only a ZSK." xor:"role"`
}

// Run makes keys, of roles that the zone has none of.
func (c keyMake) Run() error {
	algorithm, err := dnssec.ParseAlgorithm(c.Algorithm)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	have, err := zonekeys.Load(c.Dir, c.Zone)
	if err != nil {
		return err
	}
	flags := []uint16{dnssec.FlagsKSK, dnssec.FlagsZSK}
	switch {
	case c.CSK, c.KSK:
		flags = flags[:1]
	case c.ZSK:
		flags = flags[1:]
	}
	for _, f := range flags {
		k, err := dnssec.New(c.Zone, f, algorithm, rand.Reader, time.Now())
		if err != nil {
			return err
		}
		for _, other := range have {
			if other.Tag == k.Tag || other.Flags == k.Flags || other.Algorithm != k.Algorithm || c.CSK {
				return fmt.Errorf("%s has the %s %s already: key roll replaces it", c.Dir, other.Role(), other.Name())
			}
		}
		if err := zonekeys.Create(c.Dir, k); err != nil {
			return err
		}
		fmt.Printf("made %s/%s.key and .private, a %s of %s\n", c.Dir, k.Name(), k.Role(), dnssec.AlgorithmName(algorithm))
		have = append(have, k)
	}
	return nil
}

type keyList struct {
	keyDir
	Zone string `arg:"" optional:"" help:"Name of a zone; all of the directory without."`
}

// Run prints a line for each key.
func (c keyList) Run() error {
	keys, err := zonekeys.Load(c.Dir, c.Zone)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ZONE\tTAG\tROLE\tALGORITHM\tNOW\tTIMES")
	for _, k := range keys {
		s, err := zonekeys.LoadState(c.Dir, k.Zone, time.Now())
		if err != nil {
			return err
		}
		role, does := zonekeys.Describe(s, k, time.Now())
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\n", k.Zone, k.Tag, role, dnssec.AlgorithmName(k.Algorithm), does, zonekeys.Times(k))
	}
	return table.Flush()
}

type keyDS struct {
	keyDir
	ofCluster
	Zone   string `arg:"" help:"Name of the zone."`
	SHA384 bool   `name:"sha384" help:"By SHA-384 instead of SHA-256; of a directory only."`
}

// Run prints DS records as zone-file text.
func (c keyDS) Run() error {
	if c.Endpoint != "" {
		if err := ofDirectory(directoryFlag{"--sha384", c.SHA384}); err != nil {
			return err
		}
		return endpoint{c.Endpoint}.printDS(c.Zone)
	}
	keys, err := zonekeys.ForParent(c.Dir, c.Zone, time.Now())
	if err != nil {
		return err
	}
	digest := uint8(dnssec.SHA256)
	if c.SHA384 {
		digest = dnssec.SHA384
	}
	for _, k := range keys {
		data, err := k.DS(digest)
		if err != nil {
			return err
		}
		fmt.Printf("%s IN DS %d %d %d %s\n", k.Zone, k.Tag, k.Algorithm, digest, strings.ToUpper(hex.EncodeToString(data[4:])))
	}
	return nil
}

type keyRoll struct {
	keyDir
	ofCluster
	Reason      string        `help:"Why; goes into the audit log. Needed with --endpoint."`
	Actor       string        `help:"Who, with --endpoint; by default the name of the user."`
	Zone        string        `arg:"" help:"Name of the zone."`
	What        string        `arg:"" optional:"" enum:",introduce,zsk,ksk,csk,delete-ds,announce-ds,remove" default:"" help:"introduce: sign by the keys in the directory; zsk, ksk, csk: replace that key; delete-ds, announce-ds: leave the chain of trust, come back; remove: stop signing. Without it: go on with what is under way."`
	Nameservers []string      `help:"All nameservers of the zone: addresses, with a port unless it is 53. Kept in the directory for the next call." placeholder:"ADDRESS"`
	Parents     []string      `help:"All servers of the parent zone; the same." placeholder:"ADDRESS"`
	DNSKEYTTL   time.Duration `name:"dnskey-ttl" help:"Largest TTL of DNSKEY, CDS and CDNSKEY; at first 1h. Kept, as all that follows." placeholder:"TIME"`
	MaxTTL      time.Duration `name:"max-ttl" help:"Largest TTL in the zone, denials included; at first 1h." placeholder:"TIME"`
	DSTTL       time.Duration `name:"ds-ttl" help:"Least TTL that the parent's DS is taken to have; at first 24h." placeholder:"TIME"`
	Propagation time.Duration `help:"Added to every TTL; at first 1h." placeholder:"TIME"`
}

// Run takes a step and says what comes next.
func (c keyRoll) Run() error {
	kind := dnssec.EventKind(c.What)
	switch c.What {
	case "zsk", "ksk", "csk":
		kind = dnssec.EventKind("roll-" + c.What)
	}
	if c.Endpoint != "" {
		if kind == "" {
			return fmt.Errorf("a cluster goes on by itself: say what to roll; key status shows what it waits for")
		}
		err := ofDirectory([]directoryFlag{
			{"--nameservers", len(c.Nameservers) > 0}, {"--parents", len(c.Parents) > 0}, {"--dnskey-ttl", c.DNSKEYTTL != 0},
			{"--max-ttl", c.MaxTTL != 0}, {"--ds-ttl", c.DSTTL != 0}, {"--propagation", c.Propagation != 0},
		}...)
		if err != nil {
			return err
		}
		return endpoint{c.Endpoint}.order(person{c.Reason, c.Actor}, c.Zone, string(kind), nil)
	}
	s, notes, err := zonekeys.Roll(context.Background(), c.Dir, c.Zone, zonekeys.Orders{Kind: kind, Nameservers: c.Nameservers,
		Parents: c.Parents, DNSKEYTTL: c.DNSKEYTTL, MaxTTL: c.MaxTTL, DSTTL: c.DSTTL, Propagation: c.Propagation},
		time.Now(), rand.Reader, zonekeys.AskTCP)
	for _, note := range notes {
		fmt.Println(note)
	}
	if errors.Is(err, dnssec.ErrBusy) {
		return fmt.Errorf("%w; without a word behind the zone, key roll goes on with what is under way", err)
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s is at %s: %s\n", s.Zone, s.Stage, zonekeys.Explain(s))
	for _, w := range s.Waits() {
		fmt.Printf("  %s\n", w)
	}
	return nil
}
