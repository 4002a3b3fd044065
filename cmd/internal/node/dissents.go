package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// lookEvery is how often it is looked for vantages that dissent, which takes minutes to be news.
const lookEvery = 10 * time.Second

// opposition is what this node knows of vantages that say otherwise than all together.
type opposition struct {
	tracked  health.Dissents
	next     time.Time
	dissents []health.Dissent
	reaches  []health.Reach
}

// lookForDissent makes events of vantages that begin or cease to dissent, and of endpoints that only one region sees.
func (n *Node) lookForDissent() {
	o := &n.opposition
	if n.now.Before(o.next) {
		return
	}
	o.next = n.now.Add(lookEvery)
	dissents, reaches := o.tracked.Look(n.table.View(), n.now)
	before, after := byVantage(o.dissents), byVantage(dissents)
	for _, vantage := range slices.Sorted(maps.Keys(after)) {
		if len(before[vantage]) == 0 {
			n.event(health.EventDissent, string(vantage), fmt.Sprintf("says otherwise than all together for more than %v: %s", health.DissentAfter, few(after[vantage])))
		}
	}
	for _, vantage := range slices.Sorted(maps.Keys(before)) {
		if len(after[vantage]) == 0 {
			n.event(health.EventDissent, string(vantage), "no longer says otherwise than all together")
		}
	}
	same := func(a health.Reach) func(health.Reach) bool {
		return func(b health.Reach) bool { return a.Check == b.Check && a.Region == b.Region }
	}
	for _, r := range reaches {
		if !slices.ContainsFunc(o.reaches, same(r)) {
			n.event(health.EventReach, string(r.Check), fmt.Sprintf("up only as seen from %s: a pool with view: regional would have its clients answered by it", r.Region))
		}
	}
	for _, r := range o.reaches {
		if !slices.ContainsFunc(reaches, same(r)) {
			n.event(health.EventReach, string(r.Check), fmt.Sprintf("no longer up only as seen from %s", r.Region))
		}
	}
	if len(dissents)+len(reaches)+len(o.dissents)+len(o.reaches) > 0 {
		n.viewChanged = true
	}
	o.dissents, o.reaches = dissents, reaches
}

func byVantage(dissents []health.Dissent) map[health.NodeID][]health.Dissent {
	by := make(map[health.NodeID][]health.Dissent)
	for _, d := range dissents {
		by[d.Vantage] = append(by[d.Vantage], d)
	}
	return by
}

// few names the first of some dissents, and how many more there are.
func few(dissents []health.Dissent) string {
	const most = 3
	var said []string
	for _, d := range dissents[:min(len(dissents), most)] {
		said = append(said, d.Text())
	}
	if more := len(dissents) - most; more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, ", ")
}
