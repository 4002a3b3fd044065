package host

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/keys"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/deploy"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/mmdb"
	"github.com/meridian-gslb/meridian/health"
)

const everyRole = health.RoleDNS | health.RoleProbe | health.RoleGateway | health.RoleControl

// table is the embedded database; it is read once for all tests.
var table = sync.OnceValues(mmdb.Default)

// newNode is a node with all roles that is the only voter, in a directory of its own, on whatever ports are free. Its
// world is the example's.
func newNode(t *testing.T) nodefile.Node {
	t.Helper()
	dir := t.TempDir()
	example, err := fs.Sub(deploy.Example, "example")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, example); err != nil {
		t.Fatal(err)
	}
	secrets := filepath.Join(dir, "keys")
	if err := keys.Init(secrets, "test"); err != nil {
		t.Fatal(err)
	}
	issue(t, secrets, pki.Identity{Name: "us-east", Region: "us-east", Roles: everyRole})
	free := netip.MustParseAddrPort("127.0.0.1:0")
	return nodefile.Node{
		Name: "us-east", Region: "us-east", Roles: everyRole, World: filepath.Join(dir, "world"), Data: filepath.Join(dir, "data"),
		DNS: []netip.AddrPort{free}, DoT: []netip.AddrPort{free}, DoH: []netip.AddrPort{free}, DoQ: []netip.AddrPort{free}, Gossip: free, Control: free, Gateway: []netip.AddrPort{free}, API: free,
		Voters:    []nodefile.Voter{{Name: "us-east", Address: "127.0.0.1:7000"}}, // alone, so that nobody dials it
		GossipKey: filepath.Join(secrets, keys.Gossip), CA: filepath.Join(secrets, keys.CACertificate),
		Certificate: filepath.Join(secrets, "us-east.crt"), Key: filepath.Join(secrets, "us-east.key"),
		TLS:    nodefile.TLS{Certificate: filepath.Join(secrets, "us-east.crt"), Key: filepath.Join(secrets, "us-east.key")},
		Timing: nodefile.Local, Replay: nodefile.Replay{Keep: 24 * time.Hour, SizeMiB: 64, WorldsMiB: 256}, Journal: nodefile.Journal{Keep: 24 * time.Hour, SizeMiB: 1},
	}
}

func issue(t *testing.T, dir string, id pki.Identity) {
	t.Helper()
	if err := keys.Issue(dir, id, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// start starts a node, and says what it logs at level ERROR.
func start(t *testing.T, cfg nodefile.Node) (*Host, *bytes.Buffer, error) {
	t.Helper()
	places, err := table()
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer) // slog's handler writes under a lock; it is read after Close
	h, err := Start(cfg, Options{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError})), Table: places})
	return h, log, err
}

// sockets counts this process's open sockets, where the system can say.
func sockets() int {
	n := 0
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

func TestStartThatFailsLeavesNothingOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().(*net.TCPAddr).AddrPort()
	dir := func(n *nodefile.Node) string { return filepath.Dir(n.World) }
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *nodefile.Node)
		want   string // with DIR for the node's directory and PORT for the address in use
	}{
		{"certificate of another node", func(t *testing.T, n *nodefile.Node) {
			issue(t, filepath.Join(dir(n), "keys"), pki.Identity{Name: "eu-west", Region: "eu-west", Roles: health.RoleDNS})
			n.Certificate, n.Key = filepath.Join(dir(n), "keys/eu-west.crt"), filepath.Join(dir(n), "keys/eu-west.key")
		}, "keys.certificate: DIR/keys/eu-west.crt: certificate is for eu-west in eu-west with roles [dns], the node is us-east in us-east with roles [dns probe gateway control]"},
		{"certificate with fewer roles", func(t *testing.T, n *nodefile.Node) { n.Roles = health.RoleDNS },
			"keys.certificate: DIR/keys/us-east.crt: certificate is for us-east in us-east with roles [dns probe gateway control], the node is us-east in us-east with roles [dns]"},
		{"certificate of another authority", func(t *testing.T, n *nodefile.Node) {
			if err := keys.Init(filepath.Join(dir(n), "other"), "other"); err != nil {
				t.Fatal(err)
			}
			n.CA = filepath.Join(dir(n), "other", keys.CACertificate)
		}, "keys.certificate DIR/keys/us-east.crt, keys.key DIR/keys/us-east.key, keys.ca DIR/other/ca.crt: x509: certificate signed by unknown authority"},
		{"no certificate", func(t *testing.T, n *nodefile.Node) { n.Certificate += ".no" },
			"keys.certificate: open DIR/keys/us-east.crt.no: no such file or directory"},
		{"key that others can read", func(t *testing.T, n *nodefile.Node) { loosen(t, n.Key) },
			"keys.key: DIR/keys/us-east.key: mode 0640 lets others at the key, want 0600"},
		{"gossip key that others can read", func(t *testing.T, n *nodefile.Node) { loosen(t, n.GossipKey) },
			"keys.gossip: DIR/keys/gossip.key: mode 0640 lets others read it, want 0600"},
		{"gossip key too short", func(t *testing.T, n *nodefile.Node) {
			write(t, n.GossipKey, hex.EncodeToString(make([]byte, 31)))
		}, "keys.gossip: DIR/keys/gossip.key: want 64 hexadecimal digits"},
		{"no gossip key", func(t *testing.T, n *nodefile.Node) { n.GossipKey += ".no" },
			"keys.gossip: stat DIR/keys/gossip.key.no: no such file or directory"},
		{"data directory is a file", func(t *testing.T, n *nodefile.Node) { write(t, n.Data, "") },
			"data directory: mkdir DIR/data: not a directory"},
		{"no world", func(t *testing.T, n *nodefile.Node) { n.World += ".no" },
			"world: open DIR/world.no: no such file or directory"},
		{"world with a mistake", func(t *testing.T, n *nodefile.Node) { write(t, filepath.Join(n.World, "more.yaml"), "pool: {}\n") },
			`more.yaml:1: unknown key "pool" (did you mean pools? have catalogs, checks, controls, gateway, latency_tables, pools, regions, report_agent, zone_directories, zones)`},
		{"region that the world has not", func(t *testing.T, n *nodefile.Node) {
			n.Name, n.Region = "mars", "mars"
			issue(t, filepath.Join(dir(n), "keys"), pki.Identity{Name: "mars", Region: "mars", Roles: everyRole})
			n.Certificate, n.Key = filepath.Join(dir(n), "keys/mars.crt"), filepath.Join(dir(n), "keys/mars.key")
		}, `region "mars" of this node is not one of the world's (have ap-south, eu-west, us-east)`},
		{"port of the nameserver in use", func(_ *testing.T, n *nodefile.Node) { n.DNS = append(n.DNS, at) },
			"dns: listen PORT: address already in use; another server has it: stop that one, or choose another address or port (config key listen.dns)"},
		{"port of DNS over TLS in use", func(_ *testing.T, n *nodefile.Node) { n.DoT = append(n.DoT, at) },
			"dns: listen PORT: address already in use; another server has it: stop that one, or choose another address or port (config key listen.dot)"},
		{"no certificate for clients", func(_ *testing.T, n *nodefile.Node) { n.TLS.Certificate += ".no" },
			"tls: open DIR/keys/us-east.crt.no: no such file or directory"},
		{"no directory of DNSSEC keys", func(_ *testing.T, n *nodefile.Node) { n.Nameserver.Keys = filepath.Join(dir(n), "nokeys") },
			"dns.keys: open DIR/nokeys: no such file or directory"},
		{"port of the gateway in use", func(_ *testing.T, n *nodefile.Node) { n.Gateway = append(n.Gateway, at) },
			"listen.gateway PORT: address already in use (end the process that has it, or change listen.gateway in the node's file)"},
		{"port of the mesh in use", func(_ *testing.T, n *nodefile.Node) { n.Gossip = at },
			"gossip: listen on PORT: address already in use: stop what uses it, or change listen.gossip"},
		{"port of the voter in use", func(_ *testing.T, n *nodefile.Node) { n.Control = at },
			"listen.control PORT: address already in use (end the process that has it, or change listen.control in the node's file)"},
		{"address of another machine", func(_ *testing.T, n *nodefile.Node) { n.Gateway[0] = netip.MustParseAddrPort("192.0.2.1:0") },
			"listen.gateway 192.0.2.1:0: cannot assign requested address (use an address of this machine, or change listen.gateway in the node's file)"},
		{"port of the API in use", func(_ *testing.T, n *nodefile.Node) { n.API = at },
			"listen.api PORT: address already in use (end the process that has it, or change listen.api in the node's file)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newNode(t)
			tt.change(t, &cfg)
			before, running := sockets(), goleak.IgnoreCurrent()
			h, _, err := start(t, cfg)
			if err == nil {
				h.Close()
				t.Fatal("Start = nil, want an error")
			}
			want := strings.NewReplacer("DIR", dir(&cfg), "PORT", at.String()).Replace(tt.want)
			if got := err.Error(); got != want {
				t.Errorf("Start = %s\nwant    %s", got, want)
			}
			goleak.VerifyNone(t, running)
			if after := sockets(); after != before {
				t.Errorf("%d sockets open, want %d as before", after, before)
			}
		})
	}
}

func loosen(t *testing.T, file string) {
	t.Helper()
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A node starts, ends, and starts again from what it finds: its own records, a damaged one and one that it does not know.
func TestStartAndClose(t *testing.T) {
	cfg := newNode(t)
	before, running := sockets(), goleak.IgnoreCurrent()
	for run := range 3 {
		h, log, err := start(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.regionOrder(); got[0] != geo.RegionID("us-east") || len(got) != 3 {
			t.Errorf("order of regions %v, want us-east and then two", got)
		}
		if err := h.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		goleak.VerifyNone(t, running)
		if after := sockets(); after != before {
			t.Errorf("%d sockets open after Close, want %d as before", after, before)
		}
		if said := strings.Contains(log.String(), `msg="state set aside"`) && strings.Contains(log.String(), "incarnation.record: damaged"); said != (run == 2) {
			t.Errorf("run %d logged %q, want the damaged record in the last one", run, log)
		}
		switch store := (&store{cfg.Data}); run {
		case 0:
			store.mustSave(t, "tomorrow", "what a later version keeps", true)
		case 1:
			if got, _ := store.loaded(t); got["tomorrow"] == "" || len(got[node.RecordIncarnation]) != 8 {
				t.Errorf("records %.40q, want those of the node and the unknown one", fmt.Sprint(got))
			}
			write(t, filepath.Join(cfg.Data, node.RecordIncarnation+recordSuffix), "torn")
		}
	}
}

// A world with mistakes does not keep a node down that has had a good one.
func TestStartWithTheLastGoodWorld(t *testing.T) {
	cfg := newNode(t)
	h, _, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	good := h.world.Load().Digest
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(cfg.World, "more.yaml"), "pool: {}\n")
	h, log, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.world.Load().Digest; got != good {
		t.Errorf("world %x, want the last good one %x", got, good)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "world has mistakes, serving the last good one") || !strings.Contains(log.String(), "more.yaml:1") {
		t.Errorf("log %q, want the mistake and that the last good world serves", log)
	}
}
