package route53

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
)

// A probing is what a health check becomes for a record set.
type probing struct {
	check   string // empty: none
	address netip.Addr
	control string
	look    string // comment for the member: why it has no check
}

// probing turns the health check of a record set into a check, an address to probe or a control. What does not depend on the record set
// is noted once. A record set without addresses needs one in its health check.
func (m *mapper) probing(s *recordSet, without bool) probing {
	if s.health == "" {
		return probing{}
	}
	h := m.in.checks[s.health]
	if h == nil {
		if s.health != "?" {
			m.report.Add(checkLost, s.at, s.subject(), "%s", s.health)
		}
		return probing{look: "its health check is not in the input, so it is always up"}
	}
	first := !h.used
	h.used = true
	note := func(f importer.Feature, format string, args ...any) {
		if first {
			m.report.Add(f, h.at, "health check "+h.id, format, args...)
		}
	}
	refuse := func(f importer.Feature, format string, args ...any) probing {
		note(f, format, args...)
		return probing{look: "its health check " + h.id + " is not mapped (" + f.Title + "), so it is always up"}
	}
	switch {
	case h.kind == "RECOVERY_CONTROL":
		note(recoveryControl, "%s", h.controlARN)
		return probing{control: m.control(h)}
	case h.kind == "CALCULATED":
		return refuse(calculated, "")
	case h.kind == "CLOUDWATCH_METRIC":
		return refuse(cloudwatch, "")
	case h.inverted:
		return refuse(inverted, "")
	case h.disabled:
		note(disabled, "")
		return probing{}
	}
	check, why := checkOf(h)
	if why != "" {
		return refuse(checkUnusable, "%s", why)
	}
	if without && !h.address.IsValid() {
		m.report.Add(checkless, s.at, s.subject(), "health check %s", h.id)
		return probing{look: "its health check " + h.id + " names no address to probe, so it is always up"}
	}
	if !h.noted {
		h.noted = true
		m.noteCheck(h, &check)
	}
	return probing{check: m.checkName(check, h), address: h.address}
}

// noteCheck notes what a check has.
func (m *mapper) noteCheck(h *healthCheck, check *importer.Check) {
	note := func(f importer.Feature, when bool, format string, args ...any) {
		if when {
			m.report.Add(f, h.at, "health check "+h.id, format, args...)
		}
	}
	isTLS := check.Type == "https"
	note(endpointCheck, true, "")
	note(interval, true, "")
	note(searchString, h.search != "", "")
	note(threshold, true, "%d", h.threshold)
	note(domainCheck, !h.address.IsValid(), "%s", h.domain)
	note(certificate, isTLS, "")
	note(sniOff, isTLS && h.sniOff && h.domain != "", "%s", h.domain)
	note(hostPort, check.Host != "" && h.port != 0 && (isTLS && h.port != 443 || !isTLS && h.port != 80), "%s:%d", h.domain, h.port)
	note(measureLatency, h.latency, "")
	note(checkerRegions, len(h.regions) > 0, "%s", strings.Join(h.regions, ", "))
}

var (
	requestTarget = regexp.MustCompile(`^/[!-"$-~]{0,1000}$`)
	hostName      = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)
	plainText     = regexp.MustCompile(`^[^\x00-\x1f\x7f]*$`)
)

// checkOf returns a health check of endpoints without its name, or why there can't be one.
func checkOf(h *healthCheck) (c importer.Check, why string) {
	noHold := time.Duration(0)
	c = importer.Check{Port: h.port, Interval: time.Duration(h.interval) * time.Second, Fall: h.threshold, Rise: h.threshold, HoldDown: &noHold}
	kind, match := strings.CutSuffix(h.kind, "_STR_MATCH")
	switch kind {
	case "HTTP", "HTTPS":
		c.Path, c.Host = h.path, strings.ToLower(strings.TrimSuffix(h.domain, "."))
		if !strings.HasPrefix(c.Path, "/") {
			c.Path = "/" + c.Path
		}
		if match {
			c.Body = h.search
		}
	case "TCP":
		if h.port == 0 {
			return c, "Port is missing"
		}
	default:
		return c, "Type " + h.kind
	}
	c.Type, c.SkipVerify = strings.ToLower(kind), kind == "HTTPS"
	_, isAddress := netip.ParseAddr(c.Host)
	switch {
	case c.Path != "" && !requestTarget.MatchString(c.Path):
		return c, fmt.Sprintf("ResourcePath %q", h.path)
	case c.Host != "" && isAddress == nil:
		c.Host = "" // the probed address, which is the Host header without one
	case c.Host != "" && (len(c.Host) > 253 || !hostName.MatchString(c.Host)):
		return c, fmt.Sprintf("FullyQualifiedDomainName %q", h.domain)
	case !plainText.MatchString(c.Body):
		return c, "SearchString with control characters"
	}
	if c.Path == "/" {
		c.Path = ""
	}
	return c, ""
}

// checkName returns the name of a check like this one, which is made if there is none yet.
func (m *mapper) checkName(c importer.Check, h *healthCheck) string {
	key := fmt.Sprintf("%s %d %q %q %q %v %d", c.Type, c.Port, c.Path, c.Host, c.Body, c.Interval, c.Fall)
	i, known := m.checks[key]
	if !known {
		i = len(m.world.Checks)
		m.checks[key] = i
		what := c.Host + c.Path
		if what == "" {
			what = strconv.Itoa(c.Port)
		}
		c.Name = m.checkNames.New(c.Type + "-" + what)
		m.world.Checks = append(m.world.Checks, c)
	}
	of := &m.world.Checks[i]
	if !m.named[h.id] {
		m.named[h.id] = true
		of.Comment = append(of.Comment, "health check "+h.id)
	}
	return of.Name
}

// control returns the routing control that a health check goes by.
func (m *mapper) control(h *healthCheck) string {
	if name, known := m.controls[h.controlARN]; known {
		return name
	}
	last := h.controlARN[strings.LastIndexByte(h.controlARN, '/')+1:]
	name := m.controlNames.New("recovery-" + last)
	m.controls[h.controlARN] = name
	if len(m.world.Panels) == 0 {
		m.world.Panels = []importer.Panel{{Name: "recovery", Comment: []string{importer.Mark + "write safety rules as you have them, and give the controls names: docs/controls.md"}}}
	}
	p := &m.world.Panels[0]
	p.Controls = append(p.Controls, name)
	return name
}
