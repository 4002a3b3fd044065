//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A cable joins two network namespaces by a pair of virtual interfaces: that of the generator and that of the servers.
type cable struct {
	from, to           netip.Addr
	generator, servers string // namespaces
	device             string // the servers' interface
}

const (
	cableClient = "198.18.0.1" // of the network for benchmarks (RFC 2544)
	cableServer = "198.18.0.2"
)

// layCable makes the namespaces, which takes root.
func layCable() (*cable, error) {
	base := fmt.Sprintf("bench-%d-", os.Getpid())
	c := &cable{netip.MustParseAddr(cableClient), netip.MustParseAddr(cableServer), base + "generator", base + "servers", "bench0"}
	for _, command := range []string{
		"netns add " + c.generator,
		"netns add " + c.servers,
		fmt.Sprintf("link add bench1 netns %s type veth peer name %s netns %s", c.generator, c.device, c.servers),
		fmt.Sprintf("-n %s address add %s/24 dev bench1", c.generator, c.from),
		fmt.Sprintf("-n %s address add %s/24 dev %s", c.servers, c.to, c.device),
		fmt.Sprintf("-n %s link set bench1 up", c.generator),
		fmt.Sprintf("-n %s link set %s up", c.servers, c.device),
		fmt.Sprintf("-n %s link set lo up", c.servers),
	} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("ip %s: %w: %s", command, err, out), c.cut())
		}
	}
	return c, nil
}

// cut removes the namespaces, and with them the cable.
func (c *cable) cut() error {
	return errors.Join(exec.Command("ip", "netns", "del", c.generator).Run(), exec.Command("ip", "netns", "del", c.servers).Run())
}

// source is where the generator asks from.
func (c *cable) source() netip.Addr {
	if c == nil {
		return client1
	}
	return c.from
}

// serve has a server run at the other end.
func (c *cable) serve(s *server) {
	if c != nil {
		s.argv = append([]string{"ip", "netns", "exec", c.servers}, s.argv...)
		s.cable = c
	}
}

// address is where a server at the other end listens; on a machine without a cable, where it would anyway.
func (c *cable) address(a netip.AddrPort) netip.AddrPort {
	if c == nil {
		return a
	}
	return netip.AddrPortFrom(c.to, a.Port())
}

// enter puts the thread of a goroutine at the generator's end. Both end together.
func (c *cable) enter() error {
	if c == nil {
		return nil
	}
	runtime.LockOSThread()
	f, err := os.Open("/run/netns/" + c.generator)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("namespace %s: %w", c.generator, err)
	}
	return nil
}

// overCable compares the sockets with AF_XDP, over a cable.
func (b *bench) overCable() *table {
	c, err := layCable()
	if err != nil {
		b.fail("xdp", err)
		return &table{}
	}
	b.cable = c
	defer func() {
		b.cable = nil
		if err := c.cut(); err != nil {
			b.fail("xdp", err)
		}
	}()
	mix := loads[0]
	mix.name = "static mix over a virtual cable"
	return b.compareServers(&mix, []string{"floor", "meridian", "meridian-xdp"})
}
