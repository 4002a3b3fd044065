package importer

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A World is what an import writes: the settings of zones that it needs, with comments.
type World struct {
	Regions []Region
	Checks  []Check
	Panels  []Panel
	Pools   []*Pool
	Zones   []*Zone
	Dirs    []string // whose zones need no settings
	Head    []string // comment at the head of the pools
}

// A Region is a place of endpoints.
type Region struct {
	Name                string
	Latitude, Longitude float64
	NoVantage           bool
	Comment             []string
}

// A Check is how endpoints are probed.
type Check struct {
	Name       string
	Type       string // http, https, tcp
	Port       int
	Path       string // empty: the default, as with all that follows
	Host       string
	SkipVerify bool
	Status     []string
	Body       string
	Interval   time.Duration
	Fall, Rise int
	HoldDown   *time.Duration
	Comment    []string
}

// A Panel is routing controls that belong together.
type Panel struct {
	Name     string
	Controls []string
	Comment  []string
}

// A Pool is what a name answers from.
type Pool struct {
	Name    string
	Policy  string
	Check   string
	TTL     time.Duration
	MinUp   string
	Answers int // 0: the policy's
	Members []Member
	Comment []string
}

// A Member is an endpoint or a pool that a pool answers from. Empty values are not written.
type Member struct {
	Endpoint, Pool string // one of the two
	Region         string
	Address        []netip.Addr
	CNAME          string
	SRV            *SRV
	MX             *MX
	Probe          netip.Addr
	Weight         *int
	Control        string
	Disabled       bool
	Countries      []string
	Continents     []string
	Subdivisions   []string
	Prefixes       []netip.Prefix
	Default        bool
	Fenced         []string // with a fence: addresses, or nodata
	Bias           int
	Off            bool // it is written as a comment
	Comment        []string
}

// SRV is the data of such a record.
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string
}

// MX is the data of such a record.
type MX struct {
	Preference uint16
	Target     string
}

// A Zone is a zone file, and which of its names pools answer.
type Zone struct {
	Apex    string // fully qualified
	File    string
	Listed  bool // it stands in a directory of zones: without steered names it needs no settings
	Lines   []string
	Steers  []Steer
	Comment []string

	Primaries []Primary // where it is copied from, instead of a file
}

// A Primary is a nameserver that a zone is copied from.
type Primary struct {
	Address netip.AddrPort
	Key     string // name of the TSIG key; may be empty
}

// A Steer is a name that a pool answers.
type Steer struct {
	Owner   string // relative to the apex; @ is the apex
	Pool    string
	Comment []string
}

// Names makes names of things: what is asked for as far as it can be a name, and no name twice. Its zero value is ready.
type Names struct{ used map[string]bool }

const maxName = 63

// New returns a name that is like a text and was not returned before.
func (n *Names) New(text string) string {
	if n.used == nil {
		n.used = map[string]bool{}
	}
	name := Slug(text)
	if name == "" {
		name = "unnamed"
	}
	first := name
	for i := 2; n.used[name]; i++ {
		suffix := "-" + strconv.Itoa(i)
		name = strings.TrimRight(first[:min(len(first), maxName-len(suffix))], "-") + suffix
	}
	n.used[name] = true
	return name
}

// Slug returns what of a text can stand in a name: a-z, 0-9, and a hyphen for whatever stands between. A star becomes any.
func Slug(text string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case c == '*':
			b.WriteString("any")
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= maxName {
			break
		}
	}
	text = b.String()
	return strings.Trim(text[:min(len(text), maxName)], "-")
}

// Relative returns a fully qualified name as it is written in the zone of an apex.
func Relative(name, apex string) string {
	switch rest, ok := strings.CutSuffix(name, "."+apex); {
	case name == apex:
		return "@"
	case ok:
		return rest
	}
	return name
}

const maxFileName = 200

// ZoneFile returns the name of a zone's file: its apex as far as that can be one.
func ZoneFile(apex string) string {
	name := strings.TrimSuffix(apex, ".")
	if name == "" || name[0] == '.' || len(name) > maxFileName || strings.ContainsAny(name, "/\\") {
		name = "zone-" + Slug(apex)
	}
	return name + ".zone"
}
