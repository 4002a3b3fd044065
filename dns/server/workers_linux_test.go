package server

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/meridian-gslb/meridian/dns/wire"
)

const line = unsafe.Sizeof(cpu.CacheLinePad{})

// More processors are more answers only as long as no two of them write to the same line.
func TestWorkersShareNoCacheLine(t *testing.T) {
	type memory struct {
		what        string
		first, last uintptr
	}
	var all []memory
	add := func(what string, p unsafe.Pointer, size uintptr) {
		all = append(all, memory{what, uintptr(p) / line, (uintptr(p) + size - 1) / line})
	}
	workers, err := bindUDP(netip.MustParseAddrPort("127.0.0.1:0"), 4)
	if err != nil {
		t.Fatal(err)
	}
	defer closeUDP(workers)
	l, s := newLedger(), snapshot(t, toEurope)
	for i, w := range workers {
		c := l.open(transportUDP)
		c.count(s, wire.Outcome{Counter: 0}, 1, 1)
		add(fmt.Sprintf("worker %d", i), unsafe.Pointer(w), unsafe.Sizeof(*w))
		pad := unsafe.Offsetof(c.transport)
		add(fmt.Sprintf("counters of worker %d", i), unsafe.Add(unsafe.Pointer(c), pad), unsafe.Sizeof(*c)-2*pad)
		if pad < line {
			t.Errorf("counters begin %d bytes behind what is before them, want a line", pad)
		}
		counts := c.answers.Load().counts
		begin, size := uintptr(unsafe.Pointer(unsafe.SliceData(counts))), uintptr(cap(counts))*unsafe.Sizeof(counts[0])
		if begin%line != 0 || size%line != 0 {
			t.Errorf("tally of worker %d: %d bytes at %x are not whole cache lines", i, size, begin)
		}
		add(fmt.Sprintf("tally of worker %d", i), unsafe.Pointer(unsafe.SliceData(counts)), size)
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.first <= b.last && b.first <= a.last {
				t.Errorf("%s (lines %x to %x) and %s (%x to %x) share a cache line", a.what, a.first, a.last, b.what, b.first, b.last)
			}
		}
	}
}

// Sockets at which nothing comes wait inside the kernel, and the only processor is for others meanwhile: a collection
// stops the world at once, and goroutines take turns. Else either would take until the worker wakes by itself.
func TestIdleSocketsHoldNobodyUp(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	run(t, Config{UDPWorkers: 4})
	time.Sleep(20 * time.Millisecond) // so that the workers wait in real system calls, which no fake clock knows
	var collections, turns []time.Duration
	ping, pong := make(chan bool), make(chan bool)
	go func() {
		for range ping {
			pong <- true
		}
	}()
	defer close(ping)
	for range 9 {
		begin := time.Now()
		runtime.GC()
		collections = append(collections, time.Since(begin))
		begin = time.Now()
		for range 100 {
			ping <- true
			<-pong
		}
		turns = append(turns, time.Since(begin))
	}
	const limit = wakeEvery * time.Microsecond / 5
	for what, took := range map[string][]time.Duration{"a collection": collections, "100 turns of two goroutines": turns} {
		if slices.Sort(took); took[len(took)/2] > limit {
			t.Errorf("%s took %v, want less than %v", what, took[len(took)/2], limit)
		}
	}
}
