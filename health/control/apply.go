package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// Apply returns the state after a command at an index of the log, and what became of the command.
// It depends on its arguments alone. A refused command leaves a line in the history and changes
// nothing else but index and time. Indexes must rise.
func (s *State) Apply(index uint64, cmd Command) (*State, Result) {
	if index <= s.Index {
		panic(fmt.Sprintf("control: apply index %d after %d", index, s.Index))
	}
	next := *s
	next.Index = index
	if t := cmd.Time.UTC().Round(0); t.After(next.Time) {
		next.Time = t
	}
	res := Result{Epoch: next.Epoch, Index: index, Time: next.Time}
	if err := cmd.Check(); err != nil {
		next.Time, res.Time = s.Time, s.Time // a time that breaks the limits must not enter
		res = res.refuse(err)
		next.record(Entry{Kind: Kind(printable(string(cmd.Kind), maxName)), Actor: printable(cmd.Actor, maxActor),
			Via: health.NodeID(printable(string(cmd.Via), maxName))}, res)
		return &next, res
	}
	if cmd.Key != "" {
		if i := slices.IndexFunc(s.keys, func(k keyed) bool { return k.Key == cmd.Key }); i >= 0 {
			if s.keys[i].Digest == cmd.digest() {
				first := s.keys[i].Result
				first.Repeat = true
				return &next, first
			}
			res = res.refuse(fmt.Errorf("%w: %q was of index %d", ErrKey, cmd.Key, s.keys[i].Result.Index))
			next.record(next.entry(cmd), res)
			return &next, res
		}
	}
	entry := next.entry(cmd)
	audit := true
	switch {
	case strings.TrimSpace(cmd.Reason) == "":
		res = res.refuse(ErrReason)
	case cmd.Kind == KindSet:
		res = next.set(cmd, res, &entry)
	case cmd.Kind == KindKeys:
		res = next.setKeys(cmd, res)
		audit = !cmd.Keys.Times || res.Code != ""
	case cmd.Kind == KindChallenge:
		res = next.challenge(cmd, res)
	case cmd.Kind == KindOverlay:
		res = next.overlay(cmd, res)
	case cmd.Kind == KindExpire:
		res, audit = next.expire(res, &entry)
	case cmd.Kind == KindLatch:
		res, audit = next.latch(cmd, res, &entry)
	case cmd.Kind == KindResume:
		res = next.resume(cmd, res, &entry)
	case cmd.Kind == KindFreeze:
		res = next.setFreeze(cmd, res)
	case cmd.Kind == KindRelease:
		res = next.release(res)
	default:
		res, audit = next.define(cmd, res, &entry)
	}
	if audit {
		next.record(entry, res)
	}
	if cmd.Key != "" {
		drop := max(0, len(next.keys)+1-maxKeys)
		next.keys = append(slices.Clone(next.keys[drop:]), keyed{cmd.Key, cmd.digest(), res})
	}
	return &next, res
}

// entry says what a command that keeps the limits wants of s, whatever becomes of it. It holds no key and no value of a challenge.
func (s *State) entry(cmd Command) Entry {
	e := Entry{Kind: cmd.Kind, Panel: cmd.Panel, Actor: cmd.Actor, Reason: cmd.Reason, Via: cmd.Via, Overrides: slices.Clone(cmd.Overrides)}
	switch cmd.Kind {
	case KindSet:
		for _, sw := range slices.SortedFunc(slices.Values(cmd.Switches), func(a, b Switch) int { return cmp.Compare(a.Control, b.Control) }) {
			e.Changes = append(e.Changes, Change{sw.Control, s.On(sw.Control), sw.On})
		}
	case KindKeys:
		e.Zone, e.Order = cmd.Keys.Zone, cmd.Keys.Order
	case KindChallenge:
		e.Order = orderOf(cmd.Challenges)
	case KindOverlay:
		e.Overlays = s.overlayChanges(cmd.Overlays)
	case KindResume:
		e.Pool, e.Endpoint = cmd.Resume.Pool, cmd.Resume.Endpoint
	case KindFreeze:
		e.Order = map[bool]string{true: "on", false: "off"}[*cmd.Freeze]
	}
	return e
}

// set switches controls in s, which is not shared yet, unless it refuses.
func (s *State) set(cmd Command, res Result, entry *Entry) Result {
	panel, err := s.checkSwitches(cmd)
	if err != nil {
		return res.refuse(err)
	}
	entry.Panel = panel
	want := make(map[ControlID]bool, len(cmd.Switches))
	for _, sw := range cmd.Switches {
		want[sw.Control] = sw.On
	}
	after := func(id ControlID) bool {
		if on, ok := want[id]; ok {
			return on
		}
		return s.On(id)
	}
	bind := func(r *rule) bool { return r.panel == "" || r.panel == panel }
	if err := s.checkOverrides(cmd.Overrides, bind); err != nil {
		return res.refuse(err)
	}
	var v verdicts
	for _, r := range s.definitions.rules() {
		if !bind(&r) || !slices.ContainsFunc(r.of, func(id ControlID) bool { _, ok := want[id]; return ok }) {
			continue
		}
		v.add(r.judge(r.change(s.On, after), after, s.until(&r), s.Time, r.named(cmd.Overrides)))
	}
	res, refused := v.conclude(res)
	if refused {
		return res
	}
	s.controls = slices.Clone(s.controls)
	for i := range s.controls {
		c := &s.controls[i]
		if on, ok := want[c.Name]; ok && on != c.On {
			c.On, c.Version = on, c.Version+1
			c.Changed, c.Epoch, c.Index, c.Actor, c.Reason = s.Time, s.Epoch, s.Index, cmd.Actor, cmd.Reason
			res.Changed = append(res.Changed, c.Name)
		}
	}
	return res
}

// checkSwitches reports unknown controls, controls of several panels and unexpected versions.
func (s *State) checkSwitches(cmd Command) (PanelID, error) {
	panel := cmd.Panel
	for _, sw := range cmd.Switches {
		c, ok := s.Control(sw.Control)
		if !ok {
			return "", fmt.Errorf("%w: %q (have %s)", ErrUnknownControl, sw.Control, s.names(panel))
		}
		if panel == "" {
			panel = c.Panel
		}
		if c.Panel != panel {
			return "", fmt.Errorf("%w: control %q is of panel %q, not of %q", ErrPanel, c.Name, c.Panel, panel)
		}
	}
	for _, sw := range cmd.Switches {
		if c, _ := s.Control(sw.Control); sw.Version != 0 && sw.Version != c.Version {
			return "", fmt.Errorf("%w: control %q is at version %d, not %d: turned %s by %s", ErrVersion,
				c.Name, c.Version, sw.Version, position(c.On), c.Actor)
		}
	}
	return panel, nil
}

func position(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// names lists the controls of a panel, or of all if there is no such panel.
func (s *State) names(panel PanelID) string {
	var of, all []string
	for _, c := range s.controls {
		all = append(all, string(c.Name))
		if c.Panel == panel {
			of = append(of, string(c.Name))
		}
	}
	if len(of) > 0 {
		all = of
	}
	if len(all) == 0 {
		return "none"
	}
	return clip(strings.Join(all, ", "), maxErrorText/2)
}

// checkOverrides refuses an override that names no rule: a slip of the pen must not look like consent.
func (s *State) checkOverrides(overrides []string, bind func(*rule) bool) error {
	if len(overrides) == 0 {
		return nil
	}
	known := make(map[string]bool)
	var names []string
	if s.definitions != nil {
		for _, r := range s.definitions.rules() {
			if bind(&r) {
				known[r.name], known[r.id()] = true, true
				names = append(names, r.name)
			}
		}
	}
	for _, o := range overrides {
		if !known[o] {
			return fmt.Errorf("%w: override %q (have %s)", ErrUnknownRule, o, clip(strings.Join(names, ", "), maxErrorText/2))
		}
	}
	return nil
}

// until is the end of a rule's wait period: a while after the last flip of one of its controls.
// A definition is no flip.
func (s *State) until(r *rule) time.Time {
	var last time.Time
	if r.wait <= 0 {
		return last
	}
	for _, id := range r.of {
		if c, ok := s.Control(id); ok && c.Version > 1 && c.Changed.After(last) {
			last = c.Changed
		}
	}
	if last.IsZero() {
		return last
	}
	return last.Add(r.wait)
}

// define replaces the definitions in s, which is not shared yet, unless it refuses. Controls that
// stay keep their state. It reports whether there is anything to record.
func (s *State) define(cmd Command, res Result, entry *Entry) (Result, bool) {
	if err := cmd.Definitions.Check(); err != nil {
		return res.refuse(err), true
	}
	if s.definitions != nil && s.digest == cmd.Definitions.Digest() {
		return res, false
	}
	if err := s.checkOverrides(cmd.Overrides, func(*rule) bool { return true }); err != nil {
		return res.refuse(err), true
	}
	def := cmd.Definitions.normal()
	after := *s
	after.controls = nil
	added := 0
	for _, p := range def.Panels {
		for _, n := range p.Controls {
			c, ok := s.Control(n.Name)
			if !ok {
				added++
				c = Control{Name: n.Name, On: !n.InitialOff, Version: 1, Changed: s.Time,
					Epoch: s.Epoch, Index: s.Index, Actor: cmd.Actor, Reason: cmd.Reason}
			}
			c.Panel = p.Name
			after.controls = append(after.controls, c)
		}
	}
	slices.SortFunc(after.controls, func(a, b Control) int { return cmp.Compare(a.Name, b.Name) })
	var v verdicts
	for _, r := range def.rules() {
		v.add(r.judge(change{away: s.leaves(&r)}, after.On, time.Time{}, s.Time, r.named(cmd.Overrides)))
	}
	res, refused := v.conclude(res)
	if refused {
		return res, true
	}
	removed := len(s.controls) + added - len(after.controls)
	after.generation++
	after.definitions, after.digest = &def, def.Digest()
	*s = after
	entry.Text = fmt.Sprintf("generation %d: %d controls, %d added, %d removed", s.generation, len(s.controls), added, removed)
	return res, true
}

// leaves reports whether a new form of a rule drops a control that helped the old form to hold.
// Only that counts as moving away: a stricter rule or a new control flips nothing, and is shown.
func (s *State) leaves(now *rule) bool {
	if s.definitions == nil {
		return false
	}
	for _, r := range s.definitions.rules() {
		if r.id() != now.id() || !r.holds(s.On) {
			continue
		}
		for _, id := range r.of {
			if s.On(id) != r.inverted && !slices.Contains(now.of, id) {
				return true
			}
		}
	}
	return false
}

// verdicts gathers what the rules say of one command.
type verdicts struct {
	refusing, shown []Violation
	err             error
}

func (v *verdicts) add(rule Violation, err error) {
	switch {
	case err != nil:
		v.refusing = append(v.refusing, rule)
		if v.err == nil || err == ErrUnsafe {
			v.err = err
		}
	case rule.Broken || rule.Overridden:
		v.shown = append(v.shown, rule)
	}
}

func (v *verdicts) conclude(res Result) (_ Result, refused bool) {
	if v.err == nil {
		res.Rules = v.shown[:min(len(v.shown), maxListed)]
		return res, false
	}
	listed := v.refusing[:min(len(v.refusing), maxListed)]
	var said []string
	for _, r := range listed {
		said = append(said, r.said())
	}
	text := strings.Join(said, "; ")
	if more := len(v.refusing) - len(listed); more > 0 {
		text += fmt.Sprintf("; and %d rules more", more)
	}
	res = res.refuse(fmt.Errorf("%w: %s", v.err, text))
	res.Rules = listed
	return res, true
}

// record appends a line to the history of s, which is not shared yet.
func (s *State) record(e Entry, res Result) {
	e.Epoch, e.Index, e.Time, e.Refused = s.Epoch, s.Index, s.Time, res.Code
	if res.Code != "" {
		e.Text = res.Text
	}
	for _, r := range res.Rules {
		e.Rules = append(e.Rules, r.Rule)
	}
	history := append(slices.Clone(s.history), &e)
	changes := 0
	for i := len(history) - 1; i >= 0; i-- {
		if changes += history[i].size(); changes > maxChanges || len(history)-i > maxHistory {
			history = slices.Clone(history[i+1:])
			break
		}
	}
	s.history = history
}

// printable makes text of a command that broke the limits fit for the history.
func printable(text string, limit int) string {
	if checkText(text, limit) != nil {
		return clip(strings.ToValidUTF8(fmt.Sprintf("%q", clip(text, limit/2)), ""), limit)
	}
	return text
}
