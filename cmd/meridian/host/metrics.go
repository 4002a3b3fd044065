package host

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// metrics are those of the node itself; its edges bring their own.
type metrics struct {
	events   *prometheus.CounterVec
	reloads  *prometheus.CounterVec
	places   *prometheus.CounterVec
	compile  prometheus.Histogram
	overflow prometheus.Counter

	meshKeysRefused prometheus.Counter
}

func newMetrics(r *prometheus.Registry, h *Host) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_events_total", Help: "Lines of the journal, by kind.",
		}, []string{"kind"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_config_reloads_total", Help: "Changed worlds that were read, by result: taken, partly (all but zone files with mistakes) or refused.",
		}, []string{"result"}),
		places: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_geo_reloads_total", Help: "Changed databases and overrides of places that were read, by result: taken or refused.",
		}, []string{"result"}),
		compile: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_compile_duration_seconds", Help: "Time to read and compile a world.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}),
		meshKeysRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_gossip_keys_refused_total", Help: "Times that the changed keys of the mesh were refused.",
		}),
		overflow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_node_events_dropped_total", Help: "Messages and samples dropped because the node was busy.",
		}),
	}
	r.MustRegister(m.events, m.reloads, m.places, m.compile, m.overflow, m.meshKeysRefused, newStateCollector(h),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range []string{reloadTaken, reloadPartly, reloadRefused} {
		m.reloads.WithLabelValues(result)
	}
	for _, result := range []string{reloadTaken, reloadRefused} {
		m.places.WithLabelValues(result)
	}
	return m
}

func (m *metrics) event(kind health.EventKind) { m.events.WithLabelValues(string(kind)).Inc() }

// What becomes of a world that is read.
const (
	reloadTaken   = "taken"
	reloadPartly  = "partly"
	reloadRefused = "refused"
)

func (m *metrics) reload(world *zones.World, err error) {
	result := reloadTaken
	switch {
	case err != nil:
		result = reloadRefused
	case len(world.Refused) > 0:
		result = reloadPartly
	}
	m.reloads.WithLabelValues(result).Inc()
}

func (m *metrics) placesRead(err error) {
	result := reloadTaken
	if err != nil {
		result = reloadRefused
	}
	m.places.WithLabelValues(result).Inc()
}

func (m *metrics) compiled(took time.Duration) { m.compile.Observe(took.Seconds()) }

// A stateCollector reads what it reports from the node's last view and snapshot.
type stateCollector struct {
	host     *Host
	age      *prometheus.Desc
	checks   *prometheus.Desc
	held     *prometheus.Desc
	rung     *prometheus.Desc
	index    *prometheus.Desc
	verdicts *prometheus.Desc
	rtt      *prometheus.Desc
	ends     *prometheus.Desc
	overlays *prometheus.Desc
	overdue  *prometheus.Desc
	latches  *prometheus.Desc
	load     *prometheus.Desc
	capacity *prometheus.Desc
	kept     *prometheus.Desc
	built    *prometheus.Desc
	abstains *prometheus.Desc
	dissents *prometheus.Desc
	inPart   *prometheus.Desc
	mass     *prometheus.Desc
	frozen   *prometheus.Desc
}

func newStateCollector(h *Host) *stateCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("meridian_"+name, help, labels, nil)
	}
	return &stateCollector{
		host:     h,
		age:      desc("snapshot_age_seconds", "Time since the answers in force were published."),
		checks:   desc("checks", "Checks by status.", "state"),
		held:     desc("checks_held", "Checks whose status is held for want of fresh vantages."),
		rung:     desc("pool_rung", "How far down its ladder a pool answers some client: 0 up, 1 too few up, 2 held back, 3 unknown, 4 drain, 5 open, 6 fenced, 7 last resort, 8 nodata.", "pool"),
		index:    desc("control_index", "Index of the control state in force."),
		verdicts: desc("messages_refused_total", "Messages of other nodes that were refused: message (malformed or not signed by its origin), stranger, old (not newer than what is known: late, twice or replayed), again (with verdicts that are known), or the kind of a message that makes no sense.", "reason"),
		rtt:      desc("rtt_dropped_total", "Prefixes, AS numbers and countries with round-trip times that made room for others, or for which there was none."),
		overlays: desc("endpoint_overlays", "Endpoints that are set by hand, by the manual state.", "state"),
		overdue:  desc("endpoint_overlays_overdue", "Endpoints that are set by hand past the expiry of that: the voters have not ended it yet."),
		latches:  desc("pool_latches", "Members of pools that are passed over until a person resumes them."),
		load:     desc("pool_member_load", "What a member with a capacity gets as the demand of the last two minutes predicts: answers or requests per second, like its capacity.", "pool", "member"),
		capacity: desc("pool_member_capacity", "What a member can take: answers per second (its share of all that were given in the last two minutes), or requests per second.", "pool", "member"),
		kept:     desc("pool_member_kept_ratio", "The part of the prefixes that a member with a capacity has room for; the others are answered the next one.", "pool", "member"),
		built:    desc("geo_database_built_timestamp_seconds", "When the oldest of the databases that clients are placed by was built, in Unix time."),
		abstains: desc("vantage_abstains", "1 while this vantage gives no verdicts, for it distrusts itself."),
		dissents: desc("vantages_dissenting", "Vantages that have said otherwise than all together for more than five minutes."),
		inPart:   desc("checks_reached_in_part", "Checks that one region alone has seen up for more than five minutes."),
		mass:     desc("mass_change_held", "1 while a mass change is held."),
		frozen:   desc("frozen", "1 while all automatic change is frozen."),
		ends:     desc("node_certificate_not_after_timestamp_seconds", "When the node's own certificate expires, in Unix time."),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.age, c.checks, c.held, c.rung, c.index, c.verdicts, c.rtt, c.ends, c.overlays, c.overdue, c.latches, c.load, c.capacity, c.kept, c.built,
		c.abstains, c.dissents, c.inPart, c.mass, c.frozen} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.ends, float64(c.host.identity.Expires().Unix()))
	if built, ok := c.host.placer.oldest(); ok {
		gauge(c.built, float64(built.Unix()))
	}
	if s := c.host.snapshot.Load(); s != nil {
		gauge(c.age, time.Since(s.Published).Seconds())
		for _, pool := range s.Pools {
			gauge(c.rung, float64(pool.Worst()), pool.Plan.Pool.Name)
		}
	}
	v := c.host.view.Load()
	if v == nil {
		return
	}
	held := 0
	states := make(map[health.State]int)
	for _, id := range v.Health.Checks() {
		s := v.Health.Status(id, health.Global)
		states[s.State]++
		if s.Held {
			held++
		}
	}
	for _, state := range []health.State{health.Unknown, health.Up, health.Down, health.Drain} {
		gauge(c.checks, float64(states[state]), state.String())
	}
	gauge(c.held, float64(held))
	vantages := make(map[health.NodeID]bool)
	for _, d := range v.Dissents {
		vantages[d.Vantage] = true
	}
	is := func(fact bool) float64 {
		if fact {
			return 1
		}
		return 0
	}
	gauge(c.abstains, is(v.Abstains != health.ReasonNone))
	gauge(c.dissents, float64(len(vantages)))
	gauge(c.inPart, float64(len(v.Reaches)))
	gauge(c.mass, is(v.Health.Mass() != nil))
	gauge(c.frozen, is(v.Health.Frozen()))
	for _, l := range v.Loads {
		gauge(c.load, l.Load, l.Pool, l.Member)
		gauge(c.capacity, l.Capacity, l.Pool, l.Member)
		gauge(c.kept, float64(l.PerMille)/zones.FullRamp, l.Pool, l.Member)
	}
	if v.Control != nil {
		gauge(c.index, float64(v.Control.Index))
	}
	overlays := make(map[control.Manual]int)
	overdue, now := 0, time.Now()
	for _, o := range v.Control.Overlays() {
		overlays[o.State]++
		if o.Overdue(now) {
			overdue++
		}
	}
	for _, state := range control.Manuals()[1:] {
		gauge(c.overlays, float64(overlays[state]), string(state))
	}
	gauge(c.overdue, float64(overdue))
	gauge(c.latches, float64(len(v.Control.Latches())))
	ch <- prometheus.MustNewConstMetric(c.rtt, prometheus.CounterValue, float64(v.Forgotten))
	for reason, n := range v.Dropped {
		ch <- prometheus.MustNewConstMetric(c.verdicts, prometheus.CounterValue, float64(n), reason)
	}
}
