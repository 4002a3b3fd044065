package replica

import (
	"net"
	"net/netip"

	"github.com/meridian-gslb/meridian/health"
)

// The limits of a voter's listener. Until a handshake is over only the address is known, and afterwards the certificate;
// in both parts what belongs to the listed voters is kept free for them.
const (
	maxHandshakes = 512  // in hand, of sources where no voter is listed
	maxSource     = 8    // of them from one source; a source where voters are listed has as many for each of them
	maxConns      = 2048 // of certificates, those reserved for voters included
	maxPeer       = 16   // of them of one certificate
	maxVoter      = 64   // of a listed voter's, all reserved: raft's, a subscription, and commands that it passes on
)

// Why there is no room, as counted.
const (
	whyBusy   = "busy"   // too many of all
	whySource = "source" // too many handshakes from one source
	whyPeer   = "peer"   // too many connections of one certificate
)

// A room counts the connections that others made. It is not safe for concurrent use.
type room struct {
	listed map[netip.Prefix]int // voters at each source, of those that are listed by IP address
	most   int                  // connections of nodes that are no listed voters

	shakes    map[netip.Prefix]int
	strangers int // of them those of sources without a listed voter
	conns     map[health.NodeID]int
	voters    map[health.NodeID]int
	ordinary  int // the sum of conns
}

// A guest is what is known of a connection: first its source, later its certificate.
type guest struct {
	source   netip.Prefix
	admitted bool
	id       health.NodeID
	voter    bool
}

func newRoom(voters []Voter) room {
	r := room{listed: make(map[netip.Prefix]int), most: maxConns - len(voters)*maxVoter,
		shakes: make(map[netip.Prefix]int), conns: make(map[health.NodeID]int), voters: make(map[health.NodeID]int)}
	for _, v := range voters {
		if a, err := netip.ParseAddrPort(v.Address); err == nil {
			r.listed[sourceOfIP(a.Addr())]++
		}
	}
	return r
}

// greet takes a guest in for its handshake, or says why not.
func (r *room) greet(g *guest) (why string) {
	listed := r.listed[g.source]
	switch {
	case r.shakes[g.source] >= max(listed, 1)*maxSource:
		return whySource
	case listed == 0 && r.strangers >= maxHandshakes:
		return whyBusy
	case listed == 0:
		r.strangers++
	}
	r.shakes[g.source]++
	return ""
}

// admit takes a guest from its handshake to the connections of a certificate, or says why not and leaves it where it is.
func (r *room) admit(g *guest, id health.NodeID, voter bool) (why string) {
	switch {
	case voter && r.voters[id] >= maxVoter, !voter && r.conns[id] >= maxPeer:
		return whyPeer
	case !voter && r.ordinary >= r.most:
		return whyBusy
	}
	r.leave(g)
	g.admitted, g.id, g.voter = true, id, voter
	if voter {
		r.voters[id]++
	} else {
		r.conns[id]++
		r.ordinary++
	}
	return ""
}

// leave takes a guest out of wherever it is.
func (r *room) leave(g *guest) {
	switch {
	case !g.admitted:
		less(r.shakes, g.source)
		if r.listed[g.source] == 0 {
			r.strangers--
		}
	case g.voter:
		less(r.voters, g.id)
	default:
		less(r.conns, g.id)
		r.ordinary--
	}
}

// less counts down, and forgets what is at 0.
func less[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] <= 0 {
		delete(counts, k)
	}
}

// sourceOf is what counts as one source: an IPv4 address, or the /64 of an IPv6 address, which is one subscriber's
// to choose addresses from. Connections of no known address are all of one source.
func sourceOf(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	return sourceOfIP(at.Addr())
}

func sourceOfIP(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 32
	}
	source, _ := a.WithZone("").Prefix(bits)
	return source
}
