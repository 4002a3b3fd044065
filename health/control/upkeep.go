package control

import (
	"slices"
	"time"
)

// Upkeep returns the commands by which whoever leads the voters keeps a state up at a time: none, or one that ends the overlays
// that are overdue, one that latches members, or both. Away are members that clients were failed away from, as a state of
// at least this index had it; those that are latched already are passed over, and so are those for which there is no
// room: at most 100 are latched at once, and MaxLatches in all. To propose the commands again does nothing more.
func (s *State) Upkeep(now time.Time, away []Member, actor string) (commands []Command) {
	if s == nil {
		return nil
	}
	if slices.ContainsFunc(s.overlays, func(o Overlay) bool { return o.Overdue(now) }) {
		commands = append(commands, Command{Kind: KindExpire, Actor: actor, Reason: "its time is over"})
	}
	var latch []Member
	for _, m := range slices.Compact(slices.SortedFunc(slices.Values(away), Member.compare)) {
		if !s.Latched(m.Pool, m.Endpoint) {
			latch = append(latch, m)
		}
	}
	if latch = latch[:min(len(latch), maxLatchSets, MaxLatches-len(s.latches))]; len(latch) > 0 {
		commands = append(commands, Command{Kind: KindLatch, Actor: actor, Reason: "failed away from", Latch: latch})
	}
	return commands
}
