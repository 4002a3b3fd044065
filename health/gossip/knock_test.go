package gossip

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gslb/meridian/health"
)

// Only who was a member, and is lost, is answered, and once at a time.
func TestKnocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := config("a")
		c.Rejoin = 15 * time.Second
		var told []string
		c.OnKnock = func(name health.NodeID) { told = append(told, string(name)) }
		m := idle(c)
		d := &delegate{m}
		done := make(chan struct{})
		go func() { m.dispatch(); close(done) }()
		knock := func(name string) { d.NotifyMsg(append([]byte{knockKind}, name...)) }
		node := func(i byte) *memberlist.Node {
			return &memberlist.Node{Name: fmt.Sprint("n", i), Addr: net.IP{10, 0, 0, i}, Port: 7946, Meta: []byte("eu-west")}
		}
		for i := range byte(4) {
			d.NotifyJoin(node(i))
		}
		for i := range byte(3) {
			d.NotifyLeave(node(i))
		}
		knock("n3")
		knock("stranger")
		knock("")
		if len(m.knocks) != 0 {
			t.Fatalf("of a member that is here, or of none: %v is to be answered", <-m.knocks)
		}
		knock("n1")
		knock("n1")
		if r := <-m.knocks; r.name != "n1" || r.address.String() != "10.0.0.1:7946" || len(m.knocks) != 0 {
			t.Errorf("%v is to be answered, and %d more, want n1 where it was", r, len(m.knocks))
		}
		knock("n1")
		if len(m.knocks) != 0 {
			t.Error("n1 is to be answered twice at a time")
		}
		for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			m.answered("n1") // in vain
			time.Sleep(wait - 1)
			knock("n1")
			if len(m.knocks) != 0 {
				t.Fatalf("n1 is to be answered again before %v are over", wait)
			}
			time.Sleep(time.Nanosecond)
			knock("n1")
			if len(m.knocks) != 1 {
				t.Fatalf("n1 is not to be answered again after %v", wait)
			}
			<-m.knocks
		}
		synctest.Wait()
		told = nil
		knock("n0")
		knock("n2") // there is no room, so a later knock counts
		if r := <-m.knocks; r.name != "n0" {
			t.Errorf("%v is to be answered, want n0", r)
		}
		time.Sleep(time.Second)
		knock("n2")
		if r := <-m.knocks; r.name != "n2" {
			t.Errorf("%v is to be answered, want n2", r)
		}
		smaller := node(9)
		smaller.Name = "A"
		d.NotifyJoin(smaller)
		d.NotifyLeave(smaller)
		knock("A")
		if len(m.knocks) != 0 {
			t.Errorf("%v is to be answered, want it to join a by itself", <-m.knocks)
		}
		d.NotifyJoin(node(2))
		if m.table.isLost("n2") || !m.table.isLost("n1") {
			t.Error("n2 is lost though it is back, or n1 is not")
		}
		time.Sleep(time.Second)
		m.cancel()
		<-done
		if got := fmt.Sprint(told); got != "[n0 n2 n2 A]" {
			t.Errorf("told of knocks of %s", got)
		}
	})
}
