//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// endpoints answer health checks at the addresses of the centers.
type endpoints struct {
	address netip.AddrPort // of the first; all have its port
	servers []*http.Server
}

func openEndpoints() (e endpoints, err error) {
	for range centers {
		e.servers = append(e.servers, nil)
	}
	for i := range centers {
		if err := e.open(i); err != nil {
			e.close()
			return e, err
		}
	}
	return e, nil
}

// open brings one endpoint up; the first draws the port.
func (e *endpoints) open(i int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(centers[i].address(), fmt.Sprint(e.address.Port())))
	if err != nil {
		return err
	}
	e.address = netip.MustParseAddrPort(l.Addr().String())
	e.servers[i] = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}
	go e.servers[i].Serve(l)
	return nil
}

func (e *endpoints) close() {
	for _, s := range e.servers {
		if s != nil {
			s.Close()
		}
	}
}

// An event is something that happens to a node while it answers all that it can.
type event struct {
	name string
	does func(b *bench, s *server, p *process) (undo func() error, err error)
	end  string // address that the failover names have after it; empty: as before
}

var events = []event{
	{"nothing", func(*bench, *server, *process) (func() error, error) { return nil, nil }, ""},
	{"control off", func(b *bench, s *server, _ *process) (func() error, error) {
		return func() error { return s.control(controlOf(centers[0]), true) }, s.control(controlOf(centers[0]), false)
	}, centers[1].address()},
	{"health flip", func(b *bench, _ *server, _ *process) (func() error, error) {
		b.endpoints.servers[0].Close()
		return func() error { return b.endpoints.open(0) }, nil
	}, centers[1].address()},
	{"reload", func(_ *bench, s *server, p *process) (func() error, error) {
		path := filepath.Join(s.dir, "world", "bench.yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		changed := strings.ReplaceAll(string(text), "weight: 70", "weight: 60")
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			return nil, err
		}
		undo := func() error { return os.WriteFile(path, text, 0o600) }
		return undo, p.signal(unix.SIGHUP)
	}, ""},
}

func (p *process) signal(s unix.Signal) error { return unix.Kill(p.command.Process.Pid, s) }

// control switches a routing control by the node's API.
func (s *server) control(name string, on bool) error {
	state := map[bool]string{true: "on", false: "off"}[on]
	body := fmt.Sprintf(`{"set": {%q: %q}, "reason": "bench", "actor": "bench"}`, name, state)
	response, err := http.Post("http://"+s.api+"/v1/controls", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if response.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("control %s %s: %s: %s", name, state, response.Status, said))
	}
	return err
}

const eventTime = 5 * time.Second // from the event on; a flip needs three probes

// disturb compares what answers look like in which nothing happens and in which something does.
func (b *bench) disturb() *table {
	t := &table{head: []string{"event at full load", "lost", "wrong", "kq/s", "p50 µs", "p99 µs", "longest ms", "rounds"}}
	l := &load{name: "events", shares: []share{{50, hostName, typeA, positive}, {50, ofPolicy("failover"), typeA, positive}}}
	s, p, err := b.serve("meridian", world{policies: true}, l)
	if err != nil {
		b.fail("events", err)
		return t
	}
	defer p.stop()
	if err := b.settle(s); err != nil {
		b.fail("events", err)
		return t
	}
	rounds := min(b.rounds, 3)
	for _, e := range events {
		var all []tally
		for range rounds {
			one, err := b.disturbOnce(s, p, l, e)
			if err != nil {
				b.fail("event "+e.name, err)
				break
			}
			all = append(all, one)
		}
		if len(all) == 0 {
			continue
		}
		var lost, wrong uint64
		for _, one := range all {
			lost, wrong = lost+one.lost, wrong+one.wrong
		}
		micro := func(p float64) func(tally) float64 {
			return func(t tally) float64 { return float64(t.latency.percentile(p)) / 1000 }
		}
		t.add(e.name, fmt.Sprint(lost), fmt.Sprint(wrong), spread("%.0f", column(all, func(t tally) float64 { return t.qps() / 1000 })),
			spread("%.0f", column(all, micro(50))), spread("%.0f", column(all, micro(99))),
			spread("%.1f", column(all, func(t tally) float64 { return t.latency.max.Seconds() * 1000 })), fmt.Sprint(len(all)))
	}
	return t
}

// settle waits until the voter leads and takes commands.
func (b *bench) settle(s *server) (err error) {
	for range 100 {
		if err = s.control(controlOf(centers[0]), true); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// disturbOnce has an event happen while the load begins, shows that it took place, and undoes it.
func (b *bench) disturbOnce(s *server, p *process, l *load, e event) (tally, error) {
	seed := rand.Uint64()
	var undo func() error
	done := make(chan error, 1)
	r := run{to: s.to, streams: []stream{{from: client1, queries: l.draw(seed)}}, warm: warm, measure: eventTime, seed: seed, cpu: generatorCPU}
	r.begin = func() {
		go func() {
			var err error
			undo, err = e.does(b, s, p)
			done <- err
		}()
	}
	tallies, err := r.do()
	if err := errors.Join(err, <-done); err != nil {
		return tally{}, err
	}
	if e.end != "" {
		err = s.awaitAnswer("failover0", e.end)
	}
	if undo != nil {
		err = errors.Join(err, undo(), s.awaitAnswer("failover0", centers[0].address()))
	}
	return tallies[0], err
}

// awaitAnswer waits until a name below the apex has an address.
func (s *server) awaitAnswer(name, address string) error {
	q := newQuery(name+"."+apex, typeA, plain, positive)
	last := "nothing"
	for range 400 {
		if response, err := s.ask(q); err == nil {
			if last = firstAddress(response, q); last == address {
				return nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s is %s after 20 s, want %s", name, last, address)
}

const (
	floodRate = 60_000
	floodTime = 3 * time.Second
)

// flooded compares plain queries while it is quiet with those while another client asks three times as much: plain names, then random ones.
func (b *bench) flooded() *table {
	t := &table{head: []string{"20,000 plain queries a second", "lost", "p50 µs", "p99 µs", "of 60,000/s beside, answered", "rounds"}}
	l := &loads[0]
	s, p, err := b.serve("meridian", world{signed: true}, l)
	if err != nil {
		b.fail("flood", err)
		return t
	}
	defer p.stop()
	rows := []struct {
		name  string
		flood []query
	}{{"quiet", nil}, {"beside as many that are plain too", l.draw(rand.Uint64())}, {"beside a flood of random names with DO", flood(withDO)}}
	all := make([][][]tally, len(rows))
	for range b.rounds {
		for i, row := range rows {
			seed := rand.Uint64()
			streams := []stream{{from: client1, queries: l.draw(seed), rate: plainRate}}
			if row.flood != nil {
				streams = append(streams, stream{from: client2, queries: row.flood, rate: floodRate})
			}
			tallies, _, err := b.load(p, run{to: s.to, streams: streams, warm: warm, measure: floodTime, seed: seed})
			if err != nil {
				b.fail("flood", err)
				return t
			}
			all[i] = append(all[i], tallies)
		}
	}
	for i, row := range rows {
		var lost uint64
		for _, tallies := range all[i] {
			lost += tallies[0].lost
		}
		micro := func(p float64) func([]tally) float64 {
			return func(t []tally) float64 { return float64(t[0].latency.percentile(p)) / 1000 }
		}
		answered := "–"
		if row.flood != nil {
			answered = spread("%.0f", column(all[i], func(t []tally) float64 { return t[1].qps() }))
		}
		t.add(row.name, fmt.Sprint(lost), spread("%.0f", column(all[i], micro(50))), spread("%.0f", column(all[i], micro(99))), answered, fmt.Sprint(len(all[i])))
	}
	return t
}
