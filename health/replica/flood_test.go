package replica

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// dialFrom opens connections to a voter from one address of the loopback, and closes them when the test ends.
func dialFrom(t *testing.T, source, to string, n int) []net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 5 * time.Second}
	var conns []net.Conn
	for range n {
		conn, err := d.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

// listens reports whether a voter talks to the node of a certificate that comes from a source.
func listens(t *testing.T, source, to string, as *tls.Config) (net.Conn, error) {
	t.Helper()
	conf := as.Clone()
	conf.ServerName, conf.NextProtos = "v1", []string{protocolState}
	conn := tls.Client(dialFrom(t, source, to, 1)[0], conf)
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if err := writeJSON(conn, frameHello, hello{}, time.Second); err != nil {
		return nil, err
	}
	_, _, err := readFrame(conn, 2*time.Second, frameAlive)
	return conn, err
}

func TestFloodFromOneAddressLeavesAnotherServed(t *testing.T) {
	c := newCluster(t, 1)
	voter := c.start("v1")
	c.leader()
	submit(t, voter, define("a b"))
	address := c.voters[0].Address

	dialFrom(t, "127.0.0.2", address, 80) // and not a word
	if _, err := listens(t, "127.0.0.2", address, c.authority.node("o2", "dns")); err == nil {
		t.Error("a node at the address of the flood is served, want it to wait for its neighbours' end")
	}
	if _, err := listens(t, "127.0.0.3", address, c.authority.node("o3", "dns")); err != nil {
		t.Errorf("a node at another address: %v, want it served", err)
	}
	observer := c.start("o1")
	submit(t, observer, set("a", false))
	eventually(t, "73 counted", func() bool {
		return voter.metric(t, "meridian_replica_refused_connections_total", "source") == 73
	})
	eventually(t, "the silent are hung up on", func() bool {
		_, err := listens(t, "127.0.0.2", address, c.authority.node("o2", "dns"))
		return err == nil
	})
}

func TestConnectionsOfOneCertificateAreLimited(t *testing.T) {
	c := newCluster(t, 3)
	c.start("v1") // the others are played here
	n := c.nodes["v1"]
	address := c.voters[0].Address
	o1, v2 := c.authority.node("o1", "dns"), c.authority.node("v2", "voter")

	first, err := listens(t, "127.0.0.2", address, o1)
	if err != nil {
		t.Fatal(err)
	}
	for range 15 {
		if _, err := listens(t, "127.0.0.2", address, o1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := listens(t, "127.0.0.3", address, o1); err == nil {
		t.Error("connection 17 of one node is served, want it closed")
	}
	eventually(t, "one counted", func() bool {
		return n.metric(t, "meridian_replica_refused_connections_total", "peer") == 1
	})
	if _, err := listens(t, "127.0.0.2", address, c.authority.node("o2", "dns")); err != nil {
		t.Errorf("another node: %v, want it served", err)
	}
	for i := range 20 {
		if _, err := listens(t, "127.0.0.2", address, v2); err != nil {
			t.Errorf("connection %d of a listed voter: %v, want it served", i+1, err)
		}
	}
	first.Close()
	eventually(t, "room again", func() bool {
		_, err := listens(t, "127.0.0.2", address, o1)
		return err == nil
	})
}

// A node with many commands at once stays within what a voter takes of one certificate, so none of them is in doubt.
func TestManyCommandsAtOnce(t *testing.T) {
	c := newCluster(t, 1)
	voter := c.start("v1")
	observer := c.start("o1")
	c.leader()
	submit(t, voter, define("a b"))
	errs := make(chan error)
	for range 60 {
		go func() {
			_, err := observer.Submit(t.Context(), set("a", false))
			errs <- err
		}()
	}
	for range 60 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := voter.metric(t, "meridian_replica_refused_connections_total", "peer"); got != 0 {
		t.Errorf("refused{peer} = %v, want 0", got)
	}
}

// A voter that is closed amid commands leaves none of them waiting.
func TestCloseAmidCommands(t *testing.T) {
	for range 10 {
		c := newCluster(t, 1)
		c.startAll()
		_, leader := c.leader()
		submit(t, leader, define("us eu"))
		var commands sync.WaitGroup
		for i := range 64 {
			commands.Go(func() {
				for leader.ctx.Err() == nil {
					leader.Submit(t.Context(), set("us", i%2 == 0))
				}
			})
		}
		before := leader.State().Index
		eventually(t, "commands decided", func() bool { return leader.State().Index > before+20 })
		c.stop("v1")
		commands.Wait()
	}
	goleak.VerifyNone(t)
}
