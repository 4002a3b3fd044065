package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/meridian-gslb/meridian/cmd/meridian/keys"
)

type keyringCommand struct {
	List   keyringList   `cmd:"" help:"Show which keys of the mesh every node has, by fingerprint."`
	Add    keyringAdd    `cmd:"" help:"Make a new key in a file of keys.mesh, that is taken and not yet sent under."`
	Use    keyringUse    `cmd:"" help:"Make a key in a file of keys.mesh the one that is sent under; refused while a node lacks it."`
	Remove keyringRemove `cmd:"" help:"Remove a key from a file of keys.mesh; refused while a node sends under it."`
}

// A ringView is the keys of one node, as they are told; none: it has not said.
type ringView struct {
	node string
	keys []string
}

// rings asks a node for the keys of every node that is alive, and who is lost.
func (e endpoint) rings() (rings []ringView, lost []string, err error) {
	var s struct {
		Node struct {
			Name   string `json:"name"`
			Gossip struct {
				Keys  []string `json:"keys"`
				Peers []struct {
					Node string   `json:"node"`
					Keys []string `json:"keys"`
				} `json:"peers"`
			} `json:"gossip"`
		} `json:"node"`
		Peers []struct {
			Name  string `json:"name"`
			Alive bool   `json:"alive"`
		} `json:"peers"`
	}
	if err := e.get("/v1/status", &s); err != nil {
		return nil, nil, err
	}
	told := map[string][]string{s.Node.Name: s.Node.Gossip.Keys}
	for _, p := range s.Node.Gossip.Peers {
		told[p.Node] = p.Keys
	}
	for _, p := range s.Peers {
		if p.Alive {
			rings = append(rings, ringView{p.Name, told[p.Name]})
		} else {
			lost = append(lost, p.Name)
		}
	}
	return rings, lost, nil
}

type keyringList struct{ endpoint }

// Run shows fingerprints; no key leaves a node.
func (c keyringList) Run() error {
	rings, lost, err := c.rings()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tSENDS UNDER\tTAKES TOO")
	for _, r := range rings {
		if len(r.keys) == 0 {
			fmt.Fprintf(w, "%s\t(has not said)\t\n", r.node)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.node, r.keys[0], strings.Join(r.keys[1:], ", "))
	}
	for _, name := range lost {
		fmt.Fprintf(w, "%s\t(lost)\t\n", name)
	}
	return w.Flush()
}

type keyringAdd struct {
	File string `arg:"" help:"The file of keys.mesh. At first it is a copy of that of keys.gossip."`
}

// Run needs no running node.
func (c keyringAdd) Run() error {
	print, err := keys.AddToRing(c.File)
	if err == nil {
		fmt.Printf("made key %s in %s: put the file on every node, and go on when meridian keyring list shows it everywhere\n", print, c.File)
	}
	return err
}

// unchecked is for when a node can't say what it has.
type unchecked struct {
	Force bool `help:"Do it although a node is lost, has not said what it has, or would be cut off."`
}

// check has every node fit, or says which do not.
func (e endpoint) check(force bool, what string, fits func(keys []string) bool) error {
	if force {
		return nil
	}
	rings, wrong, err := e.rings()
	if err != nil {
		return err
	}
	for i, name := range wrong {
		wrong[i] = name + " (lost)"
	}
	for _, r := range rings {
		if len(r.keys) == 0 {
			wrong = append(wrong, r.node+" (has not said)")
		} else if !fits(r.keys) {
			wrong = append(wrong, r.node)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("not yet: %s: %s (a file is read within 5 s and told within a minute; --force does it all the same)", what, strings.Join(wrong, ", "))
	}
	return nil
}

type keyringUse struct {
	endpoint
	unchecked
	File        string `arg:"" help:"The file of keys.mesh."`
	Fingerprint string `arg:"" help:"Of the key, as keyring list shows it."`
}

// Run changes the file only.
func (c keyringUse) Run() error {
	if err := c.check(c.Force, "nodes that lack key "+c.Fingerprint, func(keys []string) bool { return slices.Contains(keys, c.Fingerprint) }); err != nil {
		return err
	}
	err := keys.UseInRing(c.File, c.Fingerprint)
	if err == nil {
		fmt.Printf("key %s is the first in %s: put the file on every node\n", c.Fingerprint, c.File)
	}
	return err
}

type keyringRemove struct {
	endpoint
	unchecked
	File        string `arg:"" help:"The file of keys.mesh."`
	Fingerprint string `arg:"" help:"Of the key, as keyring list shows it."`
}

// Run changes the file only.
func (c keyringRemove) Run() error {
	if err := c.check(c.Force, "nodes that send under key "+c.Fingerprint, func(keys []string) bool { return keys[0] != c.Fingerprint }); err != nil {
		return err
	}
	err := keys.RemoveFromRing(c.File, c.Fingerprint)
	if err == nil {
		fmt.Printf("key %s is no longer in %s: put the file on every node\n", c.Fingerprint, c.File)
	}
	return err
}
