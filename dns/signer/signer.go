// Package signer makes the signatures over what zones answer, and keeps them.
//
// What an answer from a name that exists can need is signed when a snapshot is published, and again long before it expires. What
// only a question brings forth, the denial of a random name or what a wildcard makes, is signed when it is asked for, by
// whoever asks through a Maker, and kept for a while.
//
// Looking for a signature takes no lock and allocates nothing. A signature is found by what it signs, so a flip of health signs
// nothing that was signed before, and a reloaded zone only what is new in it. The times in it depend on owner and day alone, so that
// all nameservers make the same. No private key leaves the package, and none is written to a log.
package signer

import (
	"context"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// A Config says how zones are signed. What is zero takes its default.
type Config struct {
	Validity   time.Duration         // of signatures; default and least as of dnssec.Window
	Recent     int                   // signatures that are kept of what only questions bring forth; default 65,536
	Now        func() time.Time      // default time.Now
	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // default slog.Default()
}

// A Signer signs zones. Its methods may be called from any goroutine.
type Signer struct {
	config Config
	seeds  [2]maphash.Seed
	recent *recent
	zones  atomic.Pointer[map[string]*zone] // by apex in wire format
	counts counts

	mu       sync.Mutex // of what follows, and of every change of zones
	snapshot *zones.Snapshot
	wake     chan struct{}
	idle     atomic.Bool // the clock can't be trusted: nothing is signed
	stop     context.CancelFunc
	done     chan struct{}
}

// A zone is one zone with keys. It is what wire.Signing wants.
type zone struct {
	signer *Signer
	apex   string
	keys   *dnssec.KeySet // nil: they are not here
	sets   []zones.RecordSet
	era    uint64               // of the keys: signatures of other keys are not found
	name   string               // the apex as text
	pinned atomic.Pointer[pins] // of what exists
	first  atomic.Int64         // when the first of those expires, in Unix seconds
	whole  atomic.Bool          // all signatures of what exists are made
}

// A key is a hash of an owner, a set, and the keys that sign it.
type key [2]uint64

// A sig is the signatures over one set.
type sig struct {
	records []byte
	count   uint16 // of records
	renew   int64  // Unix seconds; when the next is due
	expires int64
}

// New starts a signer without zones.
func New(config Config) (*Signer, error) {
	if config.Recent == 0 {
		config.Recent = 1 << 16
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Validity == 0 {
		config.Validity = dnssec.DefaultValidity
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Signer{
		config: config, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, recent: newRecent(config.Recent),
		wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{}),
	}
	s.zones.Store(&map[string]*zone{})
	if config.Registerer != nil {
		if err := config.Registerer.Register(s); err != nil {
			stop()
			return nil, err
		}
	}
	go s.run(ctx)
	return s, nil
}

// Close ends the signer's own goroutine. What was signed stays.
func (s *Signer) Close() {
	s.stop()
	<-s.done
	if s.config.Registerer != nil {
		s.config.Registerer.Unregister(s)
	}
}

// SetKeys gives a zone its keys, by its apex in wire format; nil takes them away: then it is answered unsigned.
func (s *Signer) SetKeys(apex string, keys *dnssec.KeySet) {
	if keys == nil {
		s.set(apex, nil)
		return
	}
	s.set(apex, s.newZone(apex, keys))
}

// Await has a zone not answered until it is given keys, or nil for them.
func (s *Signer) Await(apex string) {
	z := &zone{signer: s, apex: apex}
	z.pinned.Store(new(pins))
	s.set(apex, z)
}

func (s *Signer) set(apex string, z *zone) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[string]*zone)
	for a, z := range *s.zones.Load() {
		next[a] = z
	}
	if delete(next, apex); z != nil {
		next[apex] = z
	}
	s.zones.Store(&next)
	s.nudge()
}

func (s *Signer) newZone(apex string, keys *dnssec.KeySet) *zone {
	z := &zone{signer: s, apex: apex, name: dnssec.TextName([]byte(apex)), keys: keys}
	dnskey, cds, cdnskey := keys.Sets()
	for _, published := range [][]byte{dnskey, cds, cdnskey} {
		if published != nil {
			z.sets = append(z.sets, static.Packed(published))
		}
	}
	var h maphash.Hash
	h.SetSeed(s.seeds[0])
	for _, set := range z.sets {
		h.Write(set.Bytes)
	}
	for _, k := range append(slices.Clone(keys.KeySigners), keys.Signers...) {
		h.WriteString(k.Name())
	}
	z.era = h.Sum64()
	z.pinned.Store(new(pins))
	return z
}

// Generation returns the generation of a zone's keys, once everything that its names can answer is signed by them. Nothing that is
// sent is then signed by keys before them: signatures of other keys are not found.
func (s *Signer) Generation(apex string) (generation uint64, whole bool) {
	z := (*s.zones.Load())[apex]
	if z == nil || z.keys == nil {
		return 0, false
	}
	return z.keys.Generation, z.whole.Load()
}

// Trust tells whether the clock is good enough to sign by. While it is not, no signature is made; those that there are serve.
func (s *Signer) Trust(clock bool) {
	if s.idle.Swap(!clock) && clock {
		s.nudge()
	}
}

// Published tells which snapshot is answered from: what its zones can answer is signed soon.
func (s *Signer) Published(snapshot *zones.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := s.snapshot != nil && s.snapshot.Plan == snapshot.Plan
	s.snapshot = snapshot
	// A flip of health needs no signature that is not there, but over sets with several members.
	if !same || snapshot.Plan.Composes() {
		s.nudge()
	}
}

func (s *Signer) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look soon anyway
	}
}

// Zone is for wire.Signer: signatures that are not made yet are not there.
func (s *Signer) Zone(apex string) (signing wire.Signing, ready bool) {
	switch z := (*s.zones.Load())[apex]; {
	case z == nil:
		return nil, true
	case z.keys == nil:
		return nil, false
	default:
		return z, true
	}
}

// Maker returns the signer as one that makes what is not there, at once. allow is asked before each signature.
func (s *Signer) Maker(allow func() bool) wire.Signer { return &maker{s, allow} }

type maker struct {
	signer *Signer
	allow  func() bool
}

// Zone is for wire.Signer.
func (m *maker) Zone(apex string) (signing wire.Signing, ready bool) {
	signing, ready = m.signer.Zone(apex)
	if z, ok := signing.(*zone); ok {
		return &making{z, m.allow}, true
	}
	return nil, ready
}

// Published is for wire.Signing.
func (z *zone) Published() []zones.RecordSet { return z.sets }

// Signatures is for wire.Signing.
func (z *zone) Signatures(owner []byte, set zones.RecordSet) (records []byte, count uint16) {
	if p := z.pinned.Load(); p.denial != nil && p.denial == unsafe.SliceData(set.Bytes) {
		return p.denialSig.records, p.denialSig.count
	}
	return z.find(z.key(owner, set))
}

func (z *zone) key(owner []byte, set zones.RecordSet) key {
	seeds := &z.signer.seeds
	return key{maphash.Bytes(seeds[0], set.Bytes) ^ z.era, maphash.Bytes(seeds[1], owner)}
}

func (z *zone) find(k key) (records []byte, count uint16) {
	if made, ok := z.pinned.Load().find(k); ok {
		return made.records, made.count
	}
	return z.signer.recent.find(k)
}

// making is a zone whose missing signatures are made.
type making struct {
	*zone
	allow func() bool
}

// Signatures is for wire.Signing.
func (m *making) Signatures(owner []byte, set zones.RecordSet) (records []byte, count uint16) {
	k := m.key(owner, set)
	if records, count = m.find(k); count > 0 {
		return records, count
	}
	if !m.allow() {
		return nil, 0
	}
	made, ok := m.sign(owner, set, m.signer.config.Now())
	if !ok {
		return nil, 0
	}
	m.signer.counts.asked.Add(1)
	m.signer.recent.keep(k, made)
	return made.records, made.count
}

// sign makes the signatures over a set. It fails while the clock can't be trusted, and for want of a key, which is logged.
func (z *zone) sign(owner []byte, set zones.RecordSet, now time.Time) (made sig, ok bool) {
	if z.signer.idle.Load() {
		return sig{}, false
	}
	inception, expiration, renew := dnssec.Window(owner, now, z.signer.config.Validity)
	cover := dnssec.Cover{TTL: set.TTL, OriginalTTL: set.TTL, Labels: dnssec.Labels(owner), Inception: inception, Expiration: expiration}
	records, count, err := z.keys.AppendRRSIGs(nil, owner, set.Bytes, cover)
	if err != nil {
		z.signer.config.Logger.Error("set not signed", "zone", z.name, "err", err)
		return sig{}, false
	}
	return sig{records: records, count: uint16(count), renew: renew.Unix(), expires: int64(expiration)}, true
}
