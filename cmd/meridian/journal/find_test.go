package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

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
