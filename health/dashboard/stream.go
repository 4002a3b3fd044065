package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// beginWith is how many events of the journal a stream starts with.
const beginWith = 100

// A picture is the latest status, encoded once for all streams. next is closed when there is a newer one.
type picture struct {
	status []byte // nil: nobody looked until now
	next   chan struct{}
}

// watch makes a new picture when something changed, at most every lookEvery, and once in beatEvery at least. While there is no stream it only follows
// what changes: a large status takes more time than all else that a node does.
func (s *Server) watch() {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		changed := s.src.Changed()
		s.look(time.Now())
		pause.Reset(lookEvery)
		select {
		case <-pause.C:
		case <-s.opened:
			continue
		case <-s.closing:
			return
		}
		select {
		case <-changed:
		case <-s.opened:
		case <-beat.C:
		case <-s.closing:
			return
		}
	}
}

func (s *Server) look(now time.Time) {
	c := s.scene(now)
	if s.streams.Load() == 0 {
		s.follow(c)
		s.mu.Lock()
		s.latest.status = nil
		s.mu.Unlock()
		return
	}
	text, err := json.Marshal(s.status(c))
	if err != nil {
		panic(fmt.Sprintf("dashboard: status does not encode: %v", err)) // structs of strings, numbers and times always do
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.latest.next)
	s.latest = picture{text, make(chan struct{})}
}

func (s *Server) picture() picture {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}

// getStream sends the status whenever there is a newer one, and every event of the journal once.
//
// A client has streamWait to take each write; nothing is queued for it meanwhile but what the journal keeps.
func (s *Server) getStream(w http.ResponseWriter, r *http.Request) {
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		s.drop(dropStreams)
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d streams are open already", maxStreams))
		return
	}
	defer s.streams.Add(-1)
	select {
	case s.opened <- struct{}{}:
	default:
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	out := stream{w: w, control: http.NewResponseController(w), run: s.src.Node().Started.Unix()}
	out.resume(r.Header.Get("Last-Event-ID"), s.src.Events(0))
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	out.write("retry: 2000\n\n")
	for s.serve(&out, beat.C, r.Context().Done()) {
	}
	if errors.Is(out.err, os.ErrDeadlineExceeded) {
		s.drop(dropSlow)
	}
}

// serve sends what is new and waits for more. It is false when the stream is over.
func (s *Server) serve(out *stream, beat <-chan time.Time, gone <-chan struct{}) bool {
	now := s.picture()
	out.events(s.src.Events(out.after))
	out.status(now.status)
	if out.flush(); out.err != nil {
		return false
	}
	select {
	case <-now.next:
	case <-beat:
		out.write(": heartbeat\n\n")
	case <-s.closing:
		return false
	case <-gone:
		return false
	}
	return true
}

// A stream is the sending side of one client's events. The first error ends it.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	run     int64  // when the node started: sequences begin anew with it
	after   uint64 // sequence of the last event sent
	last    string // status sent
	err     error
}

// resume sets out where to begin: where the client's last stream of the same run ended, or with the newest events.
func (o *stream) resume(id string, kept []health.Event) {
	// A client that waits for events has nothing more to send, so reading has no limit any more.
	o.err = o.control.SetReadDeadline(time.Time{})
	if len(kept) == 0 {
		return
	}
	newest := kept[len(kept)-1].Sequence
	if run, sequence, ok := strings.Cut(id, "-"); ok && run == strconv.FormatInt(o.run, 10) {
		if after, err := strconv.ParseUint(sequence, 10, 63); err == nil && after <= newest {
			o.after = max(after, kept[max(0, len(kept)-maxEvents)].Sequence-1)
			return
		}
	}
	o.after = kept[max(0, len(kept)-beginWith)].Sequence - 1
}

func (o *stream) events(events []health.Event) {
	for _, e := range events {
		e.Evidence = nil // whoever wants it asks for the event; a change of many checks would be megabytes for each client
		text, err := json.Marshal(e)
		if err != nil {
			panic(fmt.Sprintf("dashboard: event %+v does not encode: %v", e, err))
		}
		o.write(fmt.Sprintf("id: %d-%d\nevent: event\ndata: %s\n\n", o.run, e.Sequence, text))
		o.after = e.Sequence
	}
}

// status sends a status that the client does not have yet.
func (o *stream) status(text []byte) {
	if string(text) != o.last {
		o.last = string(text)
		o.write("event: status\ndata: " + o.last + "\n\n")
	}
}

func (o *stream) write(text string) {
	if o.err == nil {
		o.err = o.control.SetWriteDeadline(time.Now().Add(streamWait))
	}
	if o.err == nil {
		_, o.err = o.w.Write([]byte(text))
	}
}

func (o *stream) flush() {
	if o.err == nil {
		o.err = o.control.Flush()
	}
}
