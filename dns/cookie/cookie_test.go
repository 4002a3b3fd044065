package cookie

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/dns/siphash"
)

func fromHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(t testing.TB, text string) siphash.Key {
	t.Helper()
	return siphash.KeyOf([16]byte(fromHex(t, text)))
}

func at(text string) uint32 {
	now, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return uint32(now.Unix())
}

// RFC 9018, appendix A.
func TestVectors(t *testing.T) {
	first := Secrets{current: key(t, "e5e973e5a6b2a43f48e7dc849e37bfcf")}
	rolled := Secrets{previous: key(t, "dd3bdf9344b678b185a6f5cb60fca715"), current: key(t, "445536bcd2513298075a5d379663c962")}
	for _, test := range []struct {
		reason  string
		secrets Secrets
		from    string
		now     uint32
		client  string
		server  string
		verdict Verdict
		renewed string
	}{
		{"A.1: a client without a server cookie", first, "198.51.100.100", at("2019-06-05 10:53:05"),
			"2464c4abcf10c957", "", None, "010000005cf79f111f8130c3eee29480"},
		{"A.2: it comes back after 40 minutes", first, "198.51.100.100", at("2019-06-05 11:33:05"),
			"2464c4abcf10c957", "010000005cf79f111f8130c3eee29480", Aging, "010000005cf7a871d4a564a1442aca77"},
		{"A.3: what is reserved is hashed as it came", first, "203.0.113.203", at("2019-06-05 11:38:20"),
			"fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5", Bad, "010000005cf7a9acf73a7810aca2381e"},
		{"A.3: when it was not too old", first, "203.0.113.203", 0x5cf78f71 + 60,
			"fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5", Fresh, ""},
		{"A.4: IPv6, the secret has changed", rolled, "2001:db8:220:1:59de:d0f4:8769:82b8", at("2019-06-05 13:39:21"),
			"22681ab97d52c298", "010000005cf7c57926556bd0934c72f8", Aging, "010000005cf7c609a6bb79d16625507a"},
	} {
		client, from := [8]byte(fromHex(t, test.client)), netip.MustParseAddr(test.from)
		if got := test.secrets.Judge(client, fromHex(t, test.server), from, test.now); got != test.verdict {
			t.Errorf("%s: Judge = %v, want %v", test.reason, got, test.verdict)
		}
		if test.renewed == "" {
			continue
		}
		got := hex.EncodeToString(test.secrets.Append(nil, client, from, test.now))
		if want := test.client + test.renewed; got != want {
			t.Errorf("%s: Append = %s, want %s", test.reason, got, want)
		}
	}
}

var (
	clusterKey = []byte("a key of the cluster, 32 bytes..")
	midnight   = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	here       = netip.MustParseAddr("192.0.2.1")
	mine       = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
)

func TestAge(t *testing.T) {
	s := Derive(clusterKey, midnight)
	const made = 1_000_000
	server := s.Append(nil, mine, here, made)[ClientSize:]
	for _, test := range []struct {
		reason string
		now    uint32
		want   Verdict
	}{
		{"just made", made, Fresh},
		{"half an hour", made + 1800, Fresh},
		{"more than half an hour", made + 1801, Aging},
		{"an hour", made + 3600, Aging},
		{"more than an hour", made + 3601, Bad},
		{"made by a clock that is 5 minutes ahead", made - 300, Fresh},
		{"made by a clock that is further ahead", made - 301, Bad},
		{"half the circle", made + 1<<31, Bad},
	} {
		if got := s.Judge(mine, server, here, test.now); got != test.want {
			t.Errorf("%s: Judge = %v, want %v", test.reason, got, test.want)
		}
	}
	wrapped := s.Append(nil, mine, here, 0xFFFF_FFF0)[ClientSize:]
	if got := s.Judge(mine, wrapped, here, 100); got != Fresh {
		t.Errorf("Judge over the end of the 32 bits = %v, want fresh", got)
	}
}

func TestForeign(t *testing.T) {
	s := Derive(clusterKey, midnight)
	good := s.Append(nil, mine, here, 7)[ClientSize:]
	for i := range good {
		damaged := append([]byte(nil), good...)
		damaged[i] ^= 1
		if got := s.Judge(mine, damaged, here, 7); got != Bad {
			t.Errorf("Judge with byte %d damaged = %v, want bad", i, got)
		}
	}
	other := mine
	other[7]++
	if got := s.Judge(other, good, here, 7); got != Bad {
		t.Errorf("Judge for another client cookie = %v, want bad", got)
	}
	if got := s.Judge(mine, good, here.Next(), 7); got != Bad {
		t.Errorf("Judge from another address = %v, want bad", got)
	}
	if got := s.Judge(mine, good[:8], here, 7); got != Bad {
		t.Errorf("Judge of 8 bytes = %v, want bad", got)
	}
	stranger := Derive([]byte("a key of another cluster........"), midnight)
	if got := stranger.Judge(mine, good, here, 7); got != Bad {
		t.Errorf("Judge by another cluster = %v, want bad", got)
	}
}

// Two nameservers whose clocks are five minutes apart accept each other's cookies in every minute around a change of the
// secret, and the client that carries a cookie over the change never has to come without one.
func TestChangeOfSecret(t *testing.T) {
	for minute := -70; minute <= 70; minute++ {
		now := midnight.Add(time.Duration(minute) * time.Minute)
		for _, apart := range []time.Duration{-5 * time.Minute, 0, 5 * time.Minute} {
			maker, judge := now, now.Add(apart)
			makes, judges := Derive(clusterKey, maker), Derive(clusterKey, judge)
			server := makes.Append(nil, mine, here, uint32(maker.Unix()))[ClientSize:]
			if got := judges.Judge(mine, server, here, uint32(judge.Unix())); !got.Good() {
				t.Fatalf("minute %d, %v apart: Judge = %v, want good", minute, apart, got)
			}
			later := judge.Add(50 * time.Minute)
			judges = Derive(clusterKey, later)
			if got := judges.Judge(mine, server, here, uint32(later.Unix())); !got.Good() {
				t.Fatalf("minute %d, %v apart, 50 minutes later: Judge = %v, want good", minute, apart, got)
			}
		}
	}
	a, b := Derive(clusterKey, midnight.Add(-time.Second)), Derive(clusterKey, midnight)
	if a.Current(midnight) || !b.Current(midnight) || !b.Current(midnight.Add(Period-1)) || b.Current(midnight.Add(Period)) {
		t.Error("secrets are not current for the period that they were derived for alone")
	}
	if a.current == b.current || a.next != b.current || a.current != b.previous {
		t.Errorf("secrets before and after a change = %v, %v: want each to move on by one", a, b)
	}
}

// Nodes one version apart serve together: what is derived stays the same.
func TestDerivation(t *testing.T) {
	s := Derive(clusterKey, midnight)
	if got, want := hex.EncodeToString(s.Append(nil, mine, here, 7)), "0102030405060708010000000000000732038a1c9092a1fd"; got != want {
		t.Errorf("cookie %s, want %s as ever", got, want)
	}
}

func TestNoAllocations(t *testing.T) {
	s := Derive(clusterKey, midnight)
	buffer := make([]byte, 0, Size)
	allocs := testing.AllocsPerRun(100, func() {
		server := s.Append(buffer, mine, here, 7)
		if !s.Judge(mine, server[ClientSize:], here, 7).Good() {
			t.Fatal("own cookie is not good")
		}
	})
	if allocs != 0 {
		t.Errorf("a cookie takes %v allocations", allocs)
	}
}

func BenchmarkCookie(b *testing.B) {
	s := Derive(clusterKey, midnight)
	buffer := make([]byte, 0, Size)
	server := s.Append(nil, mine, here, 7)[ClientSize:]
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			s.Append(buffer, mine, here, 7)
		}
	})
	b.Run("judge a good one", func(b *testing.B) {
		for b.Loop() {
			s.Judge(mine, server, here, 7)
		}
	})
	foreign := append([]byte(nil), server...)
	foreign[9] ^= 1
	b.Run("judge a bad one", func(b *testing.B) {
		for b.Loop() {
			s.Judge(mine, foreign, here, 7)
		}
	})
}
