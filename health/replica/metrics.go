package replica

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the replica's; without a registerer they count for nobody.
type metrics struct {
	registerer prometheus.Registerer
	all        []prometheus.Collector
	registered []prometheus.Collector

	submitted prometheus.Counter
	refused   *prometheus.CounterVec
	away      *prometheus.CounterVec
}

func newMetrics(r *Replica) *metrics {
	m := &metrics{
		registerer: r.cfg.Registerer,
		submitted:  prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_control_submitted_total", Help: "Control commands submitted at this node."}),
		refused:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_control_refused_total", Help: "Control commands submitted at this node and not applied."}, []string{"code"}),
		away:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_replica_refused_connections_total", Help: "Connections to this voter that were refused."}, []string{"reason"}),
	}
	gauge := func(name, help string, value func(Status) float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(r.Status()) }))
	}
	gauge("meridian_raft_index", "Index of the newest control state known.", func(s Status) float64 { return float64(s.Index) })
	gauge("meridian_raft_epoch", "Epoch of the newest control state known.", func(s Status) float64 { return float64(s.Epoch) })
	gauge("meridian_raft_term", "Term of the voters.", func(s Status) float64 { return float64(s.Term) })
	gauge("meridian_raft_leader", "1 if this node leads the voters.", func(s Status) float64 {
		if s.Role == Leader {
			return 1
		}
		return 0
	})
	gauge("meridian_control_state_age_seconds", "Time since the control state was known to be the voters' newest.", func(s Status) float64 { return s.Age.Seconds() })
	m.all = append(m.all, m.submitted, m.refused, m.away)
	return m
}

// register comes last in a start, since a scrape asks the running replica.
func (m *metrics) register() error {
	if m.registerer == nil {
		return nil
	}
	for _, c := range m.all {
		if err := m.registerer.Register(c); err != nil {
			return fmt.Errorf("replica: metrics: %w", err)
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) turnedAway(reason string) { m.away.WithLabelValues(reason).Inc() }
