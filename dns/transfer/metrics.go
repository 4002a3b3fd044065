package transfer

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count by words of the code alone, so no client can make new ones.
type metrics struct {
	outgoing *prometheus.CounterVec
	incoming *prometheus.CounterVec
	notifies *prometheus.CounterVec
	updates  *prometheus.CounterVec
	refusals *prometheus.CounterVec
}

func newMetrics() *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &metrics{
		outgoing: vec("meridian_transfer_out_total", "Transfers that others asked for, by kind and result.", "kind", "result"),
		incoming: vec("meridian_transfer_in_total", "Refreshes of secondary zones, by kind and result.", "kind", "result"),
		notifies: vec("meridian_transfer_notify_total", "Notices of changes, by direction and result.", "direction", "result"),
		updates:  vec("meridian_transfer_updates_total", "Updates of challenges, by result.", "result"),
		refusals: vec("meridian_transfer_refused_total", "Messages that were refused before they were looked at, by reason.", "reason"),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.outgoing, m.incoming, m.notifies, m.updates, m.refusals}
}

func (m *metrics) register(r prometheus.Registerer) error {
	var errs []error
	for _, c := range m.all() {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

func (m *metrics) unregister(r prometheus.Registerer) {
	for _, c := range m.all() {
		r.Unregister(c)
	}
}

func (m *metrics) out(kind, result string) { m.outgoing.WithLabelValues(kind, result).Inc() }
func (m *metrics) in(kind, result string)  { m.incoming.WithLabelValues(kind, result).Inc() }
func (m *metrics) notice(direction, result string) {
	m.notifies.WithLabelValues(direction, result).Inc()
}
func (m *metrics) update(result string)  { m.updates.WithLabelValues(result).Inc() }
func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }
