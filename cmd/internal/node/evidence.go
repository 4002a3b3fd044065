package node

import "github.com/meridian-gslb/meridian/health"

// attemptsKept is how many probes of a target are remembered: those that changed a verdict under the usual `fall`, and
// what was before them.
const attemptsKept = 5

// attempts are the last probes of a target.
type attempts struct {
	ring  [attemptsKept]health.Attempt
	count int // of all that were added
}

func (a *attempts) add(r *health.Result) {
	a.ring[a.count%attemptsKept] = health.AttemptOf(r)
	a.count++
}

// list returns them in the order in which they ended.
func (a *attempts) list() []health.Attempt {
	list := make([]health.Attempt, 0, attemptsKept)
	for i := max(0, a.count-attemptsKept); i < a.count; i++ {
		list = append(list, a.ring[i%attemptsKept])
	}
	return list
}

// eventBy is event for what is about a check, with what it rests on.
func (n *Node) eventBy(kind health.EventKind, check health.CheckID, text string, e *health.Evidence) {
	n.event(kind, string(check), text)
	n.out.Events[len(n.out.Events)-1].Evidence = e
}
