package gateway

import "time"

// A pace is how long the gateway goes on waiting for a client's body. Time in which nobody reads is not the client's.
//
//	at first                      twice the time for a KiB
//	whenever another KiB is there the time for a KiB, if less is left
type pace struct {
	kib  time.Duration
	left time.Duration
	got  int // bytes of the KiB under way
}

func newPace(kib time.Duration) pace { return pace{kib: kib, left: 2 * kib} }

// read notes that a wait of that length brought n bytes.
func (p *pace) read(n int, waited time.Duration) {
	p.left -= waited
	if p.got += n; p.got >= 1<<10 {
		p.got = 0
		p.left = max(p.left, p.kib)
	}
}
