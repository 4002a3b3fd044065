package host

import (
	"context"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/health"
)

// eventQueue bounds how many events wait for the node. Messages and samples past it are dropped and counted, the rest waits.
const eventQueue = 4096

// eventsAtOnce bounds how long the node takes events in before it does what follows from them.
const eventsAtOnce = 256

// run is the goroutine that owns the node.
func (h *Host) run(ctx context.Context) {
	defer close(h.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			h.step(h.node.Save)
			return
		case event := <-h.events:
			timer.Reset(h.step(event))
		case <-timer.C:
			timer.Reset(h.step(h.node.Tick))
		}
	}
}

// step takes an event in, and those that wait behind it, and does what the node then wants. It returns for how long
// nothing is to be done.
func (h *Host) step(event func(now time.Time)) time.Duration {
	now := time.Now()
	event(now)
	for range min(len(h.events), eventsAtOnce) {
		(<-h.events)(now)
	}
	h.node.Tick(now)
	r := h.node.Ready()
	for _, record := range r.Persist {
		h.persist(record)
	}
	for _, m := range r.Messages {
		h.send(m)
	}
	if r.Probes != nil && h.prober != nil {
		h.prober.Assign(r.Probes)
	}
	if len(r.Retry) > 0 && h.prober != nil {
		h.prober.Retry(r.Retry)
	}
	if r.Snapshot != nil {
		h.snapshot.Store(r.Snapshot)
		if h.past != nil {
			h.past.Published(r.Snapshot)
		}
		if h.signer != nil {
			h.signer.Published(r.Snapshot)
		}
		if h.transfers != nil {
			select {
			case h.transfers.published <- struct{}{}:
			default: // the newest will be looked at
			}
			h.transfers.lookAtOutgoing()
		}
	}
	if r.PushPull != nil {
		h.pushPull.Store(&r.PushPull)
	}
	if r.Exchange != "" {
		h.mesh.Exchange(r.Exchange)
	}
	h.recent.add(r.Events)
	h.journal.Add(r.Events)
	if h.onEvents != nil && len(r.Events) > 0 {
		h.onEvents(r.Events)
	}
	for _, e := range r.Events {
		h.tell(e)
	}
	if r.View != nil {
		h.view.Store(r.View)
		h.viewed(r.View)
	}
	if r.View != nil || r.Snapshot != nil || len(r.Events) > 0 {
		h.changed.raise()
	}
	if r.Count {
		h.count()
	}
	if r.Orders != nil {
		select {
		case h.compiler.learned <- r.Orders:
		default: // a compile is under way; the next minute brings better ones
		}
	}
	return max(time.Until(r.Wake), time.Millisecond)
}

func (h *Host) send(m health.Message) {
	to := []health.NodeID{m.To}
	if m.To == "" {
		to = to[:0]
		for _, member := range h.mesh.Members() {
			if member.Node != h.cfg.Name {
				to = append(to, member.Node)
			}
		}
	}
	for _, id := range to {
		// A peer that is gone or slow misses it; heartbeats tell it that it did, and it pulls.
		_ = h.mesh.Send(id, byte(m.Kind), m.Bytes)
	}
}

// persist writes what must be on disk before anything is said about it, and leaves the rest for later.
func (h *Host) persist(r node.Record) {
	if !r.Sync {
		h.behind.add(r)
		return
	}
	if err := h.store.save(r); err != nil {
		h.log.Error("state not saved", "record", r.Name, "err", err)
	}
}

// post gives the node an event; it waits while the queue is full.
func (h *Host) post(event func(now time.Time)) {
	select {
	case h.events <- event:
	case <-h.ctx.Done():
	}
}

// offer gives the node an event that may be lost.
func (h *Host) offer(event func(now time.Time)) {
	select {
	case h.events <- event:
	default:
		h.metrics.overflow.Inc()
	}
}
