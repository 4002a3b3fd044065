package dashboard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
)

// parameters are those of a request, read one by one; it gathers all that is wrong with them.
type parameters struct {
	values url.Values
	wrong  []string
}

// repeatable are the parameters that may be given more than once.
var repeatable = map[string]bool{"if": true, "kind": true}

func query(r *http.Request, known ...string) *parameters {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &parameters{values: values}
	if err != nil {
		p.bad("the query does not parse: %v", err)
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			p.bad("unknown parameter %q (have %s)", name, strings.Join(known, ", "))
		} else if len(all) > 1 && !repeatable[name] {
			p.bad("parameter %q is given %d times", name, len(all))
		}
	}
	return p
}

func (p *parameters) bad(format string, args ...any) {
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

func (p *parameters) number(name string, byDefault, most uint64) uint64 {
	text := p.values.Get(name)
	if text == "" {
		return byDefault
	}
	n, err := parseIndex(text, most)
	if err != nil {
		p.bad("%s: %v", name, err)
	}
	return n
}

func (p *parameters) address(name string) netip.Addr {
	text := p.values.Get(name)
	if text == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		p.bad("%s: %q is not an IP address", name, text)
	}
	return a.Unmap()
}

func (p *parameters) prefix(name string) netip.Prefix {
	text := p.values.Get(name)
	if text == "" {
		return netip.Prefix{}
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		p.bad("%s: %q is not a prefix like 198.51.100.0/24", name, text)
	} else if prefix != prefix.Masked() {
		p.bad("%s: %q has bits set past its length (want %s)", name, text, prefix.Masked())
	}
	return prefix
}

// past reads a time before now, as pastTime does. It is zero where none is given.
func (p *parameters) past(name string, now time.Time) time.Time {
	text := p.values.Get(name)
	if text == "" {
		return time.Time{}
	}
	at, err := pastTime(text, now)
	if err != nil {
		p.bad("%s: %v", name, err)
	}
	return at
}

// pastTime reads a time by RFC 3339, a time of day in UTC that was last, or how long ago it was, with or without a minus.
func pastTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago.Abs()), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		clock, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		day := now.UTC()
		at := time.Date(day.Year(), day.Month(), day.Day(), clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), time.UTC)
		if at.After(now) {
			at = at.AddDate(0, 0, -1)
		}
		return at, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time, want one like 2026-01-31T03:12:00Z (RFC 3339), 03:12 or 03:12:30 (when it was last so late, UTC), or how long ago like 15m", text)
}

// refused answers with all that is wrong, if anything is.
func (p *parameters) refused(w http.ResponseWriter) bool {
	if len(p.wrong) == 0 {
		return false
	}
	slices.Sort(p.wrong)
	refuse(w, http.StatusBadRequest, strings.Join(p.wrong, "; "))
	return true
}

// The fields of a command's body, in the order in which a mistake lists them.
var commandFields = []string{"set", "reason", "actor", "override", "key", "expect"}

// readCommand reads the body of a change of controls. It reports every mistake at once.
func readCommand(r *http.Request) (control.Command, *problem) {
	var body struct {
		Set      map[string]json.RawMessage `json:"set"`
		Reason   string                     `json:"reason"`
		Actor    string                     `json:"actor"`
		Override []string                   `json:"override"`
		Key      string                     `json:"key"`
		Expect   map[string]uint64          `json:"expect"`
	}
	wrong, bad := readBody(r, commandFields, &body)
	if bad != nil {
		return control.Command{}, bad
	}
	if wrong.decoded {
		if len(body.Set) == 0 {
			wrong.add("set: no control is named")
		}
		wrong.missing(map[string]string{"reason": body.Reason, "actor": body.Actor})
		for name := range body.Expect {
			if body.Set[name] == nil {
				wrong.add("expect: control %q is not set", name)
			}
		}
	}
	cmd := control.Command{Kind: control.KindSet, Actor: body.Actor, Reason: body.Reason, Key: body.Key, Overrides: body.Override}
	for name, position := range body.Set {
		on := string(position) == `"on"`
		if !on && string(position) != `"off"` {
			wrong.add("set: control %q: want \"on\" or \"off\", not %s", name, position)
		}
		cmd.Switches = append(cmd.Switches, control.Switch{Control: control.ControlID(name), On: on, Version: body.Expect[name]})
	}
	slices.SortFunc(cmd.Switches, func(a, b control.Switch) int { return cmp.Compare(a.Control, b.Control) })
	return cmd, wrong.problem()
}

// The mistakes of a body, and whether it could be decoded at all.
type mistakes struct {
	texts   []string
	decoded bool
}

func (m *mistakes) add(format string, args ...any) {
	m.texts = append(m.texts, fmt.Sprintf(format, args...))
}

// missing adds the fields, of which the texts are given, that say nothing.
func (m *mistakes) missing(texts map[string]string) {
	for name, text := range texts {
		if strings.TrimSpace(text) == "" {
			m.add("%s: missing", name)
		}
	}
}

// problem says all mistakes at once; nil: there are none.
func (m *mistakes) problem() *problem {
	if len(m.texts) == 0 {
		return nil
	}
	slices.Sort(m.texts)
	return &problem{Status: http.StatusBadRequest, Detail: strings.Join(m.texts, "; ")}
}

// readBody reads the body of a request, an object of known fields. The problem is that of a body that does not arrive.
func readBody(r *http.Request, fields []string, into any) (wrong mistakes, bad *problem) {
	data, err := io.ReadAll(r.Body)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return wrong, &problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body exceeds %d bytes", tooLarge.Limit)}
	} else if err != nil {
		return wrong, &problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("the body does not arrive: %v", err)}
	}
	wrong.texts = strictFields(data, fields)
	if err := json.Unmarshal(data, into); err != nil {
		wrong.add("the body does not decode: %s", strings.TrimPrefix(err.Error(), "json: "))
	} else {
		wrong.decoded = true
	}
	return wrong, nil
}

// strictFields returns what encoding/json lets pass in an object: fields that are unknown, spelled in another case, or
// there twice, at the top or one level below.
func strictFields(data []byte, known []string) (wrong []string) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return []string{"the body is not a JSON object"}
	}
	seen := make(map[string]bool)
	for d.More() {
		name, value, err := member(d)
		if err != nil {
			return nil // Unmarshal says it better
		}
		switch {
		case !slices.Contains(known, name):
			wrong = append(wrong, fmt.Sprintf("unknown field %q (have %s)", name, strings.Join(known, ", ")))
		case seen[name]:
			wrong = append(wrong, fmt.Sprintf("field %q is there twice", name))
		}
		seen[name] = true
		wrong = append(wrong, twice(name, value)...)
	}
	return wrong
}

// twice returns the keys that an object has more than once.
func twice(field string, value json.RawMessage) (wrong []string) {
	d := json.NewDecoder(bytes.NewReader(value))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	seen := make(map[string]bool)
	for d.More() {
		name, _, err := member(d)
		if err != nil {
			return wrong
		}
		if seen[name] {
			wrong = append(wrong, fmt.Sprintf("%s: %q is there twice", field, name))
		}
		seen[name] = true
	}
	return wrong
}

func member(d *json.Decoder) (name string, value json.RawMessage, err error) {
	t, err := d.Token()
	if err != nil {
		return "", nil, err
	}
	err = d.Decode(&value)
	return t.(string), value, err
}
