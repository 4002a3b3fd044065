package tap

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dnstaplib "github.com/dnstap/golang-dnstap"
	framestream "github.com/farsightsec/golang-framestream"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	from4 = netip.MustParseAddrPort("192.0.2.7:4711")
	from6 = netip.MustParseAddrPort("[2001:db8::7]:4712")
	to4   = netip.MustParseAddrPort("192.0.2.53:53")
	to6   = netip.MustParseAddrPort("[::]:53")
	at    = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
)

// exchange packs a query and its answer.
func exchange(t testing.TB, name, answer string) (q, a []byte) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	m.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IP{198, 51, 100, 0}},
	}
	q, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	r := new(dns.Msg)
	r.SetReply(m)
	if answer == "" {
		r.Rcode = dns.RcodeNameError
	} else {
		rr, err := dns.NewRR(answer)
		if err != nil {
			t.Fatal(err)
		}
		r.Answer = []dns.RR{rr}
	}
	if a, err = r.Pack(); err != nil {
		t.Fatal(err)
	}
	return q, a
}

func startTap(t *testing.T, c Config) *Tap {
	t.Helper()
	c.Identity, c.Version = "ns1", "meridian 1"
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	tap, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	return tap
}

// decoded reads a file with the library.
func decoded(t *testing.T, path string) (messages []*dnstaplib.Dnstap) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := framestream.NewDecoder(f, &framestream.DecoderOptions{ContentType: []byte(contentType)})
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := d.Decode()
		if err == io.EOF {
			return messages
		}
		if err != nil {
			t.Fatal(err)
		}
		m := new(dnstaplib.Dnstap)
		if err := proto.Unmarshal(frame, m); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
	}
}

func TestDnstapFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dns.tap")
	tap := startTap(t, Config{Dnstap: Dnstap{File: path, Sample: 1, MaxSize: 1 << 20}})
	q, a := exchange(t, "www.example.com.", "www.example.com. 30 IN A 192.0.2.1")
	r := tap.Recorder()
	r.Record("udp", from4, to4, at, q, a)
	for _, protocol := range []string{"xdp", "tcp", "dot", "doh", "doq"} { // as dns/server has them
		r.Record(protocol, from6, to6, at, q, nil)
	}
	r.Record("tcp", from6, to6, at, q, make([]byte, recordSize)) // too long: left out
	tap.Close()

	messages := decoded(t, path)
	var types []string // 7 is DoQ, which the library does not know yet
	for _, m := range messages {
		types = append(types, m.Message.GetType().String()+" "+m.Message.GetSocketProtocol().String()+" "+m.Message.GetSocketFamily().String())
		if string(m.GetIdentity()) != "ns1" || string(m.GetVersion()) != "meridian 1" || m.GetType() != dnstaplib.Dnstap_MESSAGE {
			t.Errorf("message %v, want it of ns1", m)
		}
	}
	if got, want := strings.Join(types, ", "), "AUTH_QUERY UDP INET, AUTH_RESPONSE UDP INET, "+
		"AUTH_QUERY UDP INET6, AUTH_QUERY TCP INET6, AUTH_QUERY DOT INET6, AUTH_QUERY DOH INET6, AUTH_QUERY 7 INET6"; got != want {
		t.Fatalf("messages %s, want %s", got, want)
	}
	query, response := messages[0].Message, messages[1].Message
	for _, m := range []*dnstaplib.Message{query, response} {
		if netip.AddrFrom4([4]byte(m.QueryAddress)) != from4.Addr() || m.GetQueryPort() != 4711 ||
			netip.AddrFrom4([4]byte(m.ResponseAddress)) != to4.Addr() || m.GetResponsePort() != 53 ||
			m.GetQueryTimeSec() != uint64(at.Unix()) || m.GetQueryTimeNsec() != 678_000_000 {
			t.Errorf("message %v, want from %v to %v at %v", m, from4, to4, at)
		}
	}
	if !bytes.Equal(query.QueryMessage, q) || query.ResponseMessage != nil {
		t.Errorf("query %x, %x, want %x alone", query.QueryMessage, query.ResponseMessage, q)
	}
	if !bytes.Equal(response.ResponseMessage, a) || response.GetResponseTimeSec() != uint64(at.Unix()) || response.GetResponseTimeNsec() != 678_000_000 {
		t.Errorf("response %x at %d, want %x", response.ResponseMessage, response.GetResponseTimeSec(), a)
	}
	if m := messages[2].Message; netip.AddrFrom16([16]byte(m.QueryAddress)) != from6.Addr() || m.ResponseAddress != nil {
		t.Errorf("message %v, want it from %v to nowhere", m, from6)
	}
	if o := tap.outputs[0]; o.written.Load() != 6 || o.failed.Load() != 1 {
		t.Errorf("%d written, %d failed, want 6, 1", o.written.Load(), o.failed.Load())
	}
}

// A file that is there ends with a frame that ends it, so it is put aside; a long one is too.
func TestDnstapFileTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dns.tap")
	q, a := exchange(t, "www.example.com.", "")
	for run := range 2 {
		tap := startTap(t, Config{Dnstap: Dnstap{File: path, Sample: 1, MaxSize: leastFile}})
		r := tap.Recorder()
		for range 500 { // more than fit in one file
			r.Record("udp", from4, to4, at, q, a)
		}
		tap.Close()
		first, second := len(decoded(t, path+".1")), len(decoded(t, path))
		if first+second != 1000 || second == 0 {
			t.Errorf("run %d: %d and %d messages, want 1000 together", run, first, second)
		}
		for _, name := range []string{path, path + ".1"} {
			if text, err := os.ReadFile(name); err != nil || !bytes.HasSuffix(text, control(controlStop)) {
				t.Errorf("%s does not end with the frame that ends a file (%v)", name, err)
			}
			info, err := os.Stat(name)
			if err != nil || info.Size() > leastFile || info.Mode().Perm() != fileMode {
				t.Errorf("%s: %v, %v, want at most %d bytes, mode %o", name, info, err, leastFile, fileMode)
			}
		}
	}
}

func TestDnstapSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.sock")
	l := reader(t, path)
	ports := make(chan []uint32)
	go func() { // the library shakes hands, and knows the end
		var got []uint32
		defer func() { ports <- got }()
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		d, err := framestream.NewDecoder(conn, &framestream.DecoderOptions{ContentType: []byte(contentType), Bidirectional: true})
		if err != nil {
			t.Error(err)
			return
		}
		for {
			frame, err := d.Decode()
			if err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				return
			}
			m := new(dnstaplib.Dnstap)
			if err := proto.Unmarshal(frame, m); err != nil {
				t.Error(err)
			}
			got = append(got, m.Message.GetQueryPort())
		}
	}()
	tap := startTap(t, Config{Dnstap: Dnstap{Socket: path, Sample: 1}})
	q, a := exchange(t, "www.example.com.", "")
	r := tap.Recorder()
	r.Record("udp", from4, to4, at, q, a)
	r.Record("udp", from6, to4, at, q, a)
	tap.Close()
	if got, want := <-ports, []uint32{4711, 4711, 4712, 4712}; !slices.Equal(got, want) {
		t.Errorf("messages from ports %v, want %v", got, want)
	}
}

// reader is the other end of a socket that does as a test says.
func reader(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Error(err)
		return nil
	}
	if err := expect(conn, controlReady); err != nil {
		t.Error(err)
	}
	if _, err := conn.Write(control(controlAccept)); err != nil {
		t.Error(err)
	}
	if err := expect(conn, controlStart); err != nil {
		t.Error(err)
	}
	return conn
}

// A reader that never reads costs samples, never the time of who answers.
func TestStalledReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.sock")
	l := reader(t, path)
	conns := make(chan net.Conn, 1)
	go func() { conns <- accept(t, l) }()
	var log bytes.Buffer
	tap := startTap(t, Config{Dnstap: Dnstap{Socket: path, Sample: 1}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	q, a := exchange(t, "www.example.com.", "")
	r := tap.Recorder()
	var longest time.Duration
	o := tap.outputs[0]
	shown := uint64(0)
	for o.full() == 0 { // until the socket and then the ring are full
		start := time.Now()
		for range 100 {
			r.Record("udp", from4, to4, at, q, a)
		}
		longest = max(longest, time.Since(start))
		shown += 100
	}
	if longest > writeTimeout/2 {
		t.Errorf("100 samples took %v while nobody read, want no waiting", longest)
	}
	tap.Close()
	(<-conns).Close()
	if got := o.written.Load() + o.full() + o.failed.Load(); got != shown {
		t.Errorf("%d written, full or failed of %d", got, shown)
	}
	if o.failed.Load() > 0 != (strings.Count(log.String(), "samples of answers are lost") == 1) {
		t.Errorf("log %q, want one line if samples failed (%d)", log.String(), o.failed.Load())
	}
}

// A reader that goes away is dialled again.
func TestReconnect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.sock")
	d := &dnstap{socket: path, wait: firstRedial}
	q, a := exchange(t, "www.example.com.", "")
	var r ring
	r.put("udp", from4, to4, at, q, a)
	send := func() error {
		if err := d.write(r.first()); err != nil {
			return err
		}
		return d.flush()
	}
	if err := send(); err == nil || err == errNoReader || d.wait != 2*firstRedial {
		t.Fatalf("without a reader: %v, next wait %v, want why it could not be dialled, %v", err, d.wait, 2*firstRedial)
	}
	if err := send(); err != errNoReader {
		t.Fatalf("a moment later: %v, want %v", err, errNoReader)
	}
	l := reader(t, path)
	for range 2 {
		d.redialAt = time.Time{} // the time has passed
		conns := make(chan net.Conn, 1)
		go func() { conns <- accept(t, l) }()
		if err := send(); err != nil || d.wait != firstRedial {
			t.Fatalf("with a reader: %v, next wait %v, want none, %v", err, d.wait, firstRedial)
		}
		conn := <-conns
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil || binary.BigEndian.Uint32(head[:]) == 0 {
			t.Fatalf("frame %x, %v, want data", head, err)
		}
		conn.Close()
		for send() == nil { // the first writes may still go into the buffer of a connection that is closed
		}
		if d.conn != nil {
			t.Fatal("a connection that is closed is kept")
		}
	}
}

func TestQueryLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	for range 2 { // the second one goes on with the file
		tap := startTap(t, Config{QueryLog: QueryLog{File: path, Sample: 1, MaxSize: 1 << 20}})
		r := tap.Recorder()
		q, a := exchange(t, "wWw.example.com.", "www.example.com. 30 IN A 192.0.2.1")
		r.Record("udp", from4, to4, at, q, a)
		q, a = exchange(t, `a\"b\010.example.com.`, "")
		r.Record("doh", from6, to6, at, q, a)
		r.Record("udp", from4, to4, at, []byte("\x00\x01"), nil)
		tap.Close()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const once = `{"time":"2026-01-02T03:04:05.678Z","protocol":"udp","client":"192.0.2.7:4711","subnet":"198.51.100.0/24/0","name":"wWw.example.com.","type":"A","rcode":"NOERROR","answers":1,"bytes":64}
{"time":"2026-01-02T03:04:05.678Z","protocol":"doh","client":"[2001:db8::7]:4712","subnet":"198.51.100.0/24/0","name":"a\\\"b\\010.example.com.","type":"A","rcode":"NXDOMAIN","answers":0,"bytes":34}
{"time":"2026-01-02T03:04:05.678Z","protocol":"udp","client":"192.0.2.7:4711","answers":0,"bytes":0}
`
	if got := string(text); got != once+once {
		t.Errorf("log\n%s\nwant twice\n%s", got, once)
	}
}

func TestSampleIsOneOfN(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	tap := startTap(t, Config{QueryLog: QueryLog{File: path, Sample: 100, MaxSize: 1 << 20}})
	r := tap.Recorder()
	for range 50_000 {
		r.Record("udp", from4, to4, at, []byte("query"), nil)
	}
	tap.Close()
	if n := tap.outputs[0].written.Load(); n < 350 || n > 650 {
		t.Errorf("%d of 50,000 in the sample, want about 500", n)
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		reason string
		config Config
		want   string
	}{
		{"no sample", Config{QueryLog: QueryLog{File: dir + "/log", MaxSize: 1 << 20}}, "tap: query_log: the sample is one of at least 1"},
		{"too small", Config{QueryLog: QueryLog{File: "log", Sample: 1, MaxSize: 10}}, "tap: log: a file of 10 bytes is too small, want at least 65536"},
		{"no directory", Config{Dnstap: Dnstap{File: dir + "/no/tap", Sample: 1, MaxSize: 1 << 20}}, "tap: open " + dir + "/no/tap: no such file or directory"},
	} {
		if tap, err := Start(test.config); err == nil || err.Error() != test.want || tap != nil {
			t.Errorf("%s: %v, want %s", test.reason, err, test.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	tap := startTap(t, Config{QueryLog: QueryLog{File: filepath.Join(t.TempDir(), "log"), Sample: 1, MaxSize: 1 << 20}, Registerer: registry})
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 3 {
		t.Errorf("metrics %v, %v, want one family of three", families, err)
	}
	tap.Close()
	if families, err = registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("metrics after Close %v, %v, want none", families, err)
	}
}

// What one goroutine puts another takes, in order, and what did not fit is known to have not.
func TestRing(t *testing.T) {
	r := new(ring)
	const count = 20_000
	var put []uint32
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range uint32(count) {
			if r.put("udp", from4, to4, at, binary.BigEndian.AppendUint32(nil, i), []byte("answer")) {
				put = append(put, i)
			}
		}
	})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var got []uint32
	for running := true; running || r.first() != nil; {
		select {
		case <-done:
			running = false
		default:
		}
		if s := r.first(); s != nil {
			got = append(got, binary.BigEndian.Uint32(s.queryBytes()))
			if string(s.answerBytes()) != "answer" || s.cut {
				t.Fatalf("answer %q", s.answerBytes())
			}
			r.drop()
		}
	}
	if len(got) != len(put) || len(got) < slots {
		t.Fatalf("%d taken of %d put", len(got), len(put))
	}
	for i := range got {
		if got[i] != put[i] {
			t.Fatalf("record %d is %d, want %d", i, got[i], put[i])
		}
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, sample := range []int{1, 1000} {
		tap := startTap(t, Config{
			Dnstap: Dnstap{File: dir + "/tap", Sample: sample, MaxSize: 1 << 20}, QueryLog: QueryLog{File: dir + "/log", Sample: sample, MaxSize: 1 << 20},
		})
		for _, o := range tap.outputs { // the goroutines of the outputs allocate
			close(o.stopping)
			<-o.done
		}
		r := tap.Recorder()
		q, a := exchange(t, "www.example.com.", "")
		if allocs := testing.AllocsPerRun(2*slots, func() { r.Record("udp", from4, to4, at, q, a) }); allocs != 0 {
			t.Errorf("sample 1 of %d: Record allocates %v times", sample, allocs)
		}
	}
}

// FuzzLine logs arbitrary bytes: each makes one line of JSON.
func FuzzLine(f *testing.F) {
	q, a := exchange(f, "www.example.com.", "www.example.com. 30 IN A 192.0.2.1")
	f.Add(q, a)
	f.Add([]byte{}, []byte{1})
	f.Fuzz(func(t *testing.T, query, answer []byte) {
		var r record
		r.fill("udp", from4, to4, at, query, answer)
		b, err := json.Marshal(lineOf(&r))
		if err != nil || bytes.ContainsRune(b, '\n') {
			t.Errorf("line %q, %v", b, err)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for _, bench := range []struct {
		name   string
		sample int
	}{{"sampled", 1}, {"one of 1,000", 1000}} {
		b.Run(bench.name, func(b *testing.B) {
			o := &output{sample: uint32(bench.sample)}
			s := &sampler{output: o, left: 1}
			r := &Recorder{[]*sampler{s}}
			q, a := exchange(b, "www.example.com.", "")
			for b.Loop() {
				r.Record("udp", from4, to4, at, q, a)
				if s.ring.first() != nil {
					s.ring.drop()
				}
			}
		})
	}
}
