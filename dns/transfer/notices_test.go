package transfer

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// noticeOf makes a notice, with the SOA record of a serial as its hint if that is not 0.
func noticeOf(t testing.TB, serial uint32) []byte {
	t.Helper()
	m := new(dns.Msg).SetNotify("shop.example.")
	if serial > 0 {
		m.Answer = []dns.RR{zoneOf(t, "shop.example.", serial).rrs[0]}
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// Notices have a zone refreshed at once, but however many come, and whoever forged them, only now and then.
func TestNotices(t *testing.T) {
	const from = "192.0.2.1:53"
	for _, test := range []struct {
		why         string
		hint        uint32
		away        bool // the primary
		least, most int  // connections
	}{
		{"without a hint", 0, false, 12, 13},
		{"of a newer version", 8, false, 12, 13},
		{"of the version that is there", 7, false, 0, 0},
		{"of an older version", 6, false, 0, 0},
		{"of a primary that is away", 8, true, 2, 4}, // at once, and after each 30 s
	} {
		t.Run(test.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				zone := zoneOf(t, "shop.example.", 7)
				primary := open(t, Config{Zones: shelfOf(zone).find})
				apply(t, primary, Setup{Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}})
				network := &pipeNet{serve: primary, start: time.Now()}
				events := make(told, 1000)
				config := events.config(t.TempDir())
				config.Dial = network.dial
				s := open(t, config)
				apply(t, s, Setup{Secondary: map[string]Secondary{"shop.example.": {[]Primary{{Address: netip.MustParseAddrPort(from)}}}}})
				events.want(t, "loaded shop.example.")
				synctest.Wait()
				if test.away {
					network.set(nil)
				}
				network.times()
				notice := noticeOf(t, test.hint)
				for range 6000 { // in a minute
					s.Handle(Query{Message: notice, From: netip.MustParseAddrPort(from), UDP: true, Send: func([]byte) error { return nil }})
					time.Sleep(10 * time.Millisecond)
				}
				times := network.times()
				if n := len(times); n < test.least || n > test.most {
					t.Errorf("%d connections in a minute, want %d to %d: %v", n, test.least, test.most, times)
				}
				if len(times) > 0 && times[0] > 0 {
					t.Errorf("the first after %v, want at once", times[0])
				}
				s.Close()
				primary.Close()
			})
		})
	}
}

// When a notice is heeded.
func TestNoticedAt(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, test := range []struct {
		why      string
		noticed  time.Duration // since the refresh that the notice before asked for
		failed   time.Duration // since the latest failure
		failures int
		next     time.Duration // until the next that is planned
		want     time.Duration
	}{
		{"the first for long", time.Hour, time.Hour, 0, time.Hour, 0},
		{"just after another", time.Second, time.Hour, 0, time.Hour, 4 * time.Second},
		{"after a failure", time.Hour, time.Second, 3, time.Hour, 29 * time.Second},
		{"long after a failure", time.Hour, time.Minute, 3, time.Hour, 0},
		{"when the next try is sooner", time.Second, time.Second, 1, 3 * time.Second, 3 * time.Second},
	} {
		z := &secondaryZone{noticed: now.Add(-test.noticed), failed: now.Add(-test.failed), failures: test.failures, next: now.Add(test.next)}
		if got := z.noticedAt(now).Sub(now); got != test.want {
			t.Errorf("%s: in %v, want %v", test.why, got, test.want)
		}
	}
}

// What has expired is asked for whatever a notice hints at, and so is what was never there.
func TestNews(t *testing.T) {
	serial := func(n uint32) *dns.SOA { return &dns.SOA{Serial: n} }
	for _, test := range []struct {
		why     string
		copy    *dns.SOA
		expired bool
		hint    *dns.SOA
		want    bool
	}{
		{"newer", serial(7), false, serial(8), true},
		{"newer, past the largest number", serial(1<<32 - 1), false, serial(0), true},
		{"the same", serial(7), false, serial(7), false},
		{"older", serial(7), false, serial(6), false},
		{"the same as what has expired", serial(7), true, serial(7), true},
		{"no copy", nil, false, serial(7), true},
		{"no hint", serial(7), false, nil, true},
	} {
		if got := (&secondaryZone{soa: test.copy, expired: test.expired}).news(test.hint); got != test.want {
			t.Errorf("%s: %v, want %v", test.why, got, test.want)
		}
	}
}
