package transfer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A Member is a zone that a catalog lists.
type Member struct {
	Zone   string   `json:"zone"`             // canonical
	Label  string   `json:"label"`            // of its node in the catalog; another one makes it another zone
	Groups []string `json:"groups,omitempty"` // in order
	Moves  string   `json:"moves,omitempty"`  // the catalog that may take it over (coo)
}

// ErrCatalogVersion says that a catalog is of a version other than 2.
var ErrCatalogVersion = errors.New("a catalog of a version that is not known")

const catalogVersion = "2" // RFC 9432, section 4.2.1

// ParseCatalog reads the members out of the records of a catalog, ordered by zone. An error means that nothing of the
// catalog may be used (RFC 9432, section 5.1). Records that it does not know are no error (section 4.5).
func ParseCatalog(apex string, records func(yield func(dns.RR) bool), most int) ([]Member, error) {
	p := catalogParser{members: map[string]*Member{}, moves: map[string]string{}, groups: map[string][]string{}, most: most}
	depth := dns.CountLabel(apex)
	records(func(rr dns.RR) bool {
		h := rr.Header()
		labels := dns.SplitDomainName(dns.CanonicalName(h.Name))
		switch {
		case h.Class != dns.ClassINET:
			p.err = fmt.Errorf("%s: class %s", h.Name, dns.Class(h.Class)) // RFC 9432, section 4.1
		case !dns.IsSubDomain(apex, h.Name):
			p.err = fmt.Errorf("%s: is not in the catalog", h.Name)
		default:
			p.record(labels[:len(labels)-depth], rr)
		}
		return p.err == nil
	})
	if p.err != nil {
		return nil, p.err
	}
	return p.result()
}

type catalogParser struct {
	version []string
	members map[string]*Member  // by label
	moves   map[string]string   // by label
	groups  map[string][]string // by label
	most    int
	err     error
}

// record takes one record; labels are those below the apex.
func (p *catalogParser) record(labels []string, rr dns.RR) {
	txt, isTXT := rr.(*dns.TXT)
	ptr, isPTR := rr.(*dns.PTR)
	depth := len(labels)
	if depth == 1 && labels[0] == "version" && isTXT {
		p.version = append(p.version, strings.Join(txt.Txt, ""))
		return
	}
	if depth < 2 || labels[depth-1] != "zones" {
		return
	}
	label := labels[depth-2]
	switch property := labels[:depth-2]; {
	case len(property) == 0 && isPTR:
		p.member(label, ptr)
	case len(property) == 1 && property[0] == "coo" && isPTR: // RFC 9432, section 4.4.1
		if _, twice := p.moves[label]; twice {
			p.err = fmt.Errorf("member %s: more than one coo", label)
		}
		p.moves[label] = dns.CanonicalName(ptr.Ptr)
	case len(property) == 1 && property[0] == "group" && isTXT: // section 4.4.2
		p.groups[label] = append(p.groups[label], strings.Join(txt.Txt, ""))
	}
}

func (p *catalogParser) member(label string, ptr *dns.PTR) {
	switch {
	case p.members[label] != nil: // RFC 9432, section 4.3
		p.err = fmt.Errorf("member %s: more than one PTR record", label)
	case len(p.members) == p.most:
		p.err = fmt.Errorf("more than %d members", p.most)
	default:
		p.members[label] = &Member{Zone: dns.CanonicalName(ptr.Ptr), Label: label}
	}
}

func (p *catalogParser) result() ([]Member, error) {
	switch {
	case len(p.version) != 1:
		return nil, fmt.Errorf("%d version records, want one", len(p.version))
	case p.version[0] != catalogVersion:
		return nil, fmt.Errorf("%w: %.20q", ErrCatalogVersion, p.version[0])
	}
	members := make([]Member, 0, len(p.members))
	for label, m := range p.members {
		m.Moves, m.Groups = p.moves[label], slices.Sorted(slices.Values(p.groups[label]))
		members = append(members, *m)
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Label, b.Label)) })
	for i := 1; i < len(members); i++ {
		if members[i].Zone == members[i-1].Zone {
			return nil, fmt.Errorf("members %s and %s are both zone %s", members[i-1].Label, members[i].Label, members[i].Zone)
		}
	}
	return members, nil
}

// A listing is a zone with the catalog that it belongs to.
type listing struct {
	catalog string
	member  Member
}

// assign says which catalog each listed zone belongs to. It is the one that it belonged to before, unless that says that
// it moves and the other lists it too (RFC 9432, section 4.4.1); a new one is of the first catalog by name. Zones that are
// taken are of no catalog. Whoever lists a zone in vain clashes (section 5.2).
func assign(lists map[string][]Member, before map[string]listing, taken func(zone string) bool) (now map[string]listing, clashes []string) {
	listed := map[string][]listing{}
	for _, catalog := range slices.Sorted(maps.Keys(lists)) {
		for _, m := range lists[catalog] {
			listed[m.Zone] = append(listed[m.Zone], listing{catalog, m})
		}
	}
	now = make(map[string]listing, len(listed))
	for _, zone := range slices.Sorted(maps.Keys(listed)) {
		owner := -1
		if !taken(zone) {
			owner = ownerOf(listed[zone], before[zone].catalog)
			now[zone] = listed[zone][owner]
		}
		for i, l := range listed[zone] {
			if i != owner {
				clashes = append(clashes, l.catalog+" lists "+zone)
			}
		}
	}
	return now, clashes
}

func ownerOf(listed []listing, before string) int {
	of := func(catalog string) int {
		return slices.IndexFunc(listed, func(l listing) bool { return l.catalog == catalog })
	}
	i := of(before)
	if i < 0 {
		return 0
	}
	if to := of(listed[i].member.Moves); to >= 0 {
		return to
	}
	return i
}
