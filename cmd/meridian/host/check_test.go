package host

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/cmd/meridian/zonekeys"
	"github.com/meridian-gslb/meridian/dns/dnssec"
)

const checkedWorld = `
zones:
  given.example: {file: given.zone, dnssec: {algorithm: ED25519}}
  plain.example: {file: given.zone, transfer: {allow: [{key: ` + peerKey + `}]}}
`

// keyFiles writes the files of a new DNSSEC key and returns their directory.
func keyFiles(t *testing.T, algorithm uint8, timing dnssec.Timing) string {
	t.Helper()
	dir := t.TempDir()
	key, err := dnssec.New("given.example", dnssec.FlagsKSK, algorithm, rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key.Timing = timing
	if err := zonekeys.Create(dir, key); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A check finds all that a start refuses, at once, and what a start would leave a zone without answers by.
func TestCheck(t *testing.T) {
	dir := func(n *nodefile.Node) string { return filepath.Dir(n.World) }
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *nodefile.Node)
		want   string // a line for each thing that is wrong, with DIR for the node's directory and KEYS for that of dns.keys
		starts bool
	}{
		{"all is well", func(*testing.T, *nodefile.Node) {}, "", true},
		{"TSIG key that others can read", func(t *testing.T, n *nodefile.Node) { loosen(t, n.Nameserver.TSIGKeys[0]) },
			"dns.tsig_keys: DIR/peer.key: others may read it (mode 0640, want 0600)", false},
		{"no file of TSIG keys", func(_ *testing.T, n *nodefile.Node) { n.Nameserver.TSIGKeys[0] += ".no" },
			"dns.tsig_keys: open DIR/peer.key.no: no such file or directory", false},
		{"TSIG key of the world that no file has", func(_ *testing.T, n *nodefile.Node) { n.Nameserver.TSIGKeys = nil },
			`the world's transfers and this node's dns.tsig_keys: transfer plain.example.: allow: unknown key "peer.example." (have none)`, false},
		{"no directory of DNSSEC keys", func(_ *testing.T, n *nodefile.Node) { n.Nameserver.Keys = filepath.Join(dir(n), "nokeys") },
			"dns.keys: open DIR/nokeys: no such file or directory", false},
		{"empty directory of DNSSEC keys", func(t *testing.T, n *nodefile.Node) { n.Nameserver.Keys = t.TempDir() }, "", true},
		{"DNSSEC key", func(t *testing.T, n *nodefile.Node) { n.Nameserver.Keys = keyFiles(t, dnssec.ED25519, dnssec.Timing{}) }, "", true},
		{"DNSSEC key that is active tomorrow", func(t *testing.T, n *nodefile.Node) {
			n.Nameserver.Keys = keyFiles(t, dnssec.ED25519, dnssec.Timing{Activate: time.Now().Add(24 * time.Hour)})
		}, "", true},
		{"DNSSEC key of another algorithm", func(t *testing.T, n *nodefile.Node) {
			n.Nameserver.Keys = keyFiles(t, dnssec.ECDSAP256SHA256, dnssec.Timing{})
		}, "dns.keys: zone given.example.: its keys are of algorithm ECDSAP256SHA256, the world says ED25519", true},
		{"damaged DNSSEC key", func(t *testing.T, n *nodefile.Node) {
			n.Nameserver.Keys = t.TempDir()
			if err := os.Mkdir(filepath.Join(n.Nameserver.Keys, "Kgiven.example.+015+00001.key"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "dns.keys: zone given.example.: KEYS/Kgiven.example.+015+00001.key: read KEYS/Kgiven.example.+015+00001.key: is a directory", true},
		{"nothing is there", func(_ *testing.T, n *nodefile.Node) {
			for _, file := range []*string{&n.Certificate, &n.Key, &n.CA, &n.GossipKey, &n.TLS.Certificate, &n.TLS.Key, &n.World, &n.Nameserver.TSIGKeys[0]} {
				*file = filepath.Join(dir(n), "none")
			}
			n.Geo, n.Nameserver.Keys = []string{n.CA}, n.CA
		}, strings.ReplaceAll(`keys.certificate: open NONE
keys.key: open NONE
keys.ca: open NONE
keys.gossip: stat NONE
tls: open NONE
tls: open NONE
geo: NONE
world: open NONE
dns.tsig_keys: open NONE
dns.keys: open NONE`, "NONE", "DIR/none: no such file or directory"), false},
		{"region and routes, beside keys", func(t *testing.T, n *nodefile.Node) {
			n.Region, n.Nameserver.TSIGKeys = "mars", nil
			n.Nameserver.Keys = filepath.Join(dir(n), "nokeys")
		}, `keys.certificate: DIR/keys/us-east.crt: certificate is for us-east in us-east with roles [dns probe gateway control], the node is us-east in mars with roles [dns probe gateway control]
region "mars" of this node is not one of the world's (have ap-south, eu-west, us-east)
the world's transfers and this node's dns.tsig_keys: transfer plain.example.: allow: unknown key "peer.example." (have none)
dns.keys: open DIR/nokeys: no such file or directory`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newTransferNode(t, checkedWorld)
			write(t, filepath.Join(n.World, "given.zone"), fmt.Sprintf(givenZone, 1, 1))
			tt.change(t, &n)
			_, wrong := Check(n)
			got := ""
			if err := errors.Join(wrong...); err != nil {
				got = err.Error()
			}
			if want := strings.NewReplacer("DIR", dir(&n), "KEYS", n.Nameserver.Keys).Replace(tt.want); got != want {
				t.Errorf("Check:\n%s\nwant:\n%s", got, want)
			}
			h, _, err := start(t, n)
			if err == nil {
				h.Close()
			}
			if (err == nil) != tt.starts {
				t.Errorf("Start = %v, want it to start: %t", err, tt.starts)
			}
		})
	}
}
