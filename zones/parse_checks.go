package zones

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

type checkKeys struct {
	Check
	kind         strict.At[string]
	port         strict.At[uint16]
	path         strict.At[string]
	host         strict.At[string]
	skipVerify   strict.At[bool]
	expectStatus strict.At[[]health.StatusRange]
	expectBody   strict.At[string]
	interval     strict.At[time.Duration]
	rule         decisionKeys
}

// Where the settings of a check begin and end.
const (
	minInterval     = time.Second
	maxInterval     = 300 * time.Second
	lightInterval   = 5 * time.Second // less is a load that should be meant
	maxConsecutive  = 10
	maxHoldDown     = time.Hour
	maxBodyText     = 5120 // a probe reads no more
	maxStatusRanges = 16
)

var checkObject = slices.Concat(probeObject, decisionObject)

var probeObject = strict.Object[checkKeys]{
	strict.Required("type", "what a probe speaks",
		strict.Placed(strict.Enum("check type", health.KindHTTP, health.KindHTTPS, health.KindTCP, KindGroup)),
		func(c *checkKeys) *strict.At[string] { return &c.kind }),
	strict.Optional("port", "where a member names no port of its own; http: 80, https: 443, tcp: required", "",
		strict.Placed(strict.Port()), func(c *checkKeys) *strict.At[uint16] { return &c.port }),
	strict.Optional("path", "http, https: request target", "/",
		strict.Placed(strict.Parsed("path", requestTarget)), func(c *checkKeys) *strict.At[string] { return &c.path }),
	strict.Optional("host", "http, https: Host header and the name that the certificate must have; without it, the probed address", "",
		strict.Placed(strict.Parsed("host name", hostName)), func(c *checkKeys) *strict.At[string] { return &c.host }),
	strict.Optional("skip_verify", "https: take any certificate", "false",
		strict.Placed(strict.Bool()), func(c *checkKeys) *strict.At[bool] { return &c.skipVerify }),
	strict.Optional("expect_status", "http, https: the status codes of a healthy endpoint; redirects are not followed", "[200-399]",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Parsed("status or range of them, such as 200-299", statusRange), maxStatusRanges))),
		func(c *checkKeys) *strict.At[[]health.StatusRange] { return &c.expectStatus }),
	strict.Optional("expect_body", "http, https: text that must be in the first 5120 bytes of the body", "",
		strict.Placed(strict.Text(maxBodyText)), func(c *checkKeys) *strict.At[string] { return &c.expectBody }),
	strict.Optional("interval", "time between probes that succeed; less than 5s is warned of", "10s",
		strict.Placed(strict.Duration(minInterval, maxInterval)), func(c *checkKeys) *strict.At[time.Duration] { return &c.interval }),
	strict.Optional("fall", "consecutive failures until a vantage says down", "3", strict.Integer(1, maxConsecutive),
		func(c *checkKeys) *int { return &c.Fall }),
	strict.Optional("rise", "consecutive successes until a vantage says up", "3", strict.Integer(1, maxConsecutive),
		func(c *checkKeys) *int { return &c.Rise }),
	strict.Optional("hold_down", "how long the vote must stay up until a recovered endpoint is answered", "30s", strict.Duration(0, maxHoldDown),
		func(c *checkKeys) *time.Duration { return &c.HoldDown }),
}

func (p *parser) checks() {
	p.source.checks = byName(p, "check", p.source.checks, maxChecks)
	for i := range p.source.checks {
		entry := &p.source.checks[i]
		keys := &entry.Value
		c := keys.Check
		c.Rules = keys.rule.rules
		if keys.kind.Value == KindGroup {
			c.Name, c.Kind, c.Group = entry.Name, KindGroup, p.groupOf(entry)
			p.world.Checks = append(p.world.Checks, c)
			continue
		}
		p.onlyForGroups(entry)
		c.Name, c.Kind, c.Port, c.Interval = entry.Name, keys.kind.Value, keys.port.Value, keys.interval.Value
		switch c.Kind {
		case health.KindHTTP, health.KindHTTPS:
			c.Path, c.Host, c.ExpectStatus, c.ExpectBody = keys.path.Value, keys.host.Value, keys.expectStatus.Value, keys.expectBody.Value
		case health.KindTCP:
			p.onlyFor(entry, keys.path.Position, "path", "http and https")
			p.onlyFor(entry, keys.host.Position, "host", "http and https")
			p.onlyFor(entry, keys.expectStatus.Position, "expect_status", "http and https")
			p.onlyFor(entry, keys.expectBody.Position, "expect_body", "http and https")
			if !keys.port.Given() {
				p.mistakes.Add(entry.Position, "check %q: a tcp check needs a port", entry.Name)
			}
		}
		if c.Kind == health.KindHTTPS {
			c.SkipVerify = keys.skipVerify.Value
		} else {
			p.onlyFor(entry, keys.skipVerify.Position, "skip_verify", "https")
		}
		switch {
		case c.Port != 0:
		case c.Kind == health.KindHTTP:
			c.Port = 80
		case c.Kind == health.KindHTTPS:
			c.Port = 443
		}
		if c.Interval > 0 && c.Interval < lightInterval {
			p.warnings.Add(keys.interval.Position, "check %q: an interval under %s is a load on the endpoints (every vantage probes each of them)", entry.Name, lightInterval)
		}
		p.world.Checks = append(p.world.Checks, c)
	}
}

// onlyFor notes a key that a check of this type has no use for.
func (p *parser) onlyFor(c *strict.Named[checkKeys], at strict.Position, key, types string) {
	if at.Line != 0 && c.Value.kind.Given() {
		p.mistakes.Add(at, "check %q: %s is only for type %s", c.Name, key, types)
	}
}

func requestTarget(text string) (string, error) {
	if !strings.HasPrefix(text, "/") {
		return "", errors.New("a path begins with /")
	}
	if len(text) > 1024 {
		return "", errors.New("is longer than 1024 bytes")
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f || text[i] == '#' {
			return "", errors.New("a path has no spaces, control characters, # or bytes beyond ASCII (escape them as %20)")
		}
	}
	return text, nil
}

// hostName takes a name as in a URL or a certificate, and returns it in lower case.
func hostName(text string) (string, error) {
	name := strings.ToLower(text)
	if len(name) > 253 || name == "" {
		return "", errors.New("is not a host name")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", errors.New("is not a host name (labels of letters, digits and hyphens, joined by dots)")
		}
	}
	return name, nil
}

func statusRange(text string) (health.StatusRange, error) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	r := health.StatusRange{}
	var errLow, errHigh error
	r.Low, errLow = strconv.Atoi(low)
	r.High, errHigh = strconv.Atoi(high)
	if errLow != nil || errHigh != nil || r.Low < 100 || r.High > 599 || r.Low > r.High {
		return r, errors.New("is not a status from 100 to 599 or range of them (200-299)")
	}
	return r, nil
}
