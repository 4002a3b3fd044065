//go:build linux

package validate_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
)

// A subject serves the zone that is judged, at subjectAddress.
type subject struct {
	name    string
	signed  bool
	compact bool // says of a name that does not exist that it has no data (RFC 9824)
	serve   func(t *testing.T, l *lab, z peers.Zone)
}

// The subjects other than Meridian prove the lab.
var subjects = []subject{
	{name: "BIND with NSEC", signed: true, serve: func(t *testing.T, l *lab, z peers.Zone) {
		signed, _ := peers.Sign(t, z, peers.NSEC)
		peers.StartBIND(t, l.space, subjectAddress, []peers.Zone{signed})
	}},
	{name: "NSD with NSEC3", signed: true, serve: func(t *testing.T, l *lab, z peers.Zone) {
		signed, _ := peers.Sign(t, z, peers.NSEC3)
		peers.StartNSD(t, l.space, subjectAddress, []peers.Zone{signed})
	}},
	{name: "Knot signing online", signed: true, compact: true, serve: func(t *testing.T, l *lab, z peers.Zone) {
		peers.StartKnot(t, l.space, subjectAddress, []peers.Zone{z}, knotOnline, "module: mod-onlinesign/online")
	}},
	{name: "NSD without keys", serve: func(t *testing.T, l *lab, z peers.Zone) {
		peers.StartNSD(t, l.space, subjectAddress, []peers.Zone{z})
	}},
	{name: "Meridian without keys", serve: meridian("", "")},
	{name: "Meridian", signed: true, compact: true, serve: meridian(
		"    dnssec: {algorithm: ECDSAP256SHA256}\n", "}\ndns: {keys: keys", "key make shop.example --dir keys")},
	{name: "Meridian with NSEC of others", signed: true, serve: presigned(peers.NSEC)},
	{name: "Meridian with NSEC3 of others", signed: true, serve: presigned(peers.NSEC3)},
}

const knotOnline = `policy:
  - id: online
    algorithm: ECDSAP256SHA256
    single-type-signing: on
mod-onlinesign:
  - id: online
    policy: online
`

const nodeFile = `name: lab
region: here
roles: [dns]
world: world
data: state
listen: {dns: ["10.53.0.3:53"], gossip: "10.53.0.5:7946"}
keys: {gossip: keys/gossip.key, certificate: keys/lab.crt, key: keys/lab.key, ca: keys/ca.crt%s}
`

const static = `regions: {here: {coordinates: [0, 0]}}
zones: {shop.example: {file: shop.example.zone}}
`

const steering = `regions: {here: {coordinates: [0, 0]}}
pools:
  api:
    policy: weighted
    members:
      - {endpoint: one, region: here, address: 192.0.2.10, weight: 1}
      - {endpoint: two, region: here, address: 192.0.2.11, weight: 1}
zones:
  shop.example:
    file: shop.example.zone
    steer: {api: {pool: api}, "*.pool": {pool: api}}
`

// meridian starts the real program, which steers the names that the zone marks so. zone is what the world says of the zone
// beside that and keys what the node's file says of its keys, both lines of YAML. before are the program's arguments by which
// such keys are made.
func meridian(zone, keys string, before ...string) func(t *testing.T, l *lab, z peers.Zone) {
	return func(t *testing.T, l *lab, z peers.Zone) {
		startMeridian(t, l, steering+zone, steered.ReplaceAllString(z.Text, ""), keys, before...)
	}
}

// presigned starts the real program with a zone that was signed before, and steers nothing.
func presigned(kind peers.Denial) func(t *testing.T, l *lab, z peers.Zone) {
	return func(t *testing.T, l *lab, z peers.Zone) {
		signed, _ := peers.Sign(t, z, kind)
		startMeridian(t, l, static, signed.Text, "")
	}
}

func startMeridian(t *testing.T, l *lab, world, zone, keys string, before ...string) {
	t.Helper()
	l.dir = peers.Dir(t)
	l.program = filepath.Join(l.dir, "meridian")
	if out, err := exec.Command("go", "build", "-o", l.program, "../../meridian").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, args := range append([]string{"ca init --dir keys --cluster lab", "ca issue lab --dir keys --region here --roles dns"}, before...) {
		l.meridian(t, args)
	}
	peers.Run(t, peers.Program{Name: "mkdir", Args: []string{"world"}, Dir: l.dir})
	peers.Write(t, l.dir, "world/world.yaml", world)
	peers.Write(t, l.dir, "world/shop.example.zone", zone)
	peers.Write(t, l.dir, "node.yaml", fmt.Sprintf(nodeFile, keys))
	peers.Start(t, peers.Program{Name: l.program, Args: strings.Fields("serve --config node.yaml"), Dir: l.dir, Space: l.space, Address: subjectAddress})
}

// meridian runs the program that serves the zone which is judged, with other arguments, to its end and returns what it prints.
func (l *lab) meridian(t *testing.T, args string) string {
	t.Helper()
	return peers.Run(t, peers.Program{Name: l.program, Args: strings.Fields(args), Dir: l.dir, Space: l.space})
}

var steered = regexp.MustCompile(`(?m)^.*; steered$`)
