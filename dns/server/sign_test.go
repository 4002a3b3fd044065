package server

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// A lazySigner has no signature until it is made, and keeps none.
type lazySigner struct{ allow func() bool }

func (s lazySigner) Zone(string) (wire.Signing, bool) { return s, true }
func (s lazySigner) Published() []zones.RecordSet     { return nil }
func lazyMaker(allow func() bool) wire.Signer         { return lazySigner{allow} }
func signingOf(rate, network int) Signing             { return Signing{lazySigner{}, lazyMaker, rate, network} }
func (s lazySigner) rrsig(rrtype uint16, b []byte) []byte {
	return append(append(b, 0xC0, 12, 0, byte(dns.TypeRRSIG), 0, 1, 0, 0, 1, 44, 0, 20), append([]byte{0, byte(rrtype)}, make([]byte, 18)...)...)
}

func (s lazySigner) Signatures(_ []byte, set zones.RecordSet) ([]byte, uint16) {
	if s.allow == nil || !s.allow() {
		return nil, 0
	}
	return s.rrsig(set.Type, nil), 1
}

// signedRun serves a zone that is signed when it is asked for.
func signedRun(t *testing.T, signing Signing) *running {
	t.Helper()
	r := run(t, Config{Signing: signing})
	r.snapshot.Store(signedSnapshot(t))
	return r
}

// signedSnapshot publishes a zone whose signatures are made when it is asked for.
func signedSnapshot(t *testing.T) *zones.Snapshot {
	t.Helper()
	world, err := zones.Parse(map[string][]byte{
		"world.yaml": []byte("zones: {example.com: {file: z, dnssec: {}}}"), "z": []byte(zoneFile),
	})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(new(geo.Builder).Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	return plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, time.Unix(0, 0))
}

func signedAsk(t *testing.T, address, protocol, name string) (*dns.Msg, error) {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA).SetEdns0(1232, true)
	c := dns.Client{Net: protocol, Timeout: 20 * time.Second}
	m, _, err := c.Exchange(q, address)
	return m, err
}

// Signatures that are missing are made beside the workers, over any transport, and the answer comes all the same.
func TestMissingSignaturesAreMade(t *testing.T) {
	r := signedRun(t, signingOf(0, 0))
	for i := range 20 {
		for _, protocol := range []string{"udp", "tcp"} {
			m, err := signedAsk(t, r.address, protocol, fmt.Sprintf("n%d.example.com.", i))
			if err != nil {
				t.Fatal(err)
			}
			signatures := 0
			for _, rr := range m.Ns {
				if rr.Header().Rrtype == dns.TypeRRSIG {
					signatures++
				}
			}
			if m.Truncated || signatures != 2 {
				t.Errorf("%s: %d signatures, truncated %v, want those over SOA and NSEC", protocol, signatures, m.Truncated)
			}
		}
	}
}

// Over the budget an answer over UDP sends its client to TCP, and never says SERVFAIL. What needs no signature is not touched.
func TestSigningIsBounded(t *testing.T) {
	r := signedRun(t, signingOf(1, 1))
	truncated := 0
	for i := range 10 {
		m, err := signedAsk(t, r.address, "udp", fmt.Sprintf("n%d.example.com.", i))
		if err != nil {
			t.Fatal(err)
		}
		if m.Truncated {
			truncated++
		}
		if m.Rcode != dns.RcodeSuccess || m.Truncated && len(m.Ns) > 0 {
			t.Errorf("answer %v, want NOERROR, and nothing else in a truncated one", m)
		}
	}
	if truncated < 9 {
		t.Errorf("%d of 10 answers are truncated with a budget of one signature, want 9 at least", truncated)
	}
	if got := ask(t, r.address, "udp", "mail.example.com.", dns.TypeA); got != "NOERROR 192.0.2.25" {
		t.Errorf("a plain answer = %s", got)
	}
}

// The budget goes by the workers, not by how many goroutines may run: a program gives the scheduler one to spare.
// A client that asks for more signatures at once than may be in the making on its connection waits, and loses no answer: those that
// need none come first.
func TestManyMissingSignaturesOnAConnection(t *testing.T) {
	r := run(t, Config{Signing: signingOf(400, 0), UDPWorkers: 1, Limits: Limits{InFlight: 2}})
	r.snapshot.Store(signedSnapshot(t))
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	var queries []byte
	const unsigned = 30
	for i := range unsigned + 1 {
		q := new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.example.com.", i), dns.TypeA).SetEdns0(1232, i < unsigned)
		q.Id = uint16(i)
		b, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		queries = appendFramed(queries, b)
	}
	if _, err := conn.Write(queries); err != nil {
		t.Fatal(err)
	}
	answered := make(map[uint16]bool)
	c := dns.Conn{Conn: conn}
	for range unsigned + 1 {
		m, err := c.ReadMsg()
		if err != nil {
			t.Fatalf("after %d answers: %v", len(answered), err)
		}
		answered[m.Id] = true
	}
	if len(answered) != unsigned+1 {
		t.Errorf("%d different answers, want %d", len(answered), unsigned+1)
	}
}

// What gets no signature in time is left out, and the connection goes on.
func TestConnectionOutlivesWhatIsNotSigned(t *testing.T) {
	r := signedRun(t, Signing{lazySigner{}, func(func() bool) wire.Signer { return lazySigner{} }, 0, 0})
	c, err := (&dns.Client{Net: "tcp", Timeout: 20 * time.Second}).Dial(r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := c.WriteMsg(new(dns.Msg).SetQuestion("nothing.example.com.", dns.TypeA).SetEdns0(1232, true)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return r.metrics(t)["dropped_total{reason=unsigned,transport=tcp}"] == 1 })
	q := new(dns.Msg).SetQuestion("nothing.example.com.", dns.TypeA)
	if err := c.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	if m, err := c.ReadMsg(); err != nil || m.Id != q.Id {
		t.Errorf("the next query: %v, %v, want its answer", m, err)
	}
}

func TestBudgetGoesByWorkers(t *testing.T) {
	for _, workers := range []int{1, 4} {
		s := newServer(Config{UDPWorkers: workers, Signing: Signing{Rate: 100}})
		if want := float64(100 * workers); s.budget.rate != want {
			t.Errorf("budget with %d workers = %v a second, want %v", workers, s.budget.rate, want)
		}
	}
}

// An empty budget is so until there is a whole signature in it again, and no longer.
func TestBudgetFillsAgain(t *testing.T) {
	var b budget
	b.init(Signing{Rate: 10, PerNetwork: 1000}, 1)
	now := time.Duration(0)
	from := netip.MustParseAddr("192.0.2.1")
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, false}, {99 * time.Millisecond, false}, {time.Millisecond, true}, {0, false}, {time.Hour, true}, {0, false}} {
		now += step.after
		if got := b.take(from, now); got != step.want {
			t.Errorf("%v later: taken = %t, want %t", now, got, step.want)
		}
	}
}

// What was taken for a query ahead is not asked for again, what comes after it is, and what nobody needed is there for the next.
func TestGrant(t *testing.T) {
	s := newServer(Config{UDPWorkers: 1, Signing: Signing{Rate: 1, PerNetwork: 1000}})
	s.budget.rate = 1e-9 // one, and the next in thirty years
	from := netip.MustParseAddr("192.0.2.1")
	for round := range 3 {
		if !s.mayMake(from) {
			t.Fatalf("round %d: what was given back is not there", round)
		}
		g := grant{server: s, from: from, taken: true}
		g.end()
	}
	if !s.mayMake(from) {
		t.Fatal("what was given back is not there")
	}
	g := grant{server: s, from: from, taken: true}
	if got := [2]bool{g.allow(), g.allow()}; got != [2]bool{true, false} {
		t.Errorf("with one taken and none left: %v, want one", got)
	}
	if g.end(); s.mayMake(from) {
		t.Error("what was used is given back")
	}
}

// An askedSigner has every signature as soon as somebody asks for it beside the worker: another query has had it made.
type askedSigner struct{ lazySigner }

func (s askedSigner) Zone(string) (wire.Signing, bool) { return s, true }
func (s askedSigner) Signatures(_ []byte, set zones.RecordSet) ([]byte, uint16) {
	return s.rrsig(set.Type, nil), 1
}

// Queries for what is made already, when their turn comes, take nothing from the budget.
func TestWhatOthersHadMadeTakesNothing(t *testing.T) {
	r := signedRun(t, Signing{lazySigner{}, func(func() bool) wire.Signer { return askedSigner{} }, 1000, 5})
	for i := range 50 {
		m, err := signedAsk(t, r.address, "udp", fmt.Sprintf("n%d.example.com.", i))
		if err != nil || m.Truncated {
			t.Fatalf("answer %d: %v, error %v, want one that is whole", i, m, err)
		}
	}
}

// A network has its own bound, and time fills the budget again.
func TestBudget(t *testing.T) {
	var b budget
	b.init(Signing{Rate: 1000, PerNetwork: 5}, 2)
	now := time.Duration(0)
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	took := func(from netip.Addr, n int) (taken int) {
		for range n {
			if b.take(from, now) {
				taken++
			}
		}
		return taken
	}
	if first, second := took(one, 20), took(two, 20); first != 5 || second != 5 {
		t.Errorf("two networks took %d and %d, want 5 each", first, second)
	}
	now += time.Second
	if again := took(one, 20); again != 5 {
		t.Errorf("a second later one took %d, want 5", again)
	}
}
