package sim

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/health"
)

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// One node among five hundred, with five thousand targets: it comes to know what all say, and what that costs it. The others are voices: they
// say what a node would, and decide nothing. Signatures are cheap ones here: real ones cost some 60 µs each to check, which is added.
func TestFigureLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: hundreds of nodes")
	}
	nodes, targets := of(500, 100), of(5000, 500)
	plan := manyTargets(t, targets, "interval: 10s")
	now := epoch
	var members []health.Member
	var vantages []health.Vantage
	table := health.NewTable("us-east", now)
	for i := range nodes {
		m := health.Member{Node: health.NodeID(fmt.Sprintf("n%03d", i)), Region: plan.World.Regions[i%5].ID, Roles: health.RoleDNS | health.RoleProbe, Key: [32]byte{1, byte(i), byte(i >> 8)}}
		members = append(members, m)
		vantages = append(vantages, health.Vantage{Node: m.Node, Region: m.Region})
	}
	table.SetTargets(plan.Targets, nil, now)
	table.SetVantages(vantages)
	says := make([]health.Batch, nodes)
	said := make([]*health.Table, nodes) // for the digests
	for i := range says {
		says[i] = health.Batch{Origin: members[i].Node, Incarnation: 1, Full: true}
		for _, target := range table.Assigned(members[i].Node) {
			says[i].Sequence++
			says[i].Records = append(says[i].Records, health.Record{Check: target.ID.Key(), Definition: target.Digest(), State: health.Up, Reason: health.ReasonOK, Sequence: says[i].Sequence})
		}
		said[i] = health.NewTable("us-east", now)
		said[i].SetVantages(vantages[i : i+1])
		said[i].Merge(&says[i])
	}
	base := heap()
	first := members[0]
	n := node.New(node.Config{Name: first.Node, Region: first.Region, Roles: first.Roles, Key: first.Key, Verify: verify,
		Sign: func(message []byte) []byte { return sign(first.Key, message) }}, nil, now)
	n.Members(members, now)
	n.Compiled(plan, now)
	var view *node.View
	step := func() {
		if ready := n.Ready(); ready.View != nil {
			view = ready.View
		}
	}
	step()

	sent, received := 0, 0
	hear := func(i int, kind health.MessageKind, body []byte) {
		message := health.Seal(kind, members[i].Node, body, func(m []byte) []byte { return sign(members[i].Key, m) })
		received += len(message)
		sent++
		n.Receive(message, now, now)
		step()
	}
	seconds := func(from, to int) {
		for second := from; second < to; second++ {
			for i := 1; i < nodes; i++ {
				now = now.Add(time.Second / time.Duration(nodes))
				if (second+i)%30 == 0 || second == 0 {
					hear(i, health.KindVerdicts, says[i].Append(nil))
				}
				_, _, digest := said[i].Vector(members[i].Node)
				h := health.Heartbeat{Incarnation: 1, Sequence: uint64(second + 1), Verdicts: says[i].Sequence, Digest: digest}
				hear(i, health.KindHeartbeat, h.Append(nil))
			}
			n.Tick(now)
			step()
		}
	}
	seconds(0, 10)
	up := 0
	for _, id := range view.Health.Checks() {
		if s := view.Health.Status(id, health.Global); s.State == health.Up && !s.Held {
			up++
		}
	}
	sent, received = 0, 0
	before := processorTime()
	quiet := of(30, 10)
	seconds(10, 10+quiet)
	used := processorTime() - before
	check := time.Duration(sent/quiet) * 60 * time.Microsecond
	memory := int64(heap()) - int64(base)
	t.Logf("figure: %d nodes, %d targets: %d up after 10 s; a node at rest: %.0f ms of a processor a second, and %.0f ms for %d signatures; %.0f kB/s in; %.0f MB of memory",
		nodes, targets, up, used.Seconds()*1000/float64(quiet), check.Seconds()*1000, sent/quiet, float64(received)/1000/float64(quiet), float64(memory)/1e6)
	runtime.KeepAlive(said)
	runtime.KeepAlive(n)
	runtime.KeepAlive(plan)
	if up != targets {
		t.Errorf("%d of %d targets are up after 10 s", up, targets)
	}
}
