package transfer

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/dns/freeport"
	"github.com/miekg/dns"
)

// needs skips a test loudly where a program of another nameserver is not installed.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts other nameservers")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			fmt.Printf("SKIPPED %s: %s is not installed (.ci/deps does that)\n", t.Name(), p)
			t.Skipf("%s is not installed", p)
		}
	}
}

// freePort draws a port for another nameserver, which can't choose one itself.
func freePort(t *testing.T) int {
	t.Helper()
	at, err := freeport.Draw()
	if err != nil {
		t.Fatal(err)
	}
	return int(at.Port())
}

// A log keeps what a program prints, to be shown if the test fails.
type peerLog struct {
	sync.Mutex
	bytes.Buffer
}

func (l *peerLog) Write(b []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(b)
}

// peer writes files into a directory and starts a nameserver there, until the test ends.
func peer(t *testing.T, files map[string]string, program string, args ...string) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer") // short: sockets live in it
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		text = strings.ReplaceAll(text, "DIR", dir)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	log := &peerLog{}
	command := exec.Command(program, args...)
	command.Dir, command.Stdout, command.Stderr = dir, log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		done := make(chan error, 1)
		go func() { done <- command.Wait() }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			command.Process.Kill()
			<-done
		}
		if t.Failed() {
			log.Lock()
			t.Logf("%s said:\n%s", program, log.String())
			log.Unlock()
		}
		os.RemoveAll(dir)
	})
	return dir
}

// serialAt waits until a nameserver has a serial of the zone.
func serialAt(t *testing.T, port int, want uint32) {
	t.Helper()
	ask := new(dns.Msg).SetQuestion("shop.example.", dns.TypeSOA)
	within(t, fmt.Sprintf("serial %d at port %d", want, port), func() bool {
		m, _, err := (&dns.Client{Timeout: time.Second}).Exchange(ask, fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil && len(m.Answer) == 1 && m.Answer[0].(*dns.SOA).Serial == want
	})
}

// within waits for something that another process does.
func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 400 {
		if done() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("no %s after 20 s", what)
}

// wholeAt returns all records that a nameserver has of the zone.
func wholeAt(t *testing.T, port int) []string {
	t.Helper()
	rrs, _, err := receive(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)), axfr("shop.example."), nil)
	if err != nil {
		t.Fatal(err)
	}
	return sortedRRs(rrs[1:])
}

// keyFor returns a key in BIND's form, by a name that all programs take.
func keyFor(t *testing.T) Key { return keyOfTest(t, "peer", "hmac-sha256") }

func secretText(k Key) string { return secretOf(k)[k.Name] }

func manyRecords(n int) []string {
	var records []string
	for i := range n {
		records = append(records, fmt.Sprintf("host-%d.shop.example. 300 IN TXT %q", i, strings.Repeat("x", 40)))
	}
	return records
}

// nsdConf is the configuration of an NSD that has the zone shop.example, with lines about it.
func nsdConf(port int, key Key, lines string) string {
	return fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%d
  server-count: 1
  username: ""
  zonesdir: DIR
  database: ""
  pidfile: DIR/nsd.pid
  xfrdfile: DIR/xfrd.state
  xfrdir: DIR
  zonelistfile: DIR/zone.list
remote-control:
  control-enable: no
key:
  name: peer
  algorithm: hmac-sha256
  secret: %s
zone:
  name: shop.example
  zonefile: DIR/shop.zone
  %s
`, port, secretText(key), lines)
}

func bindConf(port int, key Key, zone string) string {
	return fmt.Sprintf(`options { directory "DIR"; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none;
 session-keyfile none; recursion no; dnssec-validation no; allow-transfer { 127.0.0.1; }; notify explicit; notify-delay 0; serial-query-rate 1000; };
controls { };
%s
zone "shop.example" { %s };
`, port, key.Declaration(), zone)
}

// BIND and NSD as secondaries of ours: signed, whole, and by differences after a notice.
func TestOthersAsSecondary(t *testing.T) {
	for _, test := range []struct {
		program string
		start   func(t *testing.T, key Key, ours, port int)
	}{
		{"named", func(t *testing.T, key Key, ours, port int) {
			zone := fmt.Sprintf(`type secondary; file "shop.zone"; masterfile-format text; primaries { 127.0.0.1 port %d key peer; };`, ours)
			peer(t, map[string]string{"named.conf": bindConf(port, key, zone)}, "named", "-g", "-c", "DIR/named.conf", "-n", "1")
		}},
		{"nsd", func(t *testing.T, key Key, ours, port int) {
			peer(t, map[string]string{"nsd.conf": nsdConf(port, key, fmt.Sprintf(`request-xfr: 127.0.0.1@%d peer
  allow-notify: 127.0.0.1 peer
  provide-xfr: 127.0.0.1 NOKEY`, ours))}, "nsd", "-d", "-c", "DIR/nsd.conf")
		}},
	} {
		t.Run(test.program, func(t *testing.T) {
			needs(t, test.program)
			key := keyFor(t)
			records := manyRecords(2000)
			first, second := zoneOf(t, "shop.example.", 7, records...), zoneOf(t, "shop.example.", 8, append(records[3:], "new.shop.example. 60 IN A 192.0.2.9")...)
			zones := shelfOf(first)
			s := open(t, Config{Zones: zones.find})
			ours, _ := front(t, s, nil)
			port := freePort(t)
			apply(t, s, Setup{Keys: []Key{key}, Primary: map[string]Policy{"shop.example": {
				Allow: []Grant{{Key: "peer"}}, Notify: []Target{{netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", port)), "peer"}},
			}}})
			s.Changed(nil, first)
			test.start(t, key, int(ours.Port()), port)
			serialAt(t, port, 7)
			if got, want := wholeAt(t, port), sorted(first.Records); !slices.Equal(got, want) {
				t.Errorf("has %d records that are not our %d", len(got), len(want))
			}
			zones.put(s, second)
			serialAt(t, port, 8)
			if got, want := wholeAt(t, port), sorted(second.Records); !slices.Equal(got, want) {
				t.Errorf("after a difference: has %d records that are not our %d", len(got), len(want))
			}
			if n := counted(t, s.metrics.outgoing, "ixfr", "ok"); n != 1 {
				t.Errorf("%v incremental transfers, want 1", n)
			}
			if n := counted(t, s.metrics.notifies, "out", "ok"); n < 1 {
				t.Errorf("no notice was answered")
			}
		})
	}
}

// follow has a secondary of ours copy the zone from a nameserver, then a change of it by difference after its notice.
func follow(t *testing.T, key Key, secondary *Service, events told, from Primary, want []string, change func()) {
	t.Helper()
	apply(t, secondary, Setup{Keys: []Key{key}, Secondary: map[string]Secondary{"shop.example": {[]Primary{from}}}})
	events.want(t, "loaded shop.example.")
	got := copied(t, secondary, "shop.example.")
	if len(got) != len(want) {
		t.Errorf("copied %d records, want %d", len(got), len(want))
	}
	if change == nil {
		return
	}
	change()
	events.want(t, "loaded shop.example.")
	after := copied(t, secondary, "shop.example.")
	if !slices.ContainsFunc(after, func(line string) bool { return strings.HasPrefix(line, "new.shop.example.") }) || len(after) != len(got)+1 {
		t.Errorf("after the change: %d records, and not the new one", len(after))
	}
	if n := counted(t, secondary.metrics.incoming, "ixfr", "ok"); n != 1 {
		t.Errorf("%v incremental transfers, want 1", n)
	}
}

func masterFile(z *textZone) string { return strings.Join(textsOf(z.rrs), "\n") + "\n" }

// pemFiles writes a certificate as files for another nameserver.
func pemFiles(t *testing.T, name string) (certificate, key string, pool *x509.CertPool) {
	t.Helper()
	pair, pool := certificateOf(t, name)
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), pool
}

func nsupdate(t *testing.T, key Key, script string) (said string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key.Declaration()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, "nsupdate", "-k", file)
	command.Stdin = strings.NewReader(script)
	output, err := command.CombinedOutput()
	return string(output), err
}

// Ours as a secondary of BIND: plain and over TLS, each with a difference after a notice.
func TestOursOfBIND(t *testing.T) {
	needs(t, "named", "nsupdate")
	key := keyFor(t)
	zone := zoneOf(t, "shop.example.", 7, manyRecords(500)...)
	certificate, private, pool := pemFiles(t, "ns1.shop.example")
	for _, overTLS := range []bool{false, true} {
		t.Run(fmt.Sprint("tls ", overTLS), func(t *testing.T) {
			events := make(told, 100)
			secondary := open(t, events.config(t.TempDir()))
			notices, _ := front(t, secondary, nil)
			port, secured := freePort(t), freePort(t)
			conf := bindConf(port, key, fmt.Sprintf(`type primary; file "shop.zone"; allow-update { key peer; }; allow-transfer { key peer; };
 also-notify { 127.0.0.1 port %d; };`, notices.Port()))
			from := Primary{Address: netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", port)), Key: "peer"}
			if overTLS {
				conf = strings.Replace(conf, "options {", fmt.Sprintf("tls own { cert-file \"DIR/cert.pem\"; key-file \"DIR/key.pem\"; };\noptions { listen-on port %d tls own { 127.0.0.1; };", secured), 1)
				conf = strings.Replace(conf, "allow-transfer { key", fmt.Sprintf("allow-transfer port %d transport tls { key", secured), 1)
				from.Address, from.TLS = netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", secured)), &TLS{"ns1.shop.example", pool}
			}
			peer(t, map[string]string{"named.conf": conf, "shop.zone": masterFile(zone), "cert.pem": certificate, "key.pem": private},
				"named", "-g", "-c", "DIR/named.conf", "-n", "1")
			serialAt(t, port, 7)
			follow(t, key, secondary, events, from, sorted(zone.Records), func() {
				if said, err := nsupdate(t, key, fmt.Sprintf("server 127.0.0.1 %d\nzone shop.example\nupdate add new.shop.example 60 A 192.0.2.9\nsend\n", port)); err != nil {
					t.Fatal(err, said)
				}
			})
		})
	}
}

// Ours as a secondary of Knot, with a difference after a notice.
func TestOursOfKnot(t *testing.T) {
	needs(t, "knotd", "knotc")
	key := keyFor(t)
	zone := zoneOf(t, "shop.example.", 7, manyRecords(500)...)
	events := make(told, 100)
	secondary := open(t, events.config(t.TempDir()))
	notices, _ := front(t, secondary, nil)
	port := freePort(t)
	dir := peer(t, map[string]string{"shop.zone": masterFile(zone), "knot.conf": fmt.Sprintf(`server:
  listen: 127.0.0.1@%d
  rundir: DIR
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: DIR
control:
  listen: DIR/knot.sock
key:
  - id: peer
    algorithm: hmac-sha256
    secret: %s
remote:
  - id: ours
    address: 127.0.0.1@%d
    key: peer
acl:
  - id: out
    key: peer
    action: transfer
zone:
  - domain: shop.example
    storage: DIR
    file: shop.zone
    notify: ours
    acl: out
    journal-content: changes
    zonefile-sync: -1
    zonefile-load: difference
`, port, secretText(key), notices.Port())}, "knotd", "-c", "DIR/knot.conf")
	serialAt(t, port, 7)
	from := Primary{Address: netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", port)), Key: "peer"}
	follow(t, key, secondary, events, from, sorted(zone.Records), func() {
		for _, words := range []string{"zone-begin shop.example", "zone-set shop.example new 60 A 192.0.2.9", "zone-commit shop.example"} {
			said, err := exec.Command("knotc", append([]string{"-s", filepath.Join(dir, "knot.sock")}, strings.Fields(words)...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("knotc %s: %v: %s", words, err, said)
			}
		}
	})
}

// Ours as a secondary of NSD, which signs only some of the messages of a transfer (RFC 8945, section 5.3.1).
func TestOursOfNSD(t *testing.T) {
	needs(t, "nsd")
	key := keyFor(t)
	zone := zoneOf(t, "shop.example.", 7, manyRecords(20_000)...)
	events := make(told, 100)
	secondary := open(t, events.config(t.TempDir()))
	port := freePort(t)
	peer(t, map[string]string{"shop.zone": masterFile(zone), "nsd.conf": nsdConf(port, key, "provide-xfr: 127.0.0.1 peer")}, "nsd", "-d", "-c", "DIR/nsd.conf")
	serialAt(t, port, 7)
	follow(t, key, secondary, events, Primary{Address: netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", port)), Key: "peer"}, sorted(zone.Records), nil)
}
