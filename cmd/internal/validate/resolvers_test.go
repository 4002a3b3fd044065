//go:build linux

package validate_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
)

// The resolvers minimise query names (RFC 9156), all but BIND write names in random case, and all but unbound with client subnets,
// which keeps answers by subnet, use denials for what they deny beside the question (RFC 8198).
var resolvers = []struct {
	name                   string
	mixes, subnets, denies bool // it writes names in random case, sends client subnets, uses denials for what is beside the question
	start                  func(t *testing.T, l *lab, at netip.AddrPort)
}{
	{"unbound", true, false, true, func(t *testing.T, l *lab, at netip.AddrPort) { startUnbound(t, l, at, "validator iterator", "") }},
	{"unbound with client subnets", true, true, false, func(t *testing.T, l *lab, at netip.AddrPort) {
		startUnbound(t, l, at, "subnetcache validator iterator", "  send-client-subnet: 0.0.0.0/0\n  client-subnet-always-forward: yes\n")
	}},
	{"BIND", false, false, true, startBIND},
	{"Knot Resolver", true, false, true, startKnotResolver},
}

const hints = ". 3600 IN NS ns.\nns. 3600 IN A 10.53.0.1\n"

func startUnbound(t *testing.T, l *lab, at netip.AddrPort, modules, more string) {
	t.Helper()
	dir := peers.Dir(t)
	conf := fmt.Sprintf(`server:
  interface: %[1]s
  outgoing-interface: %[1]s
  do-ip6: no
  num-threads: 1
  access-control: 0.0.0.0/0 allow
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  directory: %[2]q
  root-hints: %[3]q
  trust-anchor-file: %[4]q
  module-config: %[5]q
  use-caps-for-id: yes
  qname-minimisation: yes
  aggressive-nsec: yes
  val-log-level: 2
  val-bogus-ttl: 1
%[6]sremote-control:
  control-enable: no
`, at.Addr(), dir, peers.Write(t, dir, "hints", hints), peers.Write(t, dir, "anchor", l.anchor+"\n"), modules, more)
	args := []string{"-d", "-c", peers.Write(t, dir, "unbound.conf", conf)}
	peers.Start(t, peers.Program{Name: "unbound", Args: args, Dir: dir, Space: l.space, Address: at})
}

func startBIND(t *testing.T, l *lab, at netip.AddrPort) {
	t.Helper()
	dir := peers.Dir(t)
	f := strings.Fields(l.anchor) // ". IN DS tag algorithm digest-type digest"
	options := fmt.Sprintf("query-source address %s; recursion yes; allow-query { any; }; dnssec-validation yes; qname-minimization strict; synth-from-dnssec yes;", at.Addr())
	conf := peers.NamedOptions(dir, at, options) +
		fmt.Sprintf("trust-anchors { . static-ds %s %s %s %q; };\n", f[3], f[4], f[5], f[6]) +
		fmt.Sprintf("zone \".\" { type hint; file %q; };\n", peers.Write(t, dir, "hints", hints))
	peers.StartNamed(t, l.space, at, dir, conf)
}

func startKnotResolver(t *testing.T, l *lab, at netip.AddrPort) {
	t.Helper()
	dir := peers.Dir(t)
	conf := fmt.Sprintf(`net.ipv6 = false
net.listen('%[1]s', 53, {kind = 'dns'})
net.outgoing_v4('%[1]s')
cache.open(10 * MB, 'lmdb://%[2]s')
cache.min_ttl(0)
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_skew')
modules.load('hints')
hints.root({['ns.'] = '10.53.0.1'})
trust_anchors.remove('.')
trust_anchors.add('%[3]s')
`, at.Addr(), dir, l.anchor)
	args := []string{"-n", "-c", peers.Write(t, dir, "kresd.conf", conf), dir}
	peers.Start(t, peers.Program{Name: "kresd", Args: args, Dir: dir, Space: l.space, Address: at})
}
