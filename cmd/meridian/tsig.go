package main

import (
	"fmt"

	"github.com/meridian-gslb/meridian/dns/transfer"
)

type tsigCommand struct {
	Name      string `arg:"" help:"Name of the key, the same at both ends."`
	Algorithm string `help:"hmac-sha256, hmac-sha384 or hmac-sha512." default:"hmac-sha256" enum:"hmac-sha256,hmac-sha384,hmac-sha512"`
}

// Run prints a new key.
func (c tsigCommand) Run() error {
	key, err := transfer.NewKey(c.Name, c.Algorithm)
	if err != nil {
		return err
	}
	_, err = fmt.Print(key.Declaration())
	return err
}
