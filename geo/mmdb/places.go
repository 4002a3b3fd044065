package mmdb

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// Sources are the files that clients are placed by.
type Sources struct {
	Databases []string // MaxMind format, as for Read; none: the embedded one
	Overrides []string // YAML, as for ReadOverrides
	Cache     string   // where Places.WriteCache has written; empty: nowhere
	Version   string   // of the program, of which caches of others are not taken
}

// Places are what sources say. They are immutable.
type Places struct {
	Table     *geo.Table // with overrides
	Infos     []Info     // of the databases
	Overrides int        // prefixes
	Cached    bool       // what the databases say was taken from the cache
	Missed    error      // why it was not, if there is a cache; it names the file

	base   *geo.Table
	header cacheHeader
}

// Read reads the sources. What the databases say is taken from what was read before (nil: nothing) or from the cache, if they are the
// same. The error has a line for each mistake, of databases and of overrides; it is strict.Problems if overrides have some.
func (s Sources) Read(before *Places) (*Places, error) {
	over, overErr := ReadOverrides(s.Overrides)
	p, err := s.databases(before)
	var problems strict.Problems
	switch {
	case err != nil && errors.As(overErr, &problems):
		for line := range strings.SplitSeq(err.Error(), "\n") {
			problems = append(problems, strict.Problem{Text: line})
		}
		return nil, problems
	case err != nil || overErr != nil:
		return nil, errors.Join(err, overErr)
	}
	p.Table, p.Overrides = over.Apply(p.base), over.Prefixes()
	return p, nil
}

// databases reads all but the overrides.
func (s Sources) databases(before *Places) (*Places, error) {
	p := &Places{header: cacheHeader{Version: s.Version, Compiled: compiled}}
	kept := before != nil
	if s.Cache != "" && len(s.Databases) > 0 {
		_, err := os.Stat(s.Cache)
		kept = kept || err == nil
	}
	if kept {
		want := p.header
		var errs []error
		for _, path := range s.Databases {
			source, err := sourceOf(path)
			want.Sources, errs = append(want.Sources, source), append(errs, err)
		}
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		if before != nil && before.header.same(&want) == nil {
			p.base, p.Infos, p.header, p.Cached = before.base, before.Infos, before.header, before.Cached
			return p, nil
		}
		if s.Cache != "" && len(s.Databases) > 0 {
			table, header, err := readCache(s.Cache, &want)
			if err == nil {
				p.base, p.header, p.Cached = table, *header, true
				for i, source := range header.Sources {
					source.Info.Path = s.Databases[i]
					p.Infos = append(p.Infos, source.Info)
				}
				return p, nil
			}
			p.Missed = err
		}
	}
	table, sources, err := read(s.Databases)
	if err != nil {
		return nil, err
	}
	for _, source := range sources {
		p.Infos = append(p.Infos, source.Info)
	}
	p.base = table
	if len(s.Databases) > 0 {
		p.header.Sources = sources
	}
	return p, nil
}

// ReadKept reads what the cache has, of whatever databases and by whatever version of the program it was made, and the overrides: for when
// the databases can't be read.
func (s Sources) ReadKept() (*Places, error) {
	over, err := ReadOverrides(s.Overrides)
	if err != nil {
		return nil, err
	}
	table, header, err := readCache(s.Cache, nil)
	if err != nil {
		return nil, err
	}
	p := &Places{base: table, header: *header, Table: over.Apply(table), Overrides: over.Prefixes(), Cached: true}
	for _, source := range header.Sources {
		p.Infos = append(p.Infos, source.Info)
	}
	return p, nil
}

// Kept reports whether WriteCache would write what a start takes: of the embedded database it does not.
func (p *Places) Kept() bool { return len(p.header.Sources) > 0 }

// SameDatabases reports whether what the databases say was made once for p and o; o may be nil.
func (p *Places) SameDatabases(o *Places) bool { return o != nil && p.base == o.base }

// WriteCache writes what the databases say, for Sources.Cache. Whoever calls it has the file replaced at once or not at all.
func (p *Places) WriteCache(w io.Writer) error { return writeCache(w, p.base, &p.header) }
