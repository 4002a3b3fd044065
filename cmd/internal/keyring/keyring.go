// Package keyring decides which DNSSEC keys the zones of a cluster have, and when a roll of them goes on.
//
// The state of a zone's keys is a dnssec.State in the replicated state of the voters, its private keys sealed by a key that is
// derived from the cluster's. The leader calls Step now and then; whoever takes an order of a person calls Order. Both give
// commands, which the voters refuse if the keys have changed meanwhile. Set gives a nameserver the key set that it is to serve.
//
// It submits nothing, asks no server and reads no clock. Always holds: a nameserver that was once listed is waited for until a
// person says that it is gone; no secret leaves it unsealed.
package keyring

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

const (
	// Operator stands for the servers of a parent zone that nobody asks: a person says what they have.
	Operator = "operator"

	maxCommands  = 32 // of one step
	observeEvery = time.Minute
	clockEvery   = time.Hour                 // a new leader of a roll loses no more of its waits than this
	forever      = 10 * 365 * 24 * time.Hour // for a person's word
)

// A Zone is a zone that the world wants signed.
type Zone struct {
	Apex      string // as text: lower case, fully qualified
	Algorithm uint8
	TTL       uint32   // the largest that its answers have, in seconds
	Parents   []string // servers of the parent zone that are asked; none: a person says what they have
	Own       bool     // this node has keys of its own for it
}

// A Nameserver is a node with role dns that the leader knows of, dead or alive.
type Nameserver struct {
	Name    health.NodeID
	Serving *health.Serving // nil: nothing was heard of late
}

// Seen is what a server of a parent zone answered of a zone's DS.
type Seen struct {
	Zone   string
	Server string
	DS     [][]byte // RDATA
	TTL    uint32
}

// An Input is what a leader knows.
type Input struct {
	Now         time.Time
	State       *control.State
	Zones       []Zone
	Nameservers []Nameserver
	Complete    bool // every node that lives says what it serves: it is of a version that knows of keys
	Seen        []Seen
}

// A Note is for the journal.
type Note struct{ Zone, Text string }

// A Ring is what a leader remembers between steps. The zero Ring is not usable; one goroutine owns it.
type Ring struct {
	actor   string
	cluster []byte
	random  io.Reader
	zones   map[string]*zone
}

// A zone is what is known of one zone's keys.
type zone struct {
	index   uint64        // of the command that set kept
	kept    *dnssec.State // as the voters have it
	state   *dnssec.State // with what was heard since
	waiting string        // for whom, of late
	since   time.Time     // it waits for those
	said    string        // the last note
}

// New returns a ring for a node, by the key of its cluster. Random is a source of secrets.
func New(node health.NodeID, cluster []byte, random io.Reader) *Ring {
	return &Ring{actor: "node " + string(node), cluster: cluster, random: random, zones: make(map[string]*zone)}
}

// Step returns the commands that are due, and what is worth a line. A command that is refused is made anew by the next step.
func (r *Ring) Step(in Input) (commands []control.Command, notes []Note) {
	wanted := make(map[string]bool)
	for _, z := range in.Zones {
		wanted[z.Apex] = true
		known := r.zones[z.Apex]
		if known == nil {
			known = new(zone)
			r.zones[z.Apex] = known
		}
		keys, there := in.State.Keys(z.Apex)
		command, err := r.step(in, z, known, keys, there)
		text := ""
		switch {
		case err != nil:
			text = err.Error()
		case there:
			text = known.silence(in.Now)
		}
		if text != known.said && (text != "" || known.said != "") {
			if known.said = text; text == "" {
				text = "waits for nobody any more"
			}
			notes = append(notes, Note{z.Apex, text})
		}
		if command != nil && len(commands) < maxCommands {
			commands = append(commands, *command)
		}
	}
	for apex := range r.zones {
		if !wanted[apex] {
			delete(r.zones, apex)
		}
	}
	return commands, notes
}

func (r *Ring) step(in Input, z Zone, known *zone, keys control.ZoneKeys, there bool) (*control.Command, error) {
	if !there {
		return r.first(in, z)
	}
	if known.kept == nil || known.index != keys.Index {
		state, err := dnssec.Decode(keys.State)
		if err != nil {
			return nil, fmt.Errorf("its keys can't be read: %w", err)
		}
		known.index, known.kept, known.state = keys.Index, state, state
	}
	if k := known.state.Keys; len(k) > 0 && k[0].Algorithm != z.Algorithm {
		return nil, fmt.Errorf("its keys are of algorithm %s, the world says %s: leave the chain of trust first",
			dnssec.AlgorithmName(k[0].Algorithm), dnssec.AlgorithmName(z.Algorithm))
	}
	state, err := observe(in, z, known.state)
	if err != nil {
		return nil, err
	}
	known.state = state
	return r.commit(in.Now, known, keys), nil
}

// first makes the keys of a zone that has none. Where a node has keys of its own, two kinds would be served: there it makes none.
func (r *Ring) first(in Input, z Zone) (*control.Command, error) {
	if z.Own || !in.Complete || len(in.Nameservers) == 0 {
		return nil, nil
	}
	for _, n := range in.Nameservers {
		if _, own := n.Serving.Generation(z.Apex); own {
			return nil, nil
		}
	}
	state, err := dnssec.NewState(z.Apex, in.Now)
	if err != nil {
		return nil, err
	}
	if state, err = observe(in, z, state); err != nil {
		return nil, err
	}
	made, err := r.make(state, z.Algorithm, in.Now, dnssec.FlagsKSK, dnssec.FlagsZSK)
	if err != nil {
		return nil, err
	}
	if state, err = state.Step(in.Now, dnssec.Event{Kind: dnssec.Introduce, Keys: made}); err != nil {
		return nil, err
	}
	return r.command(z.Apex, state, 0, r.actor, "the world says that it is signed, and it had no keys"), nil
}

// make makes keys that have other tags than those of the state, sealed.
func (r *Ring) make(s *dnssec.State, algorithm uint8, now time.Time, flags ...uint16) ([]dnssec.KeyState, error) {
	var made []dnssec.KeyState
	for len(made) < len(flags) {
		key, err := dnssec.New(s.Zone, flags[len(made)], algorithm, r.random, now)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(slices.Concat(s.Keys, made), func(k dnssec.KeyState) bool { return k.Tag == key.Tag }) {
			continue
		}
		sealed, err := dnssec.SealKey(r.cluster, key, r.random)
		if err != nil {
			return nil, err
		}
		made = append(made, sealed)
	}
	return made, nil
}

// observe hands what the leader knows to a state.
func observe(in Input, z Zone, s *dnssec.State) (*dnssec.State, error) {
	var err error
	for _, e := range append(events(in, z, s), dnssec.Event{Kind: dnssec.Tick}) {
		if s, err = s.Step(in.Now, e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func events(in Input, z Zone, s *dnssec.State) (all []dnssec.Event) {
	listed, wanted := names(s), names(s)
	for _, n := range in.Nameservers {
		wanted = append(wanted, string(n.Name)) // it stays listed though it may be gone: caches and clients still ask it
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	limits := dnssec.DefaultLimits
	limits.Zone = max(z.TTL, 1)
	parents := slices.Compact(slices.Sorted(slices.Values(z.Parents)))
	if len(parents) == 0 {
		parents, limits.ParentSilence = []string{Operator}, forever
	}
	var asked []string
	for _, p := range s.Parents {
		asked = append(asked, p.Name)
	}
	if !slices.Equal(listed, wanted) || !slices.Equal(asked, parents) || s.Limits != limits {
		all = append(all, dnssec.Event{Kind: dnssec.Configure, Nodes: wanted, Parents: parents, Limits: &limits})
	}
	for _, n := range in.Nameservers {
		if generation, known := n.Serving.Generation(z.Apex); known {
			all = append(all, dnssec.Event{Kind: dnssec.Reported, Node: string(n.Name), Generation: generation})
		}
	}
	for _, seen := range in.Seen {
		if seen.Zone == z.Apex && slices.Contains(parents, seen.Server) {
			all = append(all, dnssec.Event{Kind: dnssec.SeenDS, Server: seen.Server, DS: seen.DS, TTL: seen.TTL})
		}
	}
	return all
}

func names(s *dnssec.State) []string {
	var all []string
	for _, n := range s.Nodes {
		all = append(all, n.Name)
	}
	return all
}

// what changed since the voters were told               a command, and its line in the history
// stage, keys, generation, limits or who is waited for  at once, with one
// what servers report                                   once a minute, a first word at once, without
// the clock, while a stage is under way                 once an hour, without
// the clock alone                                       never
func (r *Ring) commit(now time.Time, z *zone, keys control.ZoneKeys) *control.Command {
	if !bytes.Equal(decided(z.kept), decided(z.state)) {
		reason := fmt.Sprintf("waits for %d nameservers, largest TTL %d s", len(z.state.Nodes), z.state.Limits.Zone)
		if z.kept.Stage != z.state.Stage {
			reason = fmt.Sprintf("%s is over: %s, generation %d", z.kept.Stage, z.state.Stage, z.state.Generation)
		}
		return r.command(keys.Zone, z.state, keys.Index, r.actor, reason)
	}
	age := z.state.Wall.Sub(z.kept.Wall)
	if news := !bytes.Equal(observed(z.kept), observed(z.state)); news && (age >= observeEvery || unheard(z.state) < unheard(z.kept)) || age >= clockEvery && len(z.state.Waits()) > 0 {
		command := r.command(keys.Zone, z.state, keys.Index, r.actor, keys.Reason)
		command.Keys.Times = true
		return command
	}
	return nil
}

// decided is what there is in a state beside times and what servers report.
func decided(s *dnssec.State) []byte {
	c := *s
	c.Clock, c.Wall, c.Peak = time.Time{}, time.Time{}, dnssec.TTLs{}
	c.Nodes, c.Parents = slices.Clone(s.Nodes), slices.Clone(s.Parents)
	for i := range c.Nodes {
		c.Nodes[i] = dnssec.Node{Name: c.Nodes[i].Name}
	}
	for i := range c.Parents {
		c.Parents[i] = dnssec.Parent{Name: c.Parents[i].Name}
	}
	return c.Encode()
}

// unheard counts the servers that have not said anything yet.
func unheard(s *dnssec.State) (n int) {
	for _, node := range s.Nodes {
		if node.Heard.IsZero() {
			n++
		}
	}
	for _, p := range s.Parents {
		if p.Seen.IsZero() {
			n++
		}
	}
	return n
}

// observed is what there is in a state beside the times that go on by themselves.
func observed(s *dnssec.State) []byte {
	c := *s
	c.Clock, c.Wall = time.Time{}, time.Time{}
	c.Nodes, c.Parents = slices.Clone(s.Nodes), slices.Clone(s.Parents)
	for i := range c.Nodes {
		c.Nodes[i].Heard = time.Time{}
	}
	for i := range c.Parents {
		c.Parents[i].Seen = time.Time{}
	}
	return c.Encode()
}

func (r *Ring) command(apex string, s *dnssec.State, expect uint64, actor, reason string) *control.Command {
	return &control.Command{Kind: control.KindKeys, Actor: actor, Reason: reason,
		Keys: &control.NewKeys{Zone: apex, State: s.Encode(), Expect: expect}}
}

// silence says for whom the keys have waited longer than a nameserver may be silent; empty: for nobody.
func (z *zone) silence(now time.Time) string {
	if z.state == nil {
		return ""
	}
	var whom []string
	for _, w := range z.state.Waits() {
		if w.Until.IsZero() {
			whom = append(whom, w.Text)
		}
	}
	if waiting := strings.Join(whom, "; "); waiting != z.waiting {
		if z.waiting == "" || waiting == "" {
			z.since = now
		}
		z.waiting = waiting
	}
	if z.waiting == "" || now.Sub(z.since) < z.state.Limits.Silence {
		return ""
	}
	return fmt.Sprintf("at %s: %s", z.state.Stage, z.waiting)
}

// Set returns the key set of a zone that a nameserver is to serve, with the private keys; one that is not Signed: none.
func Set(cluster []byte, keys control.ZoneKeys) (*dnssec.KeySet, error) {
	state, err := dnssec.Decode(keys.State)
	if err != nil {
		return nil, err
	}
	if state.Zone != keys.Zone {
		return nil, fmt.Errorf("zone %s: what is agreed of its keys is of zone %s", keys.Zone, state.Zone)
	}
	return state.KeySet(func(k dnssec.KeyState) (*dnssec.Key, error) { return dnssec.OpenKey(cluster, state.Zone, k) })
}
