package outgoing

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

const worldText = `
regions: {us-east: {coordinates: [39, -77.5]}}
pools: {api: {policy: weighted, members: [{endpoint: a, region: us-east, address: [192.0.2.1, "2001:db8::1"]}, {endpoint: b, region: us-east, address: 192.0.2.2}]}}
zones:
  signed.example: {file: zone, dnssec: {}, transfer: {allow: [{key: peer}]}}
  steered.example: {file: zone, steer: {api: {pool: api}, "@": {pool: api}, "*.wild": {pool: api}}, transfer: {steered: defaults, allow: [{key: peer}]}}
  both.example: {file: zone, steer: {api: {pool: api}, "@": {pool: api}, "*.wild": {pool: api}}, dnssec: {}, transfer: {steered: defaults, allow: [{key: peer}]}}
  plain.example: {file: zone, transfer: {allow: [{key: peer}]}}
  kept.example: {file: zone, dnssec: {}}
  refused.example: {file: zone, steer: {api: {pool: api}}, dnssec: {}, transfer: {allow: [{key: peer}]}}
`

const zoneText = `$TTL 300
@ SOA ns1 admin 2026030101 7200 900 432000 60
@ NS ns1
@ NS ns2.example.net.
ns1 A 192.0.2.53
WWW CNAME api.example.net.
*.text TXT "wild"
deep.under.ent MX 10 Mail
mail AAAA 2001:db8::25
secure NS ns.secure
secure DS 20326 13 2 e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d
ns.secure A 192.0.2.54
insecure NS ns.insecure
ns.insecure A 192.0.2.55
old DNAME new
_443._tcp.www TLSA 3 1 1 abcdef
big TXT "0123456789"
`

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func planOf(t testing.TB, world, zone string) *zones.Plan {
	t.Helper()
	parsed, err := zones.Parse(zones.FileMap{"w.yaml": []byte(world), "zone": []byte(zone)})
	if err != nil {
		t.Fatal(err)
	}
	var b geo.Builder
	plan, err := parsed.Compile(b.Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// keysOf are the keys of a generation; an odd one has another ZSK.
func keysOf(t testing.TB, zone string, generation uint64) *dnssec.KeySet {
	t.Helper()
	key := func(flags uint16, seed byte) *dnssec.Key {
		k, err := dnssec.New(zone, flags, dnssec.ECDSAP256SHA256, rand.NewChaCha8([32]byte{seed}), begin)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ksk, zsk := key(dnssec.FlagsKSK, 1), key(dnssec.FlagsZSK, 2+byte(generation%2))
	return &dnssec.KeySet{Generation: generation, TTL: 3600, Published: []*dnssec.Key{ksk, zsk}, KeySigners: []*dnssec.Key{ksk},
		Signers: []*dnssec.Key{zsk}, Announced: []*dnssec.Key{ksk}}
}

// agreed is the control state after some changes, of which the last is what the plan says.
func agreed(t testing.TB, plan *zones.Plan, changes int) *control.State {
	t.Helper()
	state := control.New(1)
	for i := range changes {
		definitions := plan.World.Definitions
		if i < changes-1 {
			definitions = control.Definitions{Contents: []control.Content{{Zone: "steered.example.", Digest: uint64(i)}}}
		}
		var res control.Result
		state, res = state.Apply(uint64(i+1), control.Command{Kind: control.KindDefine, Actor: "a", Reason: "r", Time: begin, Definitions: &definitions})
		if res.Err() != nil {
			t.Fatal(res.Err())
		}
	}
	return state
}

func source(t testing.TB, plan *zones.Plan, apex string, now time.Time) *Source {
	t.Helper()
	i := slices.IndexFunc(plan.World.Zones, func(z zones.Zone) bool { return z.Apex == apex })
	return &Source{Plan: plan, Zone: &plan.World.Zones[i], Control: agreed(t, plan, 3), Keys: keysOf(t, apex, 2), Now: now, Fit: true}
}

func made(t testing.TB, s *Source, before *Version) *Version {
	t.Helper()
	v, err := s.Make(before, func() bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func textsOf(v *Version) (texts []string) {
	for rr := range v.Records {
		texts = append(texts, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	return texts
}

func TestWanted(t *testing.T) {
	var got []string
	plan := planOf(t, worldText, zoneText)
	for i := range plan.World.Zones {
		if z := &plan.World.Zones[i]; Wanted(z) {
			got = append(got, z.Apex)
		}
	}
	if want := []string{"both.example.", "signed.example.", "steered.example."}; !slices.Equal(got, want) {
		t.Errorf("wanted %v, want %v", got, want)
	}
}

// What makes a new version raises its serial, and what is equal on all nodes is all that does.
func TestSerial(t *testing.T) {
	plan := planOf(t, worldText, zoneText)
	_, began := source(t, plan, "signed.example.", begin).day()
	const days = 20513 * 100 // until begin
	if _, other := source(t, plan, "both.example.", begin).day(); other.Equal(began) {
		t.Errorf("the days of two zones begin at %v", began)
	}
	for _, tt := range []struct {
		name, apex string
		change     func(*Source)
		want       uint32
		err        error
	}{
		{"signed", "signed.example.", func(*Source) {}, 2026030101 + days + 2, nil},
		{"signed, just after its day began", "signed.example.", func(s *Source) { s.Now = began }, 2026030101 + days + 2, nil},
		{"signed, just before its day ends", "signed.example.", func(s *Source) { s.Now = began.Add(day - time.Second) }, 2026030101 + days + 2, nil},
		{"signed, the next day", "signed.example.", func(s *Source) { s.Now = began.Add(day) }, 2026030101 + days + 102, nil},
		{"signed, by other keys", "signed.example.", func(s *Source) { s.Keys.Generation = 7 }, 2026030101 + days + 7, nil},
		{"signed no more", "signed.example.", func(s *Source) { s.Keys = &dnssec.KeySet{Generation: 9} }, 2026030101 + days + 9, nil},
		{"signed, without keys", "signed.example.", func(s *Source) { s.Keys = nil }, 0, ErrNoKeys},
		{"signed, by a clock that is off", "signed.example.", func(s *Source) { s.Fit = false }, 0, ErrClock},
		{"signed, whatever was agreed", "signed.example.", func(s *Source) { s.Control = nil }, 2026030101 + days + 2, nil},
		{"signed, another file", "signed.example.", func(s *Source) {
			s.Zone = source(t, planOf(t, worldText, strings.Replace(zoneText, "2026030101", "4294967295", 1)), "signed.example.", begin).Zone
		},
			days + 1, nil},
		{"steered", "steered.example.", func(*Source) {}, 2026030101 + 3, nil},
		{"steered, any day, without keys or a clock", "steered.example.", func(s *Source) { s.Now, s.Keys, s.Fit = begin.Add(99*day), nil, false }, 2026030101 + 3, nil},
		{"steered, the next generation", "steered.example.", func(s *Source) { s.Control = agreed(t, plan, 4) }, 2026030101 + 4, nil},
		{"steered, nothing known of the voters", "steered.example.", func(s *Source) { s.Control = nil }, 0, ErrNotAgreed},
		{"steered, the voters have something else", "steered.example.", func(s *Source) {
			s.Control = agreed(t, planOf(t, strings.Replace(worldText, "192.0.2.2", "192.0.2.3", 1), zoneText), 3)
		}, 0, ErrNotAgreed},
		{"steered and signed", "both.example.", func(*Source) {}, 2026030101 + 3 + 2 + days, nil},
	} {
		s := source(t, plan, tt.apex, begin)
		tt.change(s)
		if got, err := s.Serial(); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: Serial() = %d, %v, want %d, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// Versions hold what they must, are the same on every node, and the validators of others find them good until a secondary has thrown them
// away.
func TestVersions(t *testing.T) {
	plan := planOf(t, worldText, zoneText)
	for _, apex := range []string{"signed.example.", "steered.example.", "both.example."} {
		s := source(t, plan, apex, begin)
		v := made(t, s, nil)
		texts := textsOf(v)
		if serial, _ := s.Serial(); v.Serial() != serial || !strings.Contains(texts[0], fmt.Sprintf("SOA ns1.%s admin.%[1]s %d ", apex, serial)) {
			t.Errorf("%s: serial %d and first record %s, want those of %d", apex, v.Serial(), texts[0], serial)
		}
		if v.Apex() != apex {
			t.Errorf("%s: apex %s", apex, v.Apex())
		}
		for record, want := range map[string]bool{
			"ns1." + apex + " 300 IN A 192.0.2.53":                             true,
			"ns.insecure." + apex + " 300 IN A 192.0.2.55":                     true,
			"api." + apex + " 30 IN A 192.0.2.1":                               apex != "signed.example.",
			"api." + apex + " 30 IN A 192.0.2.2":                               apex != "signed.example.",
			"api." + apex + " 30 IN AAAA 2001:db8::1":                          apex != "signed.example.",
			apex + " 30 IN A 192.0.2.1":                                        apex != "signed.example.",
			"*.wild." + apex + " 30 IN A 192.0.2.1":                            apex != "signed.example.",
			"insecure." + apex + " 60 IN NSEC mail." + apex + " NS RRSIG NSEC": apex != "steered.example.",
		} {
			if got := slices.Contains(texts, record); got != want {
				t.Errorf("%s: has %s: %v, want %v", apex, record, got, want)
			}
		}
		if again := textsOf(made(t, source(t, planOf(t, worldText, zoneText), apex, begin.Add(time.Minute)), nil)); !slices.Equal(again, texts) {
			t.Errorf("%s: another node makes another version", apex)
		}
		if apex != "steered.example." {
			_, began := s.day()
			validated(t, apex, texts, began, true)
			validated(t, apex, texts, began.Add(day+zones.GivenLife), true)
			validated(t, apex, texts, began.Add(dnssec.DefaultValidity+day), false)
		}
	}
}

// validated has the validator of NLnet Labs look at a zone at a time.
func validated(t *testing.T, apex string, texts []string, at time.Time, want bool) {
	t.Helper()
	if _, err := exec.LookPath("ldns-verify-zone"); err != nil {
		fmt.Printf("SKIPPED a part of %s: ldns-verify-zone is not installed (.ci/deps does that)\n", t.Name())
		return
	}
	file := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(file, []byte(strings.Join(texts, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ldns-verify-zone", "-t", at.UTC().Format("20060102150405"), file).CombinedOutput()
	if (err == nil) != want {
		t.Errorf("%s at %v: ldns-verify-zone finds it good: %v, want %v\n%s", apex, at, err == nil, want, out)
	}
}

// A version that takes signatures from the one before is the one that is made anew.
func TestMakeFromBefore(t *testing.T) {
	plan := planOf(t, worldText, zoneText)
	changed := planOf(t, worldText, strings.NewReplacer("2026030101", "2026030102", "big TXT", "bigger TXT", "192.0.2.53", "192.0.2.99").Replace(zoneText)+"a A 192.0.2.1\nzz 5 TXT \"new\"\n")
	before := made(t, source(t, plan, "both.example.", begin), nil)
	for _, tt := range []struct {
		name string
		s    *Source
	}{
		{"records came and went", source(t, changed, "both.example.", begin)},
		{"days later", source(t, plan, "both.example.", begin.Add(3*day))},
		{"weeks later", source(t, plan, "both.example.", begin.Add(30*day))},
		{"other keys", func() *Source {
			s := source(t, plan, "both.example.", begin)
			s.Keys = keysOf(t, "both.example.", 3)
			return s
		}()},
	} {
		if got, want := textsOf(made(t, tt.s, before)), textsOf(made(t, tt.s, nil)); !slices.Equal(got, want) {
			t.Errorf("%s: from the version before it is another one", tt.name)
		}
	}
	known, taken := before.known(), 0
	for set := range before.sets {
		if rrtype(set) != typeRRSIG && len(known(set)) > 0 {
			taken++
		}
	}
	if taken < 30 {
		t.Errorf("%d signatures of the version before are known, want all", taken)
	}
}

func TestMakeFails(t *testing.T) {
	plan := planOf(t, worldText, zoneText)
	s := source(t, plan, "signed.example.", begin)
	calls := 0
	if _, err := s.Make(nil, func() bool { calls++; return calls < 5 }); !errors.Is(err, errStopped) || calls != 5 {
		t.Errorf("stopped: %v after %d calls, want after 5", err, calls)
	}
	s = source(t, plan, "signed.example.", begin)
	large, zone := *s.Zone.Static, *s.Zone
	large.Count, zone.Static, s.Zone = maxRecords+1, &large, &zone
	if _, err := s.Make(nil, func() bool { return true }); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v, want %v", err, ErrTooLarge)
	}
	s.Keys = nil
	if _, err := s.Make(nil, func() bool { return true }); !errors.Is(err, ErrNoKeys) {
		t.Errorf("no keys: %v, want %v", err, ErrNoKeys)
	}
}

func TestDue(t *testing.T) {
	plan := planOf(t, worldText, zoneText)
	s := source(t, plan, "signed.example.", begin)
	v := made(t, s, nil)
	other := planOf(t, worldText, strings.Replace(zoneText, "2026030101", "7", 1))
	edited := source(t, planOf(t, worldText, strings.Replace(zoneText, "192.0.2.53", "192.0.2.99", 1)), "signed.example.", begin).Zone
	again := source(t, planOf(t, worldText, zoneText), "signed.example.", begin).Zone
	for _, tt := range []struct {
		name   string
		before *Version
		serial uint32
		zone   *zones.Zone
		want   bool
		err    error
	}{
		{"the first", nil, v.serial, s.Zone, true, nil},
		{"the same", v, v.serial, s.Zone, false, nil},
		{"the same, read again", v, v.serial, again, false, nil},
		{"a later one", v, v.serial + 1, s.Zone, true, nil},
		{"the clock went back", v, v.serial - 100, s.Zone, false, nil},
		{"the file went back", v, v.serial - 100, source(t, other, "signed.example.", begin).Zone, true, nil},
		{"the file changed and its serial did not", v, v.serial, edited, false, ErrSerial},
		{"the file changed and the day", v, v.serial + 100, edited, true, nil},
		{"the file changed and the clock went back", v, v.serial - 100, edited, false, ErrSerial},
		{"the file has another serial, which the keys make up for", v, v.serial, source(t, other, "signed.example.", begin).Zone, false, ErrSerial},
	} {
		if got, err := tt.before.Due(tt.serial, tt.zone); got != tt.want || err != tt.err {
			t.Errorf("%s: Due(%d) = %v, %v, want %v, %v", tt.name, tt.serial, got, err, tt.want, tt.err)
		}
	}
}

// A library's own reading of a version is what was put in, over chunks.
func TestVersionOfManySets(t *testing.T) {
	v := &Version{apex: "x."}
	var want []string
	for i := range 60_000 {
		rr, err := dns.NewRR(fmt.Sprintf("n%d.x. 60 IN TXT %q", i/2, strings.Repeat("y", i%200)))
		if err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 512)
		n, err := dns.PackRR(rr, buffer, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		owner := fmt.Sprintf("%c%s\x01x\x00", len(fmt.Sprint("n", i/2)), fmt.Sprint("n", i/2))
		v.add(dnssec.Set{Owner: []byte(owner), Records: append([]byte{0xC0, 12}, buffer[len(owner):n]...)})
		want = append(want, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	if len(v.chunks) < 5 {
		t.Errorf("%d chunks, so borders are not tested", len(v.chunks))
	}
	if got := textsOf(v); !slices.Equal(got, want) {
		t.Error("what is read is not what was put in")
	}
}
