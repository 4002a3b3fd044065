package signer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/dns/background"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

// lookEvery is how often signatures are looked at that are due to be made anew. They have days left then.
const lookEvery = 10 * time.Minute

// run keeps what exists signed.
func (s *Signer) run(ctx context.Context) {
	defer close(s.done)
	background.Thread() // to sign a large zone takes minutes
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	var before *zones.Snapshot // for which all was signed
	var keys *map[string]*zone // by which
	for {
		look := false
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
			look = true
			timer.Reset(lookEvery)
			if !s.idle.Load() {
				s.recent.expire(s.config.Now().Unix())
			}
		}
		s.mu.Lock()
		snapshot := s.snapshot
		s.mu.Unlock()
		if snapshot == nil || s.idle.Load() {
			before = nil
			continue
		}
		signed := s.zones.Load()
		all := look || before == nil || before.Plan != snapshot.Plan || keys != signed
		for apex, z := range *signed {
			data, _ := snapshot.Plan.Zone([]byte(apex))
			if z.keys == nil || data == nil || data.Zone == nil || data.Apex != apex {
				continue
			}
			s.counts.presigning.Store(true)
			if all {
				z.presign(ctx, snapshot.Plan, data)
				before = nil
			}
			wire.PresignComposed(snapshot, before, data, &ahead{z})
			s.counts.presigning.Store(false)
		}
		before, keys = snapshot, signed
	}
}

// ahead is a zone whose missing signatures are made before anybody asks, and kept as if somebody had.
type ahead struct{ *zone }

// Signatures is for wire.Signing.
func (a *ahead) Signatures(owner []byte, set zones.RecordSet) (records []byte, count uint16) {
	k := a.key(owner, set)
	if records, count = a.find(k); count > 0 {
		return records, count
	}
	made, ok := a.sign(owner, set, a.signer.config.Now())
	if !ok {
		return nil, 0
	}
	a.signer.counts.presigned.Add(1)
	a.signer.recent.keep(k, made)
	return made.records, made.count
}

// presign signs what the zone can answer, with what is signed already and not due yet.
func (z *zone) presign(ctx context.Context, plan *zones.Plan, data *zones.ZoneData) {
	p := &presigning{zone: z, next: new(pins), now: z.signer.config.Now()}
	whole := true
	wire.Presign(plan, data, p, func() bool {
		whole = ctx.Err() == nil && !z.signer.idle.Load()
		return whole
	})
	p.next.setDenial(z.key([]byte(z.apex), data.Negative), data.Negative.Bytes)
	if whole && !z.signer.idle.Load() { // or what is signed already would be lost
		z.pinned.Store(p.next)
		z.first.Store(p.first)
		z.whole.Store(!p.failed)
		z.signer.counts.pinned.Store(z.signer.pinned())
	}
}

// presigning gathers the signatures of one zone.
type presigning struct {
	*zone
	next   *pins
	now    time.Time
	first  int64 // when the first expires
	failed bool  // a signature could not be made
}

// Signatures is for wire.Signing.
func (p *presigning) Signatures(owner []byte, set zones.RecordSet) (records []byte, count uint16) {
	k := p.key(owner, set)
	if made, ok := p.next.find(k); ok {
		return made.records, made.count
	}
	made, ok := p.pinned.Load().find(k)
	if !ok || made.renew <= p.now.Unix() {
		if made, ok = p.sign(owner, set, p.now); !ok {
			p.failed = true
			return nil, 0
		}
		p.signer.counts.presigned.Add(1)
	}
	p.next.add(k, made)
	if p.first == 0 || made.expires < p.first {
		p.first = made.expires
	}
	return made.records, made.count
}

// counts are what the signer tells of itself.
type counts struct {
	presigned, asked atomic.Uint64
	pinned           atomic.Int64
	presigning       atomic.Bool
}

func (s *Signer) pinned() (n int64) {
	for _, z := range *s.zones.Load() {
		n += int64(z.pinned.Load().n)
	}
	return n
}

var (
	madeDesc = prometheus.NewDesc("meridian_dnssec_signatures_total",
		"Signatures made: ahead, for what exists, or because somebody asked.", []string{"why"}, nil)
	keptDesc = prometheus.NewDesc("meridian_dnssec_signatures",
		"Signatures kept of what exists.", nil, nil)
	lifeDesc = prometheus.NewDesc("meridian_dnssec_signature_expiry_timestamp_seconds",
		"When the first of a zone's signatures expires.", []string{"zone"}, nil)
)

// Describe makes the signer a prometheus.Collector.
func (s *Signer) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{madeDesc, keptDesc, lifeDesc} {
		descriptions <- d
	}
}

// Collect makes the signer a prometheus.Collector.
func (s *Signer) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.MustNewConstMetric(madeDesc, prometheus.CounterValue, float64(s.counts.presigned.Load()), "ahead")
	metrics <- prometheus.MustNewConstMetric(madeDesc, prometheus.CounterValue, float64(s.counts.asked.Load()), "asked")
	metrics <- prometheus.MustNewConstMetric(keptDesc, prometheus.GaugeValue, float64(s.counts.pinned.Load()))
	for _, z := range *s.zones.Load() {
		if first := z.first.Load(); first > 0 {
			metrics <- prometheus.MustNewConstMetric(lifeDesc, prometheus.GaugeValue, float64(first), z.name)
		}
	}
}
