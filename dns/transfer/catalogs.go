package transfer

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"sync"

	"github.com/miekg/dns"
)

// catalogs are the members of all catalogs as last read. What is broken keeps those that it had, over restarts too.
type catalogs struct {
	sync.Mutex
	lists   map[string][]Member // by catalog; absent until it was read
	owned   map[string]listing  // by zone
	clashes map[string]bool     // told
}

func (c *catalogs) init() {
	c.lists, c.owned, c.clashes = map[string][]Member{}, map[string]listing{}, map[string]bool{}
}

// configure forgets the members of catalogs that are none any more.
func (c *catalogs) configure(want map[string]Catalog) {
	c.Lock()
	defer c.Unlock()
	maps.DeleteFunc(c.lists, func(apex string, _ []Member) bool {
		_, stays := want[apex]
		return !stays
	})
}

// read reads the members of a catalog out of its copy, and reports whether they changed.
func (c *catalogs) read(s *Service, apex string) (changed bool) {
	members, err := s.readMembers(apex)
	c.Lock()
	before, known := c.lists[apex]
	c.Unlock()
	if err != nil {
		s.tell(slog.LevelError, "catalog not used", apex, err.Error()+"; its members stay as they were")
		if known {
			return false
		}
		if members, err = s.loadMembers(apex); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				s.config.Logger.Warn("members not read", "zone", apex, "err", err)
			}
			return false
		}
	} else if err := s.saveMembers(apex, members); err != nil {
		s.config.Logger.Warn("members not kept", "zone", apex, "err", err)
	}
	if known && reflect.DeepEqual(before, members) {
		return false
	}
	c.Lock()
	c.lists[apex] = members
	c.Unlock()
	s.config.Logger.Info("catalog read", "zone", apex, "members", len(members))
	return true
}

func (s *Service) readMembers(apex string) ([]Member, error) {
	f, err := os.Open(s.copyFile(apex))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var broken error
	members, err := ParseCatalog(apex, func(yield func(dns.RR) bool) {
		broken = eachOf(f, func(rr dns.RR) error {
			if !yield(rr) {
				return errEnough
			}
			return nil
		})
	}, s.config.Limits.Members)
	if err == nil {
		err = broken
	}
	return members, err
}

func (s *Service) saveMembers(apex string, members []Member) error {
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return writeFile(membersFile(s.copyFile(apex)), append(text, '\n'))
}

func (s *Service) loadMembers(apex string) (members []Member, err error) {
	text, err := os.ReadFile(membersFile(s.copyFile(apex)))
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	return members, err
}

// wanted returns every zone that is to be copied, and tells of zones that two say are theirs.
func (s *Service) wanted() map[string]wantedZone {
	setup := s.setup.Load()
	want := map[string]wantedZone{}
	for apex, z := range setup.Secondary {
		want[apex] = wantedZone{Secondary: z}
	}
	for apex, c := range setup.Catalogs {
		want[apex] = wantedZone{Secondary: c.Secondary, catalog: true}
	}
	s.catalogs.Lock()
	defer s.catalogs.Unlock()
	owned, clashes := assign(s.catalogs.lists, s.catalogs.owned, func(zone string) bool {
		_, taken := want[zone]
		return taken || s.config.Own(zone)
	})
	s.catalogs.owned = owned
	for zone, l := range owned {
		want[zone] = wantedZone{Secondary: template(setup.Catalogs[l.catalog], l.member), member: l.member.Label}
	}
	now := map[string]bool{}
	for _, clash := range clashes {
		now[clash] = true
		if !s.catalogs.clashes[clash] {
			s.tell(slog.LevelWarn, "catalog member clashes", clash, "the zone is configured here or belongs to another catalog")
		}
	}
	s.catalogs.clashes = now
	return want
}

// template says where a member is copied from: as the first of its groups that the catalog knows, or else as the catalog.
func template(c Catalog, m Member) Secondary {
	for _, group := range m.Groups {
		if t, ok := c.Groups[group]; ok {
			return t
		}
	}
	return c.Secondary
}
