package server

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	queriesDesc = prometheus.NewDesc("meridian_dns_queries_total",
		"Queries that were answered, by transport and type.", []string{"transport", "type"}, nil)
	responsesDesc = prometheus.NewDesc("meridian_dns_responses_total",
		"Answers by response code.", []string{"rcode"}, nil)
	answersDesc = prometheus.NewDesc("meridian_dns_answers_total",
		"Answers with the addresses of a pool's member.", []string{"pool", "member", "region"}, nil)
	droppedDesc = prometheus.NewDesc("meridian_dns_dropped_total",
		"Queries that were not answered and connections that were not served or were ended, by transport and reason.", []string{"transport", "reason"}, nil)
	truncatedDesc = prometheus.NewDesc("meridian_dns_truncated_total",
		"Answers that were too long, so that the client has to ask again over TCP.", []string{"transport"}, nil)
	receivedDesc = prometheus.NewDesc("meridian_dns_received_bytes_total",
		"Bytes of the queries.", []string{"transport"}, nil)
	sentDesc = prometheus.NewDesc("meridian_dns_sent_bytes_total",
		"Bytes of the answers.", []string{"transport"}, nil)
	limitedDesc = prometheus.NewDesc("meridian_dns_rrl_total",
		"Answers over UDP that were too many for a network, by what became of them: leak (sent), slip (sent truncated), drop; in mode log what would have.",
		[]string{"action", "mode"}, nil)
	cookiesDesc = prometheus.NewDesc("meridian_dns_cookies_total",
		"Queries with a DNS cookie, by what it was worth: new (of the client alone), bad, good.", []string{"transport", "cookie"}, nil)
	reportsDesc = prometheus.NewDesc("meridian_dns_error_reports_total",
		"Errors with our zones that resolvers have reported to the agent (RFC 9567), by the code of the extended error, or other.", []string{"info_code"}, nil)
	connectionsDesc = prometheus.NewDesc("meridian_dns_connections",
		"Connections that are open, by transport.", []string{"transport"}, nil)
	handshakesDesc = prometheus.NewDesc("meridian_dns_handshake_failures_total",
		"Connections that ended before TLS or QUIC was set up, by transport and reason.", []string{"transport", "reason"}, nil)
)

// Describe makes the server a prometheus.Collector.
func (s *Server) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		queriesDesc, responsesDesc, answersDesc, droppedDesc, truncatedDesc, receivedDesc, sentDesc, limitedDesc, cookiesDesc, reportsDesc, connectionsDesc, handshakesDesc,
	} {
		descriptions <- d
	}
}

// Collect makes the server a prometheus.Collector: it adds up what the workers have counted.
func (s *Server) Collect(metrics chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, value uint64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	var rcodes [len(rcodeNames)]uint64
	var limited [len(limitNames)]uint64
	var reports [infoCodes + 1]uint64
	for t, name := range transportNames {
		if transport(t) == transportXDP && len(s.config.XDP) == 0 {
			continue
		}
		sum := s.ledger.sum(transport(t))
		for i, typeName := range queryTypes {
			if typeName != "" {
				emit(queriesDesc, sum.types[i], name, typeName)
			}
		}
		for i, reason := range dropNames {
			emit(droppedDesc, sum.drops[i], name, reason)
		}
		for i := range rcodes {
			rcodes[i] += sum.rcodes[i]
		}
		for i := range reports {
			reports[i] += sum.reports[i]
		}
		for i, worth := range cookieNames {
			emit(cookiesDesc, sum.cookies[i], name, worth)
		}
		for i := range limited {
			limited[i] += sum.limited[i]
		}
		emit(truncatedDesc, sum.truncated, name)
		emit(receivedDesc, sum.received, name)
		emit(sentDesc, sum.sent, name)
	}
	if s.config.RRL.Mode != RateOff {
		for i, action := range limitNames {
			if action != "" {
				emit(limitedDesc, limited[i], action, string(s.config.RRL.Mode))
			}
		}
	}
	for i, name := range rcodeNames {
		if name != "" {
			emit(responsesDesc, rcodes[i], name)
		}
	}
	for i, count := range reports {
		if count > 0 {
			emit(reportsDesc, count, infoName(i))
		}
	}
	for key, count := range s.ledger.answers() {
		emit(answersDesc, count, key.pool, key.member, string(key.region))
	}
	for t, count := range s.clients.counts() {
		if transport(t) >= transportTCP {
			metrics <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(count), transportNames[t])
		}
	}
	for t := transportTLS; int(t) < len(transportNames); t++ {
		for reason, name := range handshakeNames {
			emit(handshakesDesc, s.failures[t][reason].Load(), transportNames[t], name)
		}
	}
}

// A sum is the counters of all workers of one transport together.
type sum struct {
	types                     [len(queryTypes)]uint64
	rcodes                    [len(rcodeNames)]uint64
	drops                     [len(dropNames)]uint64
	limited                   [len(limitNames)]uint64
	cookies                   [len(cookieNames)]uint64
	reports                   [infoCodes + 1]uint64
	truncated, received, sent uint64
}

func (l *ledger) sum(t transport) (total sum) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.workers {
		if c.transport != t {
			continue
		}
		addAll(total.types[:], c.types[:])
		addAll(total.rcodes[:], c.rcodes[:])
		addAll(total.drops[:], c.drops[:])
		addAll(total.limited[:], c.limited[:])
		addAll(total.cookies[:], c.cookies[:])
		addAll(total.reports[:], c.reports[:])
		total.truncated += c.truncated.Load()
		total.received += c.received.Load()
		total.sent += c.sent.Load()
	}
	return total
}

func addAll(total []uint64, counts []atomic.Uint64) {
	for i := range counts {
		total[i] += counts[i].Load()
	}
}
