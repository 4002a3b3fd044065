package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// What a lab is: a client's and a server's network namespace with a cable between them.
const (
	labServer4, labServer6 = "192.0.2.53", "2001:db8::53"
	labOther4              = "192.0.2.54" // the server's too, but not listened at
	labDevice              = "xdp0"
)

type lab struct {
	client, server string // names of namespaces
}

// newLab lays the cable, or skips the test.
func newLab(t testing.TB) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: network namespaces and XDP need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("SKIPPED: ip is not installed (Debian package iproute2)")
	}
	base := fmt.Sprintf("meridian-%d", os.Getpid())
	l := &lab{client: base + "-client", server: base + "-server"}
	for _, name := range []string{l.client, l.server} {
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: no network namespaces here: %s", out)
		}
		t.Cleanup(func() { ip(t, "netns del %s", name) })
	}
	ip(t, "link add xdp1 netns %s type veth peer name %s netns %s", l.client, labDevice, l.server)
	for _, end := range []struct {
		namespace, device string
		addresses         []string
	}{{l.client, "xdp1", []string{"192.0.2.1/24", "2001:db8::1/64"}}, {l.server, labDevice, []string{labServer4 + "/24", labServer6 + "/64", labOther4 + "/24"}}} {
		for _, address := range end.addresses {
			ip(t, "-n %s address add %s dev %s%s", end.namespace, address, end.device, map[bool]string{true: " nodad"}[strings.Contains(address, ":")])
		}
		ip(t, "-n %s link set lo up", end.namespace)
		ip(t, "-n %s link set %s up", end.namespace, end.device)
	}
	return l
}

func ip(t testing.TB, format string, arguments ...any) string {
	t.Helper()
	command := fmt.Sprintf(format, arguments...)
	out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %s", command, out)
	}
	return string(out)
}

// within runs f in a network namespace. Sockets that f opens stay there.
func within(t testing.TB, namespace string, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	there, err := os.Open(filepath.Join("/run/netns", namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // the thread is of no use to others
		}
	}()
	f()
}

// run serves at the server's end of the cable.
func (l *lab) run(t *testing.T, config Config) (r *running) {
	t.Helper()
	if config.Listen == nil {
		config.Listen = []netip.AddrPort{netip.MustParseAddrPort(labServer4 + ":53"), netip.MustParseAddrPort("[" + labServer6 + "]:53")}
	}
	config.XDP = []string{labDevice}
	within(t, l.server, func() { r = run(t, config) })
	return r
}

func (l *lab) ask(t *testing.T, address, protocol, name string, qtype uint16) (answer string) {
	t.Helper()
	within(t, l.client, func() { answer = ask(t, net.JoinHostPort(address, "53"), protocol, name, qtype) })
	return answer
}

// attached reports whether a program is at the server's interface.
func (l *lab) attached(t *testing.T) bool {
	return strings.Contains(ip(t, "-n %s -details link show dev %s", l.server, labDevice), "prog/xdp")
}

// Clients see no difference, and what is no plain query over UDP goes on as before.
func TestXDPAnswersAndPassesTheRest(t *testing.T) {
	l := newLab(t)
	r := l.run(t, Config{})
	if !l.attached(t) {
		t.Fatal("no program is attached")
	}
	for _, test := range []struct{ address, protocol, name, want string }{
		{labServer4, "udp", "api.example.com.", "NOERROR 192.0.2.20"},
		{labServer6, "udp", "api.example.com.", "NOERROR 192.0.2.20"},
		{labServer4, "udp", "ns1.example.com.", "NOERROR 192.0.2.53"},
		{labServer6, "udp", "mail.example.com.", "NOERROR 192.0.2.25"},
		{labServer6, "udp", "nothing.example.com.", "NXDOMAIN"},
		{labServer4, "tcp", "api.example.com.", "NOERROR 192.0.2.20"},
		{labServer6, "tcp", "api.example.com.", "NOERROR 192.0.2.20"},
	} {
		if got := l.ask(t, test.address, test.protocol, test.name, dns.TypeA); got != test.want {
			t.Errorf("%s over %s at %s = %s, want %s", test.name, test.protocol, test.address, got, test.want)
		}
	}
	within(t, l.client, func() {
		m, err := exchange(labServer4+":53", "udp", "big.example.com.", dns.TypeTXT)
		if err != nil || !m.Truncated {
			t.Errorf("an answer that is too long: %v, %v, want it truncated", m, err)
		}
		ping(t, labServer4)
		if m, err := (&dns.Client{Timeout: time.Second}).Dial(labOther4 + ":53"); err == nil {
			_ = m.WriteMsg(new(dns.Msg).SetQuestion("api.example.com.", dns.TypeA))
			if answer, err := m.ReadMsg(); err == nil {
				t.Errorf("an address that is not listened at answers: %v", answer)
			}
			m.Close()
		}
	})
	got := r.metrics(t)
	for series, want := range map[string]float64{
		"queries_total{transport=xdp,type=A}": 5, "queries_total{transport=xdp,type=TXT}": 1, "queries_total{transport=tcp,type=A}": 2,
		"queries_total{transport=udp,type=A}": 0, "truncated_total{transport=xdp}": 1, "responses_total{rcode=NXDOMAIN}": 1,
	} {
		if got[series] != want {
			t.Errorf("%s = %v, want %v", series, got[series], want)
		}
	}
	r.Close()
	if l.attached(t) {
		t.Error("a closed server leaves its program at the interface")
	}
}

// ping sends an echo request, and waits for the reply.
func ping(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("ip4:icmp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := []byte{8, 0, 0, 0, 0, 7, 0, 1}
	sum := checksum(0, request)
	request[2], request[3] = byte(sum>>8), byte(sum)
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var reply [64]byte
	if n, err := conn.Read(reply[:]); err != nil || n != ipv4Header+len(request) || reply[ipv4Header] != 0 {
		t.Errorf("ping %s: %x, %v, want an echo reply", address, reply[:n], err)
	}
}

// Queries to all addresses are answered from the one that was asked. Those about zones go to the sockets.
func TestXDPAtAllAddresses(t *testing.T) {
	l := newLab(t)
	r := l.run(t, Config{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53"), netip.MustParseAddrPort("[::]:53")},
		Maintain: func(_ context.Context, r Request) bool {
			r.Message[2] |= 0x80
			return r.Send(r.Message) == nil
		},
	})
	for _, address := range []string{labServer4, labOther4, labServer6} {
		if got, want := l.ask(t, address, "udp", "api.example.com.", dns.TypeA), "NOERROR 192.0.2.20"; got != want {
			t.Errorf("at %s: %s, want %s", address, got, want)
		}
	}
	within(t, l.client, func() {
		m, _, err := (&dns.Client{Timeout: 10 * time.Second}).Exchange(new(dns.Msg).SetNotify("example.com."), labOther4+":53")
		if err != nil || m.Opcode != dns.OpcodeNotify || m.Rcode != dns.RcodeSuccess {
			t.Errorf("NOTIFY: %v, %v, want NOERROR", m, err)
		}
		signed := new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA).SetTsig("peer.", dns.HmacSHA256, 300, time.Now().Unix())
		b, _, err := dns.TsigGenerate(signed, "c2VjcmV0", "", false)
		if err != nil {
			t.Fatal(err)
		}
		answer := exchangeDatagram(t, labOther4+":53", b)
		if b[2] |= 0x80; !bytes.Equal(answer, b) {
			t.Errorf("signed SOA query: %x, want Maintain's answer %x", answer, b)
		}
	})
	eventually(t, func() bool { // what Maintain answers is counted when it has been sent
		got := r.metrics(t)
		return got["queries_total{transport=xdp,type=A}"] == 3 && got["queries_total{transport=udp,type=SOA}"] == 2
	})
}

// What other programs send is understood too.
func TestXDPAnswersDebiansClients(t *testing.T) {
	l := newLab(t)
	l.run(t, Config{})
	for _, command := range []string{"dig +short", "dig +short +tcp", "kdig +short", "kdig +short +tcp"} {
		words := strings.Fields(command)
		if _, err := exec.LookPath(words[0]); err != nil {
			t.Logf("SKIPPED: %s is not installed (Debian: bind9-dnsutils, knot-dnsutils)", words[0])
			continue
		}
		for _, server := range []string{labServer4, labServer6} {
			arguments := append([]string{"netns", "exec", l.client}, append(words, "@"+server, "api.example.com", "A")...)
			if out, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil || string(out) != "192.0.2.20\n" {
				t.Errorf("%s at %s = %s, %v, want 192.0.2.20", command, server, out, err)
			}
		}
	}
}

// An answer whose signatures are not there yet comes over the UDP socket, from the address that was asked.
func TestXDPHandsOnWhatIsSignedLater(t *testing.T) {
	l := newLab(t)
	for _, test := range []struct{ listen, asked string }{
		{"0.0.0.0:53", labOther4}, {labServer4 + ":53", labServer4}, {"[::]:53", labServer6},
	} {
		r := l.run(t, Config{Listen: []netip.AddrPort{netip.MustParseAddrPort(test.listen)}, Signing: signingOf(0, 0)})
		r.snapshot.Store(signedSnapshot(t))
		within(t, l.client, func() {
			m, err := signedAsk(t, net.JoinHostPort(test.asked, "53"), "udp", "nothing.example.com.")
			if err != nil {
				t.Errorf("%s asked at %s: %v", test.asked, test.listen, err)
			} else if m.Truncated || !strings.Contains(m.String(), "RRSIG") {
				t.Errorf("%s asked at %s: %v, want signatures", test.asked, test.listen, m)
			}
		})
		if got := r.metrics(t); got["received_bytes_total{transport=udp}"] == 0 || got["queries_total{transport=xdp,type=A}"] != 0 {
			t.Errorf("%s: counted %v, want what was signed at UDP", test.listen, got)
		}
		r.Close()
	}
}

// The program is asked directly about frames that no client's kernel would send.
func TestXDPProgram(t *testing.T) {
	l := newLab(t)
	r := l.run(t, Config{})
	query := "1234010000010000000000000161076578616d706c6503636f6d0000010001"
	const (
		stations = "020000000001020000000002"
		ipv4     = "4500" + "003b" + "00000000" + "40110000" + "c0000201" + "c0000235"
		ipv6     = "60000000" + "0027" + "1140" + "20010db8000000000000000000000001" + "20010db8000000000000000000000053"
		udp      = "1234" + "0035" + "0027" + "ffff"
	)
	good4, good6 := stations+"0800"+ipv4+udp+query, stations+"86dd"+ipv6+udp+query
	for _, test := range []struct {
		reason   string
		frame    string
		old, new string // what is changed in it
		take     bool
	}{
		{"query over IPv4", good4, "", "", true},
		{"query over IPv6", good6, "", "", true},
		{"padded to the least that Ethernet sends", good4 + "0000000000000000", "", "", true},
		{"to a group of stations", good4, "020000000001", "030000000001", false},
		{"tagged for a VLAN", good4, "0800", "810000010800", false},
		{"ARP", good4, "0800", "0806", false},
		{"with an IPv4 option", good4, "4500003b", "4600003b", false},
		{"first fragment", good4, "00000000401", "00002000401", false},
		{"last fragment", good4, "00000000401", "00000007401", false},
		{"must not be fragmented", good4, "00000000401", "00004000401", true},
		{"TCP", good4, "4011", "4006", false},
		{"other address", good4, "c0000235", "c0000236", false},
		{"other port", good4, "12340035", "12340036", false},
		{"UDP longer than IP", good4, "00350027", "00350028", false},
		{"UDP shorter than IP", good4, "00350027", "00350026", false},
		{"IP longer than the frame", good4, "003b0000", "ffff0000", false},
		{"IP and UDP longer than the frame", strings.Replace(good4, "00350027", "00350029", 1), "003b0000", "003d0000", false},
		{"IP shorter than its header", strings.Replace(good4, "00350027", "0035fff4", 1), "003b0000", "00080000", false},
		{"UDP shorter than a DNS header", strings.Replace(good4, "00350027", "00350013", 1), "003b0000", "00270000", false},
		{"response", good4, "12340100", "12348100", false},
		{"NOTIFY", good4, "12340100", "12342100", false},
		{"UPDATE", good4, "12340100", "12342900", false},
		{"IXFR, with a SOA record", good4, "000100000000000001", "000100000001000001", false},
		{"IPv6 without a checksum", good6, "0027ffff", "00270000", false},
		{"IPv6 with an extension header", good6, "00271140", "00270040", false},
		{"IPv6 of another version", good6, "86dd60", "86dd40", false},
		{"IPv6, other address", good6, "0000000000000053", "0000000000000054", false},
		{"IPv6, other network", good6, "20010db8000000000000000000000053", "20010db9000000000000000000000053", false},
		{"IPv6, other port", good6, "12340035", "12340036", false},
		{"IPv6, UDP longer than IP", good6, "00350027", "00350028", false},
		{"IPv6 longer than the frame", strings.Replace(good6, "00350027", "00350028", 1), "00000027", "00000028", false},
		{"IPv6, cut in the header", good6[:100], "", "", false},
		{"longer than what fits", good4 + strings.Repeat("00", longestQuery), "", "", false},
	} {
		if test.old != "" && !strings.Contains(test.frame, test.old) {
			t.Fatalf("%s: no %s in %s", test.reason, test.old, test.frame)
		}
		bytes, err := hex.DecodeString(strings.Replace(test.frame, test.old, test.new, 1))
		if err != nil {
			t.Fatalf("%s: %v", test.reason, err)
		}
		got, err := r.xdp[0].program.Run(&ebpf.RunOptions{Data: bytes})
		if err != nil {
			t.Fatalf("%s: %v", test.reason, err)
		}
		const redirect = 4 // XDP_REDIRECT
		if want := map[bool]uint32{true: redirect, false: xdpPass}[test.take]; got != want {
			t.Errorf("%s: %d, want %d", test.reason, got, want)
		}
	}
}

// An interface is of use again as soon as a process that was killed is gone.
func TestXDPOfAKilledProcess(t *testing.T) {
	const asVictim = "MERIDIAN_TEST_XDP_VICTIM"
	if os.Getenv(asVictim) != "" {
		r := run(t, Config{Listen: []netip.AddrPort{netip.MustParseAddrPort(labServer4 + ":53")}, XDP: []string{labDevice}})
		fmt.Println("serving")
		<-r.ending.Done() // it is killed before
	}
	l := newLab(t)
	victim := exec.Command("ip", "netns", "exec", l.server, os.Args[0], "-test.run=^TestXDPOfAKilledProcess$")
	victim.Env = append(os.Environ(), asVictim+"=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var line [8]byte
	if n, err := out.Read(line[:]); err != nil || string(line[:n]) != "serving\n" {
		t.Errorf("the process says %q, %v", line[:n], err)
	} else if got, want := l.ask(t, labServer4, "udp", "api.example.com.", dns.TypeA), "NOERROR 192.0.2.20"; got != want || !l.attached(t) {
		t.Errorf("before: %s, attached %v, want %s, true", got, l.attached(t), want)
	}
	_ = victim.Process.Kill()
	_ = victim.Wait() // says that it was killed
	if l.attached(t) {
		t.Error("the program is attached still")
	}
	r := l.run(t, Config{})
	if got, want := l.ask(t, labServer4, "udp", "api.example.com.", dns.TypeA), "NOERROR 192.0.2.20"; got != want {
		t.Errorf("after: %s, want %s", got, want)
	}
	r.Close()
}

func TestXDPSaysWhatIsWrong(t *testing.T) {
	l := newLab(t)
	first := l.run(t, Config{Listen: []netip.AddrPort{netip.MustParseAddrPort(labServer4 + ":53")}})
	defer first.Close()
	for _, test := range []struct{ listen, device, want string }{
		{labServer4 + ":5353", "none0", `dns: xdp "none0": route ip+net: no such network interface (config key listen.xdp)`},
		{labServer4 + ":5353", "lo", `dns: xdp "lo": no address of listen.dns is asked there (config key listen.xdp)`},
		{"127.0.0.1:5353", labDevice, `dns: xdp "xdp0": no address of listen.dns is asked there (config key listen.xdp)`},
		{labServer4 + ":5353", labDevice, `dns: xdp "xdp0": receive queue 0: device or resource busy; another program has it: stop that one, or leave the interface out (config key listen.xdp)`},
	} {
		within(t, l.server, func() {
			s, err := Listen(Config{Listen: []netip.AddrPort{netip.MustParseAddrPort(test.listen)}, XDP: []string{test.device}, UDPWorkers: 1})
			if err == nil {
				s.Close()
			}
			if fmt.Sprint(err) != test.want {
				t.Errorf("%s at %s:\n%v, want\n%s", test.listen, test.device, err, test.want)
			}
		})
	}
}
