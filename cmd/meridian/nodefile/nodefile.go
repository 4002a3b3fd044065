// Package nodefile reads node.yaml: who a node is, where it listens and which files it uses.
//
// It does not open what the file names, and it knows nothing of the world that all nodes
// share. Paths in the file are relative to it; the ones that Parse returns are ready for
// use. Every mistake is reported at once, with its line.
package nodefile

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

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

	GeoOverrides []string // YAML files that place prefixes over the databases

	DNS     []netip.AddrPort
	DoT     []netip.AddrPort
	DoH     []netip.AddrPort
	DoQ     []netip.AddrPort
	XDP     []string // interfaces
	Gossip  netip.AddrPort
	Control netip.AddrPort // Raft, the push of its state and forwarded commands; voters only
	Gateway []netip.AddrPort
	API     netip.AddrPort // loopback only

	Trusted []netip.Prefix // load balancers before the gateway

	Nameserver Nameserver // of no use without role dns
	Prober     Prober     // of no use without role probe

	Parents []Parent // ordered by zone

	Seeds  []string // host:port of other nodes' gossip
	Voters []Voter  // ordered by name

	GossipKey   string // file: 32 bytes as 64 hexadecimal digits
	MeshKeys    string // file, a key a line; empty: that of GossipKey
	Certificate string // file, PEM
	Key         string // file, PEM
	CA          string // file, PEM

	TLS TLS // of DoT, DoH and DoQ

	Timing Timing

	Replay  Replay
	Journal Journal
}

// A Journal is how much is kept of the events of the node.
type Journal struct {
	Keep    time.Duration
	SizeMiB int
}

// A Replay is how much is kept of what answers followed from, for explanations of a time that is past.
type Replay struct {
	Keep      time.Duration
	SizeMiB   int // of moments; 0: nothing is kept
	WorldsMiB int // of the worlds of the moments
}

// A TLS names the files of what clients are shown: empty where nothing is encrypted.
type TLS struct {
	Certificate string // file, PEM, with the intermediate ones behind it
	Key         string // file, PEM
}

// A Parent is a zone above signed ones, and the servers that are asked for their DS.
type Parent struct {
	Zone    string // fully qualified, lower case
	Servers []netip.AddrPort
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
	dns     strict.At[[]netip.AddrPort]
	dot     strict.At[[]netip.AddrPort]
	doh     strict.At[[]netip.AddrPort]
	doq     strict.At[[]netip.AddrPort]
	xdp     strict.At[[]string]
	gossip  strict.At[netip.AddrPort]
	control strict.At[netip.AddrPort]
	gateway strict.At[[]netip.AddrPort]
	api     strict.At[netip.AddrPort]
}

type keyKeys struct{ gossip, mesh, certificate, key, ca string }

type nodeKeys struct {
	name    string
	region  string
	roles   strict.At[[]strict.At[string]]
	world   string
	data    string
	geo     []string
	over    []string
	listen  listenKeys
	dns     strict.At[dnsKeys]
	probe   strict.At[probeKeys]
	trusted []netip.Prefix
	parents []strict.Named[[]netip.AddrPort]
	seeds   []string
	voters  strict.At[[]strict.Named[string]]
	keys    keyKeys
	tls     strict.At[TLS]
	timing  Timing
	replay  Replay
	journal Journal
}

const (
	maxList    = 64
	maxParents = 100
	maxDevices = 8
)

// parentZone is the name of a zone, with or without the last dot.
var parentZone = strict.Parsed("name of a zone, or .", func(text string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if name != "" && !isHost(name) || strings.Contains(name, ":") {
		return "", fmt.Errorf("%q is not the name of a zone", text)
	}
	return name + ".", nil
}).Matching(`^(` + hostPattern + `|[.]|)$`)

var path = strict.Text(4096)

// tried is a type whose values say where they stand even if they are not good, so that what has a mistake is not taken
// for missing.
func tried[V any](t strict.Type[V]) strict.Type[strict.At[V]] {
	placed := strict.Placed(t)
	placed.Decode = func(v strict.Value) (strict.At[V], bool) {
		decoded, _ := t.Decode(v)
		return strict.At[V]{Value: decoded, Position: v.Position()}, true
	}
	return placed
}

// anyName is a name; one that is not good, which is a mistake all the same, becomes the empty one.
var anyName = func() strict.Type[string] {
	name := strict.Name[string]()
	decode := name.Decode
	name.Decode = func(v strict.Value) (string, bool) {
		text, _ := decode(v)
		return text, true
	}
	return name
}()

var address = strict.Convert(strict.AddrPort(), strict.AddrPort().Doc, func(a netip.AddrPort) (netip.AddrPort, error) {
	if a.Port() == 0 {
		return a, fmt.Errorf("%q has no port, want 1 to 65535", a)
	}
	return a, nil
})

var reachable = strict.Convert(address, address.Doc, func(a netip.AddrPort) (netip.AddrPort, error) {
	if a.Addr().IsUnspecified() {
		return a, fmt.Errorf("%q is no address that other nodes can reach", a)
	}
	return a, nil
})

var hostPort = strict.Parsed("host:port", func(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isHost(host) {
		return "", errors.New("want host:port, such as n2.example.com:7946 or [2001:db8::2]:7946")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q is not a port from 1 to 65535", port)
	}
	return text, nil
}).Matching(`^(` + hostPattern + `|\[[^\]]+\]):[0-9]+$`)

// hostPattern is of the texts that isHost takes, but for addresses of IPv6.
const hostPattern = `[A-Za-z0-9._-]+`

// device is the name of a network interface, as Linux allows them.
var device = strict.Parsed("interface", func(text string) (string, error) {
	if text == "" || len(text) > 15 || text == "." || text == ".." || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r > '~' }) {
		return "", errors.New("want the name of a network interface, such as eth0")
	}
	return text, nil
}).Matching(`^[!-.0-9;-~]{1,15}$`)

// isHost reports whether a text is an IP address or may be the name of a host.
func isHost(text string) bool {
	if strings.Contains(text, ":") {
		_, err := netip.ParseAddr(text)
		return err == nil
	}
	return text != "" && len(text) <= 253 && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

var listenObject = strict.Object[listenKeys]{
	strict.Optional("dns", "nameserver, UDP and TCP", "", tried(strict.List(address, maxList)),
		func(l *listenKeys) *strict.At[[]netip.AddrPort] { return &l.dns }),
	strict.Optional("dot", "nameserver, DNS over TLS; usually port 853", "", tried(strict.List(address, maxList)),
		func(l *listenKeys) *strict.At[[]netip.AddrPort] { return &l.dot }),
	strict.Optional("doh", "nameserver, DNS over HTTPS at /dns-query; usually port 443", "", tried(strict.List(address, maxList)),
		func(l *listenKeys) *strict.At[[]netip.AddrPort] { return &l.doh }),
	strict.Optional("doq", "nameserver, DNS over QUIC, UDP; usually port 853", "", tried(strict.List(address, maxList)),
		func(l *listenKeys) *strict.At[[]netip.AddrPort] { return &l.doq }),
	strict.Optional("xdp", "interfaces at which plain queries over UDP to listen.dns are taken below the kernel's network stack (AF_XDP, Linux)", "",
		tried(strict.List(device, maxDevices)), func(l *listenKeys) *strict.At[[]string] { return &l.xdp }),
	strict.Required("gossip", "the mesh of nodes, UDP and TCP; must be reachable by every node", tried(reachable),
		func(l *listenKeys) *strict.At[netip.AddrPort] { return &l.gossip }),
	strict.Optional("control", "Raft and control state, TLS; only on voters", "", tried(address),
		func(l *listenKeys) *strict.At[netip.AddrPort] { return &l.control }),
	strict.Optional("gateway", "HTTP gateway", "", tried(strict.List(address, maxList)),
		func(l *listenKeys) *strict.At[[]netip.AddrPort] { return &l.gateway }),
	strict.Optional("api", "dashboard, API and metrics; loopback only", "127.0.0.1:8053", tried(address),
		func(l *listenKeys) *strict.At[netip.AddrPort] { return &l.api }),
}

var keyObject = strict.Object[keyKeys]{
	strict.Required("gossip", "file with the key of the cluster: 64 hexadecimal digits, mode 0600", path, func(k *keyKeys) *string { return &k.gossip }),
	strict.Optional("mesh", "file with the keys of the mesh, likewise, one a line: the first is sent under, up to 3 others are taken; read again when it changes (within 5 s). Without it, the key of the cluster", "",
		path, func(k *keyKeys) *string { return &k.mesh }),
	strict.Required("certificate", "file with this node's certificate, from `meridian ca issue`", path, func(k *keyKeys) *string { return &k.certificate }),
	strict.Required("key", "file with the key of the certificate, mode 0600", path, func(k *keyKeys) *string { return &k.key }),
	strict.Required("ca", "file with the certificate of the cluster's CA", path, func(k *keyKeys) *string { return &k.ca }),
}

var tlsObject = strict.Object[TLS]{
	strict.Required("certificate", "file with the certificate, PEM, intermediate ones behind it; read again when it changes (within 5 s)", path,
		func(t *TLS) *string { return &t.Certificate }),
	strict.Required("key", "file with its key, PEM, mode 0600", path, func(t *TLS) *string { return &t.Key }),
}

var replayObject = strict.Object[Replay]{
	strict.Optional("keep", "for how long", "24h", strict.Duration(time.Hour, 31*24*time.Hour), func(r *Replay) *time.Duration { return &r.Keep }),
	strict.Optional("size_mib", "MiB of checks, votes and controls, as they changed; what is older goes before its time. 0: nothing is kept", "64",
		strict.Integer(0, 1<<20), func(r *Replay) *int { return &r.SizeMiB }),
	strict.Optional("worlds_mib", "MiB of worlds that were in force, 100 at most; the one in force is kept in any case", "256", strict.Integer(0, 1<<20),
		func(r *Replay) *int { return &r.WorldsMiB }),
}

var journalObject = strict.Object[Journal]{
	strict.Optional("keep", "for how long", "720h", strict.Duration(time.Hour, 366*24*time.Hour), func(j *Journal) *time.Duration { return &j.Keep }),
	strict.Optional("size_mib", "MiB of events; what is older goes before its time", "64", strict.Integer(1, 1<<20), func(j *Journal) *int { return &j.SizeMiB }),
}

var object = strict.Object[nodeKeys]{
	strict.Required("name", "unique in the mesh; as in the certificate", strict.Name[string](), func(n *nodeKeys) *string { return &n.name }),
	strict.Required("region", "one of the world's regions; as in the certificate", strict.Name[string](), func(n *nodeKeys) *string { return &n.region }),
	strict.Required("roles", "what the node does: dns, probe, gateway, control; exactly those of the certificate", tried(strict.NotEmpty(strict.List(strict.Placed(strict.Text(32).OneOf(health.RoleNames[:]...)), maxList))),
		func(n *nodeKeys) *strict.At[[]strict.At[string]] { return &n.roles }),
	strict.Required("world", "directory of the configuration that all nodes share", path, func(n *nodeKeys) *string { return &n.world }),
	strict.Required("data", "directory for state, made with mode 0700 if it is not there", path, func(n *nodeKeys) *string { return &n.data }),
	strict.Optional("geo", "MaxMind-format files that place clients; none: the embedded country database; read again when they change (within 2 s)", "", strict.OneOrList(path, maxList),
		func(n *nodeKeys) *[]string { return &n.geo }),
	strict.Optional("geo_overrides", "YAML files that place prefixes over what the databases say (docs/geo.md); read again likewise", "", strict.OneOrList(path, maxList),
		func(n *nodeKeys) *[]string { return &n.over }),
	strict.Optional("trusted", "networks of load balancers before the gateway, whose word on clients is taken and who may send for many", "",
		strict.OneOrList(strict.Prefix(), maxList), func(n *nodeKeys) *[]netip.Prefix { return &n.trusted }),
	strict.Required("listen", "addresses", listenObject.Type("addresses"), func(n *nodeKeys) *listenKeys { return &n.listen }),
	strict.Optional("dns", "what the nameserver says of itself and does about abuse; only with role dns", "{}", strict.Placed(dnsObject.Type("a nameserver")),
		func(n *nodeKeys) *strict.At[dnsKeys] { return &n.dns }),
	strict.Optional("probe", "what this vantage may probe and run; only with role probe", "{}", strict.Placed(probeObject.Type("a vantage")),
		func(n *nodeKeys) *strict.At[probeKeys] { return &n.probe }),
	strict.Optional("parents", "all servers of parent zones, by zone, that the leading voter asks for the DS of zones below; none: `meridian key ds-seen` says what they have", "",
		strict.Map("zone", parentZone, strict.NotEmpty(strict.List(address, maxList)), maxParents), func(n *nodeKeys) *[]strict.Named[[]netip.AddrPort] { return &n.parents }),
	strict.Optional("seeds", "gossip addresses of some other nodes, by which this one finds the mesh", "", strict.List(hostPort, maxList),
		func(n *nodeKeys) *[]string { return &n.seeds }),
	strict.Optional("voters", "control addresses of the nodes that keep the routing controls, by name: 1, 3 or 5", "",
		tried(strict.NotEmpty(strict.Map("voter", anyName, hostPort, 5))), func(n *nodeKeys) *strict.At[[]strict.Named[string]] { return &n.voters }),
	strict.Required("keys", "files with secrets and certificates", keyObject.Type("key files"), func(n *nodeKeys) *keyKeys { return &n.keys }),
	strict.Optional("tls", "what clients of listen.dot, listen.doh and listen.doq are shown", "", tried(tlsObject.Type("certificate and key files")),
		func(n *nodeKeys) *strict.At[TLS] { return &n.tls }),
	strict.Optional("timing", "how patient mesh and voters are with their peers", "wan", strict.Enum("timing", WAN, Local),
		func(n *nodeKeys) *Timing { return &n.timing }),
	strict.Optional("replay", "how much is kept of what answers followed from, for `meridian explain NAME --at TIME`", "{}", replayObject.Type("limits of replays"),
		func(n *nodeKeys) *Replay { return &n.replay }),
	strict.Optional("journal", "how much is kept of events, for `meridian why` and `meridian journal`", "{}", journalObject.Type("limits of the journal"),
		func(n *nodeKeys) *Journal { return &n.journal }),
}

// Reference returns every key of node.yaml as Markdown.
func Reference() string { return object.Reference() }

// Schema returns a JSON Schema (draft 2020-12) of node.yaml.
func Schema() string {
	return object.Schema("https://github.com/meridian-gslb/meridian/deploy/schema/node.schema.json", "Meridian: node.yaml",
		"Who a node is, where it listens and which files it uses. docs/node.md says more of each key.")
}

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
	l := k.listen
	n := &Node{
		Name: health.NodeID(k.name), Region: geo.RegionID(k.region),
		World: abs(k.world), Data: abs(k.data),
		DNS: l.dns.Value, DoT: l.dot.Value, DoH: l.doh.Value, DoQ: l.doq.Value, XDP: l.xdp.Value, Gossip: l.gossip.Value, Control: l.control.Value, Gateway: l.gateway.Value, API: l.api.Value, Trusted: k.trusted,
		Seeds: k.seeds, Timing: k.timing, Replay: k.replay, Journal: k.journal,
		GossipKey: abs(k.keys.gossip), MeshKeys: abs(k.keys.mesh), Certificate: abs(k.keys.certificate), Key: abs(k.keys.key), CA: abs(k.keys.ca),
		TLS: TLS{abs(k.tls.Value.Certificate), abs(k.tls.Value.Key)},
	}
	for _, path := range k.geo {
		n.Geo = append(n.Geo, abs(path))
	}
	for _, path := range k.over {
		n.GeoOverrides = append(n.GeoOverrides, abs(path))
	}
	for _, p := range k.parents {
		n.Parents = append(n.Parents, Parent{p.Name, p.Value})
	}
	slices.SortFunc(n.Parents, func(a, b Parent) int { return strings.Compare(a.Zone, b.Zone) })
	for _, v := range k.voters.Value {
		n.Voters = append(n.Voters, Voter{health.NodeID(v.Name), v.Value})
	}
	slices.SortFunc(n.Voters, func(a, b Voter) int { return strings.Compare(string(a.Name), string(b.Name)) })
	known := k.readRoles(n, report)
	n.Nameserver = k.dns.Value.nameserver(k.name, abs, report)
	if k.dns.Given() && known && !n.Roles.Has(health.RoleDNS) {
		report.Add(k.dns.Position, "dns: of no use without role dns (roles are %s)", strings.Join(n.Roles.Names(), ", "))
	}
	n.Prober = k.prober(n.Roles, known, report)
	k.checkListen(n.Roles, known, report)
	k.checkTLS(n.Roles, known, report)
	k.checkTaken(report)
	k.checkVoters(n, known, report)
	if n.API.IsValid() && !n.API.Addr().IsLoopback() {
		report.Add(l.api.Position, "listen.api: %v is not a loopback address (the API has no accounts yet; reach it through a tunnel)", n.API)
	}
	return n
}

// readRoles reports whether all roles are good: if not, one may be missing by a slip.
func (k *nodeKeys) readRoles(n *Node, report *strict.Report) bool {
	known := len(k.roles.Value) > 0
	for _, role := range k.roles.Value {
		r, err := health.ParseRoles([]string{role.Value})
		switch {
		case err != nil:
			report.Add(role.Position, "roles: %v", err)
			known = false
		case n.Roles.Has(r):
			report.Add(role.Position, "roles: %s stands twice", role.Value)
		}
		n.Roles |= r
	}
	return known
}

// checkVoters notes what is wrong with the voters and with this node's part among them.
func (k *nodeKeys) checkVoters(n *Node, known bool, report *strict.Report) {
	at := make(map[string]string) // voters by address
	var names []string
	for _, v := range k.voters.Value {
		if first, twice := at[v.Value]; twice && v.Value != "" {
			report.Add(v.Position, "voter %q: address %s is that of voter %q too", v.Name, v.Value, first)
		}
		at[v.Value] = v.Name
		names = append(names, v.Name)
	}
	slices.Sort(names)
	if len(names) > 0 && len(names)%2 == 0 {
		report.Add(k.voters.Position, "voters: %d of them, want 1, 3 or 5: an even number survives no more losses than one less", len(names))
	}
	if n.Name == "" || slices.Contains(names, "") || k.voters.Line != 0 && len(names) == 0 {
		return // a mistake already
	}
	switch votes, has := slices.Contains(names, string(n.Name)), n.Roles.Has(health.RoleControl); {
	case has && len(names) == 0:
		report.Add(k.roles.Position, "roles: control needs voters, %s among them", n.Name)
	case has && !votes:
		report.Add(k.roles.Position, "roles: control needs %s among the voters (have %s)", n.Name, strings.Join(names, ", "))
	case votes && !has && known:
		report.Add(k.voters.Position, "voters: %s is one of them without role control (roles are %s)", n.Name, strings.Join(n.Roles.Names(), ", "))
	}
}
