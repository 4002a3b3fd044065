// Package nodefile reads node.yaml: who a node is, where it listens and which files it uses.
//
// It does not open what the file names, and it knows nothing of the world that all nodes
// share. Paths in the file are relative to it; the ones that Parse returns are ready for
// use. Every mistake is reported at once, with its line.
package nodefile

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A Node is what node.yaml says. It is not changed.
type Node struct {
	Name   health.NodeID
	Region geo.RegionID
	Roles  health.Roles
	World  string   // directory
	Data   string   // directory
	Geo    []string // MaxMind-format files; none: the embedded database

	DNS     []netip.AddrPort
	Gossip  netip.AddrPort
	Control netip.AddrPort // Raft, the push of its state and forwarded commands; voters only
	Gateway []netip.AddrPort
	API     netip.AddrPort // loopback only

	Seeds  []string // host:port of other nodes' gossip
	Voters []Voter  // ordered by name

	GossipKey   string // file: 32 bytes as 64 hexadecimal digits
	Certificate string // file, PEM
	Key         string // file, PEM
	CA          string // file, PEM

	Timing Timing
}

// A Voter is a node that keeps the routing controls.
type Voter struct {
	Name    health.NodeID
	Address string // host:port of its control listener
}

// A Timing suits the failure detectors of mesh and voters to a network.
type Timing string

const (
	WAN   Timing = "wan"   // regions far apart
	Local Timing = "local" // one machine or one site
)

type listenKeys struct {
	dns     []netip.AddrPort
	gossip  netip.AddrPort
	control netip.AddrPort
	gateway []netip.AddrPort
	api     strict.At[netip.AddrPort]
}

type keyKeys struct{ gossip, certificate, key, ca string }

type nodeKeys struct {
	name   string
	region string
	roles  []strict.At[string]
	world  string
	data   string
	geo    []string
	listen strict.At[listenKeys]
	seeds  []string
	voters []strict.Named[string]
	keys   keyKeys
	timing Timing
}

const maxList = 64

var path = strict.Text(4096)

var hostPort = strict.Parsed("host:port", func(text string) (string, error) {
	host, port, ok := strings.Cut(text, ":")
	if i := strings.LastIndexByte(text, ':'); i > 0 {
		host, port = text[:i], text[i+1:]
	}
	if !ok || host == "" || port == "" {
		return "", fmt.Errorf("want host:port")
	}
	return text, nil
})

var listenObject = strict.Object[listenKeys]{
	strict.Optional("dns", "nameserver, UDP and TCP; each a specific address", "", strict.List(strict.AddrPort(), maxList),
		func(l *listenKeys) *[]netip.AddrPort { return &l.dns }),
	strict.Required("gossip", "the mesh of nodes, UDP and TCP; must be reachable by every node", strict.AddrPort(),
		func(l *listenKeys) *netip.AddrPort { return &l.gossip }),
	strict.Optional("control", "Raft and control state, TLS; only on voters", "", strict.AddrPort(),
		func(l *listenKeys) *netip.AddrPort { return &l.control }),
	strict.Optional("gateway", "HTTP gateway", "", strict.List(strict.AddrPort(), maxList),
		func(l *listenKeys) *[]netip.AddrPort { return &l.gateway }),
	strict.Optional("api", "dashboard, API and metrics; loopback only", "127.0.0.1:8053", strict.Placed(strict.AddrPort()),
		func(l *listenKeys) *strict.At[netip.AddrPort] { return &l.api }),
}

var keyObject = strict.Object[keyKeys]{
	strict.Required("gossip", "file with the key of the mesh: 64 hexadecimal digits, mode 0600", path, func(k *keyKeys) *string { return &k.gossip }),
	strict.Required("certificate", "file with this node's certificate, from `meridian ca issue`", path, func(k *keyKeys) *string { return &k.certificate }),
	strict.Required("key", "file with the key of the certificate, mode 0600", path, func(k *keyKeys) *string { return &k.key }),
	strict.Required("ca", "file with the certificate of the cluster's CA", path, func(k *keyKeys) *string { return &k.ca }),
}

var object = strict.Object[nodeKeys]{
	strict.Required("name", "unique in the mesh; as in the certificate", strict.Name[string](), func(n *nodeKeys) *string { return &n.name }),
	strict.Required("region", "one of the world's regions; as in the certificate", strict.Name[string](), func(n *nodeKeys) *string { return &n.region }),
	strict.Required("roles", "what the node does: dns, probe, gateway, control", strict.List(strict.Placed(strict.Text(32)), maxList),
		func(n *nodeKeys) *[]strict.At[string] { return &n.roles }),
	strict.Required("world", "directory of the configuration that all nodes share", path, func(n *nodeKeys) *string { return &n.world }),
	strict.Required("data", "directory for state, made with mode 0700 if it is not there", path, func(n *nodeKeys) *string { return &n.data }),
	strict.Optional("geo", "MaxMind-format files that place clients; none: the embedded country database", "", strict.OneOrList(path, maxList),
		func(n *nodeKeys) *[]string { return &n.geo }),
	strict.Required("listen", "addresses", strict.Placed(listenObject.Type("addresses")), func(n *nodeKeys) *strict.At[listenKeys] { return &n.listen }),
	strict.Optional("seeds", "gossip addresses of some other nodes, by which this one finds the mesh", "", strict.List(hostPort, maxList),
		func(n *nodeKeys) *[]string { return &n.seeds }),
	strict.Optional("voters", "control addresses of the nodes that keep the routing controls, by name: 1, 3 or 5", "",
		strict.Map("voter", strict.Name[string](), hostPort, 5), func(n *nodeKeys) *[]strict.Named[string] { return &n.voters }),
	strict.Required("keys", "files with secrets and certificates", keyObject.Type("key files"), func(n *nodeKeys) *keyKeys { return &n.keys }),
	strict.Optional("timing", "how patient mesh and voters are with their peers", "wan", strict.Enum("timing", WAN, Local),
		func(n *nodeKeys) *Timing { return &n.timing }),
}

// Reference returns every key of node.yaml as Markdown.
func Reference() string { return object.Reference() }

// Parse reads the text of a file. The error is strict.Problems: every mistake in it.
func Parse(file string, data []byte) (*Node, error) {
	var report strict.Report
	document, ok := strict.Document(file, data, &report)
	var k nodeKeys
	if !ok || !object.Decode(document, &k) {
		return nil, report.Err()
	}
	n := k.node(filepath.Dir(file), &report)
	if err := report.Err(); err != nil {
		return nil, err
	}
	return n, nil
}

func (k *nodeKeys) node(dir string, report *strict.Report) *Node {
	abs := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	l := k.listen.Value
	n := &Node{
		Name: health.NodeID(k.name), Region: geo.RegionID(k.region),
		World: abs(k.world), Data: abs(k.data),
		DNS: l.dns, Gossip: l.gossip, Control: l.control, Gateway: l.gateway, API: l.api.Value,
		Seeds: k.seeds, Timing: k.timing,
		GossipKey: abs(k.keys.gossip), Certificate: abs(k.keys.certificate), Key: abs(k.keys.key), CA: abs(k.keys.ca),
	}
	for _, path := range k.geo {
		n.Geo = append(n.Geo, abs(path))
	}
	for _, role := range k.roles {
		r, err := health.ParseRoles([]string{role.Value})
		if err != nil {
			report.Add(role.Position, "%v", err)
		}
		n.Roles |= r
	}
	for _, v := range k.voters {
		n.Voters = append(n.Voters, Voter{health.NodeID(v.Name), v.Value})
	}
	slices.SortFunc(n.Voters, func(a, b Voter) int { return strings.Compare(string(a.Name), string(b.Name)) })
	n.check(k.listen.Position, l.api.Position, report)
	return n
}

// check notes what is wrong with the keys together.
func (n *Node) check(listen, api strict.Position, report *strict.Report) {
	votes := slices.ContainsFunc(n.Voters, func(v Voter) bool { return v.Name == n.Name })
	if len(n.Voters) > 0 && len(n.Voters)%2 == 0 {
		report.Add(listen, "voters: %d of them, want 1, 3 or 5: an even number survives no more losses than one less", len(n.Voters))
	}
	for _, need := range []struct {
		role      health.Roles
		key       string
		listening bool
	}{
		{health.RoleDNS, "dns", len(n.DNS) > 0},
		{health.RoleGateway, "gateway", len(n.Gateway) > 0},
		{health.RoleControl, "control", n.Control.IsValid()},
	} {
		name := need.role.Names()[0]
		if n.Roles.Has(need.role) != need.listening {
			report.Add(listen, "role %s and listen.%s go together: %s", name, need.key, map[bool]string{
				true: "the node has the address but not the role", false: "the node has the role but no address"}[need.listening])
		}
	}
	if n.Roles.Has(health.RoleControl) != votes {
		report.Add(listen, "role control and voters go together: this node is %q, voters are %q", n.Name, n.Voters)
	}
	if n.API.IsValid() && !n.API.Addr().IsLoopback() {
		report.Add(api, "listen.api %v: not a loopback address (the API has no accounts yet; reach it through a tunnel)", n.API)
	}
}
