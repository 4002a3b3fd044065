//go:build linux

package peers

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// A Zone is a zone file for an authoritative server. Apex is fully qualified.
type Zone struct{ Apex, Text string }

// origin writes an apex without its last dot, as others want it.
func origin(apex string) string { return cmp.Or(strings.TrimSuffix(apex, "."), ".") }

// files writes the zones into a directory and formats a line or block for each, from its origin and the path of its file.
func files(tb testing.TB, dir string, zones []Zone, format string) string {
	var b strings.Builder
	for i, z := range zones {
		fmt.Fprintf(&b, format, origin(z.Apex), Write(tb, dir, fmt.Sprintf("%d.zone", i), z.Text))
	}
	return b.String()
}

// StartNSD serves zones by NSD.
func StartNSD(tb testing.TB, space *Space, address netip.AddrPort, zones []Zone) (stop func()) {
	tb.Helper()
	dir := Dir(tb)
	conf := fmt.Sprintf(`server:
  ip-address: %s@%d
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: %[3]q
  pidfile: ""
  xfrdfile: ""
  xfrdir: %[3]q
  zonelistfile: "%[3]s/zone.list"
  cookie-secret-file: "%[3]s/cookie"
  hide-version: yes
  minimal-responses: yes
  ipv4-edns-size: 1232
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  verbosity: 1
remote-control:
  control-enable: no
`, address.Addr(), address.Port(), dir) + files(tb, dir, zones, "zone:\n  name: %s\n  zonefile: %q\n")
	return Start(tb, Program{Name: "nsd", Args: []string{"-d", "-c", Write(tb, dir, "nsd.conf", conf)}, Dir: dir, Space: space, Address: address})
}

// StartKnot serves zones by Knot DNS. settings is what is to be said of every zone beside its file, a line each, and
// sections what is to be said before.
func StartKnot(tb testing.TB, space *Space, address netip.AddrPort, zones []Zone, sections string, settings ...string) (stop func()) {
	tb.Helper()
	dir := Dir(tb)
	block := "  - domain: %s\n    file: %q\n    zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\n"
	for _, s := range settings {
		block += "    " + s + "\n"
	}
	conf := fmt.Sprintf(`server:
  listen: %s@%d
  rundir: %[3]q
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  version: ""
log:
  - target: stderr
    any: warning
database:
  storage: %[3]q
  journal-db-max-size: 20M
  kasp-db-max-size: 20M
  timer-db-max-size: 20M
%s`, address.Addr(), address.Port(), dir, sections) + "zone:\n" + files(tb, dir, zones, block)
	return Start(tb, Program{Name: "knotd", Args: []string{"-c", Write(tb, dir, "knot.conf", conf)}, Dir: dir, Space: space, Address: address})
}

// StartBIND serves zones by BIND.
func StartBIND(tb testing.TB, space *Space, address netip.AddrPort, zones []Zone) (stop func()) {
	tb.Helper()
	dir := Dir(tb)
	conf := NamedOptions(dir, address, "recursion no; minimal-responses yes; check-names primary ignore; check-integrity no; check-wildcard no;") +
		files(tb, dir, zones, "zone %q { type primary; file %q; notify no; };\n")
	return StartNamed(tb, space, address, dir, conf)
}

// NamedOptions is the part of BIND's configuration that keeps it in its directory and on its address.
func NamedOptions(dir string, address netip.AddrPort, options string) string {
	return fmt.Sprintf(`options {
  directory %[1]q; pid-file none; session-keyfile none; lock-file none;
  listen-on port %[3]d { %[2]s; }; listen-on-v6 { none; };
  %[4]s
};
controls { };
`, dir, address.Addr(), address.Port(), options)
}

// StartNamed runs BIND with a configuration.
func StartNamed(tb testing.TB, space *Space, address netip.AddrPort, dir, conf string) (stop func()) {
	tb.Helper()
	args := []string{"-g", "-n", "1", "-c", Write(tb, dir, "named.conf", conf)}
	return Start(tb, Program{Name: "named", Args: args, Dir: dir, Space: space, Address: address})
}
