//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A reach is what a row promises. What misses it is marked; the slowest is bounded, for a machine that has other things to do delays everything.
type reach struct {
	p50, p99 time.Duration
	bound    time.Duration // that not even the slowest may need
	strict   bool          // the median is held to its reach: nothing else was broken at the time
}

func (r reach) String() string {
	if r.p50 == 0 {
		return fmt.Sprintf("reach p99 ≤ %s", seconds(r.p99))
	}
	return fmt.Sprintf("reach p50 ≤ %s, p99 ≤ %s", seconds(r.p50), seconds(r.p99))
}

// A series is a row whose samples come from several rounds.
type series struct {
	name  string
	reach reach
	took  []time.Duration
}

var (
	blackHole10 = &series{name: "black hole, interval 10 s", reach: reach{13500 * time.Millisecond, 16 * time.Second, 30 * time.Second, true}}
	blackHole5  = &series{name: "black hole, interval 5 s", reach: reach{0, 10 * time.Second, 25 * time.Second, false}}
	refused10   = &series{name: "connections refused, interval 10 s", reach: reach{0, 13 * time.Second, 30 * time.Second, false}}
	hung10      = &series{name: "requests hang, interval 10 s", reach: reach{13500 * time.Millisecond, 16 * time.Second, 30 * time.Second, false}}
	killed      = &series{name: "gateway killed (SIGKILL)", reach: reach{0, 13 * time.Second, 30 * time.Second, false}}
	stopped     = &series{name: "gateway stopped (SIGSTOP)", reach: reach{13500 * time.Millisecond, 16 * time.Second, 30 * time.Second, false}}
	upstream500 = &series{name: "gateway answers 500", reach: reach{0, 13 * time.Second, 30 * time.Second, false}}
	upstream5s  = &series{name: "gateway answers after 5 s", reach: reach{13500 * time.Millisecond, 16 * time.Second, 30 * time.Second, false}}
)

const outTime = time.Minute // until an endpoint must be out, on any machine

// measure waits until the endpoints are out everywhere, and adds how long that took to the row.
func (s *stage) measure(t *testing.T, row *series, begin time.Time, endpoints []netip.Addr) {
	t.Helper()
	s.watch.until(false, endpoints, s.all(), begin.Add(outTime))
	for _, e := range endpoints {
		took, ok := s.watch.out(e, s.all(), begin, time.Now())
		if !ok {
			t.Errorf("%s: %v was not answered before, or still is after %v", row.name, e, outTime)
			continue
		}
		row.took = append(row.took, took)
	}
}

// print prints the row and, on a machine that was fair to it, judges it.
func (r *series) print(t *testing.T, fair bool) {
	t.Helper()
	p50, p99 := quantile(r.took, 0.5), quantile(r.took, 0.99)
	says := r.reach.String()
	if p99 > r.reach.p99 || r.reach.p50 > 0 && p50 > r.reach.p50 {
		says += ": missed"
	}
	row(r.name, spread(r.took), says)
	if !fair {
		return
	}
	if r.reach.strict && p50 > r.reach.p50 {
		t.Errorf("%s: half of the endpoints were out after %s, want %s", r.name, seconds(p50), seconds(r.reach.p50))
	}
	if worst := quantile(r.took, 1); worst > r.reach.bound {
		t.Errorf("%s: one was out after %s only, which no load explains", r.name, seconds(worst))
	}
}

// ready waits until every nameserver answers with groups, so that a fault of theirs can be measured.
func (s *stage) ready(t *testing.T, of ...group) {
	t.Helper()
	if missing := s.watch.until(true, s.endpoints(of...), s.all(), time.Now().Add(settleTime)); len(missing) > 0 {
		t.Fatalf("not back %v after the last fault: %v", settleTime, missing)
	}
	s.fair(t) // from here on it counts
}

// blackHoles drops all packets to a third of the endpoints at one instant, and 30 % of those of a few others for as long as the lab stands.
func (s *stage) blackHoles(t *testing.T) {
	s.ready(t, holes)
	begin := time.Now()
	for _, r := range s.regions {
		if s.lossySince.IsZero() {
			r.filter(t, "lossy", true, lossy.hosts()...)
		}
		r.filter(t, "hole", true, holes.hosts()...)
	}
	if s.lossySince.IsZero() {
		s.lossySince = begin
	}
	s.measure(t, blackHole10, begin, s.endpoints(holes))
	blackHole10.print(t, s.judges(t))
	for _, r := range s.regions {
		r.filter(t, "hole", false, holes.hosts()...)
	}
}

const lossReach = 6 * time.Minute

// loses judges the endpoints that lose 30 % of their packets since the first black holes.
func (s *stage) loses(t *testing.T) {
	if s.lossySince.IsZero() {
		return // only this was asked for by -run, and without the black holes nothing loses packets
	}
	if s.last && *rounds > 1 {
		s.fair(t)
		time.Sleep(time.Until(s.lossySince.Add(lossReach)))
	}
	var took []time.Duration
	back, after := 0, time.Since(s.lossySince)
	for _, e := range s.endpoints(lossy) {
		var first time.Duration // until the last nameserver left it out for the first time
		out := 0
		for _, server := range s.all() {
			changes := s.watch.between(sight{e, server}, s.lossySince, time.Now())
			if len(changes) > 0 {
				out++
				first = max(first, changes[0].at.Sub(s.lossySince))
				back += len(changes) / 2
			}
		}
		if out == len(s.regions) {
			took = append(took, first)
		}
	}
	all := len(s.endpoints(lossy))
	row("30 % of the packets lost, each way", spread(took)+fmt.Sprintf(" of %d", all), "reach all ≤ "+seconds(lossReach))
	row("30 % lost: came back into answers", fmt.Sprintf("%.1f times an endpoint in %s", float64(back)/float64(all*len(s.regions)), seconds(after)), "")
	if s.last && *rounds > 1 && s.judges(t) && len(took) < all {
		t.Errorf("%d of %d endpoints that lose packets were still answered after %v", all-len(took), all, after)
	}
}

// everyKind has endpoints fail in all other ways.
func (s *stage) everyKind(t *testing.T) {
	s.ready(t, fives, refused, hung, gates)
	begin := time.Now()
	for _, r := range s.regions {
		r.filter(t, "hole", true, fives.hosts()...)
		r.puppeteer.tell(t, refuse, withPort(refused.of(r), portHTTP)...)
		r.puppeteer.tell(t, hang, withPort(hung.of(r), portHTTP)...)
	}
	kill, stop, fail, slows := s.regions[0], s.regions[1], s.regions[2], s.regions[3]
	kill.nodes["-gateway"].kill()
	stop.nodes["-gateway"].signal(t, syscall.SIGSTOP)
	fail.puppeteer.tell(t, wrong, netip.AddrPortFrom(fail.address(hostUpstream), portUp))
	slows.puppeteer.tell(t, slow, netip.AddrPortFrom(slows.address(hostUpstream), portUp))

	var rows []*series
	for _, m := range []struct {
		row *series
		at  []netip.Addr
	}{
		{blackHole5, s.endpoints(fives)},
		{refused10, s.endpoints(refused)},
		{hung10, s.endpoints(hung)},
		{killed, gates.of(kill)},
		{stopped, gates.of(stop)},
		{upstream500, gates.of(fail)},
		{upstream5s, gates.of(slows)},
	} {
		s.measure(t, m.row, begin, m.at)
		rows = append(rows, m.row)
	}
	fair := s.judges(t)
	for _, row := range rows {
		row.print(t, fair)
	}
	for _, r := range []*region{kill, stop, fail, slows} {
		worst, visits, bad := s.visitor.longest(r.index, begin, time.Now())
		row("visitor without service, "+r.name, fmt.Sprintf("%s at worst, %d of %d visits bad", seconds(worst), bad, visits), "")
	}

	for _, r := range s.regions {
		r.filter(t, "hole", false, fives.hosts()...)
		r.puppeteer.tell(t, good, withPort(refused.of(r), portHTTP)...)
		r.puppeteer.tell(t, good, withPort(hung.of(r), portHTTP)...)
	}
	s.startNode(t, kill, "-gateway")
	stop.nodes["-gateway"].signal(t, syscall.SIGCONT)
	fail.puppeteer.tell(t, good, netip.AddrPortFrom(fail.address(hostUpstream), portUp))
	slows.puppeteer.tell(t, good, netip.AddrPortFrom(slows.address(hostUpstream), portUp))
}

func (s *stage) oneAgainstFour(t *testing.T) {
	s.ready(t, steady, gates)
	s.partition(t, []int{4})
}

func (s *stage) twoAgainstThree(t *testing.T) {
	s.ready(t, steady, gates)
	s.partition(t, []int{1, 3})
}

const (
	cutTime    = 30 * time.Second
	agreeReach = 5 * time.Second
	agreeBound = 20 * time.Second
	holdDown   = 30 * time.Second
)

// partition cuts some regions, the fewer, off from the others, heals that, and judges who was answered what.
func (s *stage) partition(t *testing.T, few []int) {
	name := fmt.Sprintf("%d cut off from %d, %d nodes", len(few), len(s.all())-len(few), s.nodes())
	many := s.rest(few)
	begin := time.Now()
	s.router.set(weather{cut: cutBetween(few, many)})
	time.Sleep(cutTime)

	fair := s.judges(t)
	var took []time.Duration
	theirs := s.endpointsIn(few, steady)
	for _, e := range theirs {
		d, ok := s.watch.out(e, many, begin, time.Now())
		if ok {
			took = append(took, d)
		} else if fair {
			t.Errorf("%s: the many still answer with %v of the few", name, e)
		}
	}
	row(name+": endpoints of the few out", spread(took), "")
	for _, moved := range s.watch.moved(s.endpoints(steady), few, begin, time.Now()) {
		t.Errorf("%s: the few hold nothing: %s", name, moved)
	}
	for _, moved := range s.watch.moved(s.endpointsIn(many, steady), many, begin, time.Now()) {
		t.Errorf("%s: the many moved what is their own: %s", name, moved)
	}

	s.router.set(weather{})
	healed := time.Now()
	agreed := s.agree(t, few, healed)
	fair = s.judges(t) && fair
	says := "reach ≤ " + seconds(agreeReach)
	if agreed > agreeReach {
		says += ": missed"
	}
	row(name+": nameservers agree after the heal", seconds(agreed), says)
	if fair && agreed > 2*agreeReach {
		t.Errorf("%s: the nameservers agree only %s after the heal, which no load explains", name, seconds(agreed))
	}
	s.later = append(s.later, func(t *testing.T) { s.returned(t, name, few, begin, healed) })
}

// agree returns how long after a heal all nameservers measure the same of the endpoints of those that were cut off; agreeBound at most.
func (s *stage) agree(t *testing.T, few []int, healed time.Time) time.Duration {
	t.Helper()
	for {
		same, began := true, time.Now()
		for _, i := range few {
			var first status
			for _, r := range s.regions {
				got, err := r.status(steady, s.regions[i], steady.hosts()[0])
				if err != nil {
					t.Logf("%s: %v", r.name, err)
				}
				if r.index == 0 {
					first = got
				}
				same = same && err == nil && got.Measured == first.Measured && got.Held == first.Held
			}
		}
		if same {
			return began.Sub(healed)
		}
		if time.Since(healed) > agreeBound {
			return agreeBound
		}
		time.Sleep(every)
	}
}

// returned judges a partition when everything is as it was.
func (s *stage) returned(t *testing.T, name string, few []int, begin, healed time.Time) {
	many := s.rest(few)
	theirs := s.endpointsIn(few, steady)
	if missing := s.watch.until(true, theirs, s.all(), healed.Add(settleTime)); len(missing) > 0 {
		t.Fatalf("%s: not back %v after the heal: %v", name, settleTime, missing)
	}
	var took []time.Duration
	for _, e := range theirs {
		for _, server := range many {
			for _, c := range s.watch.between(sight{e, server}, healed, time.Now()) {
				took = append(took, c.at.Sub(healed))
			}
		}
	}
	row(name+": back in the answers after the heal", spread(took), fmt.Sprintf("not before hold_down, %s", seconds(holdDown)))
	for _, d := range took {
		if d < holdDown {
			t.Errorf("%s: clients returned %s after the heal, want hold_down, %s", name, seconds(d), seconds(holdDown))
			break
		}
	}
	time.Sleep(time.Until(healed.Add(agreeBound + patience)))
	moved, asked := 0, 0
	for _, a := range s.asker.between(begin, healed.Add(agreeBound)) {
		if slices.Contains(few, a.way.from) != slices.Contains(few, a.way.to) || !a.answered {
			continue
		}
		asked++
		if a.answer != gates.of(s.regions[a.way.from])[0] {
			moved++
		}
	}
	row(name+": clients of their own side moved", fmt.Sprintf("%d of %d answers", moved, asked), "reach 0")
	if moved > 0 || asked == 0 {
		t.Errorf("%s: %d of %d clients whose endpoint is on their own side moved", name, moved, asked)
	}
}

// oneWay loses all that one region sends to another, which can still send to it.
func (s *stage) oneWay(t *testing.T) {
	from, to := 0, 2
	begin := time.Now()
	s.router.set(weather{cut: map[way]bool{{from, to}: true}})
	time.Sleep(20 * time.Second)
	moved := s.watch.moved(s.endpointsIn([]int{0, 2, 4}, steady), s.all(), begin, time.Now()) // others may be coming back
	s.router.set(weather{})
	row("one way cut for 20 s: endpoints that moved", fmt.Sprint(len(moved)), "reach 0")
	for _, m := range moved {
		t.Error(m)
	}
}

// alone kills every node but one.
func (s *stage) alone(t *testing.T) {
	s.ready(t, steady)
	s.judge(t)
	survivor := s.regions[0]
	for _, r := range s.regions {
		for suffix, p := range r.nodes {
			if r != survivor || suffix != "" {
				p.kill()
			}
		}
	}
	begin := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	flood := s.ask(t, ctx, []int{survivor.index}, 20*time.Millisecond)
	time.Sleep(20 * time.Second)
	end := time.Now()
	all, err := survivor.statuses()
	if err != nil || len(all) == 0 {
		t.Errorf("%s: %v, %d statuses", survivor.name, err, len(all))
	}
	time.Sleep(patience)
	var took []time.Duration
	lost := 0
	for _, a := range flood.between(begin, end) {
		if !a.answered || !a.answer.IsValid() {
			lost++
		}
		took = append(took, a.took)
	}
	row("every other node killed: not answered", fmt.Sprintf("%d of %d queries, p50 %.0f ms", lost, len(took), float64(quantile(took, 0.5))/1e6), "reach 0")
	if lost > 0 || len(took) == 0 {
		t.Errorf("every other node killed: %d of %d queries were not answered", lost, len(took))
	}
	held := 0
	for _, one := range all {
		if one.Held {
			held++
		} else {
			t.Logf("%+v", one)
		}
	}
	row("every other node killed: statuses held", fmt.Sprintf("%d of %d", held, len(all)), "reach all")
	if held != len(all) {
		t.Errorf("every other node killed: %d of %d statuses are held after 20 s", held, len(all))
	}
	for _, m := range s.watch.moved(s.endpoints(steady), []int{survivor.index}, begin, end) {
		t.Errorf("every other node killed: %s", m)
	}
}
