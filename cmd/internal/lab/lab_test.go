//go:build linux

package lab

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	rounds = flag.Int("rounds", 1, "how often the lab is built and all rows are measured; with more than once, the last waits for loss to its end")
	hold   = flag.Bool("hold", false, "build the lab, leave it alone until SIGINT, and measure nothing")
	logs   = flag.String("logs", "", "directory for the files and logs of the nodes, to be kept")
	seed   = flag.Uint64("seed", 1, "of the router's chances")
)

func TestMain(m *testing.M) {
	runStandIn()
	os.Exit(m.Run())
}

const (
	startTime  = 2 * time.Minute // until everything must be up, on a machine with other things to do
	settleTime = 2 * time.Minute // until everything must be back after a fault
	fairLate   = 0.005           // of the ticks of stand-ins: what may be late while a row is judged
	fairIdle   = 0.1             // of the processors' time: what must be left then
)

// A stage is the lab with everything that looks at it, and what is left to judge when the time for it has come.
type stage struct {
	*lab
	watch   *watch
	asker   *asker
	visitor *visitor
	later   []func(t *testing.T)

	last                 bool       // of the rounds
	processors           processors // when fair was last asked
	lateShare, idleShare float64    // as it found then

	lossySince time.Time // since when some endpoints lose packets
}

// judge does what was left for later.
func (s *stage) judge(t *testing.T) {
	for _, f := range s.later {
		f(t)
	}
	s.later = nil
}

// stageOf builds a lab and returns when every nameserver answers with every endpoint.
func stageOf(t *testing.T, vantages int) *stage {
	row("machine load (1, 5, 15 min) at the start", load(), "")
	l := build(t, vantages, *seed)
	if l.dir = t.TempDir(); *logs != "" {
		var err error
		if l.dir, err = filepath.Abs(filepath.Join(*logs, t.Name())); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(l.dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l.found(t)
	begin := time.Now()
	l.settle(t)
	s := &stage{lab: l, watch: l.startWatch(t)}
	if missing := s.watch.until(true, l.endpoints(groups...), l.all(), begin.Add(startTime)); len(missing) > 0 {
		l.check(t)
		for _, r := range l.regions {
			t.Logf("%s:\n%s", r.name, tail(r.nodes[""].log))
		}
		t.Fatalf("%d times a nameserver does not answer with an endpoint %v after the start, such as %v", len(missing), startTime, missing[0])
	}
	s.allUp(t, begin.Add(startTime))
	row(fmt.Sprintf("start of %d nodes until all say that all is up", l.nodes()), seconds(time.Since(begin)), "")
	s.asker = l.ask(t, t.Context(), l.all(), 250*time.Millisecond)
	s.visitor = l.visit(t)
	return s
}

// allUp waits until every nameserver says of every check that it is up.
func (l *lab) allUp(t *testing.T, deadline time.Time) {
	t.Helper()
	for _, r := range l.regions {
		for {
			all, err := r.statuses()
			i := slices.IndexFunc(all, func(one status) bool { return one.State != "up" || one.Measured != "up" || one.Held })
			if err == nil && i < 0 && len(all) > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d statuses, %v; not up: %+v", r.name, len(all), err, all[max(0, i)])
			}
			time.Sleep(time.Second)
		}
	}
}

// check fails the test if something has ended that should run.
func (l *lab) check(t *testing.T) {
	t.Helper()
	for _, r := range l.regions {
		r.standIn.check(t)
		for _, p := range r.nodes {
			p.check(t)
		}
	}
}

// all are the indices of the regions.
func (l *lab) all() (all []int) {
	for i := range l.regions {
		all = append(all, i)
	}
	return all
}

// endpoints are the addresses of groups in all regions.
func (l *lab) endpoints(of ...group) []netip.Addr { return l.endpointsIn(l.all(), of...) }

func (l *lab) endpointsIn(regions []int, of ...group) (all []netip.Addr) {
	for _, i := range regions {
		for _, g := range of {
			all = append(all, g.of(l.regions[i])...)
		}
	}
	return all
}

// rest are the regions that are not among some.
func (l *lab) rest(some []int) (rest []int) {
	for _, i := range l.all() {
		if !slices.Contains(some, i) {
			rest = append(rest, i)
		}
	}
	return rest
}

// processors are the machine's time in ticks, from boot on.
type processors struct{ total, idle int }

func readProcessors(t *testing.T) (p processors) {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(first)[1:] { // user, nice, system, idle, iowait … (proc_stat(5))
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		p.total += n
		if i == 3 || i == 4 {
			p.idle += n
		}
	}
	return p
}

// fair reports whether the machine had time for the lab since it was last asked: where it had not, what is measured is the machine.
func (s *stage) fair(t *testing.T) bool {
	t.Helper()
	ticks, late := 0, 0
	for _, r := range s.regions {
		n, l := r.puppeteer.late(t)
		ticks, late = ticks+n, late+l
	}
	now := readProcessors(t)
	s.lateShare = float64(late) / float64(max(1, ticks))
	s.idleShare = float64(now.idle-s.processors.idle) / float64(max(1, now.total-s.processors.total))
	s.processors = now
	return s.lateShare <= fairLate && s.idleShare >= fairIdle
}

// judges does the same, and says so where the answer is no.
func (s *stage) judges(t *testing.T) bool {
	t.Helper()
	fair := s.fair(t)
	if !fair {
		row("  too busy a machine to judge what follows", fmt.Sprintf("%.0f %% idle, %.1f %% of the time slices over %v late", 100*s.idleShare, 100*s.lateShare, busy), "")
	}
	return fair
}

// load says how busy the machine is.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the lab of five regions takes five minutes")
	}
	for i := range *rounds - 1 {
		t.Run(fmt.Sprintf("round %d", i+1), func(t *testing.T) { round(t, false) })
	}
	round(t, true)
}

// round builds labs of its own, for what was down twice is damped, and measures all rows.
func round(t *testing.T, last bool) {
	t.Run("20 nodes", func(t *testing.T) { twenty(t, last) })
	if !*hold {
		t.Run("10 nodes", ten)
	}
}

// twenty measures all rows but one.
func twenty(t *testing.T, last bool) {
	s := stageOf(t, 3)
	s.last = last
	if *hold {
		s.wait(t)
		return
	}
	t.Run("black holes", s.blackHoles)
	t.Run("one against four", s.oneAgainstFour)
	t.Run("every kind of failure", s.everyKind)
	t.Run("one way", s.oneWay)
	t.Run("loss", s.loses)
	t.Run("later", s.judge)
	t.Run("alone", s.alone)
	s.end(t)
}

// ten measures how soon nodes agree that were parted. For twenty that come back at once two processors are too few: what they take then is not the
// network's time, nor that of nodes which have a machine each.
func ten(t *testing.T) {
	s := stageOf(t, 1)
	t.Run("two against three", s.twoAgainstThree)
	t.Run("later", s.judge)
	s.end(t)
}

// end checks that all that should still runs, and says what the network did.
func (s *stage) end(t *testing.T) {
	t.Helper()
	s.check(t)
	r := s.router
	row("router", fmt.Sprintf("%d packets, %d lost, %d over the limit, %d more than %v late", r.carried.Load(), r.lost.Load(), r.full.Load(), r.late.Load(), late), "")
	row("machine load (1, 5, 15 min) at the end", load(), "")
}

// wait keeps the lab standing, and says how to use it.
func (s *stage) wait(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var names []string
	for _, r := range s.regions {
		name := fmt.Sprintf("lab-%d-%s", os.Getpid(), r.name)
		if out, err := exec.Command("ip", "netns", "attach", name, fmt.Sprint(r.standIn.command.Process.Pid)).CombinedOutput(); err != nil {
			t.Fatalf("ip netns attach: %v: %s", err, out)
		}
		names = append(names, name)
		fmt.Printf("lab: ip netns exec %s dig @%v near.%s\n", name, r.address(hostDNS), apex)
	}
	fmt.Printf("lab: ip netns exec %s %s status\nlab: ip netns exec %[1]s nft add element inet lab hole '{ %[3]v }'\nlab: files and logs are in %[4]s; SIGINT ends\n",
		names[0], s.program, s.regions[0].address(hostGates), s.dir)
	<-signals
	for _, name := range names {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("ip netns del: %v: %s", err, out)
		}
	}
}
