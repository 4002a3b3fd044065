package host

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/dns/server"
	"github.com/meridian-gslb/meridian/geo/mmdb"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

// cappedSnapshot is of a world in which www.example.com is answered from a pool with a capacity, and plain.example.com from one without.
func cappedSnapshot(t testing.TB) *zones.Snapshot {
	t.Helper()
	world, err := zones.Parse(map[string][]byte{"w.yaml": []byte(`
regions: {us: {coordinates: [39, -77]}, eu: {coordinates: [53, -6]}}
pools:
  near: {policy: latency, members: [{endpoint: us1, region: us, address: 192.0.2.1, capacity: 1000}, {endpoint: eu1, region: eu, address: 192.0.2.2}]}
  plain: {policy: failover, members: [{endpoint: us1, region: us, address: 192.0.2.1}]}
zones: {example.com: {file: z, steer: {www: {pool: near}, plain: {pool: plain}}}}
`), "z": []byte("@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\nns A 192.0.2.53\n")})
	if err != nil {
		t.Fatal(err)
	}
	table, err := mmdb.Default()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(table, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Publish(nil, zones.Inputs{Health: &health.View{}}, zones.Change{All: true}, time.Now())
}

var german, american = netip.MustParseAddr("91.1.2.3"), netip.MustParseAddr("8.8.8.8")

// key is that of the group that a client of the capped pool is in.
func key(s *zones.Snapshot, client netip.Addr) uint64 {
	pool := s.Plan.Capped()[0]
	g, _ := pool.Group(zones.Client{Source: client})
	return pool.Groups[g].Key
}

func TestTallier(t *testing.T) {
	s := cappedSnapshot(t)
	tally := tallier{ended: make(map[server.Group]uint64)}
	tally.request(nil, "www.example.com", german)
	for range 3 {
		tally.request(s, "www.example.com", german)
	}
	tally.request(s, "WWW.example.com.", american)
	tally.request(s, "plain.example.com", german)
	tally.request(s, "elsewhere.example.net", german)
	other := cappedSnapshot(t)
	tally.request(other, "www.example.com", german) // the plan has changed
	de, us := key(s, german), key(s, american)
	if de == us {
		t.Fatal("Germany and America are in one group")
	}
	find := func(counts []demand.Count, group uint64) demand.Count {
		if i := slices.IndexFunc(counts, func(c demand.Count) bool { return c.Group == group }); i >= 0 {
			return counts[i]
		}
		return demand.Count{}
	}
	counts := tally.take(map[server.Group]uint64{{Pool: "near", Key: de}: 10})
	if got, want := find(counts, de), (demand.Count{Pool: "near", Group: de, Answers: 10, Requests: 4}); got != want {
		t.Errorf("Germany: %+v, want %+v", got, want)
	}
	if got, want := find(counts, us), (demand.Count{Pool: "near", Group: us, Requests: 1}); got != want {
		t.Errorf("America: %+v, want %+v", got, want)
	}
	if len(counts) != 2 {
		t.Errorf("%d counts, want two", len(counts))
	}
	counts = tally.take(map[server.Group]uint64{{Pool: "near", Key: de}: 2})
	if want := []demand.Count{{Pool: "near", Group: de, Answers: 2}}; !slices.Equal(counts, want) {
		t.Errorf("after that %+v, want %+v", counts, want)
	}
}

func TestTallierIsSharedAndAllocatesNothing(t *testing.T) {
	s := cappedSnapshot(t)
	tally := tallier{ended: make(map[server.Group]uint64)}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				tally.request(s, "www.example.com", german)
			}
		})
	}
	all.Wait()
	if counts := tally.take(nil); len(counts) != 1 || counts[0].Requests != 8000 {
		t.Errorf("%+v, want 8000 requests", counts)
	}
	if n := testing.AllocsPerRun(1000, func() { tally.request(s, "www.example.com", german) }); n > 0 {
		t.Errorf("a request allocates %v times", n)
	}
}

// BenchmarkRequest is what the gateway pays to have a request counted, and one for a name without capacities.
func BenchmarkRequest(b *testing.B) {
	s := cappedSnapshot(b)
	for _, host := range []string{"www.example.com", "plain.example.com"} {
		b.Run(host, func(b *testing.B) {
			tally := tallier{ended: make(map[server.Group]uint64)}
			for b.Loop() {
				tally.request(s, host, german)
			}
		})
	}
}
