package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/transfer"
)

type tsigCommand struct {
	Name      string `arg:"" help:"Name of the key, the same at both ends."`
	Algorithm string `help:"hmac-sha256, hmac-sha384 or hmac-sha512." default:"hmac-sha256" enum:"hmac-sha256,hmac-sha384,hmac-sha512"`
	From      string `help:"File that has the key already, from this command or of BIND; without it the key is a new one." placeholder:"FILE"`
	Format    string `help:"For which program: bind (and Meridian), nsd or knot." default:"bind" enum:"bind,nsd,knot"`
}

// Run prints a new key, or one that is there as another program has it.
func (c tsigCommand) Run() error {
	key, err := c.key()
	if err != nil {
		return err
	}
	text := key.Declaration()
	switch c.Format {
	case "nsd":
		text = key.DeclarationNSD()
	case "knot":
		text = key.DeclarationKnot()
	}
	_, err = fmt.Print(text)
	return err
}

func (c tsigCommand) key() (transfer.Key, error) {
	if c.From == "" {
		return transfer.NewKey(c.Name, c.Algorithm)
	}
	keys, err := transfer.LoadKeys(c.From)
	if err != nil {
		return transfer.Key{}, err
	}
	name := dns.CanonicalName(c.Name)
	i := slices.IndexFunc(keys, func(k transfer.Key) bool { return k.Name == name })
	if i < 0 {
		var have []string
		for _, k := range keys {
			have = append(have, k.Name)
		}
		return transfer.Key{}, fmt.Errorf("%s: no key %q (have %s)", c.From, name, strings.Join(have, ", "))
	}
	return keys[i], nil
}
