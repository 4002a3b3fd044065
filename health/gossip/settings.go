package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// settings are memberlist's, without names and keys. Membership need not be fast: whether a vantage counts is
// decided by its heartbeats, which are messages. It must be calm over long and lossy links.
func settings(local bool) *memberlist.Config {
	c := memberlist.DefaultWANConfig()

	// The longest round trips between regions are near 350 ms, and p99 over lossy paths is under a second.
	c.ProbeTimeout = time.Second
	// Room after the timeout for indirect probes, which take two round trips, and for the probe over TCP.
	c.ProbeInterval = 3 * time.Second
	// A node is lost after 18 s of silence at 5 nodes and 31 s at 50: longer than a BGP reconvergence,
	// since each false loss costs everyone a recompilation of who probes what.
	c.SuspicionMult = 6
	// Without enough confirmations suspicion lasts 3 times as long: under 2 minutes in a lonely half.
	c.SuspicionMaxTimeoutMult = 3
	// Three helpers, so that one bad path between two regions is never taken for a dead node.
	c.IndirectChecks = 3
	// One exchange of states each 30 s per node: the repair of whatever broadcasts and rejoining have missed. It is a certificate per member
	// (23 kB at 50, where memberlist makes it a minute), without LocalState.
	c.PushPullInterval = 30 * time.Second
	// A stream that takes longer holds one of few workers; and a round of joins must end before the next begins.
	c.TCPTimeout = 10 * time.Second
	// Broadcasts carry only changes of membership: half a second each hop, to 4 nodes, reaches 50 in three hops.
	c.GossipInterval = 500 * time.Millisecond
	c.GossipNodes = 4
	// The dead are told so for a minute, to let them refute. The joins again, not this, bring a lost half back.
	c.GossipToTheDeadTime = time.Minute
	// A node that comes back at another address gets its name once the old address counts as dead; the
	// wait keeps two bearers of one certificate from swapping places every probe.
	c.DeadNodeReclaimTime = 5 * time.Second
	// Payloads are digests and signatures, which don't shrink; trying costs every packet an allocation of 64 kB.
	c.EnableCompression = false
	// A batch of verdicts from every node at once, 50 × 20 packets, and as much again.
	c.HandoffQueueDepth = 2048
	// Ethernet's MTU less IPv6, UDP and a tunnel's header.
	c.UDPBufferSize = 1400
	// Never let an unencrypted packet in or out, not even to change over.
	c.GossipVerifyIncoming = true
	c.GossipVerifyOutgoing = true
	// Of the meaning of kinds and states: raise the maximum with a new one, the minimum a version later.
	c.DelegateProtocolVersion, c.DelegateProtocolMin, c.DelegateProtocolMax = 1, 1, 1

	if local {
		// Round trips on one machine are under a millisecond; 200 ms is a machine that is busy.
		c.ProbeTimeout = 200 * time.Millisecond
		c.ProbeInterval = 500 * time.Millisecond
		// Lost after 2 s: someone watches.
		c.SuspicionMult = 4
		c.PushPullInterval = 5 * time.Second
		c.TCPTimeout = time.Second
		c.GossipInterval = 100 * time.Millisecond
		c.GossipToTheDeadTime = 10 * time.Second
		c.DeadNodeReclaimTime = time.Second
	}
	return c
}

// rejoin is how often the absent are joined again. In the WAN that bounds how long a healed partition lasts, at the
// cost of a connection attempt to each absent node.
func rejoin(local bool) time.Duration {
	if local {
		return 2 * time.Second
	}
	return 15 * time.Second
}
