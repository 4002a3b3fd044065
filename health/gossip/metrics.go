package gossip

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// Why a message or a state was dropped.
const (
	dropNotMember  = "not_member"  // the peer to send to isn't here, or not any more
	dropSize       = "size"        // a message over MaxMessage, ours or a peer's
	dropPeerQueue  = "peer_queue"  // too many wait for one peer
	dropSend       = "send"        // the network said no
	dropInbox      = "inbox"       // OnMessage is too slow
	dropStates     = "states"      // MergeState is too slow
	dropStateSize  = "state_size"  // a state over MaxState, ours or a peer's
	dropMalformed  = "malformed"   // a message without a kind
	dropKey        = "key"         // packets and streams under another key, or none
	dropLabel      = "label"       // packets and streams of another cluster
	dropHandoff    = "handoff"     // memberlist's own queue is full
	dropSource     = "source"      // too many streams from one source
	dropBusy       = "busy"        // too many streams of all, or too many bytes by them
	dropStreamSize = "stream_size" // more by one stream than any member sends
	dropGarbage    = "garbage"     // streams that broke off or made no sense, and empty packets
)

// Why a node was kept out.
const (
	refusedIdentity = "identity" // Identify said no
	refusedConflict = "conflict" // another live node has the name
)

type metrics struct {
	members   func() []health.Member
	partly    func(now time.Time) map[string]int
	count     *prometheus.Desc
	failing   *prometheus.Desc
	sent      *prometheus.CounterVec
	received  *prometheus.CounterVec
	dropped   *prometheus.CounterVec
	refused   *prometheus.CounterVec
	joins     *prometheus.CounterVec
	exchanges *prometheus.CounterVec
}

func newMetrics(members func() []health.Member, partly func(time.Time) map[string]int) *metrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_gossip_" + name, Help: help}, []string{label})
	}
	return &metrics{
		members:   members,
		partly:    partly,
		failing:   prometheus.NewDesc("meridian_gossip_failing_peers", "Members with whom words fail one way, by the way that fails: udp_from them to here, udp_to them, tcp_from, tcp_to.", []string{"way"}, nil),
		count:     prometheus.NewDesc("meridian_gossip_members", "Nodes of the mesh, this one included.", []string{"region"}, nil),
		sent:      counter("messages_sent_total", "Messages handed to the network.", "kind"),
		received:  counter("messages_received_total", "Messages taken from the network.", "kind"),
		dropped:   counter("dropped_total", "Messages, states, packets and streams dropped.", "reason"),
		refused:   counter("refused_total", "Times that a node was kept out.", "reason"),
		joins:     counter("joins_total", "Attempts to join an absent seed or member.", "result"),
		exchanges: counter("exchanges_total", "Exchanges of states with a member, asked for because messages did not bring what is missing.", "result"),
	}
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }

func (m *metrics) join(err error) { m.joins.WithLabelValues(result(err)).Inc() }

func (m *metrics) exchange(err error) { m.exchanges.WithLabelValues(result(err)).Inc() }

func result(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

// kindLabel is one of 256.
func kindLabel(kind byte) string { return health.MessageKind(kind).String() }

func (m *metrics) counters() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{m.sent, m.received, m.dropped, m.refused, m.joins, m.exchanges}
}

// Describe and Collect make m a prometheus.Collector. Regions come from certificates, so they are few.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.count
	to <- m.failing
	for _, c := range m.counters() {
		c.Describe(to)
	}
}

func (m *metrics) Collect(to chan<- prometheus.Metric) {
	regions := map[geo.RegionID]int{}
	for _, member := range m.members() {
		regions[member.Region]++
	}
	for region, n := range regions {
		to <- prometheus.MustNewConstMetric(m.count, prometheus.GaugeValue, float64(n), string(region))
	}
	for way, n := range m.partly(time.Now()) {
		to <- prometheus.MustNewConstMetric(m.failing, prometheus.GaugeValue, float64(n), way)
	}
	for _, c := range m.counters() {
		c.Collect(to)
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	if err := r.Register(m); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (m *metrics) unregister(r prometheus.Registerer) {
	if r != nil {
		r.Unregister(m)
	}
}
