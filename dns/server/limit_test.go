package server

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"
	"golang.org/x/sys/cpu"

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/dns/wire"
)

var (
	client     = netip.MustParseAddrPort("198.51.100.7:4711")
	cookieKey  = []byte("a key of the cluster, 32 bytes..")
	fewAnswers = rrl.Limits{Rate: 4, Slip: 2, IPv4: 24, IPv6: 56, Entries: 1024}
)

// limiterOf makes the limiter of a server that does not listen.
func limiterOf(t *testing.T, config Config) (*Server, *limiter) {
	t.Helper()
	config.UDPWorkers = 2
	s := &Server{config: config.withDefaults(), began: time.Now(), ledger: newLedger()}
	s.identity.Store(&s.config.Identity)
	l := s.newLimiter(s.ledger.open(transportUDP), netip.MustParseAddrPort("127.0.0.1:53"))
	l.begin(s, false)
	return s, l
}

func queryWith(t *testing.T, name string, options ...dns.EDNS0) []byte {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	q.SetEdns0(1232, false).IsEdns0().Option = options
	query, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return query
}

func cookieOf(b []byte) *dns.EDNS0_COOKIE {
	return &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: fmt.Sprintf("%x", b)}
}

// replies says what becomes of n queries at one instant: a(nswered), t(runcated), an rcode's first letter, or - for none.
func (l *limiter) replies(t *testing.T, s *Server, query []byte, n int) string {
	t.Helper()
	published := snapshot(t, toEurope)
	var b strings.Builder
	for range n {
		d := draft{query: query, from: client}
		l.draft(&d, nil, published)
		answer, _ := l.settle(&d, published)
		var m dns.Msg
		switch err := m.Unpack(answer); {
		case len(answer) == 0:
			b.WriteByte('-')
		case err != nil:
			t.Fatal(err)
		case m.Truncated && len(m.Answer) == 0 && len(m.Question) == 1 && m.IsEdns0() != nil:
			b.WriteByte('t')
		case len(m.Answer) > 0:
			b.WriteByte('a')
		default:
			b.WriteByte(dns.RcodeToString[m.Rcode][0])
		}
	}
	return b.String()
}

func TestRateLimit(t *testing.T) {
	good := cookie.Derive(cookieKey, time.Now())
	fresh := good.Append(nil, [8]byte{1}, client.Addr(), uint32(time.Now().Unix()))
	for _, test := range []struct {
		reason string
		rrl    RateLimit
		query  []byte
		want   string
		counts [3]uint64 // leak, slip, drop
	}{
		{"half of the rate for each of two workers", RateLimit{RateOn, fewAnswers}, queryWith(t, "api.example.com."), "aa-t-t", [3]uint64{0, 2, 2}},
		{"logged", RateLimit{RateLog, fewAnswers}, queryWith(t, "api.example.com."), "aaaaaa", [3]uint64{0, 2, 2}},
		{"off", RateLimit{RateOff, fewAnswers}, queryWith(t, "api.example.com."), "aaaaaa", [3]uint64{}},
		{"denials", RateLimit{RateOn, fewAnswers}, queryWith(t, "nothing.example.com."), "NN-t-t", [3]uint64{0, 2, 2}},
		{"a client's own cookie proves nothing", RateLimit{RateOn, fewAnswers}, queryWith(t, "api.example.com.", cookieOf(make([]byte, 8))), "aa-t-t", [3]uint64{0, 2, 2}},
		{"a bad cookie", RateLimit{RateOn, fewAnswers}, queryWith(t, "api.example.com.", cookieOf(make([]byte, 24))), "aa-t-t", [3]uint64{0, 2, 2}},
		{"a good cookie", RateLimit{RateOn, fewAnswers}, queryWith(t, "api.example.com.", cookieOf(fresh)), "aaaaaa", [3]uint64{}},
		{"leak", RateLimit{RateOn, rrl.Limits{Rate: 4, Leak: 2, IPv4: 24, IPv6: 56, Entries: 1024}}, queryWith(t, "api.example.com."), "aa-a-a", [3]uint64{2, 0, 2}},
		{"exempt", RateLimit{RateOn, rrl.Limits{Rate: 4, IPv4: 24, IPv6: 56, Entries: 1024, Exempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}},
			queryWith(t, "api.example.com."), "aaaaaa", [3]uint64{}},
	} {
		s, l := limiterOf(t, Config{RRL: test.rrl, CookieKey: cookieKey})
		got := l.replies(t, s, test.query, 6)
		var counts [3]uint64
		addAll(counts[:], l.counters.limited[rrl.Leak:])
		if got != test.want || counts != test.counts {
			t.Errorf("%s: %s, leak, slip, drop %v, want %s, %v", test.reason, got, counts, test.want, test.counts)
		}
	}
}

// BADCOOKIE is asked for only when that is switched on, and only while there is load.
func TestBadCookieUnderLoad(t *testing.T) {
	query := queryWith(t, "api.example.com.", cookieOf(make([]byte, 8)))
	full := func(s *Server, l *limiter, n int) {
		for range n {
			l.begin(s, true)
		}
	}
	s, l := limiterOf(t, Config{CookieKey: cookieKey, BadCookie: true})
	for _, step := range []struct {
		reason string
		do     func()
		want   string
	}{
		{"at rest", func() {}, "a"},
		{"some full batches", func() { full(s, l, busyBatches-1) }, "a"},
		{"as many as make load", func() { l.begin(s, true) }, "B"},
		{"a batch that was not full", func() { l.begin(s, false) }, "a"},
		{"a flood of another query", func() { l.over = l.now; l.begin(s, false) }, "B"},
		{"a second later", func() { l.over -= overFor; l.begin(s, false) }, "a"},
	} {
		step.do()
		if got := l.replies(t, s, query, 1); got != step.want {
			t.Errorf("%s: %s, want %s", step.reason, got, step.want)
		}
	}
	s, l = limiterOf(t, Config{CookieKey: cookieKey})
	full(s, l, maxBusy)
	if got := l.replies(t, s, query, 1); got != "a" {
		t.Errorf("under load, not switched on: %s, want a", got)
	}
}

// Secrets follow the time without anybody's doing.
func TestIdentityFollowsTheTime(t *testing.T) {
	s, _ := limiterOf(t, Config{CookieKey: cookieKey, Identity: wire.Identity{NSID: []byte("ns1")}})
	now := time.Now()
	id := s.identityAt(now)
	if again := s.identityAt(now); again != id || string(id.NSID) != "ns1" || !id.Cookies.Current(now) {
		t.Errorf("identity %v, then %v, want one for the whole day", id, again)
	}
	if tomorrow := now.Add(cookie.Period); !s.identityAt(tomorrow).Cookies.Current(tomorrow) {
		t.Error("the secrets are yesterday's")
	}
	s, _ = limiterOf(t, Config{})
	if id := s.identityAt(now); id.Cookies != nil {
		t.Error("a server without a key has cookies")
	}
}

// What workers write lies on cache lines of their own, wherever the allocator puts a limiter.
func TestLimitersShareNoCacheLine(t *testing.T) {
	var l limiter
	const line = unsafe.Sizeof(cpu.CacheLinePad{})
	first, last := unsafe.Offsetof(l.counters), unsafe.Offsetof(l.to)+unsafe.Sizeof(l.to)
	if first < line || unsafe.Sizeof(l)-last < line {
		t.Errorf("a limiter of %d bytes is written from %d to %d, want %d bytes free on both sides", unsafe.Sizeof(l), first, last, line)
	}
}
