package route53

import (
	"net/netip"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// healthCheck reads a health check; CloudFormation names it by its resource.
func (r *reader) healthCheck(t *importer.Tree, resource string) {
	h := &healthCheck{at: r.at(t), id: resource, interval: 30, threshold: 3}
	for i, key := range treeKeys(t) {
		switch key {
		case "Id":
			h.id = scalarOf(t.Items[i])
		case "HealthCheckConfig", "CallerReference", "HealthCheckVersion", "CloudWatchAlarmConfiguration":
		case "LinkedService", "HealthCheckTags":
			r.report.Add(comments, r.at(t.Items[i]), "health check "+h.id, "%s", key)
		default:
			r.unknown(t, i, "health check "+h.id)
		}
	}
	config := t.Get("HealthCheckConfig")
	if h.id == "" || config == nil {
		r.mistakes.Add(h.at, "a health check has no Id or no HealthCheckConfig")
		return
	}
	good := true
	for i, key := range treeKeys(config) {
		good = r.checkKey(h, config, i, key, "health check "+h.id) && good
	}
	if !good {
		h.kind = "?" // what it is can't be said, which is
	}
	r.in.checks[h.id] = h
}

func (r *reader) checkKey(h *healthCheck, t *importer.Tree, i int, key, subject string) (good bool) {
	value, good := t.Items[i], true
	if value.IsNull() {
		return true
	}
	what := subject + ": " + key
	switch key {
	case "Type":
		h.kind, good = r.text(value, what)
	case "IPAddress":
		var text string
		if text, good = r.text(value, what); good {
			address, err := netip.ParseAddr(text)
			if err != nil {
				r.mistakes.Add(r.at(value), "%s: %s is not an IP address", what, strict.Quote(text))
			}
			h.address = address
		}
	case "Port":
		h.port, good = r.integer(value, what, 1, 65535)
	case "ResourcePath":
		h.path, good = r.text(value, what)
	case "FullyQualifiedDomainName":
		h.domain, good = r.text(value, what)
	case "SearchString":
		h.search, good = r.text(value, what)
	case "RequestInterval":
		h.interval, good = r.integer(value, what, 10, 30)
	case "FailureThreshold":
		h.threshold, good = r.integer(value, what, 1, 10)
	case "MeasureLatency":
		h.latency = r.boolean(value, what)
	case "Inverted":
		h.inverted = r.boolean(value, what)
	case "Disabled":
		h.disabled = r.boolean(value, what)
	case "EnableSNI":
		h.sniOff = !r.boolean(value, what)
	case "Regions":
		for _, region := range value.Elements() {
			text, ok := r.text(region, what)
			if ok {
				h.regions = append(h.regions, text)
			}
		}
	case "RoutingControlArn":
		h.controlARN, good = r.text(value, what)
	case "HealthThreshold", "ChildHealthChecks", "AlarmIdentifier", "InsufficientDataHealthStatus":
		// of checks that are not mapped as a whole
	default:
		r.unknown(t, i, subject)
	}
	return good
}
