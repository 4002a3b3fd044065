package importer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// Files returns the files of the world's directory: what is empty has none.
func (w *World) Files() map[string][]byte {
	files := map[string][]byte{}
	add := func(name, text string) {
		if text != "" {
			files[name] = []byte(text)
		}
	}
	add("regions.yaml", w.regions())
	add("checks.yaml", w.checks())
	add("controls.yaml", w.controls())
	add("pools.yaml", w.pools())
	add("zones.yaml", w.zones())
	for _, z := range w.Zones {
		if z.File == "" {
			continue
		}
		files[z.File] = []byte(strings.Join(z.Lines, "\n") + "\n")
	}
	return files
}

func comment(b *strings.Builder, indent string, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(b, "%s# %s\n", indent, OneLine(line))
	}
}

// OneLine returns a text that can stand in a comment: without breaks and other control characters.
func OneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
}

func (w *World) regions() string {
	if len(w.Regions) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("# Where endpoints are, and where nodes that probe them. Leave vantage: false at a region where no node of yours will run.\nregions:\n")
	for _, r := range w.Regions {
		comment(&b, "  ", r.Comment)
		vantage := ""
		if r.NoVantage {
			vantage = ", vantage: false"
		}
		fmt.Fprintf(&b, "  %s: {coordinates: [%v, %v]%s}\n", r.Name, r.Latitude, r.Longitude, vantage)
	}
	return b.String()
}

func (w *World) checks() string {
	if len(w.Checks) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("checks:\n")
	for _, c := range w.Checks {
		comment(&b, "  ", c.Comment)
		f := fields{}
		f.add("type", c.Type)
		if c.Port != 0 {
			f.add("port", fmt.Sprint(c.Port))
		}
		f.text("path", c.Path)
		f.text("host", c.Host)
		if c.SkipVerify {
			f.add("skip_verify", "true")
		}
		if len(c.Status) > 0 {
			f.add("expect_status", "["+strings.Join(c.Status, ", ")+"]")
		}
		f.text("expect_body", c.Body)
		f.add("interval", strict.Short(c.Interval))
		f.add("fall", fmt.Sprint(c.Fall))
		f.add("rise", fmt.Sprint(c.Rise))
		if c.HoldDown != nil {
			f.add("hold_down", strict.Short(*c.HoldDown))
		}
		fmt.Fprintf(&b, "  %s: {%s}\n", c.Name, strings.Join(f, ", "))
	}
	return b.String()
}

func (w *World) controls() string {
	if len(w.Panels) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("controls:\n")
	for _, p := range w.Panels {
		comment(&b, "  ", p.Comment)
		fmt.Fprintf(&b, "  %s:\n    members: %s\n", p.Name, flow(p.Controls, 6))
	}
	return b.String()
}

func (w *World) pools() string {
	if len(w.Pools) == 0 {
		return ""
	}
	var b strings.Builder
	comment(&b, "", w.Head)
	b.WriteString("pools:\n")
	for i, p := range w.Pools {
		if i > 0 {
			b.WriteByte('\n')
		}
		comment(&b, "  ", p.Comment)
		fmt.Fprintf(&b, "  %s:\n    policy: %s\n", p.Name, p.Policy)
		if p.Check != "" {
			fmt.Fprintf(&b, "    check: %s\n", p.Check)
		}
		fmt.Fprintf(&b, "    ttl: %s\n", strict.Short(p.TTL))
		if p.MinUp != "" {
			fmt.Fprintf(&b, "    min_up: %s\n", scalar(p.MinUp))
		}
		if p.Answers > 0 {
			fmt.Fprintf(&b, "    answers: %d\n", p.Answers)
		}
		b.WriteString("    members:\n")
		for i := range p.Members {
			p.Members[i].write(&b)
		}
	}
	return b.String()
}

const (
	maxLine = 130 // of a member in braces
	maxWide = 100 // of a list over several lines
)

// write writes a member in braces, or over several lines if that is long.
func (m *Member) write(b *strings.Builder) {
	comment(b, "      ", m.Comment)
	lead := ""
	if m.Off {
		lead = "#"
	}
	if line := "      - {" + strings.Join(m.fields(0), ", ") + "}"; len(line) <= maxLine {
		b.WriteString(lead + line + "\n")
		return
	}
	for i, field := range m.fields(10) {
		bullet := "        "
		if i == 0 {
			bullet = "      - "
		}
		b.WriteString(lead + bullet + strings.ReplaceAll(field, "\n", "\n"+lead) + "\n")
	}
}

// fields are "key: value", in the order of the reference.
func (m *Member) fields(indent int) fields {
	f := fields{}
	f.text("endpoint", m.Endpoint)
	f.text("pool", m.Pool)
	f.text("region", m.Region)
	switch len(m.Address) {
	case 0:
	case 1:
		f.text("address", m.Address[0].String())
	default:
		f.list("address", stringsOf(m.Address), indent)
	}
	f.text("cname", m.CNAME)
	if s := m.SRV; s != nil {
		f.add("srv", fmt.Sprintf("{priority: %d, weight: %d, port: %d, target: %s}", s.Priority, s.Weight, s.Port, scalar(s.Target)))
	}
	if x := m.MX; x != nil {
		f.add("mx", fmt.Sprintf("{preference: %d, target: %s}", x.Preference, scalar(x.Target)))
	}
	if m.Probe.IsValid() {
		f.text("probe", m.Probe.String())
	}
	if m.Weight != nil {
		f.add("weight", fmt.Sprint(*m.Weight))
	}
	f.text("control", m.Control)
	if m.Disabled {
		f.add("enabled", "false")
	}
	f.list("countries", m.Countries, indent)
	f.list("continents", m.Continents, indent)
	f.list("subdivisions", m.Subdivisions, indent)
	f.list("prefixes", stringsOf(m.Prefixes), indent)
	if m.Bias != 0 {
		f.add("bias", fmt.Sprint(m.Bias))
	}
	if m.Default {
		f.add("default", "true")
	}
	if len(m.Fenced) > 0 {
		f.add("fence", "true")
		f.list("fenced", m.Fenced, indent)
	}
	return f
}

func stringsOf[V fmt.Stringer](list []V) []string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return texts
}

func (w *World) zones() string {
	var b strings.Builder
	if len(w.Dirs) > 0 {
		fmt.Fprintf(&b, "# Every file APEX.zone in these directories is a zone.\nzone_directories: [%s]\n", strings.Join(w.Dirs, ", "))
	}
	configured := 0
	for _, z := range w.Zones {
		if z.Listed && len(z.Steers) == 0 {
			continue
		}
		if configured++; configured == 1 {
			b.WriteString("zones:\n")
		}
		comment(&b, "  ", z.Comment)
		fmt.Fprintf(&b, "  %s:\n", scalar(strings.TrimSuffix(z.Apex, ".")))
		if z.File != "" {
			fmt.Fprintf(&b, "    file: %s\n", scalar(z.File))
		}
		if len(z.Primaries) > 0 {
			b.WriteString("    secondary:\n      primaries:\n")
		}
		for _, p := range z.Primaries {
			f := fields{}
			f.text("address", p.Address.String())
			f.text("key", p.Key)
			fmt.Fprintf(&b, "        - {%s}\n", strings.Join(f, ", "))
		}
		if len(z.Steers) > 0 {
			b.WriteString("    steer:\n")
		}
		for _, s := range z.Steers {
			comment(&b, "      ", s.Comment)
			fmt.Fprintf(&b, "      %s: {pool: %s}\n", scalar(s.Owner), s.Pool)
		}
	}
	return b.String()
}

// fields are the keys of a mapping with their values.
type fields []string

func (f *fields) add(key, value string) { *f = append(*f, key+": "+value) }

func (f *fields) text(key, value string) {
	if value != "" {
		f.add(key, scalar(value))
	}
}

func (f *fields) list(key string, values []string, indent int) {
	if len(values) > 0 {
		f.add(key, flow(values, indent))
	}
}

// flow writes a list in brackets: on one line, or where an indent is given on several.
func flow(values []string, indent int) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = scalar(v)
	}
	one := "[" + strings.Join(quoted, ", ") + "]"
	if indent == 0 || len(one) <= maxWide {
		return one
	}
	var b strings.Builder
	b.WriteString("[")
	width := maxWide
	for i, q := range quoted {
		if width += len(q) + 2; width > maxWide {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			width = len(q) + 2
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(q)
		if i < len(quoted)-1 {
			b.WriteByte(',')
		}
	}
	return b.String() + "]"
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./+-]*$`)

// scalar writes a text so that YAML reads the same text: in quotation marks where it has to.
func scalar(text string) string {
	if plain.MatchString(text) && !slices.Contains([]string{"null", "Null", "NULL", "---", "..."}, text) {
		return text
	}
	encoded, err := json.Marshal(strings.ToValidUTF8(text, "\ufffd"))
	if err != nil {
		panic(err) // of a text, which JSON always has a form for
	}
	var b strings.Builder
	for _, r := range string(encoded) { // JSON leaves some characters as they are that YAML takes only escaped
		if r >= 0x7f && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
