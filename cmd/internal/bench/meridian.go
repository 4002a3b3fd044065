//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/dns/freeport"
)

// roles are everything but the gateway, so that the node does all that a nameserver does, checks and controls included.
const roles = "dns,probe,control"

// A world is what a server is to serve.
type world struct {
	signed   bool
	cable    *cable         // nil: the loopback interface
	xdp      bool           // without the sockets
	policies bool           // the load asks steered names
	byCity   bool           // clients are placed by the city database
	city     string         // its path
	health   netip.AddrPort // where the endpoints' health checks go, at addresses of their own; port only
	zones    []bigZone      // instead of the zone of the loads
}

// meridian makes a node as its user would: fresh keys, one node that is nameserver, probe and voter, and its world.
func meridian(program, dir string, w world) (*server, error) {
	s := &server{name: "meridian", dir: dir, argv: []string{program, "serve", "-config", "node.yaml"}}
	var ports [4]netip.AddrPort
	for i := range ports {
		var err error
		if ports[i], err = freeport.Draw(); err != nil {
			return nil, err
		}
	}
	ports[0] = w.cable.address(ports[0])
	s.to, s.api = ports[0], ports[3].String()
	files := map[string]string{
		"node.yaml":          nodeText(ports, w),
		"world/regions.yaml": regionsText(),
	}
	if len(w.zones) > 0 {
		files["world/zones.yaml"] = "zone_directories: [zones]\n"
	} else {
		files["world/bench.yaml"] = worldText(w)
		files["world/bench.zone"] = zoneText()
	}
	if err := writeFiles(dir, files); err != nil {
		return nil, err
	}
	for _, z := range w.zones {
		if err := z.write(filepath.Join(dir, "world", "zones"), z.apex+".zone"); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{
		{"ca", "init", "--dir", "keys", "--cluster", "bench"},
		{"ca", "issue", "bench", "--dir", "keys", "--region", centers[0].region, "--roles", roles},
	} {
		c := exec.Command(program, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("meridian %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return s, nil
}

func nodeText(ports [4]netip.AddrPort, w world) string {
	xdp := ""
	if w.xdp {
		xdp = ", xdp: [" + w.cable.device + "]"
	}
	text := fmt.Sprintf(`name: bench
region: %s
roles: [%s]
world: world
data: state
timing: local
listen: {dns: ["%s"]%s, gossip: "%s", control: "%s", api: "%s"}
voters: {bench: "%s"}
keys: {gossip: keys/gossip.key, certificate: keys/bench.crt, key: keys/bench.key, ca: keys/ca.crt}
`, centers[0].region, roles, ports[0], xdp, ports[1], ports[2], ports[3], ports[2])
	if w.city != "" {
		text += "geo: " + strconv.Quote(w.city) + "\n"
	}
	return text
}

func regionsText() string {
	var b strings.Builder
	b.WriteString("regions:\n")
	for i, c := range centers {
		fmt.Fprintf(&b, "  %s: {coordinates: [%v, %v], vantage: %v}\n", c.region, c.latitude, c.longitude, i == 0)
	}
	return b.String()
}

// worldText steers the names of the loads. Every member is probed each second, and has a control.
func worldText(w world) string {
	var b strings.Builder
	fmt.Fprintf(&b, "checks:\n  http: {type: http, port: %d, path: /, interval: 1s, fall: 3, rise: 1, hold_down: 0s}\npools:\n", w.health.Port())
	pool := func(policy string, members int, more func(i int) string) {
		fmt.Fprintf(&b, "  %s:\n    policy: %s\n    check: http\n    ttl: %ds\n    members:\n", policy, policy, benchTTL)
		for i, c := range centers[:members] {
			fmt.Fprintf(&b, "      - {endpoint: %s, region: %s, address: %s%s}\n", c.region, c.region, c.address(), more(i))
		}
	}
	nothing := func(int) string { return "" }
	pool("geo", len(centers), func(i int) string {
		if i == 0 {
			return ", default: true"
		}
		return ", continents: [" + centers[i].continent + "]"
	})
	pool("latency", len(centers), nothing)
	pool("weighted", len(weights), func(i int) string { return fmt.Sprintf(", weight: %d", weights[i]) })
	pool("failover", len(weights), func(i int) string { return ", control: " + controlOf(centers[i]) })
	fmt.Fprintf(&b, "controls:\n  bench: {members: [%s, %s, %s]}\n", controlOf(centers[0]), controlOf(centers[1]), controlOf(centers[2]))
	fmt.Fprintf(&b, "zones:\n  %s:\n    file: bench.zone\n", apex)
	if w.signed {
		b.WriteString("    dnssec: {}\n")
	}
	b.WriteString("    steer:\n")
	for _, policy := range []string{"geo", "latency", "weighted", "failover"} {
		eachSteered(&b, policy, "      %s: {pool: "+policy+"}\n")
	}
	return b.String()
}

func controlOf(c center) string { return "fo-" + c.region }
