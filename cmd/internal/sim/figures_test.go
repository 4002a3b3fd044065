package sim

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// The figures of docs/health.md that the simulator measures. Each test prints its row, after "figure:".

var (
	partitions = flag.Int("partitions", 10, "how many partitions TestFigurePartitions makes")
	whole      = flag.Bool("figures", false, "measure with as many nodes and targets, and as long, as docs/health.md says; else a part")
)

// of is a size of a measurement: the whole one, or a part that the tests have time for.
func of(all, part int) int {
	if *whole {
		return all
	}
	return part
}

// manyTargets is a world of five regions with so many endpoints, a weighted pool for each ten of them.
func manyTargets(tb testing.TB, targets int, check string) *zones.Plan {
	var b strings.Builder
	b.WriteString("regions:\n")
	regions := []string{"us-east", "us-west", "eu-west", "ap-south", "ap-north"}
	for i, at := range []string{"39.0, -77.5", "45.6, -121.2", "53.3, -6.3", "19.1, 72.9", "35.7, 139.7"} {
		fmt.Fprintf(&b, "  %s: {coordinates: [%s]}\n", regions[i], at)
	}
	fmt.Fprintf(&b, "checks:\n  api: {type: https, path: /healthz, %s}\npools:\n", check)
	steer := ""
	for i := range targets {
		if i%10 == 0 {
			fmt.Fprintf(&b, "  p%d:\n    policy: weighted\n    slow_start: 0s\n    check: api\n    members:\n", i/10)
			steer += fmt.Sprintf("      n%d: {pool: p%d}\n", i/10, i/10)
		}
		fmt.Fprintf(&b, "      - {endpoint: e%d, region: %s, address: 10.%d.%d.1}\n", i, regions[i%5], 1+i/250, i%250)
	}
	fmt.Fprintf(&b, "zones:\n  shop.example:\n    file: shop.example.zone\n    steer:\n%s", steer)
	all := files(tb, "five")
	all["world.yaml"] = []byte(b.String())
	w, err := zones.Parse(all)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := w.Compile(Table(), rtt.New().Orders())
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// A fifth of all targets dies, so that no mass change is suspected.
const (
	figureTargets = 300
	figureDeaths  = figureTargets / 5
)

// An endpoint that dies is out of the answers of every node soon enough, whatever way it dies and whenever.
func TestFigureDetection(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: five times three hundred targets")
	}
	for _, c := range []struct {
		what     string
		check    string
		how      End
		p50, p99 time.Duration // 0: not promised
	}{
		{"black hole, interval 10 s", "interval: 10s", BlackHole, 13500 * time.Millisecond, 16 * time.Second},
		{"black hole, interval 5 s", "interval: 5s", BlackHole, 0, 10 * time.Second},
		{"refused, interval 10 s", "interval: 10s", Refused, 0, 13 * time.Second},
		{"hangs, interval 10 s", "interval: 10s", Hangs, 0, 16 * time.Second},
		{"30 % loss, interval 10 s", "interval: 10s", Lossy, 0, 6 * time.Minute},
	} {
		for nodes := 1; nodes <= of(3, 1); nodes += 2 {
			s := New(Setting{Seed: 7, Plan: manyTargets(t, figureTargets, c.check), Nodes: nodes, Blind: true})
			s.RunUntil(time.Minute)
			dies, out := make(map[string]time.Duration), make(map[string]time.Duration)
			for i := 0; len(out) < figureDeaths && s.now < 10*time.Minute; i++ {
				s.RunUntil(s.now + 100*time.Millisecond)
				if endpoint := fmt.Sprintf("e%d", 5*i/7); i%7 == 0 && len(dies) < figureDeaths {
					dies[endpoint], s.ends[endpoint] = s.now, c.how
				}
				for endpoint, at := range dies {
					if out[endpoint] == 0 && everywhereDown(s, endpoint) {
						out[endpoint] = s.now - at
					}
				}
			}
			var took []time.Duration
			for endpoint := range dies {
				if len(dies) < figureDeaths || out[endpoint] == 0 {
					t.Fatalf("%s, %d nodes a region: %s is never out", c.what, nodes, endpoint)
				}
				took = append(took, out[endpoint])
			}
			slices.Sort(took)
			p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
			t.Logf("figure: %s, %d vantages a region: out of all answers p50 %.1f s, p99 %.1f s, of %d", c.what, nodes, p50.Seconds(), p99.Seconds(), len(took))
			if c.p50 > 0 && p50 > c.p50 || p99 > c.p99 {
				t.Errorf("%s: p50 %v, p99 %v, want at most %v, %v", c.what, p50, p99, c.p50, c.p99)
			}
		}
	}
}

// everywhereDown reports whether no node has an endpoint among its answers.
func everywhereDown(s *Sim, endpoint string) bool {
	for _, h := range s.hosts {
		if status := h.view.Health.Status(health.CheckID("api/"+endpoint+"/ipv4"), health.Global); status.State != health.Down {
			return false
		}
	}
	return true
}

// A burst of verdicts is everywhere soon, though messages are lost.
func TestFigureBurst(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: many nodes")
	}
	s := New(Setting{Seed: 3, Plan: manyTargets(t, 200, "vantages_per_region: all"), Nodes: of(10, 2), Blind: true})
	s.RunUntil(40 * time.Second)
	for i := range s.hosts {
		for j := range s.hosts {
			s.links[i][j].Loss = 0.01
		}
	}
	type what struct {
		origin   health.NodeID
		sequence uint64
	}
	first, known := make(map[what]time.Duration), make(map[what]map[int]time.Duration)
	s.tap = func(to *host, message []byte) {
		kind, origin, body, err := health.Open(message, func(health.NodeID, []byte, []byte) bool { return true })
		if err != nil || kind != health.KindVerdicts || origin == to.name {
			return
		}
		batch, err := health.ParseBatch(origin, body)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			if r.State != health.Down {
				continue
			}
			w := what{origin, r.Sequence}
			if known[w] == nil {
				known[w], first[w] = make(map[int]time.Duration), s.now
			}
			if _, again := known[w][to.index]; !again {
				known[w][to.index] = s.now - first[w]
			}
		}
	}
	for i := range 100 {
		s.ends[fmt.Sprintf("e%d", i)] = Refused
	}
	s.RunUntil(75 * time.Second)
	var took []time.Duration
	missing := 0
	for _, at := range known {
		missing += len(s.hosts) - 1 - len(at)
		for _, d := range at {
			took = append(took, d)
		}
	}
	slices.Sort(took)
	p99, all := quantile(took, 0.99), took[len(took)-1]
	t.Logf("figure: 100 targets flip at %d nodes, 1 %% loss: %d verdicts at each of the others: 99 %% after %d ms, all after %d ms, since the first had it",
		len(s.hosts), len(known), p99.Milliseconds(), all.Milliseconds())
	if len(known) < 100*len(s.hosts)*9/10 || missing > 0 || p99 > 500*time.Millisecond || all > 2*time.Second {
		t.Errorf("%d verdicts, %d not arrived; 99 %% after %v, all after %v", len(known), missing, p99, all)
	}
}

// What a node of fifty hears when nothing happens is little. It hears the same of every other node, so some are enough to tell: fifty take an hour to start.
func TestFigureBandwidth(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: many nodes and targets")
	}
	s := New(Setting{Seed: 3, Plan: manyTargets(t, of(1000, 200), "interval: 60s, vantages_per_region: all"), Nodes: of(3, 2), Blind: true})
	s.RunUntil(90 * time.Second)
	bytes, messages := 0, 0
	s.tap = func(to *host, message []byte) {
		if to.index == 0 {
			const headers = 28 + 30 // IPv4 and UDP; memberlist's label, checksum and encryption
			bytes += len(message) + headers*(1+len(message)/1200)
			messages++
		}
	}
	s.RunUntil(120 * time.Second)
	const (
		nodes = 50
		// What the mesh says for itself, each way in: 23 kB of members twice a minute, pings and their answers each 3 s, and each minute two packets and a
		// stream of every other node.
		mesh = (2*23_000 + 2*20*100 + (nodes-1)*900) / 60
	)
	each := float64(bytes) / 30 / float64(len(s.hosts)-1)
	rate := (each*(nodes-1) + mesh) / 1000
	t.Logf("figure: %d targets, each probed by %d nodes: %.0f bytes a second in from each of the others, in %.1f messages; with %d nodes %.1f kB/s",
		len(s.plan.Targets), len(s.hosts), each, float64(messages)/30/float64(len(s.hosts)-1), nodes, rate)
	if rate > 40 {
		t.Errorf("%.1f kB/s in, want 40 at most", rate)
	}
}

// In a partition of two regions and three the minority holds everything, the majority takes out only what the minority has, and when it heals
// nobody loses an endpoint of its own side.
func TestFigurePartitions(t *testing.T) {
	n := *partitions
	if testing.Short() {
		n = min(n, 3)
	}
	plan := goodPlan(t, "five")
	var agreed []time.Duration
	var longest time.Duration
	for seed := range uint64(n) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		s := New(Setting{Seed: seed, Plan: plan, Skew: time.Minute})
		s.RunUntil(30 * time.Second)
		order := rnd.Perm(len(s.hosts))
		var minority, majority []*host
		for i, at := range order {
			if i < 2 {
				minority = append(minority, s.hosts[at])
			} else {
				majority = append(majority, s.hosts[at])
			}
		}
		s.cut(minority, majority, true)
		s.cut(majority, minority, true)
		length := time.Duration(float64(5*time.Second) * math.Pow(60, rnd.Float64())) // to five minutes
		if seed%100 == 99 {
			length = time.Duration(float64(5*time.Minute) * math.Pow(288, rnd.Float64())) // to a day
		}
		longest = max(longest, length)
		watch := func(until time.Duration, what string) {
			for s.now < until {
				s.RunUntil(s.now + time.Second)
				for _, h := range s.hosts {
					for _, target := range plan.Targets {
						status := h.view.Health.Status(target.ID, health.Global)
						own := slices.ContainsFunc(minority, func(m *host) bool { return m.region == target.Region }) == slices.Contains(minority, h)
						if status.State == health.Down && (own || slices.Contains(minority, h)) {
							t.Fatalf("seed %d, cut for %v, %s at %s: %s takes %s down: %s", seed, length, what, clock(s.now), h.name, target.ID, status.Summary())
						}
					}
				}
			}
		}
		watch(s.now+length, "during the cut")
		s.healLinks()
		healed := s.now
		for !agree(s.hosts, plan.Targets) && s.now < healed+time.Minute {
			s.RunUntil(s.now + 100*time.Millisecond)
		}
		agreed = append(agreed, s.now-healed)
		watch(healed+90*time.Second, "after it")
		for _, h := range s.hosts[1:] {
			if h.snapshot.Digest != s.hosts[0].snapshot.Digest {
				t.Fatalf("seed %d: %s and %s answer differently", seed, h.name, s.hosts[0].name)
			}
		}
		if v := s.Violations(); len(v) > 0 {
			t.Fatalf("seed %d: %v", seed, v)
		}
	}
	slices.Sort(agreed)
	t.Logf("figure: 2|3 partition of 5 s to %v: %d of %d seeds as promised; all measure the same after the heal: p50 %.1f s, p99 %.1f s, max %.1f s", longest.Round(time.Second), n, n,
		quantile(agreed, 0.5).Seconds(), quantile(agreed, 0.99).Seconds(), agreed[len(agreed)-1].Seconds())
	if late := agreed[len(agreed)-1]; late > 5*time.Second {
		t.Errorf("all measure the same %v after the heal, want 5 s at most", late)
	}
}

// agree reports whether all hosts measure the same of all targets, and hold the same.
func agree(hosts []*host, targets []*health.Target) bool {
	for _, target := range targets {
		first := hosts[0].view.Health.Status(target.ID, health.Global)
		for _, h := range hosts[1:] {
			if s := h.view.Health.Status(target.ID, health.Global); s.Measured != first.Measured || s.Held != first.Held {
				return false
			}
		}
	}
	return true
}

// A vantage that is wrong about everything now and then takes nothing down. How often it would be is worked out from how long its
// wrong verdicts count, for it is too seldom to wait for: with three vantages in each of five regions, four regions must be wrong at once, by
// two vantages each. What that is for errors about one target alone, which nobody can tell from one that is out of reach, health measures.
func TestFigureFalseDown(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: hours of fifteen nodes")
	}
	const (
		wrongFor = 30 * time.Second
		share    = 0.05
	)
	minutes := of(600, 20)
	s := New(Setting{Seed: 5, Plan: goodPlan(t, "five"), Nodes: 3, Blind: true})
	s.RunUntil(30 * time.Second)
	rnd := rand.New(rand.NewPCG(5, 5))
	for _, h := range s.hosts {
		var err func()
		err = func() {
			h.vantage.lie = Deaf
			s.after(wrongFor, nil, func() {
				h.vantage.lie = Honest
				s.after(time.Duration(rnd.ExpFloat64()*(1-share)/share*float64(wrongFor)), nil, err)
			})
		}
		s.after(time.Duration(rnd.ExpFloat64()*(1-share)/share*float64(wrongFor)), nil, err)
	}
	wrong, looks, down := 0, 0, 0
	for s.now < time.Duration(minutes)*time.Minute {
		s.RunUntil(s.now + time.Second)
		view := s.hosts[0].view.Health
		for _, id := range view.Checks() {
			status := view.Status(id, health.Global)
			if status.State == health.Down {
				down++
			}
			for _, vote := range status.Regions {
				for _, o := range vote.Vantages {
					looks++
					if o.Fresh && o.State == health.Down {
						wrong++
					}
				}
			}
		}
	}
	counts := float64(wrong) / float64(looks)
	perYear := falseDowns(counts, counts/(share/wrongFor.Seconds()))
	t.Logf("figure: 15 vantages, each wrong about all targets 5 %% of the time for 30 s: a wrong verdict counts %.2f %% of the time: %.2g false downs a year at most",
		100*counts, perYear)
	if down > 0 || perYear > 0.01 {
		t.Errorf("down for %d looks; %.3g a year expected, want less than 0.01", down, perYear)
	}
}

// falseDowns is how often in a year four of five regions are wrong at once, each by two of three vantages, where a vantage is wrong for a share
// of the time, for so many seconds on average. The least such coincidence ends with the first of its eight.
func falseDowns(share, seconds float64) float64 {
	region := 3*share*share*(1-share) + share*share*share
	at := 5*math.Pow(region, 4)*(1-region) + math.Pow(region, 5)
	return at * 365.25 * 86400 / (seconds / 8)
}
