package sim

import (
	"bytes"
	"io"
	"time"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

// A past is what a host has on disk of what its answers followed from.
type past struct {
	writer   *replay.Writer
	run      time.Time
	segments [][]byte
	synced   int       // bytes of the last segment that no crash takes
	at       time.Time // when they were
	written  time.Time // when something last was
}

// pastSegment keeps segments small, so that a run has many.
const pastSegment = 20_000

func (p *past) start(now time.Time) {
	p.run, p.writer = now, replay.NewWriter(now, time.Time{}, pastSegment)
}

func (p *past) published(s *zones.Snapshot) {
	b, begins, err := p.writer.Moment(nil, replay.Of(s), 0)
	p.add(b, begins, err, s.Published)
}

func (p *past) alive(now time.Time) {
	b, begins, err := p.writer.Alive(nil, now)
	p.add(b, begins, err, now)
}

// syncEvery is how long what is written may be lost.
const syncEvery = 5 * time.Second

func (p *past) add(b []byte, begins bool, err error, now time.Time) {
	switch {
	case err != nil:
		panic("sim: " + err.Error())
	case len(b) == 0:
		return
	case begins:
		p.segments, p.synced, p.at = append(p.segments, nil), 0, now
	case now.Sub(p.at) >= syncEvery:
		p.synced, p.at = len(p.segments[len(p.segments)-1]), now
	}
	last := len(p.segments) - 1
	p.segments[last], p.written = append(p.segments[last], b...), now
}

// tear cuts bytes off the end, of those that are not on the disk yet.
func (p *past) tear(n int, now time.Time) {
	if last := len(p.segments) - 1; last >= 0 && now.Sub(p.written) < syncEvery {
		p.segments[last] = p.segments[last][:max(p.synced, len(p.segments[last])-n)]
	}
}

// stayAlive has all hosts that keep their past write that they are running.
func (s *Sim) stayAlive() {
	for _, h := range s.hosts {
		if h.up() && h.past != nil {
			h.past.alive(h.now())
		}
	}
}

// find returns what was in force at a time by the host's clock.
func (p *past) find(at, now time.Time) (*replay.Found, error) {
	heads := make([]replay.Head, len(p.segments))
	for i, segment := range p.segments {
		if r, err := replay.NewReader(bytes.NewReader(segment), time.UTC); err == nil {
			heads[i] = r.Head()
		}
	}
	return replay.Find(heads, at, p.run, now, func(i int) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(p.segments[i])), nil
	})
}
