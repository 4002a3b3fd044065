package zones

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// latencyTables reads the files with round-trip times. They are part of the configuration: a mistake in one is a mistake of the world.
func (l *Loader) latencyTables() {
	p := &l.parser
	regions := make([]geo.RegionID, len(p.world.Regions))
	for i, r := range p.world.Regions {
		regions[i] = r.ID
	}
	read := map[string]bool{}
	for _, name := range p.source.tables {
		wrong := ""
		switch {
		case read[name.Value]:
			wrong = "is listed twice"
		case l.files.Version(name.Value) == Version{}:
			wrong = "is no file in the world"
		case strings.HasSuffix(name.Value, ".yaml") && path.Dir(name.Value) == ".":
			wrong = "lies among the files of configuration: put it into a directory"
		}
		if wrong != "" {
			p.mistakes.Add(name.Position, "latency_tables: %s %s", strict.Quote(name.Value), wrong)
			continue
		}
		read[name.Value] = true
		data, version, err := l.readTable(name.Value)
		if err != nil {
			p.mistakes.Add(name.Position, "latency_tables: %v", err)
			continue
		}
		fmt.Fprintf(l.sum, "%d %s %d ", len(name.Value), name.Value, len(data))
		l.sum.Write(data)
		table := rtt.ParseTable(name.Value, data, regions, &p.mistakes)
		p.world.Latency = append(p.world.Latency, LatencyTable{table, version})
	}
	rtt.CheckTables(p.world.latencyTables(), &p.mistakes)
}

func (w *World) latencyTables() []*rtt.Table {
	tables := make([]*rtt.Table, len(w.Latency))
	for i := range w.Latency {
		tables[i] = w.Latency[i].Table
	}
	return tables
}

func (l *Loader) readTable(name string) ([]byte, Version, error) {
	f, version, err := l.files.Open(name)
	if err != nil {
		return nil, version, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, rtt.MaxTableSize+1))
	return data, version, err
}
