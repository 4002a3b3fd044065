package zones

import (
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// A Copy is a zone of others as it is at the moment.
type Copy struct {
	Apex string // fully qualified, lower case
	File string // of the files of copies; empty: there is no good one
}

// WithCopies returns the world with these copies of zones of others beside its own zones, in place of those that it has. What has
// not changed since prev (nil: none) is not read again. Zones that are to be copied and have no good copy are without data. A copy
// that has mistakes stays as it was; the problems say so, of each version once.
func (w *World) WithCopies(files Files, copies []Copy, prev *World) (*World, []Problem) {
	if len(copies) == 0 && !slices.ContainsFunc(w.Zones, func(z Zone) bool { return z.Copied }) {
		return w, nil
	}
	before, wanted := map[string]*Zone{}, map[string]string{}
	if prev != nil {
		for i := range prev.Zones {
			if z := &prev.Zones[i]; z.Copied {
				before[z.Apex] = z
			}
		}
	}
	for _, c := range copies {
		wanted[c.Apex] = c.File
	}
	next := *w
	next.Zones = make([]Zone, 0, len(w.Zones)+len(copies))
	for _, z := range w.Zones {
		switch _, listed := wanted[z.Apex]; {
		case !z.Copied:
			delete(wanted, z.Apex)
		case z.Secondary == nil && !listed:
			continue // a catalog listed it
		default:
			z = Zone{Apex: z.Apex, Copied: true, Secondary: z.Secondary, Transfer: z.Transfer, Updates: z.Updates, File: wanted[z.Apex]}
			delete(wanted, z.Apex)
		}
		next.Zones = append(next.Zones, z)
	}
	for apex, file := range wanted {
		next.Zones = append(next.Zones, Zone{Apex: apex, Copied: true, File: file})
	}
	slices.SortFunc(next.Zones, func(a, b Zone) int { return strings.Compare(a.Apex, b.Apex) })
	var notes zoneNotes
	reader := Reader{loader: &Loader{files: files}, notes: func() *zoneNotes { return &notes }}
	for i := range next.Zones {
		if z := &next.Zones[i]; z.Copied {
			reader.readCopy(z, before[z.Apex])
		}
	}
	return &next, notes.mistakes.Problems()
}

// readCopy reads a copy that is not as it was before (nil: there was none).
func (r *Reader) readCopy(z *Zone, before *Zone) {
	r.zone = z
	if z.File != "" {
		version := r.loader.files.Version(z.File)
		if before != nil && before.File == z.File && before.Version == version {
			before.as(z)
			return
		}
		good := r.open()
		if err := z.prepare(); good && err == nil {
			return
		} else if err != nil {
			r.mistake(0, "%v", err)
		}
		version = z.Version
		z.Static, z.data = nil, nil
		if before != nil && before.Static != nil {
			before.as(z)
		}
		z.Version = version
	}
	if err := z.prepare(); err != nil {
		r.notes().mistakes.Add(strict.Position{File: z.File}, "%v", err)
	}
}
