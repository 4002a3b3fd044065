package probe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

// metrics are the runner's; their labels are kinds and reasons, so their number is fixed.
type metrics struct {
	registerer prometheus.Registerer
	results    *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	targets    prometheus.Gauge
	late       prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		registerer: registerer,
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_probe_results_total",
			Help: "Probes that ended, by kind and reason.",
		}, []string{"kind", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "meridian_probe_duration_seconds",
			Help:    "How long probes took from their start to their result.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"kind"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_probe_in_flight",
			Help: "Probes that have not ended yet.",
		}),
		targets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_probe_targets",
			Help: "Targets assigned to this vantage.",
		}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_probe_late_starts_total",
			Help: "Probes that started more than 0.5 s after their time, for want of a slot or of processor time.",
		}),
	}
	if registerer != nil {
		registerer.MustRegister(m.collectors()...)
	}
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.results, m.duration, m.inFlight, m.targets, m.late}
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors() {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) observe(kind string, result *health.Result) {
	if _, ok := probers[kind]; !ok {
		kind = "other"
	}
	m.results.WithLabelValues(kind, result.Reason.String()).Inc()
	m.duration.WithLabelValues(kind).Observe(result.Total.Seconds())
}
