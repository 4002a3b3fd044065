package past

import "github.com/prometheus/client_golang/prometheus"

var (
	bytesDesc   = prometheus.NewDesc("meridian_replay_bytes", "Bytes on disk of what answers followed from: moments, and the worlds of them.", []string{"what"}, nil)
	droppedDesc = prometheus.NewDesc("meridian_replay_dropped_total", "Moments that were not written down, as the disk was too slow or failed.", nil, nil)
	oldestDesc  = prometheus.NewDesc("meridian_replay_oldest_timestamp_seconds", "From when on answers can be replayed, in Unix time.", nil, nil)
)

// Describe makes the store a prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	ch <- bytesDesc
	ch <- droppedDesc
	ch <- oldestDesc
}

// Collect makes the store a prometheus.Collector.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moments, oldest := int64(0), s.now()
	for i := range s.segments {
		moments += s.segments[i].size
		if first := s.segments[i].head.First; !first.IsZero() && first.Before(oldest) {
			oldest = first
		}
	}
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(moments), "moments")
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(s.worlds), "worlds")
	ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.dropped))
	ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, float64(oldest.UnixMilli())/1000)
}
