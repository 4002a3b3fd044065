package forecast

import (
	"fmt"
	"strings"

	"github.com/meridian-gslb/meridian/zones"
)

// A Guard is something that a change rarely means, so that somebody has to allow it.
type Guard string

const (
	Empty Guard = "empty"   // a name that was answered, and is not any more, to some clients or to all
	Fewer Guard = "records" // a zone is gone, or more than 20 % of the records of one, or of all together
	TTL   Guard = "ttl"     // a static TTL under 5 s or over a day that was not there before
)

// Guards returns every guard. The caller owns the slice.
func Guards() []Guard { return []Guard{Empty, Fewer, TTL} }

// Where guards begin to bind.
const (
	maxLost   = 20 // percent
	minJudged = 10 // records of a zone that is judged alone: of one with fewer a single record is much of it
	minTTL    = 5
	maxTTL    = 24 * 60 * 60
)

// A Finding is what a guard has found.
type Finding struct {
	Guard Guard  `json:"guard"`
	Found string `json:"found"`
}

func (f *Forecast) guards(before, after *zones.World) []Finding {
	found := []Finding{}
	find := func(guard Guard, format string, args ...any) {
		found = append(found, Finding{guard, fmt.Sprintf(format, args...)})
	}
	for i := range f.Clients.Moves {
		if m := &f.Clients.Moves[i]; m.emptied() != (Share{}) {
			find(Empty, "%s: %s of the clients that %s answered before get no answer", listOf(m.Names), f.Clients.shareText(m.emptied()), m.Before)
		}
	}
	f.lost(before, after, find)
	for i := range f.Records {
		for _, set := range f.Records[i].Sets {
			if set.After == nil || set.Before != nil && set.Before.TTL == set.After.TTL {
				continue
			}
			switch ttl := set.After.TTL; {
			case ttl < minTTL:
				find(TTL, "%s %s: a TTL of %d s, less than %d s", set.Name, set.Type, ttl, minTTL)
			case ttl > maxTTL:
				find(TTL, "%s %s: a TTL of %d s, more than a day (%d s)", set.Name, set.Type, ttl, maxTTL)
			}
		}
	}
	return found
}

// emptied is which clients had an answer and have none: who had none before moves nowhere.
func (m *Move) emptied() (share Share) {
	for _, flow := range m.Flows {
		if flow.To == fromNowhere || flow.To == fromNoName {
			share = share.plus(flow.Share, 1)
		}
	}
	return share
}

// lost judges how many records are gone: those of the zone files, and a steered name as one.
func (f *Forecast) lost(before, after *zones.World, find func(guard Guard, format string, args ...any)) {
	still := make(map[string]bool)
	for i := range after.Zones {
		for _, s := range after.Zones[i].Steer {
			still[s.Owner] = true
		}
	}
	differ := make(map[string]*Records, len(f.Records))
	for i := range f.Records {
		differ[f.Records[i].Zone] = &f.Records[i]
	}
	is := make(map[string]bool)
	for i := range after.Zones {
		is[after.Zones[i].Apex] = true
	}
	lostInAll, all, unsaid := 0, 0, 0
	var rest []*zones.Zone // of whose records none is gone
	for i := range before.Zones {
		z := &before.Zones[i]
		lost, records := 0, len(z.Steer)
		for _, s := range z.Steer {
			if !still[s.Owner] {
				lost++
			}
		}
		if r := differ[z.Apex]; r != nil {
			lost, records = lost+r.Lost, records+r.Before
		} else if lost > 0 {
			records += count(z)
		} else if is[z.Apex] {
			rest = append(rest, z)
			continue
		}
		lostInAll, all = lostInAll+lost, all+records
		switch {
		case !is[z.Apex]:
			find(Fewer, "zone %s: is gone, with its %d records", z.Apex, records)
		case lost*100 > records*maxLost && records >= minJudged:
			find(Fewer, "zone %s: %d of its %d records are gone, more than %d %%", z.Apex, lost, records, maxLost)
		default:
			unsaid += lost
		}
	}
	for len(rest) > 0 && lostInAll*100 > all*maxLost {
		all += len(rest[0].Steer) + count(rest[0])
		rest = rest[1:]
	}
	if unsaid > 0 && lostInAll*100 > all*maxLost {
		find(Fewer, "all zones: %d of %d records are gone, more than %d %%", lostInAll, all, maxLost)
	}
}

// count returns how many records the file of a zone has.
func count(z *zones.Zone) (n int) {
	if z.Static == nil || z.Copied {
		return 0
	}
	for name := range z.Static.All {
		for set := range name.Sets {
			if isOwn(set.Type) {
				n += int(set.Count)
			}
		}
	}
	return n
}

// maxListed bounds the names in a line.
const maxListed = 3

func listOf(names []string) string {
	if n := len(names); n > maxListed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), n-maxListed)
	}
	return strings.Join(names, ", ")
}
