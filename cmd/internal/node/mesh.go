package node

import (
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// Meshed notes what became of the mesh that carries messages: which ways to a member work, or which keys it goes by.
func (n *Node) Meshed(subject, text string, now time.Time) {
	n.at(now)
	n.event(health.EventMesh, subject, text)
}
