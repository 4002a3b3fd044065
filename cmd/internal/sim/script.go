package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

// A script is a scenario: lines of what happens when, and between them what an operator would see.
//
//	# a comment
//	world five nodes 2             the world's name, and how many nodes each region has
//	at 2m cut A B | C              both ways; "cut A -> C" one way. A node, a region or all
//	at 2m degrade A | B loss 0.2   also delay, jitter, duplicate, hold, corrupt
//	at 2m heal                     all links; "heal ENDPOINT" that endpoint
//	at 2m fail ENDPOINT refused    blackhole, hang, 500, drain, lossy
//	at 2m lie NODE down            up, frozen, deaf; "lie NODE honest" ends it
//	at 2m blind REGION | REGION    the probes of one region at the endpoints of another time out, messages pass; "see" ends all of that
//	at 2m clock NODE 24h           its machine starts anew, with a clock that is off by that
//	at 2m crash NODE               "crash NODE without disk" loses it
//	at 2m restart NODE
//	at 2m reload NODE WORLD        the node takes another configuration
//	at 2m control NAME off because TEXT
//	at 2m endpoint NAME … STATE for DURATION because TEXT      by hand: force_up, force_down, drain; without "for" until auto
//	at 2m demand CLIENT 950        requests per second from clients like this one, and so on
//	at 2m resume POOL because TEXT   its members that were failed away from; "resume POOL ENDPOINT" one of them
//	at 2m freeze on because TEXT   all automatic change; "freeze off" ends it
//	at 2m release because TEXT     what is held of a mass change
//	at 2m ask NODE NAME TYPE from CLIENT -> ENDPOINT ADDRESS
//	at 2m explain NODE NAME TYPE from CLIENT          at the end "at 1m": a replay of that time
//	at 2m status NODE
//	at 2m events NODE KIND …       its journal since the last time; without a kind, all of it
//	at 2m agree                    who answers alike
//	at 2m loads NODE               what members with a capacity get, as the node predicts
//
// Lines that begin with | are what the line before them shows.
type script struct {
	load  func(world string) (*zones.Plan, error)
	plans map[health.Hash64]*zones.Plan // that were loaded, by the digest of the world
	sim   *Sim
	shown map[string]int // how much of the log events have been shown, by node and kinds
	out   strings.Builder
	wrong []string
}

// RunScript plays a scenario. It returns the text with what is shown filled in, and what came out otherwise than the
// script says or must never be.
func RunScript(text string, load func(world string) (*zones.Plan, error)) (string, []string) {
	r := &script{shown: make(map[string]int), plans: make(map[health.Hash64]*zones.Plan)}
	r.load = func(world string) (*zones.Plan, error) {
		p, err := load(world)
		if err == nil {
			r.plans[p.World.Digest] = p
		}
		return p, err
	}
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(l, "|") {
			continue
		}
		r.out.WriteString(l + "\n")
		words := strings.Fields(l)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if err := r.line(words); err != nil {
			r.wrong = append(r.wrong, fmt.Sprintf("line %d: %s: %v", i+1, l, err))
			break
		}
	}
	if r.sim != nil {
		r.sim.mutated()
		r.wrong = append(r.wrong, r.sim.Violations()...)
	}
	return r.out.String(), r.wrong
}

func (r *script) show(format string, args ...any) {
	for _, l := range strings.Split(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n") {
		r.out.WriteString(strings.TrimRight("| "+l, " ") + "\n")
	}
}

func (r *script) line(words []string) error {
	if words[0] == "world" {
		return r.begin(words[1:])
	}
	if words[0] != "at" || len(words) < 3 || r.sim == nil {
		return fmt.Errorf("want world NAME, then lines of at TIME WHAT")
	}
	at, err := time.ParseDuration(words[1])
	if err != nil {
		return err
	}
	if at < r.sim.Now() {
		return fmt.Errorf("it is %s already", clock(r.sim.Now()))
	}
	r.sim.RunUntil(at)
	verbs := map[string]func([]string) error{
		"cut": r.cut, "degrade": r.degrade, "heal": r.heal, "fail": r.fail, "lie": r.lie, "blind": r.blind, "see": r.see, "clock": r.clock, "crash": r.crash, "restart": r.restart,
		"reload": r.reload, "control": r.control, "endpoint": r.endpoint, "demand": r.demand, "loads": r.loads, "resume": r.resume, "freeze": r.freeze, "release": r.release, "ask": r.ask, "explain": r.explain, "status": r.status, "events": r.events,
		"agree": r.agree,
	}
	verb := verbs[words[2]]
	if verb == nil {
		return fmt.Errorf("unknown %q", words[2])
	}
	return verb(words[3:])
}

func (r *script) begin(words []string) error {
	set := Setting{Seed: 1, Past: true}
	for i := 1; i+1 < len(words); i += 2 {
		n, err := strconv.Atoi(words[i+1])
		if err != nil {
			return err
		}
		switch words[i] {
		case "nodes":
			set.Nodes = n
		case "seed":
			set.Seed = uint64(n)
		default:
			return fmt.Errorf("unknown %q", words[i])
		}
	}
	var err error
	if set.Plan, err = r.load(words[0]); err == nil {
		r.sim = New(set)
	}
	return err
}

// hosts returns those that words name, each at least one.
func (r *script) hosts(words []string) (found []*host, err error) {
	for _, word := range words {
		hosts := r.sim.find(word)
		if len(hosts) == 0 {
			return nil, fmt.Errorf("no node or region %q", word)
		}
		found = append(found, hosts...)
	}
	if len(found) == 0 {
		err = fmt.Errorf("which node?")
	}
	return found, err
}

// sides splits words at | or ->.
func (r *script) sides(words []string) (a, b []*host, rest []string, oneWay bool, err error) {
	i := slices.IndexFunc(words, func(w string) bool { return w == "|" || w == "->" })
	if i < 0 {
		return nil, nil, nil, false, fmt.Errorf("want A | B or A -> B")
	}
	end := i + 1
	for end < len(words) && len(r.sim.find(words[end])) > 0 {
		end++
	}
	if a, err = r.hosts(words[:i]); err == nil {
		b, err = r.hosts(words[i+1 : end])
	}
	return a, b, words[end:], words[i] == "->", err
}

func (r *script) cut(words []string) error {
	a, b, rest, oneWay, err := r.sides(words)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("no node or region %q", rest[0])
	}
	if err != nil {
		return err
	}
	r.sim.cut(a, b, true)
	if !oneWay {
		r.sim.cut(b, a, true)
	}
	return nil
}

func (r *script) degrade(words []string) error {
	a, b, rest, oneWay, err := r.sides(words)
	if err != nil {
		return err
	}
	var f Faults
	shares := map[string]*float64{"loss": &f.Loss, "duplicate": &f.Duplicate, "hold": &f.Hold, "corrupt": &f.Corrupt}
	times := map[string]*time.Duration{"delay": &f.Delay, "jitter": &f.Jitter}
	for i := 0; i+1 < len(rest); i += 2 {
		switch key := rest[i]; {
		case shares[key] != nil:
			*shares[key], err = strconv.ParseFloat(rest[i+1], 64)
		case times[key] != nil:
			*times[key], err = time.ParseDuration(rest[i+1])
		default:
			err = fmt.Errorf("unknown fault %q", key)
		}
		if err != nil {
			return err
		}
	}
	for _, from := range a {
		for _, to := range b {
			r.sim.links[from.index][to.index] = f
			if !oneWay {
				r.sim.links[to.index][from.index] = f
			}
		}
	}
	return nil
}

func (r *script) heal(words []string) error {
	if len(words) == 0 {
		r.sim.healLinks()
	}
	for _, endpoint := range words {
		if err := r.sim.fail(endpoint, Fine); err != nil {
			return err
		}
	}
	return nil
}

func (r *script) fail(words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("want ENDPOINT … HOW")
	}
	how := words[len(words)-1]
	for _, endpoint := range words[:len(words)-1] {
		if err := r.sim.fail(endpoint, End(how)); err != nil {
			return err
		}
	}
	return nil
}

func (r *script) lie(words []string) error {
	hosts, err := r.hosts(words[:1])
	if err != nil {
		return err
	}
	for _, h := range hosts {
		h.vantage.lie = Lie(words[1])
		if words[1] == "honest" {
			h.vantage.lie = Honest
		}
	}
	return nil
}

// blind cuts the probes of regions at endpoints of others: A … | B ….
func (r *script) blind(words []string) error {
	a, b, rest, oneWay, err := r.sides(words)
	if err != nil || len(rest) > 0 || oneWay {
		return fmt.Errorf("want REGION … | REGION …: %w", err)
	}
	for _, from := range a {
		for _, to := range b {
			r.sim.blinded[path{from.region, to.region}] = true
		}
	}
	return nil
}

func (r *script) see([]string) error {
	clear(r.sim.blinded)
	return nil
}

func (r *script) clock(words []string) error {
	if len(words) != 2 {
		return fmt.Errorf("want NODE and a duration")
	}
	hosts, err := r.hosts(words[:1])
	if err != nil {
		return err
	}
	off, err := time.ParseDuration(words[1])
	for _, h := range hosts {
		h.crash(false)
		h.skew = off
		h.start()
	}
	return err
}

func (r *script) demand(words []string) error {
	if len(words) != 2 {
		return fmt.Errorf("want CLIENT and requests per second")
	}
	client, err := netip.ParseAddr(words[0])
	if err != nil {
		return err
	}
	rate, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	r.sim.wants = append(slices.DeleteFunc(r.sim.wants, func(w want) bool { return w.client == client }), want{client, rate})
	return nil
}

func (r *script) crash(words []string) error {
	diskLost := len(words) == 3 && words[1] == "without" && words[2] == "disk"
	hosts, err := r.hosts(words[:1])
	for _, h := range hosts {
		h.crash(diskLost)
	}
	return err
}

func (r *script) restart(words []string) error {
	hosts, err := r.hosts(words)
	for _, h := range hosts {
		h.crash(false)
		h.start()
	}
	return err
}

func (r *script) reload(words []string) error {
	hosts, err := r.hosts(words[:1])
	if err != nil {
		return err
	}
	plan, mistakes := r.load(words[1])
	for _, h := range hosts {
		if mistakes != nil {
			h.drive(func() { h.node.Refused(mistakes, h.now()) })
		} else {
			h.reload(plan)
		}
	}
	return nil
}

// question reads NODE NAME TYPE from CLIENT.
func (r *script) question(words []string) (h *host, q zones.Question, err error) {
	if len(words) < 5 || words[3] != "from" {
		return nil, q, fmt.Errorf("want NODE NAME TYPE from CLIENT")
	}
	if h = r.sim.host(health.NodeID(words[0])); h == nil || h.snapshot == nil {
		return nil, q, fmt.Errorf("node %s gives no answers", words[0])
	}
	q.Name, q.Type = dns.Fqdn(words[1]), dns.StringToType[words[2]]
	if q.Client.Source, err = netip.ParseAddr(words[4]); err != nil {
		q.Client.Subnet, err = netip.ParsePrefix(words[4])
		q.Client.Source = netip.MustParseAddr("17.53.0.1")
	}
	return h, q, err
}

func (r *script) ask(words []string) error {
	h, q, err := r.question(words)
	if err != nil {
		return err
	}
	query, body := pack(q.Name, q.Type, q.Client)
	answer, _ := wire.Answer(nil, h.snapshot, nil, &wire.Request{Query: query, Source: q.Client.Source, Limit: wire.MaxMessage})
	found, err := addresses(answer, body)
	if err != nil {
		return err
	}
	got := "nothing"
	if len(found) > 0 {
		got = ownerOf(h.snapshot.Plan.World, found[0]) + " " + found[0].String()
	}
	want := "what?"
	if len(words) > 6 && words[5] == "->" {
		want = strings.Join(words[6:], " ")
	}
	if got != want {
		r.wrong = append(r.wrong, fmt.Sprintf("at %s: ask %s = %s, want %s", clock(r.sim.Now()), strings.Join(words[:5], " "), got, want))
	}
	return nil
}

// ownerOf names the endpoint that has an address.
func ownerOf(w *zones.World, a netip.Addr) string {
	for _, pool := range w.Pools {
		for _, m := range pool.Members {
			if slices.Contains(m.Address[:], a) {
				return m.Endpoint
			}
		}
	}
	return "last_resort"
}

func (r *script) explain(words []string) error {
	h, q, err := r.question(words)
	if err != nil {
		return err
	}
	if len(words) == 7 && words[5] == "at" {
		return r.replay(h, q, words[6])
	}
	e, err := h.snapshot.Explain(q)
	if err == nil {
		r.show("%s", e)
	}
	return err
}

// replay explains by what was in force at a host some time ago.
func (r *script) replay(h *host, q zones.Question, ago string) error {
	d, err := time.ParseDuration(ago)
	if err != nil {
		return err
	}
	at := epoch.Add(d + h.skew)
	f, err := h.past.find(at, h.now())
	if err != nil {
		r.show("%v", err)
		return nil
	}
	p := r.plans[f.Moment.Basis.World]
	if p == nil {
		return fmt.Errorf("no world %v", f.Moment.Basis.World)
	}
	e, err := f.Moment.Snapshot(p).Explain(q)
	if err == nil {
		e.Premises = append([]string{replay.Premise(at, f.Moment.Published)}, f.Notes()...)
		r.show("%s", e)
	}
	return err
}
