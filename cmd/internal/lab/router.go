package lab

import (
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxPacket = 1 << 16 // bytes
	maxOnWay  = 1 << 13 // packets on one way: what comes on top is dropped, and counted
	late      = 20 * time.Millisecond
)

// A way is one direction between two regions, by their indices.
type way struct{ from, to int }

// A weather is what the ways are like beside their delay. The zero weather is a network without faults. It is not changed once the
// router has it.
type weather struct {
	cut    map[way]bool
	loss   map[way]float64 // share of the packets, 0 to 1
	jitter time.Duration   // at most this much on top of a delay, evenly spread
}

// A router carries IPv4 packets between regions, each way with a delay of its own.
//
// What is sent or arrives while its way is cut is lost. The packets of one way arrive in the order in which they were sent, whatever the
// jitter. What is lost to chance is drawn from the seed and the way.
type router struct {
	ports   []io.ReadWriteCloser // each read and write is one packet
	ways    map[way]*queue
	weather atomic.Pointer[weather]
	closed  atomic.Bool
	running sync.WaitGroup

	carried, lost, full, strange, late atomic.Int64 // packets
}

// A queue is what is on one way.
type queue struct {
	delay   time.Duration
	packets chan packet
	rand    *rand.Rand // of the goroutine that reads from the way's beginning, as last is
	last    time.Time  // when the newest packet is due
}

type packet struct {
	bytes []byte
	due   time.Time
}

// newRouter carries packets between ports until it is closed, and closes them then. A packet's destination says the region: 10.77.N.x is
// in that of port N-1. delay is how long one way takes.
func newRouter(ports []io.ReadWriteCloser, delay func(way) time.Duration, seed uint64) *router {
	r := &router{ports: ports, ways: make(map[way]*queue)}
	r.weather.Store(&weather{})
	for from := range ports {
		for to := range ports {
			if w := (way{from, to}); from != to {
				r.ways[w] = &queue{delay: delay(w), packets: make(chan packet, maxOnWay), rand: rand.New(rand.NewPCG(seed, uint64(from*len(ports)+to)))}
			}
		}
	}
	for w := range r.ways {
		r.running.Go(func() { r.deliver(w) })
	}
	for from := range ports {
		r.running.Go(func() { r.read(from) })
	}
	return r
}

// set changes the weather, for packets that are on their way too.
func (r *router) set(w weather) { r.weather.Store(&w) }

// close ends the router and closes its ports.
func (r *router) close() {
	r.closed.Store(true)
	for _, p := range r.ports {
		p.Close()
	}
	r.running.Wait()
}

// read takes what leaves a region.
func (r *router) read(from int) {
	defer func() {
		for to := range r.ports {
			if q := r.ways[way{from, to}]; q != nil {
				close(q.packets)
			}
		}
	}()
	buffer := make([]byte, maxPacket)
	for {
		n, err := r.ports[from].Read(buffer)
		if err != nil {
			return
		}
		w := way{from, regionOf(buffer[:n])}
		q := r.ways[w]
		if q == nil {
			r.strange.Add(1) // IPv6's greetings, say
			continue
		}
		now := r.weather.Load()
		if now.cut[w] || now.loss[w] > 0 && q.rand.Float64() < now.loss[w] {
			r.lost.Add(1)
			continue
		}
		due := time.Now().Add(q.delay)
		if now.jitter > 0 {
			due = due.Add(time.Duration(q.rand.Int64N(int64(now.jitter))))
		}
		if due.Before(q.last) {
			due = q.last
		}
		q.last = due
		select {
		case q.packets <- packet{append([]byte(nil), buffer[:n]...), due}:
		default:
			r.full.Add(1)
		}
	}
}

// deliver hands over what one way carries.
func (r *router) deliver(w way) {
	for p := range r.ways[w].packets {
		if r.closed.Load() {
			continue
		}
		time.Sleep(time.Until(p.due))
		if r.weather.Load().cut[w] {
			r.lost.Add(1)
			continue
		}
		if time.Since(p.due) > late {
			r.late.Add(1)
		}
		if _, err := r.ports[w.to].Write(p.bytes); err == nil { // a region that takes no packets has lost this one
			r.carried.Add(1)
		}
	}
}

// regionOf returns the index of the region that an IPv4 packet goes to, -1 if it goes to none.
func regionOf(packet []byte) int {
	if len(packet) < 20 || packet[0]>>4 != 4 || packet[16] != network[0] || packet[17] != network[1] {
		return -1
	}
	return int(packet[18]) - 1
}

// network is the head of all addresses; the third byte is the region's, from 1.
var network = [2]byte{10, 77}

// cutBetween cuts both ways between two sides.
func cutBetween(one, other []int) map[way]bool {
	cut := make(map[way]bool)
	for _, a := range one {
		for _, b := range other {
			cut[way{a, b}], cut[way{b, a}] = true, true
		}
	}
	return cut
}
