package host

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
)

const (
	peerKey    = "peer.example."
	peerSecret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// givenZone is a zone that is longer than a change of its serial and address.
var givenZone = "$TTL 300\n@ SOA ns1.example.org. hostmaster.example.org. %d 3600 900 86400 60\n@ NS ns1.example.org.\n@ NS ns2.example.org.\n" +
	"www A 192.0.2.%d\ntext TXT " + strings.Repeat("x", 200) + "\n"

// newTransferNode is a node whose world has further configuration, and that knows the key of its peers.
func newTransferNode(t *testing.T, world string) nodefile.Node {
	t.Helper()
	n := newNode(t)
	key := filepath.Join(filepath.Dir(n.World), "peer.key")
	if err := os.WriteFile(key, fmt.Appendf(nil, "key %q { algorithm hmac-sha256; secret %q; };\n", peerKey, peerSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Nameserver.TSIGKeys = []string{key}
	n.DoT, n.DoH, n.DoQ, n.TLS = nil, nil, nil, nodefile.TLS{}
	write(t, filepath.Join(n.World, "transfer.yaml"), world)
	return n
}

// startGood starts a node that ends with the test, or earlier by end.
func startGood(t *testing.T, n nodefile.Node) (h *Host, end func()) {
	t.Helper()
	h, _, err := start(t, n)
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() { h.Close() })
	t.Cleanup(end)
	return h, end
}

// lookUp asks a node, and returns the rcode with the data of the answer.
func lookUp(t *testing.T, at netip.AddrPort, name string, rrtype uint16) string {
	t.Helper()
	m, err := dns.Exchange(new(dns.Msg).SetQuestion(name, rrtype), at.String())
	if err != nil {
		return err.Error()
	}
	said := dns.RcodeToString[m.Rcode]
	for _, rr := range m.Answer {
		said += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	return said
}

// took asks for a zone, and returns the types of the records that come, or why there are none.
func took(at netip.AddrPort, m *dns.Msg, signed bool) string {
	tr := new(dns.Transfer)
	if signed {
		m.SetTsig(peerKey, dns.HmacSHA256, 300, time.Now().Unix())
		tr.TsigSecret = map[string]string{peerKey: peerSecret}
	}
	envelopes, err := tr.In(m, at.String())
	if err != nil {
		return err.Error()
	}
	var types []string
	for e := range envelopes {
		if e.Error != nil {
			return e.Error.Error()
		}
		for _, rr := range e.RR {
			types = append(types, dns.TypeToString[rr.Header().Rrtype])
		}
	}
	slices.Sort(types)
	return strings.Join(types, " ")
}

func TestZonesAreGivenToWhomTheWorldAllows(t *testing.T) {
	n := newTransferNode(t, `
zones:
  given.example: {file: given.zone, transfer: {allow: [{key: peer.example}]}}
  kept.example: {file: kept.zone}
`)
	write(t, filepath.Join(n.World, "given.zone"), fmt.Sprintf(givenZone, 1, 1))
	write(t, filepath.Join(n.World, "kept.zone"), fmt.Sprintf(givenZone, 1, 1))
	h, _ := startGood(t, n)
	at := h.dns.Addrs()[0]
	axfr := func(zone string) *dns.Msg { return new(dns.Msg).SetAxfr(zone) }
	for _, tt := range []struct {
		name   string
		zone   string
		signed bool
		want   string
	}{
		{"signed by the key", "given.example.", true, "A NS NS SOA SOA TXT"},
		{"not signed", "given.example.", false, "dns: bad xfr rcode: 5"},
		{"a zone without the key transfer", "kept.example.", true, "dns: bad xfr rcode: 5"},
		{"a zone that is steered", "example.com.", true, "dns: bad xfr rcode: 5"},
		{"a zone of others", "example.net.", true, "dns: bad authentication"},
	} {
		if got := took(at, axfr(tt.zone), tt.signed); got != tt.want {
			t.Errorf("%s: AXFR %s = %s, want %s", tt.name, tt.zone, got, tt.want)
		}
	}

	client := &dns.Client{TsigSecret: map[string]string{peerKey: peerSecret}}
	m := new(dns.Msg).SetQuestion("given.example.", dns.TypeSOA)
	m.SetTsig(peerKey, dns.HmacSHA256, 300, time.Now().Unix())
	if answer, _, err := client.Exchange(m, at.String()); err != nil || answer.IsTsig() == nil || len(answer.Answer) != 1 {
		t.Errorf("a signed SOA query is answered %v, %v, want the SOA record, signed", answer, err)
	}

	write(t, filepath.Join(n.World, "given.zone"), fmt.Sprintf(givenZone, 2, 2))
	h.Reload()
	ixfr := func() string {
		return took(at, new(dns.Msg).SetIxfr("given.example.", 1, "ns1.example.org.", "hostmaster.example.org."), true)
	}
	eventually(t, "the difference", func() bool { return ixfr() == "A A SOA SOA SOA SOA" })
}

func TestSecondaryFollowsItsPrimary(t *testing.T) {
	const world = `
zones:
  given.example:
    file: given.zone
    transfer: {allow: [{key: peer.example}], notify: [%s]}
`
	first := newTransferNode(t, fmt.Sprintf(world, ""))
	write(t, filepath.Join(first.World, "given.zone"), fmt.Sprintf(givenZone, 1, 1))
	primary, endPrimary := startGood(t, first)
	second := newTransferNode(t, fmt.Sprintf(`
zones:
  given.example: {secondary: {primaries: [{address: "%v", key: peer.example}]}}
  lost.example: {secondary: {primaries: [{address: "%[1]v", key: peer.example}]}}
`, primary.dns.Addrs()[0]))
	secondary, endSecondary := startGood(t, second)
	at := secondary.dns.Addrs()[0]
	www := func(want string) func() bool {
		return func() bool { return lookUp(t, at, "www.given.example.", dns.TypeA) == want }
	}
	eventually(t, "the first copy", www("NOERROR 192.0.2.1"))
	if got := lookUp(t, at, "www.lost.example.", dns.TypeA); got != "SERVFAIL" {
		t.Errorf("a zone that was never copied is answered %s, want SERVFAIL", got)
	}
	for name, want := range map[string]int{"lost.example.": dns.RcodeServerFailure, "www.lost.example.": dns.RcodeServerFailure, "nowhere.example.": dns.RcodeNotAuth} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeSOA).SetTsig(peerKey, dns.HmacSHA256, 300, time.Now().Unix())
		client := &dns.Client{TsigSecret: map[string]string{peerKey: peerSecret}}
		if answer, _, err := client.Exchange(m, at.String()); answer == nil || answer.Rcode != want || answer.IsTsig() == nil {
			t.Errorf("a signed SOA query for %s is answered %v, %v, want %s, signed", name, answer, err, dns.RcodeToString[want])
		}
	}

	write(t, filepath.Join(first.World, "transfer.yaml"), fmt.Sprintf(world, fmt.Sprintf("{address: %q, key: peer.example}", at)))
	write(t, filepath.Join(first.World, "given.zone"), fmt.Sprintf(givenZone, 2, 2))
	primary.Reload()
	eventually(t, "the change after a notice", www("NOERROR 192.0.2.2"))

	// A version that our stricter checks refuse leaves the one before.
	before := secondary.world.Load()
	secondary.transfers.service.Close()
	copied := filepath.Join(second.Data, secondary.transfers.copies["given.example."])
	write(t, copied, "given.example. 60 IN SOA a. b. 3 1 1 1 1\ngiven.example. 60 IN CNAME a.\n")
	secondary.transfers.set("given.example.", secondary.transfers.copies["given.example."])
	eventually(t, "the next compile", func() bool { return secondary.world.Load() != before })
	if !www("NOERROR 192.0.2.2")() {
		t.Errorf("after a bad version the answer is %s, want that of the one before", lookUp(t, at, "www.given.example.", dns.TypeA))
	}
	secondary.transfers.set("given.example.", "")
	eventually(t, "SERVFAIL of an expired zone", www("SERVFAIL"))
	write(t, copied, "given.example. 60 IN SOA a. b. 3 3600 1 86400 1\ngiven.example. 60 IN NS a.\ngiven.example. 60 IN NS b.\nwww.given.example. 60 IN A 192.0.2.3\n")

	// At a start the copy on disk is answered from at once, whoever is away.
	endPrimary()
	endSecondary()
	again, _ := startGood(t, second)
	if got := lookUp(t, again.dns.Addrs()[0], "www.given.example.", dns.TypeA); got != "NOERROR 192.0.2.3" {
		t.Errorf("after a restart without its primary the zone is answered %s, want the copy on disk", got)
	}
}

func TestCatalogBringsItsMembers(t *testing.T) {
	const catalog = "$TTL 300\n@ SOA invalid. invalid. %d 3600 900 86400 60\n@ NS invalid.\nversion TXT \"2\"\n%s"
	first := newTransferNode(t, `
zones:
  catalog.example: {file: catalog.zone, transfer: {allow: [{key: peer.example}]}}
  member.example: {file: member.zone, transfer: {allow: [{key: peer.example}]}}
`)
	write(t, filepath.Join(first.World, "catalog.zone"), fmt.Sprintf(catalog, 1, ""))
	write(t, filepath.Join(first.World, "member.zone"), fmt.Sprintf(givenZone, 1, 1))
	primary, _ := startGood(t, first)
	second := newTransferNode(t, fmt.Sprintf("catalogs:\n  catalog.example: {primaries: [{address: %q, key: peer.example}]}\n", primary.dns.Addrs()[0]))
	secondary, _ := startGood(t, second)
	at := secondary.dns.Addrs()[0]
	if got := lookUp(t, at, "www.member.example.", dns.TypeA); got != "REFUSED" {
		t.Errorf("before it is listed, the zone is answered %s, want REFUSED", got)
	}
	change := func(serial int, members string) {
		write(t, filepath.Join(first.World, "catalog.zone"), fmt.Sprintf(catalog, serial, members))
		primary.Reload()
		eventually(t, "the catalog's change at the primary", func() bool {
			return strings.Contains(lookUp(t, primary.dns.Addrs()[0], "catalog.example.", dns.TypeSOA), fmt.Sprintf(" %d ", serial))
		})
		m := new(dns.Msg).SetNotify("catalog.example.")
		if answer, err := dns.Exchange(m, at.String()); err != nil || answer.Rcode != dns.RcodeSuccess {
			t.Fatalf("the notice is answered %v, %v", answer, err)
		}
	}
	change(2, "one.zones PTR member.example.\n")
	eventually(t, "the member", func() bool { return lookUp(t, at, "www.member.example.", dns.TypeA) == "NOERROR 192.0.2.1" })
	if got := lookUp(t, at, "catalog.example.", dns.TypeSOA); got != "REFUSED" {
		t.Errorf("the catalog itself is answered %s, want REFUSED", got)
	}
	change(3, "")
	eventually(t, "the end of the member", func() bool { return lookUp(t, at, "www.member.example.", dns.TypeA) == "REFUSED" })
}
