//go:build linux

package validate_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
	"github.com/meridian-gslb/meridian/dns/dnssec"
)

const (
	rollTTL = 5 // seconds, of all that resolvers hold while keys are replaced but the keys: these longer than a step takes

	introduce = "key roll shop.example introduce --dir keys --nameservers 10.53.0.3 --parents 10.53.0.2 " +
		"--dnskey-ttl 15s --max-ttl 5s --ds-ttl 5s --propagation 1s"
)

// A zone gets into the chain of trust, and its ZSK and KSK are replaced, by the real program: `meridian key roll` asks the nameserver
// and the parent, and takes the next step when it is time. Every resolver is asked all the while, for names that it knows and for
// names that it does not. In the end the keys are replaced as they must not be, which the resolvers notice.
func TestKeyRolls(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: rolls in the lab of validating resolvers take minutes")
	}
	s := subject{name: "Meridian", signed: true, compact: true, serve: func(t *testing.T, l *lab, z peers.Zone) {
		world := strings.Replace(steering, "policy: weighted\n", fmt.Sprintf("policy: weighted\n    ttl: %ds\n", rollTTL), 1) + "    dnssec: {}\n"
		startMeridian(t, l, world, steered.ReplaceAllString(z.Text, ""), "}\ndns: {keys: keys", "key make shop.example --dir keys", introduce)
	}}
	r := &roller{t: t, lab: build(t, s, rollTTL)}
	r.lab.delegate(t, "") // as it is before there is a DS
	r.resolvers = r.lab.resolve(t)
	r.forget()
	r.ask(false)
	first := r.keys()

	r.until("sign", "announce", "steady")
	for i, at := range r.resolvers {
		r.lab.within(t, 15*time.Second, resolvers[i].name+": the zone is secure", func() bool {
			m, err := r.lab.ask(at, "www.shop.example.", dns.TypeA)
			return err == nil && m.AuthenticatedData
		})
	}
	r.secure = true

	r.lab.meridian(t, "key roll shop.example zsk --dir keys")
	r.until("zsk-publish", "zsk-sign", "zsk-remove", "steady")
	second := r.keys()
	if same := common(first, second); len(first) != 2 || len(second) != 2 || len(same) != 1 || !strings.Contains(same[0], "257 3") {
		t.Errorf("keys\n%q after the roll of the ZSK, before\n%q, want another ZSK", second, first)
	}
	r.lab.meridian(t, "key roll shop.example ksk --dir keys")
	r.until("ksk-announce", "ksk-swap", "ksk-withdraw", "steady")
	third := r.keys()
	if same := common(second, third); len(third) != 2 || len(same) != 1 || !strings.Contains(same[0], "256 3") {
		t.Errorf("keys\n%q after the roll of the KSK, before\n%q, want another KSK", third, second)
	}

	for _, name := range r.files("keys/Kshop*", "keys/shop*") {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	r.lab.meridian(t, "key make shop.example --dir keys")
	r.touch()
	for i, at := range r.resolvers {
		r.lab.within(t, 30*time.Second, resolvers[i].name+": notices keys that nobody vouches for", func() bool {
			m, err := r.lab.ask(at, "www.shop.example.", dns.TypeA)
			return err == nil && m.Rcode == dns.RcodeServerFailure
		})
	}
}

// A roller is who replaces keys, and the registry.
type roller struct {
	t         *testing.T
	lab       *lab
	resolvers []netip.AddrPort
	ds        string // that the top level has
	secure    bool   // resolvers are to find the zone so
	asked     int
	touched   int
}

// forget has the keys' state forget that caches may hold something by the TTLs that every state begins with: an hour, and a day of the
// parent's DS.
func (r *roller) forget() {
	r.t.Helper()
	const file = "keys/shop.example.keys.json"
	data, err := os.ReadFile(filepath.Join(r.lab.dir, file))
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := dnssec.Decode(data)
	if err != nil {
		r.t.Fatal(err)
	}
	s.Peak = s.Limits.TTLs
	peers.Write(r.t, r.lab.dir, file, string(s.Encode()))
}

// until goes on with what is under way until the keys have been at all stages, in this order and at no other.
func (r *roller) until(stages ...string) {
	r.t.Helper()
	var passed []string
	for end := time.Now().Add(2 * time.Minute); !slices.Equal(passed, stages); time.Sleep(100 * time.Millisecond) { // the programs live in real time
		said := r.lab.meridian(r.t, "key roll shop.example --dir keys")
		_, text, _ := strings.Cut(said, "is at ")
		stage, _, _ := strings.Cut(text, ":")
		if len(passed) == 0 || passed[len(passed)-1] != stage {
			passed = append(passed, stage)
			r.touch()
			r.t.Logf("%s after %d answers", stage, 5*r.asked)
		}
		if time.Now().After(end) || len(passed) > len(stages) || !slices.Equal(passed, stages[:len(passed)]) {
			r.t.Fatalf("passed %q, want %q; the last word is\n%s", passed, stages, said)
		}
		r.register(stage)
		r.ask(r.secure)
	}
}

// register gives the top level the DS that the program calls for. At some stages it calls for none.
func (r *roller) register(stage string) {
	r.t.Helper()
	if stage == "sign" {
		return
	}
	if ds := r.lab.meridian(r.t, "key ds shop.example --dir keys"); ds != r.ds {
		r.lab.delegate(r.t, ds)
		r.ds = ds
	}
}

// touch has the program look at its keys now, and not at the next time that it does so by itself.
func (r *roller) touch() {
	r.t.Helper()
	r.touched++
	peers.Write(r.t, r.lab.dir, "world/touched.yaml", fmt.Sprintf("# %d\n", r.touched))
}

// ask asks every resolver.
func (r *roller) ask(secure bool) {
	r.t.Helper()
	for i, at := range r.resolvers {
		r.asked++
		for _, q := range []question{
			{name: "www.shop.example.", qtype: dns.TypeA, count: 1},
			{name: "api.shop.example.", qtype: dns.TypeA, count: 1},
			{name: "only4.shop.example.", qtype: dns.TypeAAAA},
			{name: fmt.Sprintf("x%d.wild.shop.example.", r.asked), qtype: dns.TypeA, count: 1},
			{name: fmt.Sprintf("x%d.shop.example.", r.asked), qtype: dns.TypeA},
		} {
			m, err := r.lab.ask(at, q.name, q.qtype)
			if err != nil { // a lost datagram, or a busy machine: not what this is about
				m, err = r.lab.ask(at, q.name, q.qtype)
			}
			if err != nil || m.Rcode != dns.RcodeSuccess && secure || m.Rcode == dns.RcodeServerFailure || len(m.Answer)-signatures(m.Answer) != q.count || secure && !m.AuthenticatedData {
				r.t.Fatalf("%s: %s %s = %v, %v, want %d records, secure: %t", resolvers[i].name, q.name, dns.Type(q.qtype), m, err, q.count, secure)
			}
		}
	}
}

// keys are those that the nameserver publishes.
func (r *roller) keys() (keys []string) {
	r.t.Helper()
	m, err := r.lab.ask(subjectAddress, apex, dns.TypeDNSKEY)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, rr := range m.Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, key.String())
		}
	}
	return keys
}

func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

func (r *roller) files(patterns ...string) (files []string) {
	r.t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(r.lab.dir, pattern))
		if err != nil {
			r.t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}
