package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// sweepEvery is how often files of zones that were dropped are looked for, the first time that long after the start:
// by then the catalogs are loaded.
const sweepEvery = time.Hour

// A wantedZone is a zone to be copied.
type wantedZone struct {
	Secondary
	catalog bool   // it is a catalog
	member  string // its label in the catalog that lists it; another label is another zone (RFC 9432, section 5.5)
}

// secondaries keep the copies of all secondary zones fresh. One goroutine sees to what is due, and as many as are
// allowed refresh.
type secondaries struct {
	sync.Mutex
	service *Service
	zones   map[string]*secondaryZone
	agenda  agenda
	line    []*secondaryZone // due for a refresh
	workers int
	wake    chan struct{}
	silence

	calling sync.Mutex // held while the functions of Config are called, so that they hear of a zone in order
}

func newSecondaries(s *Service) *secondaries {
	return &secondaries{
		service: s, zones: map[string]*secondaryZone{}, wake: make(chan struct{}, 1),
		silence: silence{until: map[netip.AddrPort]time.Time{}},
	}
}

// tidy removes what a crash left half-written.
func (ss *secondaries) tidy() error {
	for _, dir := range []string{journalDir, secondaryDir} {
		entries, err := os.ReadDir(filepath.Join(ss.service.config.Dir, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), newInfix) {
				if err := os.Remove(filepath.Join(ss.service.config.Dir, dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// fit makes the zones those that are wanted. A new one that has a copy on disk is loaded; fresh says that a catalog was.
func (ss *secondaries) fit(want map[string]wantedZone) (fresh bool) {
	ss.calling.Lock()
	defer ss.calling.Unlock()
	ss.Lock()
	var gone []*secondaryZone
	var come []string
	for apex, z := range ss.zones {
		w, stays := want[apex]
		if stays && w.member == z.want.member && w.catalog == z.want.catalog {
			z.want = w
			continue
		}
		gone = append(gone, z)
		z.end()
		ss.agenda.set(z, time.Time{})
		delete(ss.zones, apex)
	}
	for apex := range want {
		if ss.zones[apex] == nil {
			come = append(come, apex)
		}
	}
	ss.Unlock()
	slices.SortFunc(gone, func(a, b *secondaryZone) int { return strings.Compare(a.apex, b.apex) })
	slices.Sort(come)
	for _, z := range gone {
		_, replaced := want[z.apex]
		ss.drop(z, replaced)
	}
	for _, apex := range come {
		fresh = ss.join(apex, want[apex]) || fresh
	}
	ss.nudge()
	return fresh
}

// drop tells that a zone is none of ours any more. Its files stay for a while, unless another zone of its name comes.
func (ss *secondaries) drop(z *secondaryZone, replaced bool) {
	s := ss.service
	file := s.copyFile(z.apex)
	var err error
	if replaced {
		err = removeCopy(file)
	} else if state, readErr := readState(file); readErr == nil {
		state.Dropped = time.Now()
		err = writeState(file, state)
	}
	if err != nil {
		s.config.Logger.Warn("copy not put away", "zone", z.apex, "err", err)
	}
	if !z.want.catalog {
		s.config.Dropped(z.apex)
	}
}

// join begins with a zone: by its copy on disk if that is good, and by a refresh at once in any case.
func (ss *secondaries) join(apex string, w wantedZone) (fresh bool) {
	s, now := ss.service, time.Now()
	z := &secondaryZone{apex: apex, want: w, index: -1}
	z.context, z.end = context.WithCancel(s.context)
	file := s.copyFile(apex)
	state, err := readState(file)
	if err == nil && state.Member != w.member {
		err = removeCopy(file) // it was another zone of this name
		state = copyState{}
	} else if err == nil {
		if z.soa, err = readSOA(file, apex); err == nil {
			z.refreshed, z.kept = state.Refreshed, state.Refreshed
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.config.Logger.Warn("copy not read", "zone", apex, "err", err)
	}
	if z.soa != nil && !state.Dropped.IsZero() {
		state.Dropped = time.Time{}
		if err := writeState(file, state); err != nil {
			s.config.Logger.Warn("copy not kept", "zone", apex, "err", err)
		}
	}
	end, good := z.expiry()
	good = good && now.Before(end)
	ss.Lock()
	ss.zones[apex] = z
	ss.agenda.set(z, now)
	ss.Unlock()
	return good && ss.loaded(z)
}

// loaded hands on a copy. The caller holds calling. It reports whether the copy is a catalog that changed its members.
func (ss *secondaries) loaded(z *secondaryZone) (fresh bool) {
	s := ss.service
	if z.want.catalog {
		return s.catalogs.read(s, z.apex)
	}
	s.config.Loaded(z.apex, s.copyFile(z.apex))
	return false
}

// primaries returns those of a zone.
func (ss *secondaries) primaries(apex string) (primaries []Primary, ok bool) {
	ss.Lock()
	defer ss.Unlock()
	z := ss.zones[apex]
	if z == nil {
		return nil, false
	}
	return z.want.Primaries, true
}

// notified has a zone refreshed soon, first from the primary that said so, unless it hints at what the copy has.
func (ss *secondaries) notified(apex string, from netip.Addr, hint *dns.SOA) {
	ss.Lock()
	defer ss.Unlock()
	z := ss.zones[apex]
	switch {
	case z == nil || !z.news(hint):
	case z.running:
		z.again, z.prefer = true, from
	default:
		z.prefer = from
		ss.agenda.set(z, z.noticedAt(time.Now()))
		ss.nudge()
	}
}

func (ss *secondaries) nudge() {
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// run sees to what is due until the service ends.
func (ss *secondaries) run() {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		wait := ss.attend(time.Now())
		alarm := time.NewTimer(wait)
		select {
		case <-alarm.C:
		case <-ss.wake:
		case <-sweep.C:
			ss.sweep(time.Now())
		case <-ss.service.context.Done():
			alarm.Stop()
			return
		}
		alarm.Stop()
	}
}

// attend puts what is due in line, tells of copies that have ended, and returns how long nothing more is due.
func (ss *secondaries) attend(now time.Time) time.Duration {
	for {
		ss.Lock()
		if len(ss.agenda) == 0 {
			ss.Unlock()
			return sweepEvery
		}
		z := ss.agenda[0]
		if wait := z.next.Sub(now); wait > 0 {
			ss.Unlock()
			return wait
		}
		end, ok := z.expiry()
		ended := ok && !now.Before(end)
		z.expired = z.expired || ended
		if !z.running {
			ss.enter(z)
		}
		end, _ = z.expiry()
		ss.agenda.set(z, end) // while it runs only its end is due
		ss.Unlock()
		if ended {
			ss.expire(z)
		}
	}
}

// enter puts a zone in line for a refresh. The caller holds the lock.
func (ss *secondaries) enter(z *secondaryZone) {
	z.running = true
	ss.line = append(ss.line, z)
	if ss.workers < ss.service.config.Limits.In && ss.service.start(ss.work) {
		ss.workers++
	}
}

func (ss *secondaries) expire(z *secondaryZone) {
	ss.calling.Lock()
	defer ss.calling.Unlock()
	if !ss.current(z) || z.want.catalog { // the members of a catalog stay as they were (RFC 9432, section 5.1)
		return
	}
	ss.service.tell(slog.LevelError, "zone expired", z.apex, "not refreshed since "+z.refreshed.UTC().Format(time.RFC3339))
	ss.service.config.Expired(z.apex)
}

func (ss *secondaries) current(z *secondaryZone) bool {
	ss.Lock()
	defer ss.Unlock()
	return ss.zones[z.apex] == z
}

// replace puts a new copy of a zone in its place, unless the zone was dropped meanwhile: another one of its name may have
// a copy there by now.
func (ss *secondaries) replace(z *secondaryZone, temporary, file string) error {
	ss.calling.Lock() // no zone comes or goes meanwhile
	defer ss.calling.Unlock()
	if !ss.current(z) {
		return errors.Join(errors.New("the zone was dropped"), os.Remove(temporary))
	}
	return succeed(temporary, file)
}

// work refreshes the zones in line until there is none.
func (ss *secondaries) work() {
	for {
		ss.Lock()
		if len(ss.line) == 0 || ss.service.context.Err() != nil {
			ss.workers--
			ss.Unlock()
			return
		}
		z := ss.line[0]
		ss.line = ss.line[1:]
		primaries := preferred(z.want.Primaries, z.prefer)
		if z.prefer.IsValid() {
			z.noticed = time.Now()
		}
		z.again, z.prefer = false, netip.Addr{}
		ss.Unlock()
		ss.refresh(z, primaries)
	}
}

// preferred puts first the primary that sent a notice: it has what is new.
func preferred(primaries []Primary, from netip.Addr) []Primary {
	ordered := slices.Clone(primaries)
	slices.SortStableFunc(ordered, func(a, b Primary) int {
		switch aIs, bIs := a.Address.Addr().Unmap() == from, b.Address.Addr().Unmap() == from; {
		case aIs && !bIs:
			return -1
		case bIs && !aIs:
			return 1
		}
		return 0
	})
	return ordered
}

// refresh brings one zone up to date and plans what comes next for it.
func (ss *secondaries) refresh(z *secondaryZone, primaries []Primary) {
	s := ss.service
	if !ss.current(z) {
		return
	}
	ctx, cancel := context.WithTimeout(z.context, s.config.Limits.InTime)
	defer cancel()
	r := &refresh{service: s, zone: z, file: s.copyFile(z.apex), soa: z.soa, setup: s.setup.Load()}
	soa, changed, err := r.run(ctx, primaries)
	if s.context.Err() != nil {
		return
	}
	if err == nil && (changed || z.soa == nil) {
		s.config.Logger.Info("zone refreshed", "zone", z.apex, "serial", soa.Serial)
	}
	fresh := ss.finished(z, soa, changed, err)
	if fresh {
		s.applying.Lock()
		defer s.applying.Unlock()
		s.refit()
	}
}

// finished notes how a refresh ended, and hands the copy on if it is new or was expired.
func (ss *secondaries) finished(z *secondaryZone, soa *dns.SOA, changed bool, err error) (fresh bool) {
	s, now := ss.service, time.Now()
	ss.calling.Lock()
	defer ss.calling.Unlock()
	ss.Lock()
	if ss.zones[z.apex] != z {
		ss.Unlock()
		return false
	}
	before, failures, told := z.expired, z.failures, z.told
	tell := err != nil && !told && err != errSilent
	z.told = err != nil && (told || tell)
	if err != nil && err != errSilent {
		z.failed = now
	}
	if err != nil {
		z.failedAt(now)
	} else {
		z.refreshedAt(now, soa)
	}
	z.running = false
	if z.again {
		z.next = z.noticedAt(now)
	}
	ss.agenda.set(z, z.next)
	member, keep := z.want.member, err == nil && (changed || z.stale(now))
	if keep {
		z.kept = now
	}
	ss.nudge()
	ss.Unlock()

	if err != nil {
		if tell { // once, and by those that tried: many zones may have one primary
			s.tell(slog.LevelWarn, "zone not refreshed", z.apex, err.Error())
		}
		return false
	}
	if keep {
		if err := writeState(s.copyFile(z.apex), copyState{Refreshed: now, Member: member}); err != nil {
			s.config.Logger.Warn("time of refresh not kept", "zone", z.apex, "err", err)
		}
	}
	if told {
		s.tell(slog.LevelInfo, "zone refreshed again", z.apex, fmt.Sprintf("after %d failures", failures))
	}
	if !changed && !before {
		return false
	}
	return ss.loaded(z)
}

// sweep removes the files of zones that were dropped long enough ago, and marks those nobody wants.
func (ss *secondaries) sweep(now time.Time) {
	ss.calling.Lock() // no zone comes or goes meanwhile
	defer ss.calling.Unlock()
	ss.Lock()
	apexes := slices.Collect(maps.Keys(ss.zones))
	ss.Unlock()
	wanted := map[string]bool{}
	for _, apex := range apexes {
		wanted[ss.service.copyFile(apex)] = true
	}
	files, err := filepath.Glob(filepath.Join(ss.service.config.Dir, secondaryDir, "*"+copySuffix))
	for _, file := range files {
		if !wanted[file] {
			err = errors.Join(err, ss.age(file, now))
		}
	}
	if err != nil {
		ss.service.config.Logger.Warn("copies not put away", "err", err)
	}
}

func (ss *secondaries) age(file string, now time.Time) error {
	state, err := readState(file)
	switch {
	case err == nil && state.Dropped.IsZero():
		state.Dropped = now
		return writeState(file, state)
	case err == nil && now.Sub(state.Dropped) < ss.service.config.Limits.Keep:
		return nil
	}
	return removeCopy(file)
}
