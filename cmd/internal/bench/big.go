//go:build linux

package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const checked = 1000 // names that must answer rightly for a server to be ready

// A bigZone is one of those by which start and memory are measured: hosts with numbers from first on, whose addresses
// follow from these.
type bigZone struct {
	apex         string
	first, count int
}

func (z bigZone) file() string { return z.apex } // as gdnsd wants it

// write writes the zone file into a directory.
func (z bigZone) write(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 64<<10)
	fmt.Fprintf(b, "$ORIGIN %s.\n$TTL 300\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 60\n@ IN NS ns1\nns1 IN A 192.0.2.53\n", z.apex)
	for i := z.first; i < z.first+z.count; i++ {
		fmt.Fprintf(b, "h%d IN A %s\n", i, numbered(i))
	}
	if err := b.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// oneBigZone has so many records.
func oneBigZone(records int) []bigZone { return []bigZone{{apex, 0, records - 3}} }

// manyZones are so many zones of five records.
func manyZones(count int) []bigZone {
	zones := make([]bigZone, count)
	for i := range zones {
		zones[i] = bigZone{fmt.Sprintf("z%d.%s", i, apex), i * 2, 2}
	}
	return zones
}

// A readiness is how long a server took from its start to right answers, and what memory that took.
type readiness struct {
	seconds   float64
	now, peak int // kB
}

// measureReady starts a server on all processors and asks for random names of its zones until it has answered all of
// them rightly.
func measureReady(s *server, zones []bigZone, seed uint64) (r readiness, err error) {
	random := rand.New(rand.NewPCG(seed, 1))
	draw := func() (query, string) {
		z := zones[random.IntN(len(zones))]
		host := z.first + random.IntN(z.count)
		return newQuery(fmt.Sprintf("h%d.%s", host, z.apex), typeA, plain, positive), numbered(host)
	}
	first, _ := draw()
	p, err := s.start(-1, first)
	if err != nil {
		return r, err
	}
	defer p.stop()
	for range checked {
		q, address := draw()
		if err := s.awaitAddress(p, q, address); err != nil {
			return r, err
		}
	}
	r.seconds = time.Since(p.begun).Seconds()
	r.now, r.peak = memory(p.tree())
	return r, nil
}

// awaitAddress asks until the answer ends with an address.
func (s *server) awaitAddress(p *process, q query, address string) error {
	for time.Since(p.begun) < readyWithin {
		response, err := s.ask(q)
		if err == nil && q.want.right(response) && firstAddress(response, q) == address {
			return nil
		}
		if err != nil {
			continue
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("%s: wrong or no answer after %v, see %s", s.name, readyWithin, filepath.Join(s.dir, s.name+".log"))
}

// firstAddress returns the address of the first record of the answer, whose owner is compressed to a pointer.
func firstAddress(response []byte, q query) string {
	at := len(q.wire) + 12 // name, type, class, TTL and length are before the data
	if len(response) < at+4 {
		return ""
	}
	a := response[at : at+4]
	return fmt.Sprintf("%d.%d.%d.%d", a[0], a[1], a[2], a[3])
}
