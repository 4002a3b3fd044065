package sim

import (
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// deepDigest is of all that a snapshot holds and health or a control can change, byte by byte.
func deepDigest(s *zones.Snapshot) uint64 {
	d := digest(s.Digest)
	d.add(uint64(s.Published.UnixNano()))
	for _, pool := range s.Pools {
		d.add(uint64(pool.Digest))
		for _, group := range pool.Groups {
			for _, choice := range group.Families {
				d.add(uint64(choice.Rung)<<32 | uint64(choice.Total))
				for _, o := range choice.Options {
					d.add(uint64(o.Weight)<<32 | uint64(len(o.Members)))
					for _, m := range o.Members {
						d.add(uint64(m))
					}
					d.add(uint64(o.Set.Type)<<48 | uint64(o.Set.Count)<<32 | uint64(o.Set.TTL))
					d.text(o.Set.Bytes)
				}
			}
		}
	}
	for _, id := range s.Health.Checks() {
		st := s.Health.Status(id, health.Global)
		d.add(uint64(st.State)<<40 | uint64(st.Measured)<<32 | uint64(st.Assigned)<<16 | uint64(st.Fresh))
		d.facts(st.Held, st.HeldBack, st.Grace)
		for _, vote := range st.Regions {
			d.add(uint64(vote.State))
			for _, o := range vote.Vantages {
				d.add(uint64(o.State)<<8 | uint64(o.Reason))
				d.facts(o.Fresh)
			}
		}
	}
	if s.Control != nil {
		d.add(s.Control.Index)
		for _, c := range s.Control.Controls() {
			d.facts(c.On)
		}
	}
	return uint64(d)
}

type digest uint64

func (d *digest) add(x uint64) { *d = (*d^digest(x)^*d>>31)*0x9e3779b97f4a7c15 + 1 }

func (d *digest) text(b []byte) {
	for _, c := range b {
		d.add(uint64(c))
	}
}

func (d *digest) facts(facts ...bool) {
	for _, fact := range facts {
		x := uint64(0)
		if fact {
			x = 1
		}
		d.add(x)
	}
}
