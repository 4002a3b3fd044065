package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/outgoing"
	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/health"
)

// startAt starts a node by whose clock zones go out.
func startAt(t *testing.T, n nodefile.Node, now func() time.Time) *Host {
	t.Helper()
	places, err := table()
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(n, Options{Logger: slog.New(slog.DiscardHandler), Table: places, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// serialOf returns the serial that an ordinary question for the SOA record shows; 0 without one.
func serialOf(at netip.AddrPort, apex string) uint32 {
	m, err := dns.Exchange(new(dns.Msg).SetQuestion(apex, dns.TypeSOA), at.String())
	if err != nil || len(m.Answer) != 1 {
		return 0
	}
	return m.Answer[0].(*dns.SOA).Serial
}

// wholeOf asks for a zone, and returns all records of it; none where it is refused.
func wholeOf(at netip.AddrPort, apex string) (rrs []dns.RR) {
	m := new(dns.Msg).SetAxfr(apex)
	m.SetTsig(peerKey, dns.HmacSHA256, 300, time.Now().Unix())
	tr := &dns.Transfer{TsigSecret: map[string]string{peerKey: peerSecret}}
	envelopes, err := tr.In(m, at.String())
	if err != nil {
		return nil
	}
	for e := range envelopes {
		if e.Error != nil {
			return nil
		}
		rrs = append(rrs, e.RR...)
	}
	return rrs
}

// verified has the validator of NLnet Labs look at a master file at a time.
func verified(t *testing.T, file string, at time.Time) {
	t.Helper()
	if _, err := exec.LookPath("ldns-verify-zone"); err != nil {
		fmt.Printf("SKIPPED a part of %s: ldns-verify-zone is not installed (.ci/deps does that)\n", t.Name())
		return
	}
	if out, err := exec.Command("ldns-verify-zone", "-t", at.UTC().Format("20060102150405"), file).CombinedOutput(); err != nil {
		t.Errorf("ldns-verify-zone at %v: %v\n%s", at, err, out)
	}
}

// A signed zone goes out with a serial that an ordinary question shows too, and is renewed and told of before its signatures expire.
func TestSignedZoneGoesOutAndIsRenewed(t *testing.T) {
	const world = `
zones:
  given.example:
    file: given.zone
    dnssec: {}
    transfer: {allow: [{key: peer.example}], notify: [%s]}
`
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	first := newTransferNode(t, fmt.Sprintf(world, ""))
	write(t, filepath.Join(first.World, "given.zone"), fmt.Sprintf(givenZone, 1, 1))
	primary := startAt(t, first, now)
	at := primary.dns.Addrs()[0]
	eventually(t, "the first version, with its serial in an answer", func() bool {
		rrs := wholeOf(at, "given.example.")
		return len(rrs) > 0 && rrs[0].(*dns.SOA).Serial == serialOf(at, "given.example.")
	})

	second := newTransferNode(t, fmt.Sprintf("zones:\n  given.example: {secondary: {primaries: [{address: \"%v\", key: peer.example}]}}\n", at))
	secondary, _ := startGood(t, second)
	copied := secondary.dns.Addrs()[0]
	write(t, filepath.Join(first.World, "transfer.yaml"), fmt.Sprintf(world, fmt.Sprintf("{address: %q, key: peer.example}", copied)))
	primary.Reload()
	eventually(t, "the world with a notice", func() bool { return len(zoneOf(primary.world.Load(), "given.example.").Transfer.Notify) == 1 })
	serial := func() uint32 { return serialOf(at, "given.example.") }
	follows := func() bool { return serial() != 0 && serialOf(copied, "given.example.") == serial() }
	eventually(t, "the first copy", follows)
	file := filepath.Join(second.Data, "secondary", "given.example.zone")
	verified(t, file, now())

	// A day later it is another version, which the copy follows by the notice and by the difference.
	before := serial()
	offset.Store(int64(24 * time.Hour))
	primary.lookAtKeys()
	eventually(t, "a serial that is 100 higher", func() bool { return serial() == before+100 })
	eventually(t, "the copy of the next day", follows)
	if got := took(at, new(dns.Msg).SetIxfr("given.example.", before, ".", "."), true); strings.Count(got, "SOA") < 4 || strings.Contains(got, "TXT") {
		t.Errorf("IXFR from the day before has %s, want a difference", got)
	}
	// Weeks later all signatures of the first are gone, and those of the copy are good.
	offset.Store(int64(20 * 24 * time.Hour))
	primary.lookAtKeys()
	eventually(t, "a serial that is 2000 higher", func() bool { return serial() == before+2000 })
	eventually(t, "the copy of weeks later", follows)
	verified(t, file, now())
	verified(t, file, now().Add(5*24*time.Hour))

	// A change of the file goes out too.
	write(t, filepath.Join(first.World, "given.zone"), fmt.Sprintf(givenZone, 2, 2))
	primary.Reload()
	eventually(t, "the change", func() bool { return lookUp(t, copied, "www.given.example.", dns.TypeA) == "NOERROR 192.0.2.2" })
	if serial() != before+2001 {
		t.Errorf("after a change of the file the serial is %d, want %d", serial(), before+2001)
	}

	// Without a new serial it does not, and that is said; the next day's version has it.
	write(t, filepath.Join(first.World, "given.zone"), fmt.Sprintf(givenZone, 2, 3))
	primary.Reload()
	eventually(t, "the change in an answer", func() bool { return lookUp(t, at, "www.given.example.", dns.TypeA) == "NOERROR 192.0.2.3" })
	s := primary.snapshot.Load()
	why := primary.transfers.renewAll(t.Context(), s, basis{s.Plan.World, s.Control, primary.given.Load()})
	if err := why["given.example."]; !errors.Is(err, outgoing.ErrSerial) {
		t.Errorf("changed without a new serial, it does not go out anew for: %v, want %v", err, outgoing.ErrSerial)
	}
	if whole := fmt.Sprint(wholeOf(at, "given.example.")); serial() != before+2001 || !strings.Contains(whole, "192.0.2.2") {
		t.Errorf("changed without a new serial it goes out with %d:\n%s\nwant %d, and what it was", serial(), whole, before+2001)
	}
	offset.Store(int64(21 * 24 * time.Hour))
	primary.lookAtKeys()
	eventually(t, "the change, a day later", func() bool { return lookUp(t, copied, "www.given.example.", dns.TypeA) == "NOERROR 192.0.2.3" })
}

// A steered zone goes out as its default answers: with the serial of the generation, and for each change another one.
func TestSteeredZoneGoesOutByDefault(t *testing.T) {
	const world = `
pools:
  given: {policy: weighted, members: [{endpoint: given1, region: us-east, address: 192.0.2.%d}, {endpoint: given2, region: eu-west, address: 192.0.2.9, weight: 0}]}
zones:
  given.example: {file: given.zone, steer: {api: {pool: given}}, transfer: {steered: defaults, allow: [{key: peer.example}]}}
  both.example: {file: given.zone, dnssec: {}, steer: {api: {pool: given}}, transfer: {steered: defaults, allow: [{key: peer.example}]}}
  kept.example: {file: given.zone, steer: {api: {pool: given}}, transfer: {allow: [{key: peer.example}]}}
`
	n := newTransferNode(t, fmt.Sprintf(world, 1))
	write(t, filepath.Join(n.World, "given.zone"), fmt.Sprintf(givenZone, 1, 1))
	h, _ := startGood(t, n)
	at := h.dns.Addrs()[0]
	goesOut := func(apex, address string) func() bool {
		return func() bool {
			rrs := wholeOf(at, apex)
			return len(rrs) > 0 && rrs[0].(*dns.SOA).Serial == serialOf(at, apex) &&
				slices.ContainsFunc(rrs, func(rr dns.RR) bool {
					a, ok := rr.(*dns.A)
					return ok && a.Hdr.Name == "api."+apex && a.A.String() == address
				})
		}
	}
	eventually(t, "the steered zone", goesOut("given.example.", "192.0.2.1"))
	eventually(t, "the zone that is steered and signed", goesOut("both.example.", "192.0.2.1"))
	if got := took(at, new(dns.Msg).SetAxfr("kept.example."), true); got != "dns: bad xfr rcode: 5" {
		t.Errorf("AXFR of a zone that is steered = %s, want REFUSED", got)
	}
	generation := h.replica.State().Generation()
	if got, want := serialOf(at, "given.example."), 1+uint32(generation); got != want {
		t.Errorf("serial %d in generation %d, want %d", got, generation, want)
	}
	// Others are told of a version when the answers show it, not before.
	plan := h.snapshot.Load().Plan
	if z := zoneOf(plan.World, "given.example."); h.transfers.outgoing(plan, z) == nil {
		t.Error("others are told of nothing, though the answers show the version")
	} else if v := h.transfers.outgoing(plan.WithSerials(map[string]uint32{z.Static.Apex: 1}), z); v != nil {
		t.Errorf("others are told of serial %d, which the answers do not show", v.Serial())
	}
	file := filepath.Join(t.TempDir(), "both.zone")
	var text strings.Builder
	for _, rr := range wholeOf(at, "both.example.")[1:] {
		fmt.Fprintln(&text, rr)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	verified(t, file, time.Now())

	// A pool that changes is another version, which needs no new serial in the file.
	write(t, filepath.Join(n.World, "transfer.yaml"), fmt.Sprintf(world, 2))
	h.Reload()
	eventually(t, "the change", goesOut("given.example.", "192.0.2.2"))
	eventually(t, "the change, signed", goesOut("both.example.", "192.0.2.2"))
	if got, want := serialOf(at, "given.example."), 2+uint32(generation); got != want {
		t.Errorf("after a change the serial is %d, want %d", got, want)
	}
	eventually(t, "the difference", func() bool {
		return took(at, new(dns.Msg).SetIxfr("given.example.", 1+uint32(generation), ".", "."), true) == "A A SOA SOA SOA SOA"
	})
}

// Without keys, or without voters who agree on what is in a steered zone, nothing goes out, and the serial is that of the file.
func TestNothingGoesOutBeforeItIsKnown(t *testing.T) {
	n := newTransferNode(t, `
zones:
  given.example: {file: given.zone, dnssec: {}, transfer: {allow: [{key: peer.example}]}}
  steered.example: {file: given.zone, steer: {api: {pool: failover}}, transfer: {steered: defaults, allow: [{key: peer.example}]}}
`)
	keys := filepath.Dir(n.Key)
	n.Voters, n.Roles, n.Name = nil, health.RoleDNS, "edge"
	n.Certificate, n.Key = filepath.Join(keys, "edge.crt"), filepath.Join(keys, "edge.key")
	issue(t, keys, pki.Identity{Name: n.Name, Region: n.Region, Roles: n.Roles})
	write(t, filepath.Join(n.World, "given.zone"), fmt.Sprintf(givenZone, 7, 1))
	h, _ := startGood(t, n)
	at := h.dns.Addrs()[0]
	for _, apex := range []string{"given.example.", "steered.example."} {
		if got := took(at, new(dns.Msg).SetAxfr(apex), true); got != "dns: bad xfr rcode: 2" {
			t.Errorf("AXFR of %s = %s, want SERVFAIL", apex, got)
		}
		if got := serialOf(at, apex); got != 7 {
			t.Errorf("serial of %s = %d, want 7", apex, got)
		}
	}
}
