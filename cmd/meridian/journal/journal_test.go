package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC)

// A run is one process with a journal.
type run struct {
	*Store
	t    *testing.T
	over chan struct{}
	log  *bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

func open(t *testing.T, dir string, limits Limits, now time.Time) *run {
	t.Helper()
	r := &run{t: t, over: make(chan struct{}), log: new(bytes.Buffer), now: now}
	var err error
	r.Store, err = Open(Config{Dir: dir, Node: "use1", Limits: limits, Logger: slog.New(slog.NewTextHandler(r.log, nil)), Now: r.time})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func begin(t *testing.T, dir string, limits Limits, now time.Time) *run {
	t.Helper()
	r := open(t, dir, limits, now)
	go r.Run(r.over)
	<-r.indexed
	return r
}

var large = Limits{Keep: 24 * time.Hour, Bytes: 64 << 20}

func (r *run) time() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *run) set(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
}

func (r *run) end(now time.Time) {
	r.set(now)
	close(r.over)
	<-r.ended
}

func (r *run) add(at time.Time, kind health.EventKind, subject, text string) {
	r.Add([]health.Event{{Sequence: 1, Time: at, Kind: kind, Subject: subject, Text: text}})
}

func (r *run) find(q Query) Page {
	r.t.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	p, err := r.Find(context.Background(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// lines are events in words, each with when it was after the epoch.
func lines(p Page) string {
	var b strings.Builder
	for _, e := range p.Events {
		fmt.Fprintf(&b, "%v %s %s %s\n", e.Time.Sub(epoch), e.Kind, e.Subject, e.Text)
	}
	return b.String()
}

func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// copyOf is what a process that is killed now leaves behind.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestAcrossProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	first := begin(t, dir, large, epoch)
	first.add(epoch.Add(time.Second), health.EventStatus, "api/euw1/ipv4", "down, was up")
	want := "0s started use1 started\n1s status api/euw1/ipv4 down, was up\n"
	if got := lines(first.find(Query{})); got != want {
		t.Errorf("while it runs:\n%swant\n%s", got, want)
	}
	killed := copyOf(t, dir)
	for _, name := range files(t, killed, "*") { // when it was last alive
		if err := os.Chtimes(name, epoch, epoch.Add(3*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	first.end(epoch.Add(time.Minute))

	second := begin(t, dir, large, epoch.Add(time.Hour))
	want += "1m0s stopped use1 stopped\n1h0m0s started use1 started\n"
	if got := lines(second.find(Query{})); got != want {
		t.Errorf("after an orderly end:\n%swant\n%s", got, want)
	}
	second.end(epoch.Add(2 * time.Hour))

	third := begin(t, killed, large, epoch.Add(time.Hour))
	want = "0s started use1 started\n1s status api/euw1/ipv4 down, was up\n" +
		"3m0s stopped use1 ended without a word: killed, crashed or without power; last known to run then\n1h0m0s started use1 started\n"
	if got := lines(third.find(Query{})); got != want {
		t.Errorf("after a kill:\n%swant\n%s", got, want)
	}
	third.end(epoch.Add(2 * time.Hour))

	for _, name := range append(files(t, dir, "*"), files(t, killed, "*")...) {
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 && strings.HasPrefix(name, dir) {
			t.Errorf("%s: mode %v, %v, want 0600", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("%s: mode %v, %v, want 0700", dir, info.Mode(), err)
	}
}

// A kill may come within any byte of the last line: what was whole before stays, and nothing is said of damage.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	r := begin(t, dir, large, epoch)
	r.add(epoch.Add(time.Second), health.EventStatus, "a", "whole")
	r.add(epoch.Add(2*time.Second), health.EventStatus, "a", "last")
	r.find(Query{})
	killed := copyOf(t, dir)
	r.end(epoch)
	name := files(t, killed, "*")[0]
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	for _, garbage := range []string{"", "\x00\x00\x00"} {
		for size := last; size < len(text); size++ {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), append(text[:size:size], garbage...), 0o600); err != nil {
				t.Fatal(err)
			}
			r := begin(t, dir, large, epoch)
			if got, want := lines(r.find(Query{Subject: "a"})), "1s status a whole\n"; got != want || r.log.Len() > 0 {
				t.Errorf("torn at byte %d with %q behind it: %slog %s, want %sand nothing logged", size, garbage, got, r.log, want)
			}
			r.end(epoch)
		}
	}
}

func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	r := begin(t, dir, large, epoch)
	for i := range 9 {
		r.add(epoch.Add(time.Duration(i)*time.Second), health.EventStatus, "a", fmt.Sprint(i))
	}
	r.end(epoch.Add(time.Minute))
	name := files(t, dir, "*")[0]
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	broken := slices.Clone(text)
	broken[bytes.Index(broken, []byte(`"text":"4"`))+8] = '5' // still JSON, but not what was written
	broken[bytes.Index(broken, []byte(`"text":"7"`))-20] = '\n'
	if err := os.WriteFile(name, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		r = begin(t, dir, large, epoch.Add(time.Hour))
		if got, want := lines(r.find(Query{Subject: "a"})), "0s status a 0\n1s status a 1\n2s status a 2\n3s status a 3\n5s status a 5\n6s status a 6\n8s status a 8\n"; got != want {
			t.Errorf("of a damaged segment:\n%swant\n%s", got, want)
		}
		if said := strings.Contains(r.log.String(), "level=ERROR") && strings.Contains(r.log.String(), "lines_damaged=3"); said == again {
			t.Errorf("at a later start: %v: log %s, want it said once", again, r.log)
		}
		r.end(epoch.Add(time.Hour))
		aside := files(t, dir, "*.damaged-*")
		if len(aside) != 1 {
			t.Fatalf("set aside: %v, want one file", aside)
		}
		if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, broken) {
			t.Errorf("%s is not the damaged file: %v", aside[0], err)
		}
	}
}

func TestNewerVersion(t *testing.T) {
	dir := t.TempDir()
	line := append(appendSum(nil, []byte(`{"journal":2,"node":"use1"}`)), appendLine(nil, health.Event{Time: epoch, Kind: health.EventStatus, Subject: "a"})...)
	name := filepath.Join(dir, fmt.Sprintf("%016d%s", 7, segmentSuffix))
	if err := os.WriteFile(name, line, 0o600); err != nil {
		t.Fatal(err)
	}
	r := begin(t, dir, large, epoch)
	if got, want := lines(r.find(Query{})), "0s started use1 started\n"; got != want || !strings.Contains(r.log.String(), "it is of version 2, this program knows 1") {
		t.Errorf("of a newer version: %s, log %s, want %s", got, r.log, want)
	}
	r.end(epoch)
	if kept, err := os.ReadFile(name); err != nil || !bytes.Equal(kept, line) {
		t.Errorf("the segment of a newer version was changed: %v", err)
	}
}

func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	for _, name := range files(t, dir, "*") {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

func TestBytes(t *testing.T) {
	dir := t.TempDir()
	limits := Limits{Keep: 24 * time.Hour, Bytes: MinBytes}
	r := begin(t, dir, limits, epoch)
	random := rand.New(rand.NewPCG(1, 2))
	const written = 400
	for i := range written {
		r.add(epoch.Add(time.Duration(i)*time.Second), health.EventStatus, "a", fmt.Sprint(i, strings.Repeat("x", random.IntN(20_000))))
		r.find(Query{Newest: true, Limit: 1})
		if total := size(t, dir); total > MinBytes {
			t.Fatalf("after %d events %d bytes, want at most %d", i+1, total, MinBytes)
		}
	}
	p := r.find(Query{Subject: "a"})
	if n := len(p.Events); n < 80 || n > written-10 {
		t.Errorf("%d events are kept, want what fits", n)
	}
	if last := p.Events[len(p.Events)-1]; !strings.HasPrefix(last.Text, fmt.Sprint(written-1)) {
		t.Errorf("the last event that is kept is %.20s, want the newest", last.Text)
	}
	r.end(epoch)

	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016d%s9", 1, asideInfix)), make([]byte, MinBytes/2), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(files(t, dir, "*"+segmentSuffix))
	r = begin(t, dir, limits, epoch)
	r.find(Query{})
	if total, after := size(t, dir), len(files(t, dir, "*"+segmentSuffix)); total > MinBytes || after < before {
		t.Errorf("with a damaged file %d bytes and %d segments, of %d, want that to go first", total, after, before)
	}
	r.end(epoch)
}

// Whatever an event has, it is a line.
func TestLongEvent(t *testing.T) {
	e := health.Event{Time: epoch, Kind: health.EventConfig, Subject: strings.Repeat("<", 1<<20), Text: strings.Repeat("\x01é", 1<<20), Evidence: &health.Evidence{Assigned: 3}}
	line := appendLine(nil, e)
	got, err := parseLine(line)
	if !sound(line) || err != nil || len(got.Text) < maxText-10 || got.Evidence != nil {
		t.Errorf("a long event is a line of %d bytes, sound %v, %v", len(line), sound(line), err)
	}
}

func TestAge(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, dir, Limits{Keep: 73 * time.Hour, Bytes: MinBytes}, epoch)
		for day := range 10 {
			r.add(epoch.Add(time.Duration(day)*24*time.Hour), health.EventStatus, "a", fmt.Sprint("day ", day))
			time.Sleep(24*time.Hour + time.Second)
		}
		if got, want := lines(r.find(Query{Subject: "a"})), "168h0m0s status a day 7\n192h0m0s status a day 8\n216h0m0s status a day 9\n"; got != want {
			t.Errorf("after ten days of which three are kept:\n%swant\n%s", got, want)
		}
		r.set(epoch.Add(10 * 365 * 24 * time.Hour)) // a clock that is wrong makes nothing old
		time.Sleep(5 * time.Minute)
		if got := len(r.find(Query{Subject: "a"}).Events); got != 3 {
			t.Errorf("after the clock was set %d events, want 3", got)
		}
		r.end(epoch)
	})
}

// A stuck is a file on a disk that takes nothing until it is let go, or fails.
type stuck struct {
	disk.File
	let <-chan struct{}
	err func() error
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.let
	if err := s.err(); err != nil {
		n, _ := s.File.Write(b[:len(b)/2])
		return n, err
	}
	return s.File.Write(b)
}

func (r *run) on(let <-chan struct{}, err func() error) {
	r.create = func(name string) (disk.File, error) {
		f, cerr := disk.Create(name)
		return &stuck{f, let, err}, cerr
	}
}

func TestSlowDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, dir, large, epoch)
		let := make(chan struct{})
		r.on(let, func() error { return nil })
		go r.Run(r.over)
		synctest.Wait()
		const lost = 7
		for i := range maxWaiting + lost - 1 { // that it was started waits too
			r.add(epoch.Add(time.Duration(i)), health.EventStatus, "a", "")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := r.Find(ctx, Query{Limit: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Find on a disk that hangs = %v, want an error in time", err)
		}
		close(let)
		synctest.Wait()
		r.add(epoch.Add(time.Hour), health.EventStatus, "a", "after it")
		if got := len(r.find(Query{Subject: "a", Limit: 2 * maxWaiting}).Events); got != maxWaiting {
			t.Errorf("%d events, want %d and the one after it", got, maxWaiting-1)
		}
		p := r.find(Query{Newest: true, Limit: 2})
		if p.Events[0].Kind != health.EventGap || p.Events[0].Text != fmt.Sprintf("%d events were not written down: the disk was too slow or failed", lost) || p.Events[1].Text != "after it" || r.dropped != lost {
			t.Errorf("the last events are\n%swith %d dropped, want %d to be missed before the last", lines(p), r.dropped, lost)
		}
		r.end(epoch)
	})
}

func TestDiskThatFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, dir, large, epoch)
		let := make(chan struct{})
		close(let)
		full := errors.New("no space left on device")
		until := time.Now().Add(35 * time.Second)
		headers := 0
		r.on(let, func() error {
			if headers++; time.Now().Before(until) && headers%2 == 0 {
				return full
			}
			return nil
		})
		go r.Run(r.over)
		for i := range 100 {
			r.add(epoch.Add(time.Duration(i)*time.Second), health.EventStatus, "a", "")
		}
		synctest.Wait()
		if p := r.find(Query{}); len(p.Events) > 60 {
			t.Errorf("%d events while the disk fails, want some", len(p.Events))
		}
		time.Sleep(time.Minute)
		seen := make(map[time.Duration]int)
		for _, e := range r.find(Query{Subject: "a"}).Events {
			seen[e.Time.Sub(epoch)]++
		}
		for i := range 100 {
			if n := seen[time.Duration(i)*time.Second]; n != 1 {
				t.Errorf("event %d is there %d times, want once", i, n)
			}
		}
		if n := strings.Count(r.log.String(), "journal is not written"); n < 1 || n > 4 {
			t.Errorf("the log says %d times that the disk fails, want once in %v", n, retryAfter)
		}
		r.end(epoch)
	})
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 { // each a segment of its own
		r := begin(t, dir, large, epoch.Add(time.Duration(i)*time.Hour))
		for j, what := range []struct {
			kind    health.EventKind
			subject string
		}{{health.EventStatus, "api/euw1/ipv4"}, {health.EventStatus, "api/euw10/ipv4"}, {health.EventVerdict, "api/euw1/ipv4"}, {health.EventEndpoint, "euw1"}, {health.EventRung, "api"}} {
			r.add(epoch.Add(time.Duration(i)*time.Hour+time.Duration(j+1)*time.Minute), what.kind, what.subject, "")
		}
		r.end(epoch.Add(time.Duration(i)*time.Hour + 50*time.Minute))
	}
	r := begin(t, dir, large, epoch.Add(3*time.Hour))
	defer func() { r.end(epoch.Add(4 * time.Hour)) }()
	at := func(d time.Duration) time.Time { return epoch.Add(d) }
	for _, tt := range []struct {
		name string
		q    Query
		want string // hours:minutes
		more bool
	}{
		{"all of an endpoint", Query{Subject: "euw1"}, "0:01 0:03 0:04 1:01 1:03 1:04 2:01 2:03 2:04", false},
		{"all of a check", Query{Subject: "api/euw1"}, "0:01 0:03 1:01 1:03 2:01 2:03", false},
		{"a name is not part of another", Query{Subject: "euw"}, "", false},
		{"a pool, and the checks of that name", Query{Subject: "api", To: at(10 * time.Minute)}, "0:01 0:02 0:03 0:05", false},
		{"a kind", Query{Kinds: []health.EventKind{health.EventRung}}, "0:05 1:05 2:05", false},
		{"kinds", Query{Kinds: []health.EventKind{health.EventRung, health.EventStopped}}, "0:05 0:50 1:05 1:50 2:05 2:50", false},
		{"both ends count", Query{From: at(64 * time.Minute), To: at(121 * time.Minute)}, "1:04 1:05 1:50 2:00 2:01", false},
		{"the first of them", Query{From: at(time.Minute), Limit: 3}, "0:01 0:02 0:03", true},
		{"the last of them", Query{To: at(122 * time.Minute), Limit: 3, Newest: true}, "2:00 2:01 2:02", true},
		{"the last, over segments", Query{To: at(122 * time.Minute), Limit: 5, Newest: true}, "1:05 1:50 2:00 2:01 2:02", true},
		{"the last, of which there are no more", Query{To: at(time.Minute), Limit: 5, Newest: true}, "0:00 0:01", false},
		{"just as many as there are", Query{Subject: "euw1", Limit: 9}, "0:01 0:03 0:04 1:01 1:03 1:04 2:01 2:03 2:04", false},
		{"nothing of the future", Query{From: at(5 * time.Hour)}, "", false},
		{"a subject that JSON writes otherwise", Query{Subject: `a"<é`}, "", false},
	} {
		got := r.find(tt.q)
		var times []string
		for _, e := range got.Events {
			d := e.Time.Sub(epoch)
			times = append(times, fmt.Sprintf("%d:%02d", d/time.Hour, d%time.Hour/time.Minute))
		}
		if strings.Join(times, " ") != tt.want || got.More != tt.more {
			t.Errorf("%s: %v, more %v, want %s, %v", tt.name, times, got.More, tt.want, tt.more)
		}
	}

	all, paged, place := lines(r.find(Query{Subject: "euw1"})), "", ""
	for range 5 {
		p := r.find(Query{Subject: "euw1", Limit: 2, Cursor: place})
		paged, place = paged+lines(p), p.Cursor
	}
	if paged != all {
		t.Errorf("page by page:\n%swant\n%s", paged, all)
	}
	r.add(at(3*time.Hour), health.EventEndpoint, "euw1", "new")
	if got := lines(r.find(Query{Subject: "euw1", Cursor: place})); got != "3h0m0s endpoint euw1 new\n" {
		t.Errorf("behind the last page: %s, want what came since", got)
	}
	for _, text := range []string{"x", "1", "1-", "-1-2", "1--2", "1-2-3"} {
		if _, err := r.Find(context.Background(), Query{Cursor: text}); !errors.Is(err, ErrCursor) {
			t.Errorf("Find with cursor %q = %v, want ErrCursor", text, err)
		}
	}
}

// The twin of Find keeps everything in memory.
func TestFindIsObvious(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	var all []health.Event
	kinds := []health.EventKind{health.EventStatus, health.EventVerdict, health.EventRung}
	r := begin(t, dir, Limits{Keep: 24 * time.Hour, Bytes: 4 << 20}, epoch)
	for i := range 2000 {
		e := health.Event{Sequence: uint64(i), Time: epoch.Add(time.Duration(random.IntN(100_000)) * time.Millisecond), Kind: kinds[random.IntN(3)],
			Subject: fmt.Sprintf("api/e%d/ipv4", random.IntN(5)), Text: strings.Repeat("t", random.IntN(800))}
		all = append(all, e)
		r.Add(all[i:])
	}
	for range 200 {
		q := Query{Limit: 1 + random.IntN(50), Newest: random.IntN(2) == 0, Kinds: kinds[random.IntN(3):]}
		if random.IntN(2) == 0 {
			q.Subject = fmt.Sprintf("e%d", random.IntN(6))
		}
		if random.IntN(2) == 0 {
			q.From = epoch.Add(time.Duration(random.IntN(100)) * time.Second)
		}
		if random.IntN(2) == 0 {
			q.To = epoch.Add(time.Duration(random.IntN(100)) * time.Second)
		}
		want := slices.DeleteFunc(slices.Clone(all), func(e health.Event) bool { return !q.fits(&e) })
		more := len(want) > q.Limit
		if q.Newest {
			want = want[max(0, len(want)-q.Limit):]
		} else {
			want = want[:min(len(want), q.Limit)]
		}
		if got := r.find(q); lines(got) != lines(Page{Events: want}) || got.More != more {
			t.Errorf("Find(%+v) = %d events, more %v, want %d, %v", q, len(got.Events), got.More, len(want), more)
		}
	}
	r.end(epoch)
	if n := len(files(t, dir, "*")); n < 4 {
		t.Errorf("%d segments, want several", n)
	}
}

func FuzzScan(f *testing.F) {
	good := appendLine(headerOf("use1"), health.Event{Sequence: 7, Time: epoch, Kind: health.EventVerdict, Subject: "a/b/ipv4", Text: "down",
		Evidence: &health.Evidence{After: health.Down, Attempts: []health.Attempt{{Start: epoch, Reason: health.ReasonTLS}}}})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append([]byte("{}\n"), good...))
	f.Add([]byte("{\"journal\":99999999999999999999,\"crc32\":\"00000000\"}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := int64(0)
		s, err := scan(bytes.NewReader(data), 0, func(line []byte, end int64) bool {
			if !bytes.Equal(line, data[end-int64(len(line)):end]) || end <= whole {
				t.Fatalf("a line of %d bytes ends at %d behind %d, and is not what is there", len(line), end, whole)
			}
			whole = end
			versionOf(line)
			at := timeOf(line)
			if e, err := parseLine(line); err == nil && !e.Time.IsZero() && !at.IsZero() && bytes.Count(line, []byte(`,"time":"`)) == 1 && !e.Time.Equal(at) {
				t.Errorf("%q is of %v, and in short of %v", line, e.Time, at)
			}
			return true
		})
		if err != nil || s.end+s.torn != int64(len(data)) || whole > s.end {
			t.Errorf("scan = %+v, %v of %d bytes", s, err, len(data))
		}
		// Behind whatever was there, a whole line is found.
		n := 0
		if _, err := scan(bytes.NewReader(append(append(data, '\n'), good...)), 0, func([]byte, int64) bool { n++; return true }); err != nil || n < 2 {
			t.Errorf("%d lines behind %q, %v, want the two that are sound", n, data, err)
		}
	})
}

// BenchmarkFind is the oldest event of a subject in a full journal, and one that there never was.
func BenchmarkFind(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(Config{Dir: dir, Node: "use1", Limits: Limits{Keep: 24 * time.Hour, Bytes: 64 << 20}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	over := make(chan struct{})
	go s.Run(over)
	var regions []health.Vote
	for range 6 {
		vote := health.Vote{Region: "eu-west", State: health.Up}
		for range 3 {
			vote.Vantages = append(vote.Vantages, health.Opinion{Vantage: "euw1", State: health.Up, Reason: health.ReasonOK, Fresh: true})
		}
		regions = append(regions, vote)
	}
	for i := range 45_000 {
		subject := fmt.Sprintf("api/e%d/ipv4", i%1000)
		if i == 3000 {
			subject = "api/once/ipv4"
		}
		s.Add([]health.Event{{Sequence: uint64(i), Time: epoch.Add(time.Duration(i) * time.Second), Kind: health.EventStatus, Subject: subject, Text: "down, was up",
			Evidence: &health.Evidence{Before: health.Up, After: health.Down, Regions: regions}}})
		if i%5000 == 0 {
			if err := s.settle(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	for name, want := range map[string]int{"once": 1, "never": 0} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := s.Find(context.Background(), Query{Subject: "api/" + name + "/ipv4", Kinds: []health.EventKind{health.EventStatus}, Newest: true, Limit: 1})
				if err != nil || len(p.Events) != want {
					b.Fatalf("%d events, %v, want %d", len(p.Events), err, want)
				}
			}
		})
	}
	close(over)
	<-s.ended
}
