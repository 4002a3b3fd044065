package master_test

import (
	"bytes"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/zones/master"
)

// records is how many records a file of a benchmark has, beside its head.
const records = 1_000_000

const head = "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns1\n"

// addressFile is a zone of one address each.
func addressFile(n int) []byte {
	b := []byte(head)
	for i := range n {
		b = fmt.Appendf(b, "h%d A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
	}
	return b
}

// mixedFile has the types that most zones have, written as people write them.
func mixedFile(n int) []byte {
	b := []byte(head)
	for i := 0; i < n; i += 8 {
		b = fmt.Appendf(b, "host-%d.example.com.\t3600\tIN\tA\t10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
		b = fmt.Appendf(b, "\t\t3600\tIN\tAAAA\t2001:db8::%x:%x\n", i>>16, i&65535)
		b = fmt.Appendf(b, "\t\tMX 10 mail.example.com. ; the first\n\t\tTXT \"v=spf1 mx -all\" \"%d\"\n", i)
		b = fmt.Appendf(b, "www.%d IN CNAME host-%d\n_http._tcp.%d 1h SRV 10 20 8080 host-%d\n", i, i, i, i)
		b = fmt.Appendf(b, "d%d NS ns1.d%d\n%d CAA 0 issue \"ca.example.net\"\n", i, i, i)
	}
	return b
}

// signedFile has a signature for each address.
func signedFile(n int) []byte {
	b := []byte(head)
	for i := 0; i < n; i += 4 {
		b = fmt.Appendf(b, "h%d A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
		b = fmt.Appendf(b, " RRSIG A 13 3 300 20261101000000 20261001000000 12345 example.com. %s %s\n", "oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTrPYGv07h108dUKGMeDPKi", "jVCHX3DDKdfb+v6oB9wfuh3DTJXUAfI=")
		b = fmt.Appendf(b, " NSEC h%d A RRSIG NSEC\n", i+4)
		b = fmt.Appendf(b, "0p9mhaveqvm6t7vbl5lop2u3t2rp3t%02d NSEC3 1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX NS SOA RRSIG\n", i%22)
	}
	return b
}

func BenchmarkRead(b *testing.B) {
	for _, bench := range []struct {
		name string
		file func(n int) []byte
	}{{"addresses", addressFile}, {"mixed", mixedFile}, {"signed", signedFile}} {
		b.Run(bench.name, func(b *testing.B) {
			file := bench.file(records)
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			n := 0
			before := cpuTime(b)
			for b.Loop() {
				n = 0
				err := master.Read(bytes.NewReader(file), "example.com.",
					func(*master.Record) error { n++; return nil },
					func(m master.Mistake) error { return fmt.Errorf("%d: %s", m.Line, m.Text) })
				if err != nil {
					b.Fatal(err)
				}
			}
			if n != records+2 {
				b.Fatalf("%d records, want %d", n, records+2)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/float64(n), "cpu-ns/record")
		})
	}
}

// A server may have a hundred thousand zones of a few records.
func BenchmarkSmallFile(b *testing.B) {
	var reader master.Reader
	file := bytes.NewReader(addressFile(5))
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		file.Seek(0, io.SeekStart)
		if err := reader.Read(file, "example.com.", func(*master.Record) error { return nil }, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpuTime is what the process has used of the processors: on a machine that others use too, time that passes says little.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
