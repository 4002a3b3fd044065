package health

import "slices"

// decide decides by the votes of the regions. It is Unknown if none votes.
//
//	quorum    of R that vote, up while                  drain while as many say up or drain; else down
//	default   R <= 2: 1 says up
//	          R >= 3: max(2, floor(0.18 R) + 1) say up  one cut-off or lying region moves nobody
//	route53   more than 18 % of the fresh vantages say up, whatever their regions
//	majority  half of the regions say up
//	any       1 says up
//	all       every one says up
//	a number  that many say up, or all if R is less
//
// 18 % is Route 53's share of checkers; the floor of two regions is ours.
func (q Quorum) decide(votes []Vote) State {
	if q.Preset == QuorumRoute53 {
		var all tally
		for _, vote := range votes {
			for _, o := range vote.Vantages {
				if o.Fresh {
					all.add(o.State)
				}
			}
		}
		return all.state(all.voting*18/100 + 1)
	}
	var regions tally
	for _, vote := range votes {
		if vote.State != Unknown {
			regions.add(vote.State)
		}
	}
	return regions.state(q.need(regions.voting))
}

// need is how many regions must say up, of those that vote.
func (q Quorum) need(voting int) int {
	switch {
	case q.Preset == QuorumMajority:
		return (voting + 1) / 2
	case q.Preset == QuorumAll:
		return voting
	case q.Preset == QuorumCount:
		return min(q.Regions, voting)
	case q.Preset == QuorumDefault && voting >= 3:
		return max(2, voting*18/100+1)
	}
	return 1
}

// regionVote is the majority of a region's fresh vantages; a tie is the better state.
//
//	fresh vantages   up        up or drain   vote
//	0                -         -             unknown: the region does not vote
//	n                >= n/2    -             up
//	n                < n/2     >= n/2        drain
//	n                < n/2     < n/2         down
func regionVote(opinions []Opinion) State {
	var fresh tally
	for _, o := range opinions {
		if o.Fresh {
			fresh.add(o.State)
		}
	}
	return fresh.state((fresh.voting + 1) / 2)
}

// A tally counts votes.
type tally struct{ voting, up, drain int }

func (t *tally) add(s State) {
	t.voting++
	switch s {
	case Up:
		t.up++
	case Drain:
		t.drain++
	}
}

// state is what the votes come to where so many must say up.
func (t *tally) state(need int) State {
	switch {
	case t.voting == 0:
		return Unknown
	case t.up >= need:
		return Up
	case t.up+t.drain >= need:
		return Drain
	}
	return Down
}

// slim reports whether votes that say down, by the default rule, are the word of less than two thirds of the fresh vantages. The rule alone is content
// with eight of fifteen, two in each of four of five regions: so many are wrong about one target at the same time once in some years.
func (q Quorum) slim(votes []Vote) bool {
	fresh, down := 0, 0
	for _, vote := range votes {
		for _, o := range vote.Vantages {
			if o.Fresh {
				fresh++
				if o.State == Down {
					down++
				}
			}
		}
	}
	return q.Preset == QuorumDefault && 3*down < 2*fresh
}

// flaps reports whether votes that say up would not, were it not for vantages that see the endpoint come and go.
func (q Quorum) flaps(votes []Vote) bool {
	flapping := false
	calm := slices.Clone(votes)
	for i := range calm {
		vote := &calm[i]
		if !slices.ContainsFunc(vote.Vantages, Opinion.flaps) {
			continue
		}
		flapping = true
		vote.Vantages = slices.Clone(vote.Vantages)
		for j := range vote.Vantages {
			if o := &vote.Vantages[j]; o.flaps() {
				o.State = Down
			}
		}
		vote.State = regionVote(vote.Vantages)
	}
	return flapping && q.decide(calm) != Up
}

// flaps reports whether a vantage sees the endpoint answer, and has seen it come and go too often to trust that.
func (o Opinion) flaps() bool { return o.Fresh && o.State == Up && o.Reason == ReasonDamped }
