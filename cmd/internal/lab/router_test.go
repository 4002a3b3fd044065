package lab

import (
	"encoding/binary"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A pipe is a port in memory. The test is the region behind it.
type pipe struct {
	out    chan []byte
	in     chan arrival
	closed chan struct{}
}

type arrival struct {
	number uint32
	at     time.Time
}

func newPipe() *pipe {
	return &pipe{make(chan []byte), make(chan arrival, maxOnWay), make(chan struct{})}
}

func (p *pipe) Read(b []byte) (int, error) {
	select {
	case packet := <-p.out:
		return copy(b, packet), nil
	case <-p.closed:
		return 0, io.EOF
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.in <- arrival{binary.BigEndian.Uint32(b[20:]), time.Now()}
	return len(b), nil
}

func (p *pipe) Close() error {
	close(p.closed)
	return nil
}

// send has a region send a numbered packet to another.
func (p *pipe) send(to int, number uint32) {
	b := make([]byte, 24)
	b[0], b[16], b[17], b[18], b[19] = 0x45, network[0], network[1], byte(to+1), 1
	binary.BigEndian.PutUint32(b[20:], number)
	p.out <- b
}

// arrived returns what came to a region since the last call.
func (p *pipe) arrived() (all []arrival) {
	for {
		select {
		case a := <-p.in:
			all = append(all, a)
		default:
			return all
		}
	}
}

// routed calls f with a router between three regions, whose ways take 10 ms and what the way's ends add to that, and their pipes.
func routed(t *testing.T, f func(t *testing.T, r *router, pipes []*pipe)) {
	synctest.Test(t, func(t *testing.T) {
		var pipes []*pipe
		var ports []io.ReadWriteCloser
		for range 3 {
			p := newPipe()
			pipes, ports = append(pipes, p), append(ports, p)
		}
		r := newRouter(ports, func(w way) time.Duration { return time.Duration(10+10*w.from+w.to) * time.Millisecond }, 1)
		f(t, r, pipes)
		r.close()
	})
}

func TestRouterDelays(t *testing.T) {
	routed(t, func(t *testing.T, r *router, pipes []*pipe) {
		begin := time.Now()
		pipes[0].send(1, 1)
		pipes[0].send(2, 2)
		pipes[2].send(1, 3)
		time.Sleep(time.Second)
		for to, want := range [][]arrival{nil, {{1, begin.Add(11 * time.Millisecond)}, {3, begin.Add(31 * time.Millisecond)}}, {{2, begin.Add(12 * time.Millisecond)}}} {
			got := pipes[to].arrived()
			if len(got) != len(want) {
				t.Fatalf("region %d got %v, want %v", to, got, want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("region %d got %v, want %v", to, got[i], want[i])
				}
			}
		}
	})
}

func TestRouterCuts(t *testing.T) {
	routed(t, func(t *testing.T, r *router, pipes []*pipe) {
		check := func(why string, want ...uint32) {
			t.Helper()
			time.Sleep(time.Second)
			var got []uint32
			for _, p := range pipes {
				for _, a := range p.arrived() {
					got = append(got, a.number)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%s: arrived %v, want %v", why, got, want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s: arrived %v, want %v", why, got, want)
				}
			}
		}
		all := func() {
			pipes[1].send(0, 10)
			pipes[2].send(0, 20)
			pipes[0].send(1, 1)
			pipes[0].send(2, 2)
		}
		all()
		check("healthy", 10, 20, 1, 2)
		r.set(weather{cut: cutBetween([]int{0}, []int{1, 2})})
		all()
		pipes[1].send(2, 12)
		check("cut off", 12)
		r.set(weather{cut: map[way]bool{{0, 1}: true}})
		all()
		check("cut one way", 10, 20, 2)
		r.set(weather{})
		all()
		time.Sleep(5 * time.Millisecond)
		r.set(weather{cut: cutBetween([]int{0}, []int{1, 2})})
		check("cut while they are on their way")
		r.set(weather{})
		all()
		check("healed", 10, 20, 1, 2)
		if n := r.lost.Load(); n != 4+1+4 {
			t.Errorf("lost %d packets, want 9", n)
		}
	})
}

// A way that loses packets loses about as many as it should, and jitter puts none before another.
func TestRouterLosesAndKeepsOrder(t *testing.T) {
	routed(t, func(t *testing.T, r *router, pipes []*pipe) {
		r.set(weather{loss: map[way]float64{{0, 1}: 0.3}, jitter: 20 * time.Millisecond})
		const n = 5000
		sent := make([]time.Time, n)
		for i := range uint32(n) {
			sent[i] = time.Now()
			pipes[0].send(1, i)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		got := pipes[1].arrived()
		if len(got) < n*65/100 || len(got) > n*75/100 {
			t.Errorf("%d of %d packets arrived with a loss of 30 %%", len(got), n)
		}
		for i, a := range got {
			if i > 0 && a.number <= got[i-1].number {
				t.Fatalf("packet %d arrived after %d", a.number, got[i-1].number)
			}
			if took := a.at.Sub(sent[a.number]); took < 11*time.Millisecond || took > 31*time.Millisecond {
				t.Fatalf("packet %d took %v, want 11 ms to 31 ms", a.number, took)
			}
		}
	})
}

func TestRouterDropsWhatIsNotIts(t *testing.T) {
	routed(t, func(t *testing.T, r *router, pipes []*pipe) {
		pipes[0].out <- []byte{0x60, 0, 0, 0}
		pipes[0].send(0, 1) // a region's own packets don't leave it
		pipes[0].send(7, 2)
		synctest.Wait()
		if n := r.strange.Load(); n != 3 {
			t.Errorf("%d strange packets, want 3", n)
		}
	})
}
