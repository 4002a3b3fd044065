package journal

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

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
