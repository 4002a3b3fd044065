package health

// quorum decides by the votes of the regions that vote. It is Unknown without any.
//
//	voting regions  say up                          status
//	0               -                               unknown
//	1, 2            any                             up
//	R >= 3          >= max(2, floor(0.18 R) + 1)    up      one cut-off or lying region moves nobody
//	any             fewer, but enough with draining drain
//	any             fewer                           down
//
// 18 % is Route 53's share of checkers; the floor of two regions is ours.
func quorum(votes []Vote) State {
	voting, up, drain := 0, 0, 0
	for _, vote := range votes {
		switch vote.State {
		case Up:
			up++
		case Drain:
			drain++
		case Unknown:
			continue
		}
		voting++
	}
	need := 1
	if voting >= 3 {
		need = max(2, voting*18/100+1)
	}
	switch {
	case voting == 0:
		return Unknown
	case up >= need:
		return Up
	case up+drain >= need:
		return Drain
	}
	return Down
}

// regionVote is the majority of a region's fresh vantages; a tie is the better state.
//
//	fresh vantages   up        up or drain   vote
//	0                -         -             unknown: the region does not vote
//	n                >= n/2    -             up
//	n                < n/2     >= n/2        drain
//	n                < n/2     < n/2         down
func regionVote(opinions []Opinion) State {
	fresh, up, drain := 0, 0, 0
	for _, o := range opinions {
		if !o.Fresh {
			continue
		}
		fresh++
		switch o.State {
		case Up:
			up++
		case Drain:
			drain++
		}
	}
	switch {
	case fresh == 0:
		return Unknown
	case 2*up >= fresh:
		return Up
	case 2*(up+drain) >= fresh:
		return Drain
	}
	return Down
}
