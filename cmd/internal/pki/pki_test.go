package pki

import (
	"bytes"
	"encoding/pem"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

var (
	start   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	address = netip.MustParseAddr("10.0.1.1")

	use1 = Identity{"use1", "us-east", health.RoleDNS | health.RoleProbe}
	euw1 = Identity{"euw1", "eu-west", health.RoleDNS | health.RoleControl}
)

// an authority with its files, as a test wants it.
type authority struct {
	*CA
	certPEM, keyPEM []byte
}

func newAuthority(t testing.TB, cluster string, now time.Time) authority {
	t.Helper()
	certPEM, keyPEM, err := NewCA(cluster, now, CAValidity)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := ParseCA(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return authority{ca, certPEM, keyPEM}
}

func (a authority) node(t testing.TB, id Identity, now time.Time) *Node {
	t.Helper()
	certPEM, keyPEM, err := a.Issue(id, now, NodeValidity)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNode(certPEM, keyPEM, a.certPEM)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestIdentify(t *testing.T) {
	ca, other := newAuthority(t, "example", start), newAuthority(t, "example", start)
	self, peer, stranger := ca.node(t, use1, start), ca.node(t, euw1, start), other.node(t, euw1, start)
	broken := peer.Meta()
	broken[len(broken)-1] ^= 1
	caBlock, _ := pem.Decode(ca.certPEM)

	tests := []struct {
		name string
		node string
		meta []byte
		now  time.Time
		err  string
	}{
		{"a node of the cluster", "euw1", peer.Meta(), start, ""},
		{"itself", "use1", self.Meta(), start, ""},
		{"on its last day", "euw1", peer.Meta(), start.Add(NodeValidity - time.Hour), ""},
		{"a clock a little behind the authority's", "euw1", peer.Meta(), start.Add(-4 * time.Minute), ""},
		{"a certificate that has ended", "euw1", peer.Meta(), start.Add(NodeValidity + time.Hour), "expired"},
		{"a certificate that has not begun", "euw1", peer.Meta(), start.Add(-time.Hour), "expired or is not yet valid"},
		{"another authority of the same name", "euw1", stranger.Meta(), start, "signed by unknown authority"},
		{"a certificate of another node", "use1", peer.Meta(), start, `pki: node "use1": certificate of node "euw1"`},
		{"a signature with a bit flipped", "euw1", broken, start, "signed by unknown authority"},
		{"the authority itself", "example", append([]byte{metaVersion}, caBlock.Bytes...), start, "not a node certificate"},
		{"no metadata", "euw1", nil, start, "metadata is not a certificate of version 1"},
		{"metadata of a later version", "euw1", append([]byte{2}, peer.Meta()[1:]...), start, "metadata is not a certificate of version 1"},
		{"half a certificate", "euw1", peer.Meta()[:100], start, "x509: malformed"},
		{"a certificate with a tail", "euw1", append(peer.Meta(), 0), start, "x509: trailing data"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := self.Identify(test.node, address, test.meta, test.now)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("Identify(%q) = %v, want an error with %q", test.node, err, test.err)
				}
				if got != (health.Member{}) {
					t.Errorf("Identify(%q) = %v beside its error, want nobody", test.node, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			node := peer
			if test.node == "use1" {
				node = self
			}
			id := node.Identity()
			want := health.Member{Node: id.Name, Region: id.Region, Roles: id.Roles, Address: address, Key: node.Key()}
			if got != want {
				t.Errorf("Identify(%q) = %v, want %v", test.node, got, want)
			}
		})
	}
}

// Signed by the right authority, but nothing that Issue would make.
func TestIdentifyStrangeCertificates(t *testing.T) {
	ca := newAuthority(t, "example", start)
	self := ca.node(t, use1, start)
	for _, test := range strangeCertificates(t, ca.CA) {
		t.Run(test.name, func(t *testing.T) {
			_, err := self.Identify("euw1", address, append([]byte{metaVersion}, test.der...), start)
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("Identify = %v, want an error with %q", err, test.err)
			}
		})
	}
}

func TestIssueRefuses(t *testing.T) {
	ca := newAuthority(t, "example", start)
	long := strings.Repeat("n", 63)
	tests := []struct {
		name     string
		id       Identity
		validity time.Duration
		err      string
	}{
		{"no name", Identity{"", "us-east", health.RoleDNS}, NodeValidity, `pki: node "": want 1 to 63 of a-z 0-9 -`},
		{"a name of two labels", Identity{"a.b", "us-east", health.RoleDNS}, NodeValidity, `pki: node "a.b": want`},
		{"a name in upper case", Identity{"Use1", "us-east", health.RoleDNS}, NodeValidity, `pki: node "Use1": want`},
		{"a region that would split", Identity{"use1", "us/east", health.RoleDNS}, NodeValidity, `pki: node "use1": region "us/east": want`},
		{"no role", Identity{"use1", "us-east", 0}, NodeValidity, `pki: node "use1": no role (have dns, probe, gateway, control)`},
		{"a certificate that gossip can't carry", Identity{health.NodeID(long), geo.RegionID(long), health.RoleControl}, NodeValidity,
			"want at most 511: shorten the name"},
		{"longer than the authority", use1, CAValidity + time.Hour, `pki: node "use1": validity 87601h0m0s, want more than 0 and at most 87600h0m0s`},
		{"no time at all", use1, 0, "validity 0s, want more than 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			certPEM, keyPEM, err := ca.Issue(test.id, start, test.validity)
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("Issue(%v) = %v, want an error with %q", test.id, err, test.err)
			}
			if certPEM != nil || keyPEM != nil {
				t.Errorf("Issue(%v) made something beside its error", test.id)
			}
		})
	}
	if _, _, err := NewCA("Two Words", start, CAValidity); err == nil {
		t.Error("NewCA took the cluster name Two Words, want an error")
	}
	if _, _, err := NewCA("example", start, 0); err == nil {
		t.Error("NewCA took no validity, want an error")
	}
}

// Names of ordinary length must fit gossip metadata, with every role and a longer cluster name.
func TestMetaFits(t *testing.T) {
	ca := newAuthority(t, "production-api-example-com", start)
	all := health.RoleDNS | health.RoleProbe | health.RoleGateway | health.RoleControl
	n := ca.node(t, Identity{"ap-southeast-1-ns2", "ap-southeast", all}, start)
	if meta := n.Meta(); len(meta) > 512 {
		t.Errorf("metadata of %d bytes, want at most 512", len(meta))
	} else {
		t.Logf("metadata of %d bytes", len(meta))
	}
}

func TestSign(t *testing.T) {
	ca := newAuthority(t, "example", start)
	a, b := ca.node(t, use1, start), ca.node(t, euw1, start)
	message := []byte("down: api/use1/ipv4")
	signature := a.Sign(message)
	tests := []struct {
		name      string
		key       [32]byte
		message   []byte
		signature []byte
		want      bool
	}{
		{"as it was signed", a.Key(), message, signature, true},
		{"another node's key", b.Key(), message, signature, false},
		{"another message", a.Key(), []byte("up: api/use1/ipv4"), signature, false},
		{"a short signature", a.Key(), message, signature[:63], false},
		{"no signature", a.Key(), message, nil, false},
		{"no key", [32]byte{}, message, signature, false},
	}
	for _, test := range tests {
		if got := Verify(test.key, test.message, test.signature); got != test.want {
			t.Errorf("%s: Verify = %v, want %v", test.name, got, test.want)
		}
	}
	raw, err := a.key.Sign(nil, message, plainEd25519)
	if err != nil {
		t.Fatal(err)
	}
	if Verify(a.Key(), message, raw) {
		t.Error("Verify took a signature without the context, want it kept apart from what TLS signs")
	}
}

// Two authorities in one file: nodes change from the old to the new one at a time.
func TestTwoAuthorities(t *testing.T) {
	before, after := newAuthority(t, "example", start), newAuthority(t, "example", start)
	certPEM, keyPEM, err := after.Issue(use1, start, NodeValidity)
	if err != nil {
		t.Fatal(err)
	}
	self, err := NewNode(certPEM, keyPEM, bytes.Join([][]byte{before.certPEM, after.certPEM}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, ca := range []authority{before, after} {
		if _, err := self.Identify("euw1", address, ca.node(t, euw1, start).Meta(), start); err != nil {
			t.Error(err)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	ca := newAuthority(f, "example", start)
	self, peer := ca.node(f, use1, start), ca.node(f, euw1, start)
	f.Add("euw1", peer.Meta())
	f.Add("use1", peer.Meta())
	f.Add("euw1", []byte{})
	for _, strange := range strangeCertificates(f, ca.CA) {
		f.Add("euw1", append([]byte{metaVersion}, strange.der...))
	}
	f.Fuzz(func(t *testing.T, name string, meta []byte) {
		member, err := self.Identify(name, address, meta, start)
		if err != nil {
			return
		}
		// Only what the authority signed gets here, and no mutation of it.
		if !bytes.Equal(meta, peer.Meta()) && !bytes.Equal(meta, self.Meta()) || string(member.Node) != name {
			t.Errorf("Identify(%q, %x) = %v, want an error", name, meta, member)
		}
	})
}
