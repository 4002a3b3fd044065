package probe

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

// metrics are the runner's; their labels are kinds and reasons, so their number is fixed, and the names of checks that speak TLS, of which a world
// has a limited number.
type metrics struct {
	registerer prometheus.Registerer
	results    *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	targets    prometheus.Gauge
	barred     prometheus.Gauge
	late       prometheus.Counter
	lateness   prometheus.Histogram

	certificates *certificates
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
		barred: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_probe_targets_refused",
			Help: "Targets assigned to this vantage that it can't or may not probe: denied addresses, programs that its node's file does not permit, echo requests where the kernel has no socket for them.",
		}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "meridian_probe_start_lateness_duration_seconds",
			Help:    "How long after their time probes started.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		certificates: &certificates{ends: make(map[health.CheckID]time.Time)},
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
	return []prometheus.Collector{m.results, m.duration, m.inFlight, m.targets, m.barred, m.late, m.lateness, m.certificates}
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

// certificates are when the certificates expire that targets showed last. They are reported by check, the first to expire of all its targets.
type certificates struct {
	mu   sync.Mutex
	ends map[health.CheckID]time.Time
}

var certificateEndsDesc = prometheus.NewDesc("meridian_probe_certificate_not_after_timestamp_seconds",
	"When the first certificate expires of those that the endpoints of a check showed this vantage, in Unix time.", []string{"check"}, nil)

func (c *certificates) note(id health.CheckID, ends time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[id] = ends
}

func (c *certificates) forget(id health.CheckID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ends, id)
}

// Describe implements prometheus.Collector.
func (c *certificates) Describe(ch chan<- *prometheus.Desc) { ch <- certificateEndsDesc }

// Collect implements prometheus.Collector.
func (c *certificates) Collect(ch chan<- prometheus.Metric) {
	first := make(map[string]time.Time)
	c.mu.Lock()
	for id, ends := range c.ends {
		check, _, _ := strings.Cut(string(id), "/")
		if known, ok := first[check]; !ok || ends.Before(known) {
			first[check] = ends
		}
	}
	c.mu.Unlock()
	for _, check := range slices.Sorted(maps.Keys(first)) {
		ch <- prometheus.MustNewConstMetric(certificateEndsDesc, prometheus.GaugeValue, float64(first[check].Unix()), check)
	}
}
