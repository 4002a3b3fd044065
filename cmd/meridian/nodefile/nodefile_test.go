package nodefile_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/deploy"
	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each testdata/bad/*.yaml has its exact error beside it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			n, err := nodefile.Parse(filepath.Base(file), read(t, file))
			if err == nil {
				t.Fatalf("Parse = %+v, want an error", n)
			}
			got, golden := err.Error()+"\n", strings.TrimSuffix(file, ".yaml")+".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(read(t, golden)); got != want {
				t.Errorf("Parse says\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestGood(t *testing.T) {
	addresses := func(texts ...string) []netip.AddrPort {
		var list []netip.AddrPort
		for _, text := range texts {
			list = append(list, netip.MustParseAddrPort(text))
		}
		return list
	}
	for _, tt := range []struct {
		file string
		want nodefile.Node
	}{
		{"testdata/good.yaml", nodefile.Node{
			Name: "n1", Region: "eu-west", Roles: health.RoleDNS | health.RoleProbe | health.RoleGateway | health.RoleControl,
			World: "world", Data: "/var/lib/meridian", Geo: []string{"testdata/city.mmdb", "/usr/share/asn.mmdb"},
			DNS: addresses("192.0.2.1:53", "[2001:db8::1]:53"),
			DoT: addresses("192.0.2.1:853"), DoH: addresses("192.0.2.1:443", "[2001:db8::1]:443"), DoQ: addresses("192.0.2.1:853"), XDP: []string{"eth0", "bond0.53"},
			Gossip:  netip.MustParseAddrPort("192.0.2.1:7946"),
			Control: netip.MustParseAddrPort("192.0.2.1:7000"), Gateway: addresses("192.0.2.1:80"), API: netip.MustParseAddrPort("[::1]:8053"),
			Prober: nodefile.Prober{
				Deny:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")},
				Source: [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
				Exec:   []string{"/usr/local/lib/meridian/check-db"},
			},
			Seeds:     []string{"n2.example.com:7946", "[2001:db8::2]:7946"},
			Voters:    []nodefile.Voter{{"n1", "192.0.2.1:7000"}, {"n2", "n2.example.com:7000"}, {"n3", "n3.example.com:7000"}},
			GossipKey: "testdata/keys/gossip.key", MeshKeys: "testdata/keys/mesh.keys", Certificate: "testdata/keys/n1.crt", Key: "testdata/keys/n1.key", CA: "testdata/keys/ca.crt",
			TLS:    nodefile.TLS{Certificate: "testdata/keys/ns1.crt", Key: "/etc/meridian/ns1.key"},
			Timing: nodefile.Local, Replay: nodefile.Replay{Keep: 48 * time.Hour, SizeMiB: 8, WorldsMiB: 0}, Journal: nodefile.Journal{Keep: 2160 * time.Hour, SizeMiB: 16},
			Nameserver: nodefile.Nameserver{
				NSID: "n1.fra", Chaos: []nodefile.ChaosText{{"id.server", "n1"}, {"version.bind", "not told"}}, BadCookie: true, ExtendedErrors: true, RateMode: nodefile.RateOn,
				Rate: rrl.Limits{
					Rate: 500, Slip: 3, Leak: 7, IPv4: 28, IPv6: 48, Entries: 4096,
					Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
				},
				Tap:      nodefile.Tap{Socket: "/run/dnstap.sock", Sample: 10, MaxSizeMiB: 7},
				QueryLog: nodefile.QueryLog{File: "testdata/queries.log", Sample: 1000, MaxSizeMiB: 50},
				TSIGKeys: []string{"testdata/peer.key", "/etc/meridian/acme.key"},
			},
		}},
		{"testdata/least.yaml", nodefile.Node{
			Name: "n1", Region: "eu-west", Roles: health.RoleProbe, World: "testdata/world", Data: "testdata/data",
			Gossip: netip.MustParseAddrPort("192.0.2.1:7946"), API: netip.MustParseAddrPort("127.0.0.1:8053"),
			GossipKey: "testdata/gossip.key", Certificate: "testdata/n1.crt", Key: "testdata/n1.key", CA: "testdata/ca.crt",
			Timing: nodefile.WAN, Replay: nodefile.Replay{Keep: 24 * time.Hour, SizeMiB: 64, WorldsMiB: 256}, Journal: nodefile.Journal{Keep: 720 * time.Hour, SizeMiB: 64},
			Nameserver: nodefile.Nameserver{NSID: "n1", Cookies: true, RateMode: nodefile.RateLog, Rate: rrl.Default()},
		}},
	} {
		t.Run(filepath.Base(tt.file), func(t *testing.T) {
			n, err := nodefile.Parse(tt.file, read(t, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*n, tt.want) {
				t.Errorf("Parse = %+v, want %+v", *n, tt.want)
			}
		})
	}
}

func TestExample(t *testing.T) {
	files, err := fs.Glob(deploy.Example, "example/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("node files of the example: %v, %v, want 3", files, err)
	}
	var voters string
	for _, file := range files {
		text, err := fs.ReadFile(deploy.Example, file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := nodefile.Parse(file, text)
		if err != nil {
			t.Errorf("Parse(%s) = %v", file, err)
			continue
		}
		if want := strings.TrimSuffix(filepath.Base(file), ".yaml"); string(n.Name) != want || string(n.Region) != want {
			t.Errorf("%s is of %s in %s, want %s", file, n.Name, n.Region, want)
		}
		if all := fmt.Sprint(n.Voters); voters == "" {
			voters = all
		} else if all != voters {
			t.Errorf("%s has voters %s, want %s as the others", file, all, voters)
		}
	}
}

func TestProductionNode(t *testing.T) {
	n, err := nodefile.Parse("node.yaml", deploy.Node)
	if err != nil {
		t.Fatal(err)
	}
	if n.Name != "ns1" || n.Roles.Has(health.RoleControl) {
		t.Errorf("the example is of %s with the roles %v, want ns1 as its comments say, which is no voter", n.Name, n.Roles.Names())
	}
	if len(n.Geo) > 0 || len(n.GeoOverrides) > 0 || n.Nameserver.Keys != "" || len(n.Nameserver.TSIGKeys) > 0 {
		t.Errorf("the example needs files that a first start has not: geo %q and %q, dns.keys %q, dns.tsig_keys %q", n.Geo, n.GeoOverrides, n.Nameserver.Keys, n.Nameserver.TSIGKeys)
	}
}

// What the example has as comments is good too.
func TestProductionNodeComments(t *testing.T) {
	text := regexp.MustCompile(`(?m)^( *)#([a-z_]+: )`).ReplaceAll(deploy.Node, []byte("$1$2"))
	n, err := nodefile.Parse("node.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Geo) != 1 || len(n.GeoOverrides) != 1 || n.Nameserver.Keys == "" || len(n.Nameserver.TSIGKeys) != 1 {
		t.Errorf("geo %q and %q, dns.keys %q, dns.tsig_keys %q, want all four", n.Geo, n.GeoOverrides, n.Nameserver.Keys, n.Nameserver.TSIGKeys)
	}
}

// Any text gives a node or problems of that file, never both or none.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := nodefile.Parse("node.yaml", text)
		if err == nil {
			if n.Name == "" || n.Region == "" || n.Roles == 0 || !n.Gossip.IsValid() || n.GossipKey == "" {
				t.Errorf("Parse = %+v, want whatever is required", n)
			}
			return
		}
		var problems strict.Problems
		if n != nil || !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("Parse = %v, %v, want problems alone", n, err)
		}
		for i, p := range problems {
			if p.File != "node.yaml" && p.File != "" || p.Text == "" || strings.Contains(p.Text, "\n") {
				t.Errorf("problem %q, want one line about node.yaml", p)
			}
			if i > 0 && p == problems[i-1] {
				t.Errorf("problem %q is said twice", p)
			}
		}
	})
}
