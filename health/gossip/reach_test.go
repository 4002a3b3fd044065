package gossip

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// Rows are what happened since the row before, and what a is then believed to be reached by.
func TestReachTimeline(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const window = reachMisses * reachEvery / 2
	r := newReach("b", false)
	other := newReach("a", false)
	member := []health.Member{{Node: "a"}, {Node: "b"}}
	nobody := func(health.NodeID, int, []byte) {}
	now := begin
	for _, row := range []struct {
		name  string
		after time.Duration
		udp   bool // a word that comes
		tcp   bool
		says  [protocols]Way // in it
		want  string         // UDP from, to; TCP from, to
		text  string
	}{
		{"nothing yet", 0, false, false, [protocols]Way{}, "unknown unknown unknown unknown", ""},
		{"by TCP alone, and it is early", time.Minute, false, true, [protocols]Way{}, "unknown unknown works unknown", ""},
		{"by TCP alone for long", window, false, true, [protocols]Way{WayUnknown, WayWorks}, "fails unknown works works", "UDP fails from it to here, TCP works (firewall?)"},
		{"neither does it hear by UDP", time.Minute, false, true, [protocols]Way{WayFails, WayWorks}, "fails fails works works", "UDP fails both ways, TCP works (firewall?)"},
		{"by UDP again", time.Minute, true, true, [protocols]Way{WayWorks, WayWorks}, "works works works works", ""},
		{"crossed", window + 1, true, false, [protocols]Way{WayFails, WayWorks}, "works fails fails works", "UDP fails from here to it, TCP fails from it to here (firewall?)"},
		{"silence is no trouble of a protocol", window + 1, false, false, [protocols]Way{}, "unknown unknown unknown unknown", ""},
	} {
		now = now.Add(row.after)
		r.due(member, now, nobody)
		for protocol, comes := range []bool{row.udp, row.tcp} {
			if comes {
				word := other.word(protocol, &reached{}, now)
				word[3], word[4] = byte(row.says[byUDP]), byte(row.says[byTCP])
				if !r.take(word[1:], now) {
					t.Fatalf("%s: a word is not taken", row.name)
				}
			}
		}
		got := r.list(now)[0]
		if text := fmt.Sprint(got.UDPFrom, got.UDPTo, got.TCPFrom, got.TCPTo); text != row.want || got.Trouble() != row.text {
			t.Errorf("%s: %s, %q, want %s, %q", row.name, text, got.Trouble(), row.want, row.text)
		}
	}
	if keys := r.list(now)[0].Keys; keys != nil {
		t.Errorf("after long silence it still has keys %v", keys)
	}
	if r.due(member[1:], now, nobody); len(r.list(now)) != 0 {
		t.Errorf("of a node that is gone: %v, want nothing", r.list(now))
	}
}

// A node that starts knows within seconds what fails: words come often at first, and somebody that has long been here answers those of who has just started.
func TestReachEarly(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	old, fresh := newReach("a", false), newReach("b", false)
	none := func(health.NodeID, int, []byte) {}
	both := []health.Member{{Node: "a"}, {Node: "b"}}
	for range 10 * 60 { // b was here before, under the same name
		now = now.Add(time.Second)
		old.due(both, now, none)
	}
	begin, words, says := now, 0, ""
	for now.Sub(begin) < time.Minute {
		now = now.Add(time.Second)
		fresh.due(both, now, func(_ health.NodeID, protocol int, word []byte) {
			if protocol == byTCP {
				old.take(word[1:], now)
			}
		})
		old.due(both, now, func(_ health.NodeID, protocol int, word []byte) {
			if protocol == byTCP {
				words++
				fresh.take(word[1:], now)
			}
		})
		if text := fresh.list(now)[0].Trouble(); text != says {
			says = text
			if took := now.Sub(begin); took > 20*time.Second {
				t.Errorf("%q after %v, want it within 20 s", says, took)
			}
		}
	}
	if want := "UDP fails both ways, TCP works (firewall?)"; says != want {
		t.Errorf("after a minute %q, want %q", says, want)
	}
	if words < 5 || words > 8 {
		t.Errorf("%d words to somebody who has just started, want some", words)
	}
}

func TestWordsAreSent(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	r := newReach("b", false)
	var sent []string
	for second := range 600 {
		r.due([]health.Member{{Node: "a"}, {Node: "b"}}, now.Add(time.Duration(second)*time.Second), func(to health.NodeID, protocol int, _ []byte) {
			sent = append(sent, fmt.Sprint(to, protocol))
		})
	}
	count := func(want string) (n int) {
		for _, s := range sent {
			if s == want {
				n++
			}
		}
		return n
	}
	if udp, tcp := count("a0"), count("a1"); tcp < 14 || tcp > 17 || udp != reachCopies*tcp || len(sent) != udp+tcp {
		t.Errorf("in ten minutes %d words by UDP and %d by TCP of %d, want six soon and then one round a minute, and none to itself", udp, tcp, len(sent))
	}
}

func TestSetKeys(t *testing.T) {
	c, _ := config("a")
	m := begin(t, c)
	key := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 32) }
	for _, tt := range []struct {
		name string
		keys [][]byte
		err  string
	}{
		{"none", nil, "gossip: no key"},
		{"too many", [][]byte{key(1), key(2), key(3), key(4), key(5)}, "gossip: 5 keys, want at most 4"},
		{"too short", [][]byte{key(1)[:16]}, "gossip: key of 16 bytes, want 32"},
		{"twice", [][]byte{key(1), key(1)}, "gossip: key " + Fingerprint(key(1)) + " is there twice"},
	} {
		if err := m.SetKeys(tt.keys); err == nil || err.Error() != tt.err {
			t.Errorf("%s: SetKeys = %v, want %s", tt.name, err, tt.err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 { // from any ring to any other
		var keys [][]byte
		for _, i := range random.Perm(6)[:1+random.IntN(MaxKeys)] {
			keys = append(keys, key(i))
		}
		if err := m.SetKeys(keys); err != nil {
			t.Fatal(err)
		}
		ring := m.ring.GetKeys()
		if len(ring) != len(keys) || !bytes.Equal(ring[0], keys[0]) {
			t.Fatalf("after SetKeys(%v) the ring is %v", keys, ring)
		}
		for _, k := range keys {
			if !slices.ContainsFunc(ring, func(r []byte) bool { return bytes.Equal(r, k) }) {
				t.Fatalf("after SetKeys(%v) the ring is %v", keys, ring)
			}
		}
		if got := m.Keys(); len(got) != len(keys) || got[0] != Fingerprint(keys[0]) {
			t.Fatalf("Keys = %v, want those of %v", got, keys)
		}
	}
}

func FuzzWord(f *testing.F) {
	r := newReach("a", false)
	r.setKeys([][]byte{make([]byte, 32)})
	f.Add(r.word(byTCP, &reached{}, time.Time{})[1:])
	f.Fuzz(func(t *testing.T, word []byte) {
		now := time.Unix(1e9, 0)
		r := newReach("b", false)
		r.due([]health.Member{{Node: "a"}}, now, func(health.NodeID, int, []byte) {})
		r.take(word, now)
		if all := r.list(now); len(all) != 1 || len(all[0].Keys) > MaxKeys {
			t.Errorf("%q made %v", word, all)
		}
	})
}
