package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics hold no label that a client controls: services, regions and reasons come from the configuration and the code.
type metrics struct {
	requests       *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	upstreamErrors *prometheus.CounterVec
	retries        *prometheus.CounterVec
	dropped        prometheus.Counter
	connections    prometheus.Gauge
	refused        *prometheus.CounterVec
	busy           *prometheus.CounterVec
	websockets     prometheus.Gauge
	samplesDropped prometheus.Counter

	registerer prometheus.Registerer // nil: none
	all        []prometheus.Collector
}

// The limits that refuse.
const (
	ofAll    = "all"
	ofClient = "client"
)

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "meridian", Subsystem: "gateway", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts(opts(name, help)))
	}
	m := &metrics{
		requests: counters("requests_total", "Requests by service and class of status; aborted: cut off.", "service", "class"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "meridian", Subsystem: "gateway", Name: "request_duration_seconds",
			Help:    "From the head of a request to the end of its response; tunnels aside.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"service"}),
		upstreamErrors: counters("upstream_errors_total", "Trips to an endpoint that brought no response.", "service", "region", "reason"),
		retries:        counters("retries_total", "Trips after the first of a request.", "service"),
		dropped:        counter("headers_dropped_total", "Fields dropped because they resemble others."),
		connections:    gauge("connections", "Client connections open, tunnels aside."),
		refused:        counters("connections_refused_total", "Client connections closed because there were too many, of all or of one client.", "limit"),
		busy:           counters("requests_refused_total", "Requests refused because there were too many at once, of all or of one client.", "limit"),
		websockets:     gauge("websockets", "WebSocket tunnels open."),
		samplesDropped: counter("samples_dropped_total", "Round-trip times dropped because there were too many prefixes."),
		registerer:     r,
	}
	for _, limit := range []string{ofAll, ofClient} {
		m.refused.WithLabelValues(limit)
		m.busy.WithLabelValues(limit)
	}
	m.all = []prometheus.Collector{m.requests, m.duration, m.upstreamErrors, m.retries, m.dropped, m.connections,
		m.refused, m.busy, m.websockets, m.samplesDropped}
	if r == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}

// request notes one answer; status 0 is one that was cut off.
func (m *metrics) request(service string, status int, took time.Duration) {
	class := "aborted"
	if status > 0 {
		class = strconv.Itoa(status/100) + "xx"
	}
	m.requests.WithLabelValues(service, class).Inc()
	if status != 101 {
		m.duration.WithLabelValues(service).Observe(took.Seconds())
	}
}
