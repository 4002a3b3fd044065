package probe

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

// serveEnv makes the test's binary a server that others are measured against, in a process of its own so that its cost is not theirs.
const serveEnv = "MERIDIAN_PROBE_TEST_SERVE"

// serveForever answers every request on every connection with 200, and ends with its standard input.
func serveForever() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	go func() {
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			defer conn.Close()
			for r := bufio.NewReaderSize(conn, 1024); ; {
				closes := false
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if line == "\r\n" {
						break
					}
					closes = closes || strings.HasPrefix(line, "Connection: close")
				}
				if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")); err != nil || closes {
					return
				}
			}
		}()
	}
}

// elsewhere starts a server in another process.
func elsewhere(b *testing.B) netip.AddrPort {
	b.Helper()
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), serveEnv+"=1")
	input, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	output, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		input.Close()
		server.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return netip.MustParseAddrPort(strings.TrimSpace(line))
}

// spent is the processor time of this process so far.
func spent() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The processor time of one probe, the kernel's part for this process included. 10,000 targets each 10 s may take a quarter of a processor:
// 250 µs each.
func BenchmarkCost(b *testing.B) {
	for _, row := range []struct {
		name string
		keep bool
	}{{"http", false}, {"keep_alive", true}} {
		b.Run(row.name, func(b *testing.B) {
			target := &health.Target{
				Kind: health.KindHTTP, Address: elsewhere(b), Host: "api.example.com", Path: "/healthz", Interval: 10 * time.Second, Options: health.Options{KeepAlive: row.keep},
			}
			w := wireOf(Config{})
			defer w.keeper.close()
			before := spent()
			for b.Loop() {
				if r := attempt(b.Context(), target, 0, w); r.Reason != health.ReasonOK {
					b.Fatal(r.Reason, r.Detail)
				}
			}
			b.ReportMetric(float64((spent()-before).Microseconds())/float64(b.N), "cpu-µs/probe")
		})
	}
}

// How late probes start and what they cost with 10,000 targets each 10 s, on one processor of Go's scheduler.
func BenchmarkTenThousandTargets(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	at := elsewhere(b)
	for b.Loop() {
		registry := prometheus.NewRegistry()
		r := Start(Config{Observe: func(health.Result) {}, Registerer: registry})
		targets := make([]*health.Target, 10_000)
		for i := range targets {
			targets[i] = &health.Target{
				ID: health.CheckID(fmt.Sprintf("api/e%04d/ipv4", i)), Kind: health.KindHTTP, Address: at, Interval: 10 * time.Second, Fall: 3, Rise: 3,
			}
		}
		// The first probe of a target is within a second of its assignment: all at once would be 10,000 probes a second, and what is late for that
		// hurries for a minute.
		for n := 250; n <= len(targets); n += 250 {
			r.Assign(assignment(targets[:n]...))
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(12 * time.Second) // the second probe is within an interval
		begin, before := counts(b, registry), spent()
		const measured = 20 * time.Second
		time.Sleep(measured)
		end, used := counts(b, registry), spent()-before
		r.Close()
		var bounds []float64
		for bound := range end {
			bounds = append(bounds, bound)
		}
		slices.Sort(bounds)
		total := float64(end[bounds[len(bounds)-1]] - begin[bounds[len(bounds)-1]])
		for part, unit := range map[float64]string{0.5: "ms-late-p50-at-most", 0.99: "ms-late-p99-at-most"} {
			i := slices.IndexFunc(bounds, func(bound float64) bool { return float64(end[bound]-begin[bound]) >= part*total })
			b.ReportMetric(bounds[i]*1000, unit)
		}
		b.ReportMetric(total/measured.Seconds(), "probes/s")
		b.ReportMetric(float64(used.Microseconds())/total, "cpu-µs/probe")
		b.ReportMetric(100*used.Seconds()/measured.Seconds(), "%cpu")
	}
}

// counts are the cumulative counts of the histogram of lateness, by bound.
func counts(b *testing.B, registry *prometheus.Registry) map[float64]uint64 {
	b.Helper()
	families, err := registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	all := map[float64]uint64{}
	for _, f := range families {
		if f.GetName() != "meridian_probe_start_lateness_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		for _, bucket := range h.GetBucket() {
			all[bucket.GetUpperBound()] = bucket.GetCumulativeCount()
		}
		all[1e9] = h.GetSampleCount()
	}
	return all
}
