package zonekeys

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/dnssec"
)

// The rolls are played in the past, so that tools that read the clock see all times in the key files as over.
var begin = time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Second)

const plainZone = "example. 3600 IN SOA ns.example. admin.example. 7 7200 900 1209600 300\nexample. 3600 IN NS ns.example.\nns.example. 3600 IN A 192.0.2.1\n"

// A stage set of servers: the nameserver serves what a signer makes of the key files at a time, the parent has what it was given.
type servers struct {
	t      *testing.T
	dir    string
	now    time.Time
	sign   func(t *testing.T, dir string, now time.Time) []dns.RR
	zone   []dns.RR
	ds     []dns.RR
	broken map[string]bool
}

func (s *servers) ask(_ context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	if s.broken[server] {
		return nil, errors.New("no answer")
	}
	answer := new(dns.Msg).SetReply(question)
	answer.Authoritative = true
	from := s.zone
	if server == "parent" {
		from = s.ds
	}
	for _, rr := range from {
		sig, is := rr.(*dns.RRSIG)
		if q := question.Question[0]; rr.Header().Name == q.Name && (rr.Header().Rrtype == q.Qtype || is && sig.TypeCovered == q.Qtype) {
			answer.Answer = append(answer.Answer, rr)
		}
	}
	return answer, nil
}

// resign serves what the key files say now, and resets the parent to what CDS says.
func (s *servers) resign() { s.zone = s.sign(s.t, s.dir, s.now) }

func (s *servers) registry() {
	s.ds = nil
	for _, rr := range s.zone {
		if cds, ok := rr.(*dns.CDS); ok && cds.Algorithm != 0 {
			ds := &dns.DS{Hdr: cds.Hdr, KeyTag: cds.KeyTag, Algorithm: cds.Algorithm, DigestType: cds.DigestType, Digest: cds.Digest}
			ds.Hdr.Rrtype = dns.TypeDS
			s.ds = append(s.ds, ds)
		}
	}
	s.vouch(s.now)
}

// vouch has the parent, which is the root, sign its DS set.
func (s *servers) vouch(now time.Time) {
	s.t.Helper()
	s.ds = slices.DeleteFunc(s.ds, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeDS })
	if len(s.ds) == 0 {
		return
	}
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600}, Flags: 256, Protocol: 3, Algorithm: dns.ED25519}
	private, err := key.Generate(256)
	if err != nil {
		s.t.Fatal(err)
	}
	sig := &dns.RRSIG{Hdr: dns.RR_Header{Ttl: 3600}, Algorithm: dns.ED25519, KeyTag: key.KeyTag(), SignerName: ".",
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(30 * 24 * time.Hour).Unix())}
	if err := sig.Sign(private.(ed25519.PrivateKey), s.ds); err != nil {
		s.t.Fatal(err)
	}
	s.ds = append(s.ds, sig, key)
}

// byTimes signs as the times in the key files say, as BIND would.
func byTimes(t *testing.T, dir string, now time.Time) []dns.RR {
	keys, err := Load(dir, "example.")
	if err != nil {
		t.Fatal(err)
	}
	set := &dnssec.KeySet{TTL: 3600}
	zsk := slices.ContainsFunc(keys, func(k *dnssec.Key) bool { return k.Flags == dnssec.FlagsZSK })
	for _, k := range keys {
		if holds(k.Timing.Publish, k.Timing.Delete, now) {
			set.Published = append(set.Published, k)
		}
		if holds(k.Timing.Activate, k.Timing.Inactive, now) {
			if k.Flags == dnssec.FlagsKSK {
				set.KeySigners = append(set.KeySigners, k)
			}
			if k.Flags == dnssec.FlagsZSK || !zsk {
				set.Signers = append(set.Signers, k)
			}
		}
		if holds(k.Timing.SyncPublish, k.Timing.SyncDelete, now) {
			set.Announced = append(set.Announced, k)
		}
	}
	state, err := LoadState(dir, "example.", now)
	if err != nil {
		t.Fatal(err)
	}
	set.Withdraw = state.Stage == dnssec.Delete || state.Stage == dnssec.Insecure // BIND has no time for that
	var sets []dnssec.Set
	var rrs []dns.RR
	parser := dns.NewZoneParser(strings.NewReader(plainZone), "", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		owner, err := dnssec.WireName(rr.Header().Name)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, dnssec.Set{Owner: owner, Records: dnssec.AppendRecord(nil, rr.Header().Rrtype, rr.Header().Ttl, rdata(rr))})
		rrs = append(rrs, rr)
	}
	if !set.Signed() {
		return rrs
	}
	apex, err := dnssec.WireName("example.")
	if err != nil {
		t.Fatal(err)
	}
	rrs = nil
	err = dnssec.SignZone(apex, sets, dnssec.Signing{Keys: set, Now: now, Validity: dnssec.DefaultValidity}, func(set dnssec.Set) error {
		for rest := set.Records; len(rest) > 0; {
			end := 12 + int(rest[10])<<8 + int(rest[11])
			rr, _, err := dns.UnpackRR(append(slices.Clone(set.Owner), rest[2:end]...), 0)
			if err != nil {
				return err
			}
			rrs, rest = append(rrs, rr), rest[end:]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rrs
}

// byBIND signs with dnssec-signzone -S, which obeys the times in the key files.
func byBIND(t *testing.T, dir string, now time.Time) []dns.RR {
	file := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(file, []byte(plainZone), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-S", "-K", dir, "-d", filepath.Dir(file), "-o", "example.", "-s", "20200101000000", "-e", "20480101000000", "-f", file + ".signed", file}
	keys, err := Load(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(keys, func(k *dnssec.Key) bool { return k.Flags == dnssec.FlagsZSK }) {
		args = append([]string{"-z"}, args...) // a CSK signs all
	}
	out, err := exec.Command("dnssec-signzone", args...).CombinedOutput()
	if strings.Contains(string(out), "failed to find keys at the zone apex") {
		return byTimes(t, dir, now)
	}
	if err != nil {
		t.Fatalf("dnssec-signzone: %v\n%s", err, out)
	}
	signed, err := os.Open(file + ".signed")
	if err != nil {
		t.Fatal(err)
	}
	defer signed.Close()
	var rrs []dns.RR
	parser := dns.NewZoneParser(signed, "", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		rrs = append(rrs, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return rrs
}

func makeKeys(t *testing.T, dir string, flags ...uint16) {
	t.Helper()
	for i, f := range flags {
		k, err := dnssec.New("example.", f, dnssec.ECDSAP256SHA256, rand.NewChaCha8([32]byte{byte(i)}), begin)
		if err != nil {
			t.Fatal(err)
		}
		if err := Create(dir, k); err != nil {
			t.Fatal(err)
		}
	}
}

// roll calls Roll and serves what it says.
func (s *servers) roll(kind dnssec.EventKind) (*dnssec.State, []string) {
	s.t.Helper()
	state, notes, err := Roll(context.Background(), s.dir, "example.", Orders{Kind: kind, Nameservers: []string{"ns"}, Parents: []string{"parent"}},
		s.now, rand.NewChaCha8([32]byte{byte(s.now.Unix()), 9}), s.ask)
	if err != nil {
		s.t.Fatalf("%s: %v (%v)", kind, err, notes)
	}
	return state, notes
}

// through goes on, a step each 13 h, until the keys are at a stage; it returns the stages on the way.
func (s *servers) through(kind dnssec.EventKind, until dnssec.Stage) string {
	s.t.Helper()
	state, _ := s.roll(kind)
	way := []string{string(state.Stage)}
	for range 20 {
		s.resign()
		s.registry()
		s.now = s.now.Add(13 * time.Hour)
		var notes []string
		if state, notes = s.roll(""); len(notes) > 0 {
			s.t.Fatalf("at %s: %v", state.Stage, notes)
		}
		if way[len(way)-1] != string(state.Stage) {
			way = append(way, string(state.Stage))
		}
		if state.Stage == until && len(state.Waits()) == 0 {
			s.resign()
			return strings.Join(way, " ")
		}
	}
	s.t.Fatalf("%s: came to %v, never to %s", kind, way, until)
	return ""
}

// Whole lives of zones, by the files alone: what the times in them make a signer do is what Roll expects to see.
func TestRollsByFiles(t *testing.T) {
	for _, signer := range []struct {
		name string
		sign func(*testing.T, string, time.Time) []dns.RR
	}{{"ours", byTimes}, {"dnssec-signzone", byBIND}} {
		t.Run(signer.name, func(t *testing.T) {
			if signer.name != "ours" {
				if _, err := exec.LookPath(signer.name); err != nil {
					t.Skipf("SKIPPED: %s is not installed (Debian: bind9-utils)", signer.name)
				}
			}
			for _, tt := range []struct {
				flags []uint16
				roll  []dnssec.EventKind
				want  []string
			}{
				{[]uint16{dnssec.FlagsKSK, dnssec.FlagsZSK}, []dnssec.EventKind{dnssec.RollZSK, dnssec.RollKSK},
					[]string{"zsk-publish zsk-sign zsk-remove steady", "ksk-announce ksk-swap ksk-withdraw steady"}},
				{[]uint16{dnssec.FlagsKSK}, []dnssec.EventKind{dnssec.RollCSK}, []string{"csk-publish csk-sign csk-withdraw steady"}},
			} {
				s := &servers{t: t, dir: t.TempDir(), now: begin, sign: signer.sign}
				makeKeys(t, s.dir, tt.flags...)
				s.resign()
				if got := s.through(dnssec.Introduce, dnssec.Steady); got != "sign announce steady" {
					t.Errorf("introduced by %s", got)
				}
				for i, kind := range tt.roll {
					if got := s.through(kind, dnssec.Steady); got != tt.want[i] {
						t.Errorf("%s by %s, want %s", kind, got, tt.want[i])
					}
				}
				if signer.name != "ours" {
					continue // it has no way to say CDS 0 0 0 00 by times
				}
				if got := s.through(dnssec.DeleteDS, dnssec.Insecure); got != "delete insecure" {
					t.Errorf("left by %s", got)
				}
				if got := s.through(dnssec.Remove, dnssec.Unsigned); got != "unsign unsigned" {
					t.Errorf("removed by %s", got)
				}
				if len(s.zone) != 3 {
					t.Errorf("the zone is still signed: %v", s.zone)
				}
			}
		})
	}
}

func TestRollSaysWhatIsWrong(t *testing.T) {
	s := &servers{t: t, dir: t.TempDir(), now: begin, sign: byTimes, broken: map[string]bool{}}
	makeKeys(t, s.dir, dnssec.FlagsKSK, dnssec.FlagsZSK)
	s.resign()
	state, notes := s.roll(dnssec.Introduce)
	if len(notes) > 0 || state.Waits()[0].Text != "waits for nameserver ns, which serves generation 0, not 1" {
		t.Errorf("introduced: %v, %v", notes, state.Waits())
	}
	for _, tt := range []struct {
		why  string
		do   func()
		want string
	}{
		{"not signed yet", func() {}, "nameserver ns: DNSKEY: its 0 records are not the 2 of the key files"},
		{"no answer", func() { s.broken["ns"] = true }, "nameserver ns: no answer"},
		{"parent gives no answer", func() { s.broken = map[string]bool{"parent": true}; s.resign() }, "server parent of the parent: no answer"},
		{"a large TTL", func() {
			s.broken = nil
			for _, rr := range s.zone {
				if rr.Header().Rrtype == dns.TypeDNSKEY {
					rr.Header().Ttl = 7200
				}
			}
		}, "nameserver ns: DNSKEY: the TTL is 7200, want at most 3600 (--dnskey-ttl)"},
		{"no signature over the SOA", func() {
			s.resign()
			s.zone = slices.DeleteFunc(s.zone, func(rr dns.RR) bool {
				sig, ok := rr.(*dns.RRSIG)
				return ok && sig.TypeCovered == dns.TypeSOA
			})
		}, fmt.Sprintf("nameserver ns: SOA: not signed by key %d", state.Keys[1].Tag)},
		{"a changed SOA", func() {
			s.resign()
			s.zone[slices.IndexFunc(s.zone, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })].(*dns.SOA).Serial++
		}, fmt.Sprintf("nameserver ns: SOA: signature by key %d: dns: bad signature", state.Keys[1].Tag)},
		{"a signature by a key that is not published", func() {
			s.resign()
			sig := dns.Copy(s.zone[slices.IndexFunc(s.zone, func(rr dns.RR) bool { sig, ok := rr.(*dns.RRSIG); return ok && sig.TypeCovered == dns.TypeSOA })]).(*dns.RRSIG)
			sig.KeyTag = 1
			s.zone = append(s.zone, sig)
		}, "nameserver ns: SOA: signed by key 1, which is not published"},
		{"signatures of long ago", func() { s.now = s.now.Add(15 * 24 * time.Hour) }, "nameserver ns: DNSKEY: the signature by key"},
	} {
		tt.do()
		if _, notes := s.roll(""); len(notes) != 1 || !strings.HasPrefix(notes[0], tt.want) {
			t.Errorf("%s: %q, want %s", tt.why, notes, tt.want)
		}
	}
	// A roll while this is under way is refused, and leaves no key behind.
	before, err := Load(s.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Roll(context.Background(), s.dir, "example.", Orders{Kind: dnssec.RollZSK}, s.now, rand.NewChaCha8([32]byte{8}), s.ask)
	if after, lerr := Load(s.dir, ""); !errors.Is(err, dnssec.ErrBusy) || lerr != nil || len(after) != len(before) {
		t.Errorf("a roll during another: %v, %d keys (%v), want %d", err, len(after), lerr, len(before))
	}
}

// Private files that others can read, files of other keys, and states of other zones are refused.
func TestFilesRefused(t *testing.T) {
	dir := t.TempDir()
	makeKeys(t, dir, dnssec.FlagsKSK)
	keys, err := Load(dir, "EXAMPLE")
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	base := filepath.Join(dir, keys[0].Name())
	if err := Create(dir, keys[0]); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if info, err := os.Stat(base + ".private"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("private file: %v, %v", info.Mode(), err)
	}
	for _, tt := range []struct {
		why, want string
		do        func() error
	}{
		{"readable", ".private has the mode 0640: others can read it, want 0600", func() error { return os.Chmod(base+".private", 0o640) }},
		{"renamed", "Kexample.+013+00001.key holds the key " + keys[0].Name(), func() error {
			return errors.Join(os.Rename(base+".key", filepath.Join(dir, "Kexample.+013+00001.key")), os.Remove(base+".private"))
		}},
	} {
		if err := tt.do(); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, "example."); err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.why, err, tt.want)
		}
	}
	other, err := dnssec.NewState("other.", begin)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "example.keys.json"), other.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadState(dir, "example.", begin); err == nil || !strings.HasSuffix(err.Error(), "is of zone other., not example.") {
		t.Errorf("state of another zone: %v", err)
	}
}

func TestDuring(t *testing.T) {
	early, late := begin.Add(-time.Hour), begin.Add(time.Hour)
	for _, tt := range []struct {
		why                        string
		from, to, wantFrom, wantTo time.Time
		on                         bool
	}{
		{"begins", time.Time{}, time.Time{}, begin, time.Time{}, true},
		{"goes on", early, time.Time{}, early, time.Time{}, true},
		{"goes on past its end in the file", early, late, early, time.Time{}, true},
		{"begins again", early, begin, begin, time.Time{}, true},
		{"begins before its time in the file", late, time.Time{}, begin, time.Time{}, true},
		{"ends", early, time.Time{}, early, begin, false},
		{"ends before its time in the file", early, late, early, begin, false},
		{"ended before", early, early, early, early, false},
		{"never begins", late, time.Time{}, time.Time{}, time.Time{}, false},
	} {
		during(&tt.from, &tt.to, tt.on, begin)
		if tt.from != tt.wantFrom || tt.to != tt.wantTo {
			t.Errorf("%s: from %v to %v, want %v, %v", tt.why, tt.from, tt.to, tt.wantFrom, tt.wantTo)
		}
	}
}

func TestAskTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.Authoritative = q.Question[0].Name == "example."
		if err := w.WriteMsg(r); err != nil {
			t.Error(err)
		}
	})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	defer func() {
		if err := errors.Join(server.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	}()
	ask := Ask(AskTCP)
	if set, _, err := ask.SeenDS(context.Background(), l.Addr().String(), "example.", begin); err != nil || len(set) > 0 {
		t.Errorf("DS of example.: %v, %v", set, err)
	}
	if _, _, err := ask.SeenDS(context.Background(), l.Addr().String(), "other.", begin); err == nil || !strings.Contains(err.Error(), "other. DS: answers NOERROR, authoritative: false") {
		t.Errorf("a server that is no authority: %v", err)
	}
}
