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
}

// pastSegment keeps segments small, so that a run has many.
const pastSegment = 20_000

func (p *past) start(now time.Time) {
	p.run, p.writer = now, replay.NewWriter(now, time.Time{}, pastSegment)
}

func (p *past) published(s *zones.Snapshot) {
	b, begins, err := p.writer.Moment(nil, replay.Of(s), 0)
	if err != nil {
		panic("sim: " + err.Error())
	}
	if begins {
		p.segments = append(p.segments, nil)
	}
	last := len(p.segments) - 1
	p.segments[last] = append(p.segments[last], b...)
}

// tear cuts bytes off the end: they were not on the disk yet.
func (p *past) tear(n int) {
	if last := len(p.segments) - 1; last >= 0 {
		p.segments[last] = p.segments[last][:max(0, len(p.segments[last])-n)]
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
