package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

const (
	journalDir    = "journal"
	journalSuffix = ".journal"
	journalHeader = "meridian journal v1 crc32 "
	maxEntries    = 1000 // of one journal
)

// journals keep the latest differences of each zone, in memory and on disk.
type journals struct {
	sync.Mutex
	dir    string
	limits Limits
	zones  map[string]*journal
	size   int // bytes of all
}

// A journal is an unbroken row of differences, oldest first. Its entries are never changed, only replaced.
type journal struct {
	entries []entry
	size    int
}

func (js *journals) init(dir string, limits Limits) {
	js.dir, js.limits, js.zones = dir, limits, map[string]*journal{}
}

// since returns the differences from a serial to the version given; ok is false if they are not known. All that a
// journal holds is smaller than the zone.
func (js *journals) since(zone Zone, serial uint32) (entries []entry, ok bool) {
	js.Lock()
	defer js.Unlock()
	j := js.zones[zone.Apex()]
	if j == nil {
		return nil, false
	}
	last := slices.IndexFunc(j.entries, func(e entry) bool { return e.to == zone.Serial() })
	first := slices.IndexFunc(j.entries, func(e entry) bool { return e.from == serial })
	if first < 0 || last < first {
		return nil, false
	}
	return j.entries[first : last+1], true
}

// load reads the journal of a zone from disk, if its last version is the one given. Any other is of another life of the
// zone: of that nothing stays, in memory or on disk.
func (js *journals) load(zone Zone) error {
	j, err := js.read(zone.Apex())
	if err != nil || len(j.entries) == 0 || j.entries[len(j.entries)-1].to != zone.Serial() {
		return errors.Join(err, js.forget(zone.Apex()))
	}
	js.Lock()
	defer js.Unlock()
	js.put(zone.Apex(), j)
	return nil
}

// read returns the journal that is on disk, an empty one without.
func (js *journals) read(apex string) (*journal, error) {
	name := js.file(apex)
	file, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &journal{}, nil
	}
	if err != nil {
		return nil, err
	}
	header, packed, _ := bytes.Cut(file, []byte("\n"))
	if string(header) != journalHeaderOf(packed) {
		return nil, fmt.Errorf("%s: header %.60q does not fit the content", name, header)
	}
	entries, err := parseEntries(packed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &journal{entries, len(packed)}, nil
}

// forget throws the journal of a zone away.
func (js *journals) forget(apex string) error {
	js.Lock()
	defer js.Unlock()
	if j := js.zones[apex]; j != nil {
		js.size -= j.size
		delete(js.zones, apex)
	}
	return js.write(apex, &journal{})
}

// retain throws away the journals of zones that nobody may have any more.
func (js *journals) retain(policies map[string]Policy) error {
	js.Lock()
	apexes := slices.Collect(maps.Keys(js.zones))
	js.Unlock()
	var errs []error
	for _, apex := range apexes {
		if len(policies[apex].Allow) == 0 {
			errs = append(errs, js.forget(apex))
		}
	}
	return errors.Join(errs...)
}

// extend adds a difference to the journal of a zone, or begins it anew without, where there is none: from nil. It drops
// what is oldest until the limits hold.
func (js *journals) extend(zone Zone, d *Difference) error {
	j, whole := &journal{}, sizeOf(zone)
	if d != nil {
		e, err := d.entry()
		if err != nil {
			return err
		}
		js.Lock()
		if before := js.zones[zone.Apex()]; before != nil && len(before.entries) > 0 && before.entries[len(before.entries)-1].to == e.from {
			j.entries = slices.Clone(before.entries)
		}
		js.Unlock()
		j.entries = append(j.entries, e)
	}
	for _, e := range j.entries {
		j.size += len(e.packed)
	}
	for len(j.entries) > 0 && (j.size > js.limits.Journal || len(j.entries) > maxEntries || j.size >= whole) {
		j.size -= len(j.entries[0].packed)
		j.entries = j.entries[1:]
	}
	js.Lock()
	js.put(zone.Apex(), j)
	j = js.zones[zone.Apex()]
	js.Unlock()
	return js.write(zone.Apex(), j)
}

// put sets a journal. The caller holds the lock. One that has no room among all others is empty.
func (js *journals) put(apex string, j *journal) {
	if before := js.zones[apex]; before != nil {
		js.size -= before.size
	}
	if js.size+j.size > js.limits.Journals {
		j = &journal{}
	}
	js.size += j.size
	js.zones[apex] = j
}

func (js *journals) file(apex string) string {
	return filepath.Join(js.dir, fileName(apex)+journalSuffix)
}

func journalHeaderOf(packed []byte) string {
	return fmt.Sprintf("%s%08x", journalHeader, crc32.ChecksumIEEE(packed))
}

func (js *journals) write(apex string, j *journal) error {
	if len(j.entries) == 0 {
		err := os.Remove(js.file(apex))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	var packed []byte
	for _, e := range j.entries {
		packed = append(packed, e.packed...)
	}
	return writeFile(js.file(apex), append([]byte(journalHeaderOf(packed)+"\n"), packed...))
}

// sizeOf returns about how many bytes the records of a zone have.
func sizeOf(zone Zone) int {
	size := 0
	zone.Records(func(rr dns.RR) bool {
		size += dns.Len(rr)
		return true
	})
	return size
}

// Changed tells that a zone has a new version in force; old is nil for the first since the start. It writes the journal
// and has the zone's targets notified. It reads both versions, a second or so for a million records; calls for one
// zone come one after another.
func (s *Service) Changed(old, new Zone) {
	apex := new.Apex()
	policy := s.setup.Load().Primary[apex]
	if len(policy.Allow) > 0 {
		s.record(old, new)
	}
	s.notifier.enqueue(s, apex, policy.Notify)
}

// record brings the journal to a new version.
func (s *Service) record(old, new Zone) {
	var err error
	switch {
	case old == nil:
		err = s.journals.load(new)
	case old.Serial() == new.Serial():
		if d, err := Diff(old, new, s.config.Limits.Journal); err != nil || len(d.Added)+len(d.Deleted) > 0 {
			s.tell(slog.LevelWarn, "zone changed without a new serial", new.Apex(), "secondaries keep what they have")
		}
		return
	case !newer(new.Serial(), old.Serial()):
		s.tell(slog.LevelWarn, "serial of a zone went back", new.Apex(), fmt.Sprintf("from %d to %d", old.Serial(), new.Serial()))
		err = s.journals.extend(new, nil)
	default:
		var d *Difference
		d, err = Diff(old, new, s.config.Limits.Journal)
		if errors.Is(err, errTooLarge) {
			d, err = nil, nil
		}
		if err == nil {
			err = s.journals.extend(new, d)
		}
	}
	if err != nil {
		s.config.Logger.Warn("journal not kept", "zone", new.Apex(), "err", err)
	}
}

// fileName returns a name of a file for a zone: its own without the last dot, where that is a name of a file.
func fileName(apex string) string {
	const long = 180
	var b strings.Builder
	for i, c := range []byte(strings.TrimSuffix(apex, ".")) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	if b.Len() == 0 {
		return "%" // the root
	}
	if b.Len() > long {
		return fmt.Sprintf("%s%%%x", b.String()[:long], shortSum(apex))
	}
	return b.String()
}
