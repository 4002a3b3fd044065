package zones

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/static"
	"github.com/meridian-gslb/meridian/zones/strict"
)

const (
	optionReportChannel = 18 // RFC 9567, section 5
	// maxAgent is the most bytes of an agent's name: what is reported has to find room beside it (RFC 9567, section 8.1).
	maxAgent = 128
	// reportLabel is the label, as in wire format, that a report begins with and that stands before the agent's name.
	reportLabel = "\x03_er"
)

// Reports says to which agent resolvers are asked to report what goes wrong with our zones (RFC 9567). It is immutable.
type Reports struct {
	Option []byte    // Report-Channel, as it goes into an OPT record
	Answer RecordSet // to a report

	agent  []byte      // wire format, lower case
	suffix []byte      // of reports: the agent's name behind the label
	labels int         // of the suffix
	around []*ZoneData // the zones that hold the agent's name, the closest first
}

// A Report is what a resolver says went wrong.
type Report struct {
	Name     string // that was asked for; fully qualified, lower case
	Types    string // that were asked for, by number, with hyphens between them
	InfoCode uint16 // of the extended error (RFC 8914)
}

// reportsTo makes the reports to an agent, which may be in one of the plan's zones.
func (p *Plan) reportsTo(agent string) (*Reports, error) {
	name, err := wireName(agent)
	if err != nil {
		return nil, fmt.Errorf("report_agent: %w", err)
	}
	// An hour is how often at most a resolver says the same again.
	thanks, err := static.SetOf(&dns.TXT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 3600}, Txt: []string{"report received"}})
	if err != nil {
		return nil, fmt.Errorf("report_agent: %w", err)
	}
	r := &Reports{Answer: thanks, agent: name, suffix: append([]byte(reportLabel), name...), labels: 1 + dns.CountLabel(agent)}
	r.Option = binary.BigEndian.AppendUint16(r.Option, optionReportChannel)
	r.Option = binary.BigEndian.AppendUint16(r.Option, uint16(len(name)))
	r.Option = append(r.Option, name...)
	for at := 0; at < len(name); at += 1 + int(name[at]) {
		if z := p.zones[string(name[at:])]; z != nil {
			r.around = append(r.around, z)
		}
	}
	return r, nil
}

// About reports whether the option goes with answers about a name of a zone: not where the agent lies in the zone itself (RFC 9567,
// section 8.1), nor below the agent, so that no report makes reports. It allocates nothing.
func (r *Reports) About(z *ZoneData, name []byte) bool {
	return !slices.Contains(r.around, z) && !endsWith(name, r.agent)
}

// Hold reports whether a name of a zone is there for reports: _er before the agent's name, or anything below that, whatever the
// zone has there. The name is in wire format and lower case. It allocates nothing.
func (r *Reports) Hold(z *ZoneData, name []byte) bool {
	return len(r.around) > 0 && r.around[0] == z && endsWith(name, r.suffix)
}

// Lead reports whether a name of a zone leads to those that Hold has: the agent's and what is above that. Even if the zone has nothing
// there they exist, since others lie below them. It allocates nothing.
func (r *Reports) Lead(z *ZoneData, name []byte) bool {
	return len(r.around) > 0 && r.around[0] == z && endsWith(r.agent, name)
}

// InfoCode reads the name of a report, which Hold or Lead has: _er, types, the labels of the name, the code, and the suffix (RFC 9567,
// section 6.1.1). It is not ok for what is only on the way to one. It allocates nothing.
func (r *Reports) InfoCode(name []byte) (code uint16, ok bool) {
	if len(name) < len(r.suffix) {
		return 0, false
	}
	rest, ok := bytes.CutPrefix(name[:len(name)-len(r.suffix)], []byte(reportLabel))
	if !ok || len(rest) == 0 {
		return 0, false
	}
	types, rest := cutLabel(rest)
	if !areTypes(types) {
		return 0, false
	}
	var last []byte
	for len(rest) > 0 {
		last, rest = cutLabel(rest)
	}
	return readNumber(last)
}

// Read reads the name of a report, for which InfoCode is ok. It stands at the start of b, in any case.
func (r *Reports) Read(b []byte) (Report, error) {
	text, _, err := dns.UnpackDomainName(b, 0)
	if err != nil {
		return Report{}, err
	}
	labels := dns.SplitDomainName(dns.CanonicalName(text))
	end := len(labels) - r.labels - 1
	if end < 2 {
		return Report{}, fmt.Errorf("%s is no report", text)
	}
	code, err := strconv.ParseUint(labels[end], 10, 16)
	return Report{Name: dns.Fqdn(strings.Join(labels[2:end], ".")), Types: labels[1], InfoCode: uint16(code)}, err
}

// report explains the answer from a name that is there for reports.
func (e *Explanation) report(r *Reports, name []byte, owner string, q Question) error {
	switch _, whole := r.InfoCode(name); {
	case !whole:
		e.step("%s lies on the way to reports (RFC 9567)", owner)
	case q.Type == dns.TypeTXT:
		told, err := r.Read(name)
		if err != nil {
			return err
		}
		e.step("%s reports the extended error %d with %s, types %s (RFC 9567)", owner, told.InfoCode, told.Name, told.Types)
		return e.add(r.Answer, owner)
	case q.Type == dns.TypeANY:
		return e.add(AnyAnswer, owner)
	}
	e.step("%s has no %s", owner, e.Type)
	return nil
}

// endsWith reports whether a name is another or lies below it.
func endsWith(name, end []byte) bool {
	if !bytes.HasSuffix(name, end) {
		return false
	}
	at, border := 0, len(name)-len(end)
	for at < border {
		at += 1 + int(name[at])
	}
	return at == border
}

// cutLabel takes the first label off a name that may lack its root.
func cutLabel(name []byte) (label, rest []byte) {
	end := 1 + int(name[0])
	return name[1:end], name[end:]
}

// areTypes reports whether a label lists types: numbers in their order, with hyphens between them.
func areTypes(label []byte) bool {
	before := -1
	for more := true; more; {
		var number []byte
		number, label, more = bytes.Cut(label, []byte("-"))
		n, ok := readNumber(number)
		if !ok || int(n) <= before {
			return false
		}
		before = int(n)
	}
	return true
}

// readNumber reads a decimal number in its shortest form.
func readNumber(digits []byte) (uint16, bool) {
	if len(digits) == 0 || len(digits) > 5 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	n := 0
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + int(d-'0')
	}
	return uint16(n), n <= 0xFFFF
}

// agentName is the name of an agent that takes reports.
var agentName = strict.Parsed("name of an agent, such as errors.example.net", func(text string) (string, error) {
	name, err := domainName(text, "")
	if err != nil {
		return "", err
	}
	wire, err := wireName(name)
	if err == nil && (name == "." || len(wire) > maxAgent) {
		err = fmt.Errorf("is not the name of an agent (RFC 9567: not the root; at most %d bytes)", maxAgent)
	}
	return name, err
})

// reportAgent takes the agent in. One that lies in all zones would hear of none of them.
func (p *parser) reportAgent() {
	agent := p.source.agent
	p.world.ReportAgent = agent.Value
	if agent.Value == "" || len(p.world.Zones) == 0 || len(p.world.Catalogs) > 0 {
		return
	}
	elsewhere := func(z Zone) bool { return !dns.IsSubDomain(z.Apex, agent.Value) }
	if !slices.ContainsFunc(p.world.Zones, elsewhere) {
		p.warnings.Add(agent.Position, "report_agent %q: lies in every zone that there is, and no zone may be reported to a name of its own (RFC 9567, section 8.1)", agent.Value)
	}
}
