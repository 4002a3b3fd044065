//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/meridian-gslb/meridian/dns/freeport"
)

// peers are the nameservers that are compared with: their programs, and how they are configured. make bench-deps installs
// Debian's packages of them.
var peers = map[string]struct {
	program string
	make    func(program, dir string, at netip.AddrPort, w world) *peer
}{
	"gdnsd": {"gdnsd", gdnsd},
	"knot":  {"knotd", knot},
	"nsd":   {"nsd", nsd},
}

// A peer is another nameserver's command and files.
type peer struct {
	argv  []string
	files map[string]string
	zones string // directory of the zone files, below the server's
}

// newPeer puts a peer's files into a directory. It is nil if the peer is not installed.
func newPeer(name, dir string, w world) (*server, error) {
	p := peers[name]
	path, ok := program(p.program)
	if !ok {
		return nil, nil
	}
	at, err := freeport.Draw()
	if err != nil {
		return nil, err
	}
	made := p.make(path, dir, at, w)
	if err := writeFiles(dir, made.files); err != nil {
		return nil, err
	}
	for _, z := range w.zones {
		if err := z.write(filepath.Join(dir, made.zones), z.file()); err != nil {
			return nil, err
		}
	}
	return &server{name: name, argv: made.argv, dir: dir, to: at}, nil
}

// zoneFiles are the zones of a world and their files.
func (w world) zoneFiles() (apexes, files []string) {
	if len(w.zones) == 0 {
		return []string{apex}, []string{apex}
	}
	for _, z := range w.zones {
		apexes, files = append(apexes, z.apex), append(files, z.file())
	}
	return apexes, files
}

// gdnsd serves the files of the directory zones by their names, which are the apexes.
func gdnsd(program, dir string, at netip.AddrPort, w world) *peer {
	var names, byContinent, coordinates, addresses, order, weighted []string
	for i, c := range centers {
		names = append(names, c.region)
		if i > 0 {
			byContinent = append(byContinent, fmt.Sprintf("%s => [%s]", c.continent, c.region))
		}
		coordinates = append(coordinates, fmt.Sprintf("%s => [%v, %v]", c.region, c.latitude, c.longitude))
		addresses = append(addresses, fmt.Sprintf("%s => %s", c.region, c.address()))
	}
	for i, c := range centers[:len(weights)] {
		order = append(order, fmt.Sprintf("%s => %s", c.region, c.address()))
		weighted = append(weighted, fmt.Sprintf("%s => [%s, %d]", c.region, c.address(), weights[i]))
	}
	list := func(parts []string) string { return strings.Join(parts, ", ") }
	var plugins string
	zone := zoneText()
	if len(w.zones) == 0 {
		database := fmt.Sprintf("geoip2_db => %q, datacenters => [%s]", w.city, list(names))
		plugins = fmt.Sprintf(`plugins => {
  geoip => {
    maps => {
      continents => { %s, map => { default => [%s], %s } }
      nearest => { %s, auto_dc_coords => { %s } }
    }
    resources => {
      geo => { map => continents, service_types => up, dcmap => { %s } }
      latency => { map => nearest, service_types => up, dcmap => { %s } }
    }
  }
  weighted => { weighted => { service_types => up, multi => false, %s } }
  multifo => { failover => { service_types => up, %s } }
}
`, database, centers[0].region, list(byContinent), database, list(coordinates), list(addresses), list(addresses), list(weighted), list(order))
		var b strings.Builder
		for policy, plugin := range map[string]string{"geo": "geoip!geo", "latency": "geoip!latency", "weighted": "weighted!weighted", "failover": "multifo!failover"} {
			eachSteered(&b, policy, fmt.Sprintf("%%s %d DYNA %s\n", benchTTL, plugin))
		}
		zone += b.String()
	}
	files := map[string]string{"etc/config": fmt.Sprintf("options => { listen => [%s], udp_threads => 1, tcp_threads => 1, run_dir => %q, state_dir => %q }\n",
		at, filepath.Join(dir, "run"), filepath.Join(dir, "state")) + plugins, "run/.keep": "", "state/.keep": ""}
	if len(w.zones) == 0 {
		files["etc/zones/"+apex] = zone
	}
	return &peer{[]string{program, "-c", filepath.Join(dir, "etc"), "start"}, files, "etc/zones"}
}

// knot chooses addresses by its module geoip.
func knot(program, dir string, at netip.AddrPort, w world) *peer {
	var b, geo, weighted strings.Builder
	fmt.Fprintf(&b, "server:\n  rundir: %q\n  listen: %s@%d\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: %d\n  edns-client-subnet: on\n",
		dir, at.Addr(), at.Port(), map[bool]int{true: 2, false: 1}[len(w.zones) > 0])
	fmt.Fprintf(&b, "database:\n  storage: %q\nlog:\n  - target: stderr\n    any: warning\n", filepath.Join(dir, "db"))
	modules, zone := "", zoneText()
	files := map[string]string{"db/.keep": ""}
	if len(w.zones) == 0 {
		for i := range steered {
			fmt.Fprintf(&geo, "geo%d.%s:\n", i, apex)
			for _, c := range centers {
				fmt.Fprintf(&geo, "  - geo: %q\n    A: %s\n", c.continent, c.address())
			}
			fmt.Fprintf(&weighted, "weighted%d.%s:\n", i, apex)
			for j, weight := range weights {
				fmt.Fprintf(&weighted, "  - weight: %d\n    A: %s\n", weight, centers[j].address())
			}
		}
		files["geo.yaml"], files["weighted.yaml"] = geo.String(), weighted.String()
		fmt.Fprintf(&b, "mod-geoip:\n  - id: geo\n    config-file: %q\n    ttl: %d\n    mode: geodb\n    geodb-file: %q\n    geodb-key: continent/code\n",
			filepath.Join(dir, "geo.yaml"), benchTTL, w.city)
		fmt.Fprintf(&b, "  - id: weighted\n    config-file: %q\n    ttl: %d\n    mode: weighted\n", filepath.Join(dir, "weighted.yaml"), benchTTL)
		if w.policies {
			modules = "    module: [mod-geoip/geo, mod-geoip/weighted]\n"
		}
		var fallback strings.Builder
		for _, policy := range []string{"geo", "weighted"} {
			eachSteered(&fallback, policy, "%s A "+centers[0].address()+"\n")
		}
		files["zones/"+apex] = zone + fallback.String()
	}
	if w.signed {
		modules += "    dnssec-signing: on\n"
	}
	b.WriteString("zone:\n")
	apexes, names := w.zoneFiles()
	for i := range apexes {
		fmt.Fprintf(&b, "  - domain: %s\n    file: %q\n    zonefile-load: whole\n    journal-content: none\n    semantic-checks: off\n%s",
			apexes[i], filepath.Join(dir, "zones", names[i]), modules)
	}
	files["knot.conf"] = b.String()
	return &peer{[]string{program, "-c", filepath.Join(dir, "knot.conf")}, files, "zones"}
}

// nsd has no policies.
func nsd(program, dir string, at netip.AddrPort, w world) *peer {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n ip-address: %s@%d\n server-count: 1\n reuseport: yes\n minimal-responses: yes\n username: \"\"\n chroot: \"\"\n database: \"\"\n", at.Addr(), at.Port())
	for option, file := range map[string]string{"zonesdir": "zones", "zonelistfile": "zone.list", "pidfile": "pid", "xfrdfile": "xfrd", "xfrdir": "."} {
		fmt.Fprintf(&b, " %s: %q\n", option, filepath.Join(dir, file))
	}
	b.WriteString(" rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\nremote-control:\n control-enable: no\n")
	files := map[string]string{"zones/.keep": ""}
	apexes, names := w.zoneFiles()
	for i := range apexes {
		fmt.Fprintf(&b, "zone:\n name: %s\n zonefile: %s\n", apexes[i], names[i])
	}
	if len(w.zones) == 0 {
		files["zones/"+apex] = zoneText()
	}
	files["nsd.conf"] = b.String()
	return &peer{[]string{program, "-d", "-c", filepath.Join(dir, "nsd.conf")}, files, "zones"}
}
