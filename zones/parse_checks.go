package zones

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

type checkKeys struct {
	Check
	optionKeys
	kind     strict.At[string]
	port     strict.At[uint16]
	interval strict.At[time.Duration]
	fall     strict.At[int]
	rise     strict.At[int]
	holdDown strict.At[time.Duration]
	rule     decisionKeys
}

// Where the settings of a check begin and end.
const (
	minInterval    = time.Second
	maxInterval    = 300 * time.Second
	lightInterval  = 5 * time.Second // less is a load that should be meant
	maxConsecutive = 10
	maxHoldDown    = time.Hour
)

var checkObject = slices.Concat(strict.Object[checkKeys]{
	strict.Required("type", "what a probe speaks",
		strict.Placed(strict.Enum("check type", checkTypes...)),
		func(c *checkKeys) *strict.At[string] { return &c.kind }),
	strict.Optional("port", "where a member names no port of its own; http: 80, https and tls: 443, dns: 53, tcp and grpc: required, icmp: none", "",
		strict.Attempted(strict.Port()), func(c *checkKeys) *strict.At[uint16] { return &c.port }),
}, optionsObject, strict.Object[checkKeys]{
	strict.Optional("interval", "time between probes that succeed; less than 5s is warned of", "10s",
		strict.Placed(strict.Duration(minInterval, maxInterval)), func(c *checkKeys) *strict.At[time.Duration] { return &c.interval }),
	strict.Optional("fall", "consecutive failures until a vantage says down", "3", strict.Placed(strict.Integer(1, maxConsecutive)),
		func(c *checkKeys) *strict.At[int] { return &c.fall }),
	strict.Optional("rise", "consecutive successes until a vantage says up", "3", strict.Placed(strict.Integer(1, maxConsecutive)),
		func(c *checkKeys) *strict.At[int] { return &c.rise }),
	strict.Optional("hold_down", "how long the vote must stay up until a recovered endpoint is answered", "30s", strict.Placed(strict.Duration(0, maxHoldDown)),
		func(c *checkKeys) *strict.At[time.Duration] { return &c.holdDown }),
}, decisionObject)

var checkTypes = []string{
	health.KindHTTP, health.KindHTTPS, health.KindTCP, health.KindTLS, health.KindGRPC, health.KindDNS, health.KindICMP, health.KindExec,
	KindGroup,
}

// checkPorts are where checks probe that say nothing of it; a type without one needs a port.
var checkPorts = map[string]uint16{health.KindHTTP: 80, health.KindHTTPS: 443, health.KindTLS: 443, health.KindDNS: 53, health.KindICMP: 0, health.KindExec: 0}

func (p *parser) checks() {
	p.source.checks = byName(p, "check", p.source.checks, maxChecks)
	for i := range p.source.checks {
		entry := &p.source.checks[i]
		keys := &entry.Value
		c := keys.Check
		c.Name, c.Kind = entry.Name, keys.kind.Value
		if c.Kind == KindGroup {
			c.Group = p.groupOf(entry)
			p.onlyForProbes(entry)
			p.options(entry, &c)
			p.world.Checks = append(p.world.Checks, c)
			continue
		}
		p.onlyForGroups(entry)
		c.Port, c.Interval, c.Fall, c.Rise, c.HoldDown = keys.port.Value, keys.interval.Value, keys.fall.Value, keys.rise.Value, keys.holdDown.Value
		c.Rules = keys.rule.rules()
		if port, ok := checkPorts[c.Kind]; ok && !keys.port.Given() {
			c.Port = port
		} else if !ok && !keys.port.Given() && keys.kind.Given() {
			p.mistakes.Add(entry.Position, "check %q: a %s check needs a port", entry.Name, c.Kind)
		}
		p.options(entry, &c)
		if c.Interval > 0 && c.Interval < lightInterval {
			p.warnings.Add(keys.interval.Position, "check %q: an interval under %s is a load on the endpoints (every vantage probes each of them)", entry.Name, lightInterval)
		}
		p.world.Checks = append(p.world.Checks, c)
	}
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
