package server

import (
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zoneFile = `$TTL 300
@      SOA  ns1 hostmaster 1 7200 900 1209600 300
       NS   ns1
       NS   ns2
ns1    A    192.0.2.53
ns2    A    192.0.2.54
mail   A    192.0.2.25
$GENERATE 1-40 big 300 TXT "record-${0,2} 0123456789012345678901234567890123456789"
`

const yamlFile = `
regions:
  eu-west: {coordinates: [53.3, -6.3]}
  us-east: {coordinates: [39.0, -77.5]}
pools:
  api:
    policy: failover
    members:
      - {endpoint: ENDPOINT, region: REGION, address: ADDRESS}
zones:
  example.com: {file: example.com.zone, steer: {api: {pool: api}}}
`

var (
	toEurope  = []string{"ENDPOINT", "euw1", "REGION", "eu-west", "ADDRESS", "192.0.2.20"}
	toAmerica = []string{"ENDPOINT", "use1", "REGION", "us-east", "ADDRESS", "192.0.2.10"}
)

// snapshot publishes a world in which api.example.com has one endpoint.
func snapshot(tb testing.TB, endpoint []string) *zones.Snapshot {
	tb.Helper()
	world, err := zones.Parse(map[string][]byte{
		"world.yaml": []byte(strings.NewReplacer(endpoint...).Replace(yamlFile)), "example.com.zone": []byte(zoneFile),
	})
	if err != nil {
		tb.Fatal(err)
	}
	plan, err := world.Compile(new(geo.Builder).Build(), rtt.New().Orders())
	if err != nil {
		tb.Fatal(err)
	}
	return plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, time.Unix(0, 0))
}

// A running server and what its test turns.
type running struct {
	*Server
	address  string // the first one
	snapshot atomic.Pointer[zones.Snapshot]
	registry *prometheus.Registry
	log      *lockedLog
}

// run serves until the end of the test, on any free port of 127.0.0.1 unless the configuration says otherwise.
func run(t *testing.T, config Config) *running {
	t.Helper()
	r := &running{registry: prometheus.NewPedanticRegistry(), log: new(lockedLog)}
	r.snapshot.Store(snapshot(t, toEurope))
	config.Snapshot, config.Registerer, config.Logger = r.snapshot.Load, r.registry, slog.New(slog.NewTextHandler(r.log, nil))
	if config.Listen == nil {
		config.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	}
	if config.UDPWorkers == 0 {
		config.UDPWorkers = 2
	}
	var err error
	if r.Server, err = Listen(config); err != nil {
		t.Fatal(err)
	}
	r.address = r.Addrs()[0].String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Serve()
	}()
	t.Cleanup(func() {
		r.Close()
		<-done
	})
	return r
}

// ask exchanges a query and returns the answer's records in one line.
func ask(t *testing.T, address, protocol, name string, qtype uint16) string {
	t.Helper()
	m, err := exchange(address, protocol, name, qtype)
	if err != nil {
		t.Fatalf("%s %s %s: %v", protocol, name, dns.Type(qtype), err)
	}
	var words []string
	for _, rr := range m.Answer {
		words = append(words, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(append([]string{dns.RcodeToString[m.Rcode]}, words...), " ")
}

func exchange(address, protocol, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	c := dns.Client{Net: protocol, Timeout: 10 * time.Second}
	m, _, err := c.Exchange(q, address)
	return m, err
}

// metrics gathers the counters that are not zero, as they stand in the exposition format.
func (r *running) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if value := m.GetCounter().GetValue() + m.GetGauge().GetValue(); value != 0 {
				values[strings.TrimPrefix(family.GetName(), "meridian_dns_")+"{"+strings.Join(labels, ",")+"}"] = value
			}
		}
	}
	return values
}
