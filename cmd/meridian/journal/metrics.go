package journal

import "github.com/prometheus/client_golang/prometheus"

var (
	bytesDesc   = prometheus.NewDesc("meridian_journal_bytes", "Bytes on disk of the journal: events, and what was set aside as damaged.", []string{"what"}, nil)
	droppedDesc = prometheus.NewDesc("meridian_journal_dropped_total", "Events that were not written down, as the disk was too slow or failed.", nil, nil)
	damagedDesc = prometheus.NewDesc("meridian_journal_damaged_total", "Lines of the journal that were damaged when this node started; their file was set aside.", nil, nil)
	oldestDesc  = prometheus.NewDesc("meridian_journal_oldest_timestamp_seconds", "From when on the journal has events, in Unix time.", nil, nil)
)

// Describe makes the store a prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	ch <- bytesDesc
	ch <- droppedDesc
	ch <- damagedDesc
	ch <- oldestDesc
}

// Collect makes the store a prometheus.Collector.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, aside, oldest := int64(0), int64(0), s.cfg.Now()
	for i := range s.segments {
		events += s.segments[i].bytes
		if first := s.segments[i].first; !first.IsZero() && first.Before(oldest) {
			oldest = first
		}
	}
	for i := range s.aside {
		aside += s.aside[i].bytes
	}
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(events), "events")
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(aside), "aside")
	ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.dropped))
	ch <- prometheus.MustNewConstMetric(damagedDesc, prometheus.CounterValue, float64(s.damaged))
	ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, float64(oldest.UnixMilli())/1000)
}
