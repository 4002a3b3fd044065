//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Hosts in each region's network. The nodes have the first ones, by their mesh.
const (
	hostNode     = 1
	hostGateway  = 4
	hostUpstream = 5
	hostGates    = 10 // and what follows: addresses of the gateway
	hostStands   = 32 // and what follows: addresses of the stand-in
	hostDNS      = 53
)

const (
	apex       = "lab.example."
	service    = "api.lab.example" // the host that gateways know
	near       = "near." + apex    // answers the gateway of the client's own region while that is up
	portHTTP   = 8080
	portUp     = 8000
	portDNS    = 53
	portMesh   = 7946
	portVoters = 7000
	portAPI    = 8053                   // of a region's first node; the next one is one higher
	startGap   = 500 * time.Millisecond // from one node's start, which takes about as much processor time, to the next's
)

// A group is endpoints that fail together, in every region the same number. Each is in a pool of which all available members are
// answered, together with the steady ones, so that the pool never runs out of members and a nameserver tells its status by what it answers.
type group struct {
	name  string
	check string
	each  int // endpoints in a region
}

var (
	holes   = group{"hole", "ten", 8}
	fives   = group{"five", "five", 3}
	refused = group{"refused", "ten", 3}
	hung    = group{"hung", "ten", 2}
	lossy   = group{"lossy", "ten", 2}
	steady  = group{"steady", "ten", 5}
	gates   = group{"gate", "gate", 3} // the addresses of a region's gateway

	groups = []group{holes, fives, refused, hung, lossy, steady, gates}
)

const inPool = 5 // endpoints of a group and region in one pool

// hosts returns the group's hosts in each region.
func (g group) hosts() (hosts []int) {
	first := hostGates
	if g != gates {
		first = hostStands
		for _, other := range groups[:slices.Index(groups, g)] {
			first += other.each
		}
	}
	for i := range g.each {
		hosts = append(hosts, first+i)
	}
	return hosts
}

// of returns the group's addresses in a region.
func (g group) of(r *region) (addresses []netip.Addr) {
	for _, host := range g.hosts() {
		addresses = append(addresses, r.address(host))
	}
	return addresses
}

// pools returns the names of the group's pools, and the hosts that are in each.
func (g group) pools() (names []string, hosts [][]int) {
	for part := range slices.Chunk(g.hosts(), inPool) {
		names, hosts = append(names, fmt.Sprintf("%s-%d", g.name, len(names)+1)), append(hosts, part)
	}
	return names, hosts
}

func endpointName(r *region, host int) string { return fmt.Sprintf("%s-%d", r.name, host) }

// worldFiles returns the files of the world by name.
func (l *lab) worldFiles() map[string]string {
	var y strings.Builder
	y.WriteString("regions:\n")
	for i, r := range l.regions {
		fmt.Fprintf(&y, "  %s: {coordinates: [%v, %v]}\n", r.name, l.cities.coordinates[i][0], l.cities.coordinates[i][1])
	}
	fmt.Fprintf(&y, `checks:
  ten: {type: http, port: %d, path: /healthz, expect_status: [200], interval: 10s}
  five: {type: http, port: %[1]d, path: /healthz, expect_status: [200], interval: 5s}
  gate: {type: http, port: %[1]d, path: /hello, host: %s, expect_status: [200], interval: 10s}
gateway:
  services:
    hello:
      upstreams:
`, portHTTP, service)
	for _, r := range l.regions {
		fmt.Fprintf(&y, "        %s: \"%s:%d\"\n", r.name, r.address(hostUpstream), portUp)
	}
	fmt.Fprintf(&y, "  routes: [{host: %s, path: /, service: hello}]\npools:\n", service)
	steer := ""
	pool := func(name, keys, check string, hosts []int) {
		fmt.Fprintf(&y, "  %s:\n    policy: %s\n    check: %s\n    ttl: 5s\n    slow_start: 0s\n    members:\n", name, keys, check)
		for _, r := range l.regions {
			for _, host := range hosts {
				fmt.Fprintf(&y, "      - {endpoint: %s, region: %s, address: %s}\n", endpointName(r, host), r.name, r.address(host))
			}
		}
		steer += fmt.Sprintf("      %s: {pool: %[1]s}\n", name)
	}
	for _, g := range groups {
		names, hosts := g.pools()
		for i, name := range names {
			in := hosts[i]
			if g != steady {
				in = append(slices.Clone(in), steady.hosts()[0])
			}
			pool(name, "multivalue\n    answers: 30", g.check, in)
		}
	}
	pool("near", "geoproximity", gates.check, gates.hosts()[:1])
	fmt.Fprintf(&y, "zones:\n  %s:\n    file: lab.zone\n    steer:\n%s", strings.TrimSuffix(apex, "."), steer)

	zone, places := "$ORIGIN "+apex+"\n$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 300\n", ""
	for i, r := range l.regions {
		zone += fmt.Sprintf("@ NS ns%d\nns%[1]d A %s\n", i+1, r.address(hostDNS))
		places += fmt.Sprintf("%s/24: {coordinates: [%v, %v]}\n", r.address(0), l.cities.coordinates[i][0], l.cities.coordinates[i][1])
	}
	return map[string]string{"world/lab.yaml": y.String(), "world/lab.zone": zone, "places.yaml": places}
}

// A nodeKind is what a node does in its region.
type nodeKind struct {
	suffix string // of its name
	roles  string
	host   int // of its mesh
	listen func(r *region) string
}

// nodeKinds are the nodes of each region.
func (l *lab) nodeKinds() (kinds []nodeKind) {
	kinds = append(kinds, nodeKind{"", "dns,probe,control", hostNode, func(r *region) string {
		return fmt.Sprintf(`dns: ["%s:%d"], control: "%s:%d", `, r.address(hostDNS), portDNS, r.address(hostNode), portVoters)
	}})
	for i := 2; i <= l.vantages; i++ {
		kinds = append(kinds, nodeKind{fmt.Sprintf("-probe%d", i), "probe", hostNode + i - 1, func(*region) string { return "" }})
	}
	return append(kinds, nodeKind{"-gateway", "gateway", hostGateway, func(r *region) string {
		var at []string
		for _, a := range gates.of(r) {
			at = append(at, fmt.Sprintf(`"%s:%d"`, a, portHTTP))
		}
		return fmt.Sprintf("gateway: [%s], ", strings.Join(at, ", "))
	}})
}

// nodes is how many there are in all regions.
func (l *lab) nodes() int { return len(l.regions) * len(l.nodeKinds()) }

// api is the port of the API of a region's node, on its loopback.
func (k nodeKind) api() int { return portAPI + k.host - 1 }

// nodeFile returns a node's file.
func (l *lab) nodeFile(r *region, k nodeKind) string {
	var seeds, voters []string
	for _, other := range l.regions {
		seeds = append(seeds, fmt.Sprintf(`"%s:%d"`, other.address(hostNode), portMesh))
		voters = append(voters, fmt.Sprintf(`%s: "%s:%d"`, other.name, other.address(hostNode), portVoters))
	}
	name := r.name + k.suffix
	return fmt.Sprintf(`name: %s
region: %s
roles: [%s]
world: world
data: state/%[1]s
geo_overrides: [places.yaml]
listen: {%[4]sgossip: "%[5]s:%[6]d", api: "127.0.0.1:%[7]d"}
seeds: [%[8]s]
voters: {%[9]s}
keys: {gossip: keys/gossip.key, certificate: keys/%[1]s.crt, key: keys/%[1]s.key, ca: keys/ca.crt}
`, name, r.name, k.roles, k.listen(r), r.address(k.host), portMesh, k.api(), strings.Join(seeds, ", "), strings.Join(voters, ", "))
}

// found writes the files of the world and of all nodes, and makes their keys.
func (l *lab) found(t *testing.T) {
	t.Helper()
	l.program = filepath.Join(l.dir, "meridian")
	if out, err := exec.Command("go", "build", "-o", l.program, "../../meridian").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := l.meridian("ca", "init", "--dir", "keys", "--cluster", "lab"); err != nil {
		t.Fatal(err)
	}
	files := l.worldFiles()
	for _, r := range l.regions {
		for _, k := range l.nodeKinds() {
			files[r.name+k.suffix+".yaml"] = l.nodeFile(r, k)
			if err := l.meridian("ca", "issue", r.name+k.suffix, "--dir", "keys", "--region", r.name, "--roles", k.roles); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(l.dir, "world"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.meridian("check", "world", "--geo-overrides", "places.yaml"); err != nil {
		t.Fatal(err)
	}
}

// settle starts everything in every region.
func (l *lab) settle(t *testing.T) {
	t.Helper()
	for _, r := range l.regions {
		at := []netip.AddrPort{netip.AddrPortFrom(r.address(hostUpstream), portUp)}
		for _, g := range groups {
			if g != gates {
				at = append(at, withPort(g.of(r), portHTTP)...)
			}
		}
		l.startStandIn(t, r, at)
	}
	kinds := l.nodeKinds()
	slices.Reverse(kinds) // what is probed before what probes
	for _, k := range kinds {
		for _, r := range l.regions {
			l.startNode(t, r, k.suffix)
			time.Sleep(startGap)
		}
	}
}

// startNode starts one of a region's nodes. It may use one processor, for there are twenty times as many nodes as on a real machine: with more, each
// packet that wakes one has its scheduler look for work on all of them.
func (l *lab) startNode(t *testing.T, r *region, suffix string) {
	t.Helper()
	name := r.name + suffix
	r.nodes[suffix] = l.start(t, r, name, nil, nil, []string{"GOMAXPROCS=1"}, l.program, "serve", "--config", name+".yaml")
}

func withPort(addresses []netip.Addr, port uint16) (with []netip.AddrPort) {
	for _, a := range addresses {
		with = append(with, netip.AddrPortFrom(a, port))
	}
	return with
}
