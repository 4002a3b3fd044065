package probe

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

func TestTimeLimits(t *testing.T) {
	silent := func(net.Conn) {}
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	deaf := func(conn net.Conn) {
		secure := tls.Server(conn, server.TLS)
		secure.Read(make([]byte, 4096))
		io.WriteString(secure, fine)
		silence(conn)
	}
	head := "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
	slow := func(text string) func(net.Conn) {
		return replies(400*time.Millisecond, append([]string{head}, strings.Split(text, "")...)...)
	}
	for _, row := range []struct {
		why    string
		serve  func(net.Conn)
		target health.Target
		reason health.Reason
		detail string
		took   time.Duration
	}{
		{"black hole", nil, health.Target{Kind: health.KindHTTP}, health.ReasonTimeout, "connect: timeout after 2.5s", 2500 * time.Millisecond},
		{"black hole, tcp", nil, health.Target{Kind: health.KindTCP}, health.ReasonTimeout, "connect: timeout after 2.5s", 2500 * time.Millisecond},
		{"nothing after the connection", replies(time.Hour, fine), health.Target{Kind: health.KindHTTP}, health.ReasonTimeout, "first byte: timeout after 2s", 2 * time.Second},
		{"not even a reader", silence, health.Target{Kind: health.KindHTTP}, health.ReasonTimeout, "request: timeout after 2s", 2 * time.Second},
		{"no handshake", silent, health.Target{Kind: health.KindHTTPS}, health.ReasonTimeout, "tls: timeout after 2.5s", 2500 * time.Millisecond},
		{"no reader of the goodbye", deaf, health.Target{Kind: health.KindHTTPS, SkipVerify: true}, health.ReasonOK, "status 200", 0},
		{"the last moment", replies(1999*time.Millisecond, fine), health.Target{Kind: health.KindHTTP}, health.ReasonOK, "status 200", 1999 * time.Millisecond},
		{"a head that does not end", replies(time.Second, strings.Split(strings.Repeat("A", 60), "")...), health.Target{Kind: health.KindHTTP}, health.ReasonTimeout, "answer: timeout after 10s", 10 * time.Second},
		{"a slow body that nobody asked for", slow("never to be read"), health.Target{Kind: health.KindHTTP}, health.ReasonOK, "status 200", 400 * time.Millisecond},
		{"a slow body with the text", slow("all is well, says the server"), health.Target{Kind: health.KindHTTP, ExpectBody: "is well"}, health.ReasonOK, "status 200, expected text found", 4800 * time.Millisecond},
		{"a body too slow", slow(strings.Repeat(".", 99)), health.Target{Kind: health.KindHTTP, ExpectBody: "is well"}, health.ReasonTimeout, "body: timeout after 10s", 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.set(place(1), row.serve)
			target := row.target
			target.Address, target.Interval = place(1), 10*time.Second
			got := attempt(t.Context(), &target, 7, wireOf(Config{Dial: w.dial}))
			expect(t, row.why, got, row.reason, row.detail)
			if took := time.Since(w.begin); took != row.took || got.Total != took || !got.Start.Equal(w.begin) || got.Definition != 7 {
				t.Errorf("%s: took %v (Total %v), want %v", row.why, took, got.Total, row.took)
			}
			time.Sleep(2 * time.Hour) // until the slowest server has seen that nobody listens
		})
	}
}

func TestPacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set(place(1), replies(time.Millisecond, fine))
		r := w.start(1)
		defer r.Close()
		detector := health.NewDetector(3, 3, true)
		var down time.Time
		w.observed = func(result health.Result) {
			if state, changed := detector.Observe(result.Reason, time.Now()); changed && state == health.Down {
				down = time.Now()
			}
		}
		r.Assign(assignment(target(1)))
		pass(5 * time.Minute)
		starts := w.startsAt(place(1))
		if len(starts) < 28 || len(starts) > 34 || starts[0] > time.Second {
			t.Errorf("%d probes in 5 min, the first after %v; want about 30, the first within 1 s", len(starts), starts[0])
		}
		for i := 2; i < len(starts); i++ {
			if gap := starts[i] - starts[i-1]; gap < 9*time.Second || gap > 11*time.Second {
				t.Errorf("probe %d started %v after the one before, want 9 s to 11 s", i, gap)
			}
		}

		w.set(place(1), nil)
		death := time.Now()
		pass(55 * time.Second)
		if took := down.Sub(death); took < 4*time.Second || took > 15600*time.Millisecond {
			t.Errorf("found down %v after it died, want at most 15.6 s", took)
		}
		if w.most[place(1)] != 3 {
			t.Errorf("%d probes in flight at once, want 3", w.most[place(1)])
		}
		dead := w.startsAt(place(1))[len(starts):]
		for i := 1; i < len(dead); i++ {
			// Three in flight for 2.5 s each: at most 3 in any 2.5 s, else a second apart.
			if gap := dead[i] - dead[i-1]; gap < 500*time.Millisecond || gap > time.Second {
				t.Errorf("probe %d of a dead endpoint started %v after the one before, want 0.5 s to 1 s", i, gap)
			}
		}
		if state := detector.State(); state != health.Down {
			t.Errorf("a dead endpoint is %v", state)
		}
	})
}

func TestAssign(t *testing.T) {
	// What the first target's schedule is when nothing else happens, by seed.
	alone := map[uint64][]time.Duration{}
	for _, seed := range []uint64{7, 8} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.set(place(1), replies(time.Millisecond, fine))
			r := w.start(seed)
			defer r.Close()
			r.Assign(assignment(target(1)))
			pass(10 * time.Minute)
			alone[seed] = w.startsAt(place(1))
		})
	}
	if slices.Equal(alone[7], alone[8]) {
		t.Error("vantages with different seeds probe in step")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for n := range 4 {
			w.set(place(n), replies(time.Millisecond, fine))
		}
		r := w.start(7)
		defer r.Close()
		r.Assign(assignment(target(1), target(2), target(3)))
		pass(2*time.Minute + 500*time.Millisecond)
		r.Assign(nil)

		changed := target(3)
		changed.Path = "/ready"
		held := target(1)
		held.HoldDown = time.Minute // not in the digest: a verdict means the same
		switched := time.Since(w.begin)
		r.Assign(assignment(held, changed, target(0)))
		pass(10*time.Minute - switched)

		if got := w.startsAt(place(1)); !slices.Equal(got, alone[7]) {
			t.Errorf("the unchanged target was probed at %v, want as if nothing happened: %v", got, alone[7])
		}
		gone := w.startsAt(place(2))
		if gone[0] == alone[7][0] {
			t.Error("two targets of one vantage are probed in step")
		}
		if last := gone[len(gone)-1]; last > switched {
			t.Errorf("the target that was taken away was probed at %v, after %v", last, switched)
		}
		for _, n := range []int{3, 0} {
			starts := w.startsAt(place(n))
			next := slices.IndexFunc(starts, func(at time.Duration) bool { return at >= switched })
			if next < 0 || starts[next] > switched+time.Second || len(starts)-next < 40 {
				t.Errorf("the new target %d was probed at %v, want it within a second of %v, and on", n, starts, switched)
			}
		}
		definitions := map[uint32]time.Time{}
		for _, result := range w.results {
			if result.Check == changed.ID {
				definitions[result.Definition] = result.Start
			}
		}
		if before := definitions[target(3).Digest()]; before.Sub(w.begin) > switched || definitions[changed.Digest()].IsZero() || len(definitions) != 2 {
			t.Errorf("results of %v under definitions %v, want two, the first until %v", changed.ID, definitions, switched)
		}
		r.Assign(assignment())
		count := len(w.startsAt(place(1)))
		pass(time.Minute)
		if now := len(w.startsAt(place(1))); now != count {
			t.Errorf("%d probes after everything was taken away", now-count)
		}
	})
}

// A probe in flight ends when its target is taken away, and is not heard of.
func TestBrokenOff(t *testing.T) {
	for _, how := range []struct {
		why string
		end func(*Runner)
	}{
		{"taken away", func(r *Runner) { r.Assign(assignment()) }},
		{"closed", (*Runner).Close},
	} {
		for _, row := range []struct {
			why   string
			serve func(net.Conn)
		}{
			{"in connect", nil},
			{"before the first byte", replies(time.Hour, fine)},
			{"in the body", replies(time.Second, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "a")},
		} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.set(place(1), row.serve)
				r := w.start(1)
				defer r.Close()
				slow := target(1)
				slow.ExpectBody = "never"
				r.Assign(assignment(slow))
				for len(w.startsAt(place(1))) == 0 {
					pass(time.Millisecond)
				}
				pass(1500 * time.Millisecond)
				if w.all != 2 {
					t.Fatalf("%s, %s: %d probes in flight, want 2", how.why, row.why, w.all)
				}
				at := time.Now()
				how.end(r)
				synctest.Wait()
				if row.serve == nil && w.all != 0 || !time.Now().Equal(at) {
					t.Errorf("%s, %s: %d probes in flight %v after", how.why, row.why, w.all, time.Since(at))
				}
				pass(2 * time.Hour)
				if len(w.results) != 0 || w.all != 0 {
					t.Errorf("%s, %s: results %v, %d probes in flight, want none", how.why, row.why, w.results, w.all)
				}
			})
		}
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := w.start(1)
		for range 3 {
			r.Assign(assignment(target(1), target(2)))
		}
		pass(time.Minute)
		r.Close()
		r.Close()
		r.Assign(assignment(target(3)))
		count := len(w.results)
		pass(time.Minute)
		if w.all != 0 || len(w.results) != count || len(w.startsAt(place(3))) != 0 {
			t.Errorf("after Close: %d probes in flight, %d new results, probes of a new target at %v", w.all, len(w.results)-count, w.startsAt(place(3)))
		}
	})
}

func TestSlotsAndMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		registry := prometheus.NewRegistry()
		r := Start(Config{Observe: w.observe, Dial: w.dial, Slots: 2, Registerer: registry})
		var targets []*health.Target
		for n := range 8 {
			targets = append(targets, target(n)) // black holes
		}
		r.Assign(assignment(targets...))
		pass(40*time.Second + time.Millisecond)
		if w.mostAll != 2 {
			t.Errorf("%d probes at once, want 2", w.mostAll)
		}
		var fewest, most = 1 << 30, 0
		for n := range 8 {
			starts := len(w.startsAt(place(n)))
			fewest, most = min(fewest, starts), max(most, starts)
		}
		// 40 s, 2 slots, 2.5 s each: 32 probes, and nobody waits forever.
		if fewest < 3 || most > 5 {
			t.Errorf("%d to %d probes of every target, want about 4", fewest, most)
		}
		metrics := gather(t, registry)
		for name, want := range map[string]float64{
			"meridian_probe_targets":                                 8,
			"meridian_probe_in_flight":                               2,
			"meridian_probe_results_total{kind=http,reason=timeout}": float64(len(w.results)),
			"meridian_probe_duration_seconds{kind=http} count":       float64(len(w.results)),
			"meridian_probe_duration_seconds{kind=http} sum":         2.5 * float64(len(w.results)),
		} {
			if metrics[name] != want {
				t.Errorf("%s = %v, want %v", name, metrics[name], want)
			}
		}
		if late := metrics["meridian_probe_late_starts_total"]; late < 20 {
			t.Errorf("%v late starts, want most of 32", late)
		}

		strange, nowhere := target(9), target(10)
		strange.Kind = "smtp"
		nowhere.Address = netip.AddrPort{}
		w.results = nil
		r.Assign(assignment(strange, nowhere))
		pass(10 * time.Second)
		metrics = gather(t, registry)
		if metrics["meridian_probe_targets_refused"] != 1 || metrics["meridian_probe_results_total{kind=http,reason=other}"] == 0 {
			t.Errorf("an unknown kind and an address that is none have metrics %v", metrics)
		}
		for _, result := range w.results {
			if result.Check == strange.ID {
				t.Errorf("an unknown kind has the result %+v, want no evidence", result)
			}
		}
		r.Close()
		if left := gather(t, registry); len(left) != 0 {
			t.Errorf("metrics after Close: %v", left)
		}
	})
}

// What failed in a region is tried again at once and then in a hurry; what is fine, or elsewhere, is not.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		gone := func(conn net.Conn) { conn.Close() }
		w.set(place(1), gone)
		w.set(place(2), replies(0, fine))
		w.set(place(3), gone)
		r := w.start(1)
		defer r.Close()
		failing, well, elsewhere := target(1), target(2), target(3)
		there := []health.CheckID{failing.ID, well.ID, "gone"}
		r.Assign(assignment(failing, well, elsewhere))
		pass(3 * time.Minute) // the hurry of what fails is over
		for starts := w.startsAt(place(1)); time.Since(w.begin)-starts[len(starts)-1] < time.Second; starts = w.startsAt(place(1)) {
			pass(time.Second)
		}

		retried := time.Since(w.begin)
		r.Retry(there)
		pass(3 * time.Minute)
		since := func(n int) (after []time.Duration) {
			for _, at := range w.startsAt(place(n)) {
				if at >= retried {
					after = append(after, at-retried)
				}
			}
			return after
		}
		again := since(1)
		for i := range 60 {
			if want := time.Duration(i) * time.Second; again[i] < want || again[i] > want+together {
				t.Errorf("probe %d of what failed started %v after Retry, want %v and %v at most", i, again[i], want, together)
			}
		}
		if len(again) < 70 || len(again) > 76 {
			t.Errorf("%d probes of what failed in 3 min, want 60 of a minute's hurry and then one in 10 s", len(again))
		}
		for _, n := range []int{2, 3} {
			if starts := since(n); len(starts) < 16 || len(starts) > 20 {
				t.Errorf("target %d was probed %v after Retry, want every 10 s as before", n, starts)
			}
		}

		r.Close()
		r.Retry(there) // and does not hang
	})
}

// Probes of a healthy target on a runner with room are never late.
func TestPunctual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		registry := prometheus.NewRegistry()
		r := Start(Config{Observe: w.observe, Dial: w.dial, Registerer: registry})
		defer r.Close()
		var targets []*health.Target
		for n := range 100 {
			punctual := target(n)
			if n%2 == 0 {
				w.set(place(n), replies(time.Millisecond, fine))
			} else {
				// A black hole that takes 4 s: the fourth probe waits for the end of the first, which is its time then.
				punctual.Interval = 16 * time.Second
			}
			targets = append(targets, punctual)
		}
		r.Assign(assignment(targets...))
		pass(3 * time.Minute)
		if late := gather(t, registry)["meridian_probe_late_starts_total"]; late != 0 {
			t.Errorf("%v late starts, want none", late)
		}
	})
}
