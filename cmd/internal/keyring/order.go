package keyring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health/control"
)

// What a person can order beside the events of dnssec that are orders.
const (
	DSSeen = "ds-seen" // the parent has just the DS that it should have now
	Import = "import"  // sign by Keys, which are sealed
	Forget = "forget"  // Nameserver is gone for good
	Drop   = "drop"    // forget the keys of a zone that the world does not want signed
)

// Orders are all that can be ordered.
var Orders = [...]string{"introduce", "roll-zsk", "roll-ksk", "roll-csk", "delete-ds", "announce-ds", "remove", DSSeen, Import, Forget, Drop}

// ErrOrder is wrapped where an order is refused that would be at any time.
var ErrOrder = errors.New("bad order")

// An Order is what a person wants of a zone's keys.
type Order struct {
	Zone       string
	Do         string // one of Orders
	Actor      string
	Reason     string
	Nameserver string            // of forget
	Keys       []dnssec.KeyState // of import
}

// Order returns the command that does what a person wants. The error wraps dnssec.ErrBusy where it must wait, ErrOrder where
// it is wrong. z is what the world says of the zone; nil: it does not want it signed. lives reports whether a nameserver does.
func (r *Ring) Order(s *control.State, o Order, z *Zone, lives func(nameserver string) bool, now time.Time) (*control.Command, error) {
	bad := func(format string, args ...any) (*control.Command, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{ErrOrder}, args...)...)
	}
	if !slices.Contains(Orders[:], o.Do) {
		return bad("%q (have %s)", o.Do, strings.Join(Orders[:], ", "))
	}
	keys, there := s.Keys(o.Zone)
	if !there && o.Do != Import || z == nil && o.Do != Drop {
		why := "the cluster has no keys of it"
		switch {
		case there:
			why = "the world does not want it signed"
		case o.Do == Import: // where nobody has keys of a zone, the leader makes some
			why = "the world has no such zone with the key dnssec: add it, while the nodes have its keys in dns.keys, then import"
		}
		return bad("zone %s: %s", o.Zone, why)
	}
	if o.Do == Drop {
		if z != nil {
			return bad("zone %s: the world wants it signed", o.Zone)
		}
		return &control.Command{Kind: control.KindKeys, Actor: o.Actor, Reason: o.Reason,
			Keys: &control.NewKeys{Zone: o.Zone, Expect: keys.Index, Order: o.Do}}, nil
	}
	var state *dnssec.State
	var err error
	if there {
		state, err = dnssec.Decode(keys.State)
	} else {
		state, err = dnssec.NewState(o.Zone, now)
	}
	if err != nil {
		return nil, err
	}
	event, err := r.event(state, o, z, lives, now)
	if err != nil {
		return nil, err
	}
	next, err := state.Step(now, event)
	if err != nil {
		return nil, err
	}
	if o.Do == DSSeen && !tells(next, state, now) {
		return nil, fmt.Errorf("zone %s: %s: at %s nothing waits for the DS that the parent has: %w", o.Zone, o.Do, state.Stage, dnssec.ErrBusy)
	}
	command := r.command(o.Zone, next, keys.Index, o.Actor, o.Reason)
	if command.Keys.Order = o.Do; o.Do == Forget {
		command.Keys.Order += " " + o.Nameserver
	}
	return command, nil
}

// tells reports whether a word about the DS, which made next of s, is any news to what waits for it. At Insecure that is remove.
func tells(next, s *dnssec.State, now time.Time) bool {
	without, err := s.Step(now, dnssec.Event{Kind: dnssec.Tick})
	return err != nil || s.Stage == dnssec.Insecure || next.Stage != without.Stage || !slices.Equal(next.Waits(), without.Waits())
}

// event is what an order means to a state.
func (r *Ring) event(s *dnssec.State, o Order, z *Zone, lives func(string) bool, now time.Time) (e dnssec.Event, err error) {
	e.Kind = dnssec.EventKind(o.Do)
	switch o.Do {
	case "introduce":
		e.Keys, err = r.make(s, z.Algorithm, now, dnssec.FlagsKSK, dnssec.FlagsZSK)
	case "roll-zsk":
		e.Keys, err = r.make(s, z.Algorithm, now, dnssec.FlagsZSK)
	case "roll-ksk", "roll-csk":
		e.Keys, err = r.make(s, z.Algorithm, now, dnssec.FlagsKSK)
	case Import:
		e.Kind, e.Keys = dnssec.Introduce, o.Keys
		for _, k := range o.Keys {
			if _, err := dnssec.OpenKey(r.cluster, s.Zone, k); err != nil {
				return e, fmt.Errorf("%w: %w", ErrOrder, err)
			}
			if k.Algorithm != z.Algorithm {
				return e, fmt.Errorf("%w: key %d is of algorithm %s, the world says %s", ErrOrder, k.Tag,
					dnssec.AlgorithmName(k.Algorithm), dnssec.AlgorithmName(z.Algorithm))
			}
		}
	case DSSeen:
		if len(s.Parents) != 1 || s.Parents[0].Name != Operator {
			return e, fmt.Errorf("%w: zone %s: the parent's servers are asked by the nodes", ErrOrder, s.Zone)
		}
		e.Kind, e.Server = dnssec.SeenDS, Operator
		e.DS, err = ForParent(s)
	case Forget:
		i := slices.IndexFunc(s.Nodes, func(n dnssec.Node) bool { return n.Name == o.Nameserver })
		if i < 0 {
			return e, fmt.Errorf("%w: zone %s: no nameserver %q (have %s)", ErrOrder, s.Zone, o.Nameserver, strings.Join(names(s), ", "))
		}
		if lives(o.Nameserver) {
			return e, fmt.Errorf("%w: nameserver %s lives: it must stop to be one first", ErrOrder, o.Nameserver)
		}
		limits := s.Limits
		e = dnssec.Event{Kind: dnssec.Configure, Nodes: slices.Delete(names(s), i, i+1), Limits: &limits}
		for _, p := range s.Parents {
			e.Parents = append(e.Parents, p.Name)
		}
	}
	return e, err
}

// ForParent returns the RDATA of the DS records that the parent should have now, by SHA-256.
func ForParent(s *dnssec.State) (set [][]byte, err error) {
	for _, k := range s.Keys {
		if !k.Announced {
			continue
		}
		key, err := k.Key(s.Zone)
		if err != nil {
			return nil, err
		}
		ds, err := key.DS(dnssec.SHA256)
		if err != nil {
			return nil, err
		}
		set = append(set, ds)
	}
	return set, nil
}
