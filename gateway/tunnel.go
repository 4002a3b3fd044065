package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

// tunnels are the WebSocket connections that net/http no longer knows of. The zero value is open and empty.
type tunnels struct {
	mu     sync.Mutex
	open   map[*tunnel]bool
	closed bool
	wg     sync.WaitGroup
}

type tunnel struct{ client, upstream io.Closer }

func (t *tunnel) close() {
	t.client.Close()
	t.upstream.Close()
}

func (t *tunnels) enter(one *tunnel) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.open == nil {
		t.open = map[*tunnel]bool{}
	}
	t.open[one] = true
	t.wg.Add(1)
	return true
}

func (t *tunnels) leave(one *tunnel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, one)
	t.wg.Done()
}

// close cuts all tunnels and lets no other in. A Close frame would need the borders of the frames under way.
func (t *tunnels) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for one := range t.open {
		one.close()
	}
}

func (t *tunnels) wait() { t.wg.Wait() }

// tunnel passes the upstream's 101 on and then bytes both ways, until one side ends, both are idle for too long,
// or the gateway shuts down.
func (g *Gateway) tunnel(rc *http.ResponseController, resp *Response) {
	conn, buffered, err := rc.Hijack()
	if err != nil {
		panic(err) // HTTP/1.1 by head.Handshake: net/http can always hand it over
	}
	client := &idleConn{Conn: conn, idle: g.limits.TunnelIdle}
	one := &tunnel{client, resp.Tunnel}
	defer one.close()
	if !g.tunnels.enter(one) {
		return
	}
	defer g.tunnels.leave(one)
	g.metrics.websockets.Inc()
	defer g.metrics.websockets.Dec()

	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	for _, f := range resp.Fields {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(client, b.String()); err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer one.close()
		io.Copy(resp.Tunnel, io.MultiReader(io.LimitReader(buffered, int64(buffered.Reader.Buffered())), client))
	})
	defer wg.Wait()
	defer one.close()
	io.Copy(client, resp.Tunnel)
}
