package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

const (
	wwwChallenge = "_acme-challenge.www.shop.example."
	apiChallenge = "_acme-challenge.api.eu.shop.example."
)

// A board holds challenges as all nameservers together do.
type board struct {
	sync.Mutex
	values map[string][]TXT
	err    error
	hang   bool
}

func (b *board) known(name string) []TXT {
	b.Lock()
	defer b.Unlock()
	return slices.Clone(b.values[name])
}

func (b *board) change(ctx context.Context, changes []Change) error {
	if b.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	b.Lock()
	defer b.Unlock()
	if b.err != nil {
		return b.err
	}
	for _, c := range changes {
		b.values[c.Name] = slices.DeleteFunc(b.values[c.Name], func(t TXT) bool { return t.Value == c.Value })
		if !c.Delete {
			b.values[c.Name] = append(b.values[c.Name], c.TXT)
		}
	}
	return nil
}

func (b *board) failWith(err error) {
	b.Lock()
	defer b.Unlock()
	b.err = err
}

// updateRR makes a record of an update: like zone-file text, but with any class, and "-" for no data.
func updateRR(t testing.TB, text string) dns.RR {
	t.Helper()
	words := strings.SplitN(text, " ", 5)
	ttl, class, rrtype := words[1], words[2], words[3]
	var seconds uint32
	if _, err := fmt.Sscan(ttl, &seconds); err != nil {
		t.Fatal(err)
	}
	h := dns.RR_Header{Name: words[0], Ttl: seconds, Class: dns.StringToClass[class], Rrtype: dns.StringToType[rrtype]}
	if words[4] == "-" {
		return &dns.ANY{Hdr: h}
	}
	rr := rrOf(t, fmt.Sprintf("%s %s IN %s %s", words[0], ttl, rrtype, words[4]))
	rr.Header().Class = h.Class
	return rr
}

// sent returns records as they look after a journey.
func sent(t testing.TB, texts []string) []dns.RR {
	t.Helper()
	m := new(dns.Msg).SetUpdate("shop.example.")
	for _, text := range texts {
		m.Ns = append(m.Ns, updateRR(t, text))
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	again := new(dns.Msg)
	if err := again.Unpack(packed); err != nil {
		t.Fatal(err)
	}
	return again.Ns
}

func ruleOf(known map[string][]TXT, now time.Time) *updateRule {
	return &updateRule{
		zone: "shop.example.", names: map[string]bool{wwwChallenge: true, apiChallenge: true},
		all: []string{apiChallenge, "_acme-challenge.mail.shop.example.", wwwChallenge}, known: func(name string) []TXT { return known[name] },
		limits: Limits{Values: 3, Names: 2}, expires: now.Add(time.Hour),
	}
}

func TestEvaluate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	known := map[string][]TXT{wwwChallenge: {{"one", 5, now.Add(time.Minute)}, {"two", 5, now.Add(time.Minute)}}}
	const www, api = "_acme-challenge.www.shop.example.", "_acme-challenge.api.eu.shop.example."
	list := func(texts ...string) []string { return texts }
	for _, test := range []struct {
		why           string
		prerequisites []string
		updates       []string
		rcode         int
		want          string
	}{
		{"nothing", nil, nil, dns.RcodeSuccess, ""},
		{"a value, its TTL cut to five seconds", nil, list(api + ` 600 IN TXT "three"`), dns.RcodeSuccess, "+api three 5"},
		{"a shorter TTL stays", nil, list(api + ` 2 IN TXT "three"`), dns.RcodeSuccess, "+api three 2"},
		{"a value that is there is renewed", nil, list(www + ` 5 IN TXT "one"`), dns.RcodeSuccess, "+www one 5"},
		{"a value goes", nil, list(www + ` 0 NONE TXT "one"`), dns.RcodeSuccess, "-www one"},
		{"a value that is not there goes", nil, list(www + ` 0 NONE TXT "three"`), dns.RcodeSuccess, ""},
		{"the RRset goes", nil, list(www + ` 0 ANY TXT -`), dns.RcodeSuccess, "-www one -www two"},
		{"the name goes", nil, list(www + ` 0 ANY ANY -`), dns.RcodeSuccess, "-www one -www two"},
		{"replaced, as lego and certbot do", nil, list(www+` 0 ANY TXT -`, www+` 5 IN TXT "three"`), dns.RcodeSuccess, "-www one -www two +www three 5"},
		{"came and went", nil, list(api+` 5 IN TXT "x"`, api+` 0 NONE TXT "x"`), dns.RcodeSuccess, ""},
		{"the case of names is nothing", nil, list(`_ACME-challenge.WWW.shop.EXAMPLE. 0 NONE TXT "one"`), dns.RcodeSuccess, "-www one"},

		{"another name", nil, list(`www.shop.example. 5 IN TXT "x"`), dns.RcodeRefused, ""},
		{"a challenge of another key", nil, list(`_acme-challenge.mail.shop.example. 5 IN TXT "x"`), dns.RcodeRefused, ""},
		{"below a challenge", nil, list(`x.` + www + ` 5 IN TXT "x"`), dns.RcodeRefused, ""},
		{"a wildcard", nil, list(`*.shop.example. 5 IN TXT "x"`), dns.RcodeRefused, ""},
		{"out of the zone", nil, list(`_acme-challenge.www.other.example. 5 IN TXT "x"`), dns.RcodeNotZone, ""},
		{"one of two is not allowed", nil, list(www+` 5 IN TXT "x"`, `www.shop.example. 5 IN TXT "x"`), dns.RcodeRefused, ""},
		{"another type", nil, list(www + ` 5 IN A 192.0.2.1`), dns.RcodeRefused, ""},
		{"an alias", nil, list(www + ` 5 IN CNAME x.other.example.`), dns.RcodeRefused, ""},
		{"another RRset goes", nil, list(www + ` 0 ANY A -`), dns.RcodeRefused, ""},
		{"two texts in one value", nil, list(www + ` 5 IN TXT "x" "y"`), dns.RcodeRefused, ""},
		{"an empty value", nil, list(www + ` 5 IN TXT ""`), dns.RcodeRefused, ""},
		{"no data", nil, list(www + ` 5 IN TXT -`), dns.RcodeRefused, ""},
		{"a space in a value", nil, list(www + ` 5 IN TXT "a b"`), dns.RcodeRefused, ""},
		{"a quote in a value", nil, list(www + ` 5 IN TXT "a\"b"`), dns.RcodeRefused, ""},
		{"too many values", nil, list(www+` 5 IN TXT "a"`, www+` 5 IN TXT "b"`), dns.RcodeRefused, ""},
		{"any type in class IN", nil, list(www + ` 5 IN ANY -`), dns.RcodeFormatError, ""},
		{"a value of any type goes", nil, list(www + ` 0 NONE ANY -`), dns.RcodeFormatError, ""},
		{"a deletion with a TTL", nil, list(www + ` 5 NONE TXT "one"`), dns.RcodeFormatError, ""},
		{"a deletion of an RRset with data", nil, list(www + ` 0 ANY TXT "one"`), dns.RcodeFormatError, ""},
		{"another class", nil, list(www + ` 5 CH TXT "one"`), dns.RcodeFormatError, ""},

		{"it has values: so", list(www + ` 0 ANY TXT -`), nil, dns.RcodeSuccess, ""},
		{"it has values: not so", list(api + ` 0 ANY TXT -`), list(api + ` 5 IN TXT "x"`), dns.RcodeNXRrset, ""},
		{"it has no values: so", list(api + ` 0 NONE TXT -`), list(api + ` 5 IN TXT "x"`), dns.RcodeSuccess, "+api x 5"},
		{"it has no values: not so", list(www + ` 0 NONE TXT -`), list(www + ` 5 IN TXT "x"`), dns.RcodeYXRrset, ""},
		{"the name is in use: so", list(www + ` 0 ANY ANY -`), nil, dns.RcodeSuccess, ""},
		{"the name is in use: not so", list(api + ` 0 ANY ANY -`), nil, dns.RcodeNameError, ""},
		{"the name is not in use: so", list(api + ` 0 NONE ANY -`), nil, dns.RcodeSuccess, ""},
		{"the name is not in use: not so", list(www + ` 0 NONE ANY -`), nil, dns.RcodeYXDomain, ""},
		{"its values: so, in any order", list(www+` 0 IN TXT "two"`, www+` 0 IN TXT "one"`), nil, dns.RcodeSuccess, ""},
		{"its values: there is one more", list(www + ` 0 IN TXT "two"`), nil, dns.RcodeNXRrset, ""},
		{"its values: none", list(api + ` 0 IN TXT "two"`), nil, dns.RcodeNXRrset, ""},
		{"its values: of no challenge", list(www + ` 0 IN TXT "t" "wo"`), nil, dns.RcodeNXRrset, ""},
		{"a prerequisite of another name", list(`www.shop.example. 0 ANY ANY -`), nil, dns.RcodeRefused, ""},
		{"a prerequisite out of the zone", list(`www.other.example. 0 ANY ANY -`), nil, dns.RcodeNotZone, ""},
		{"a prerequisite of another type", list(www + ` 0 ANY A -`), nil, dns.RcodeRefused, ""},
		{"a prerequisite with a TTL", list(www + ` 5 ANY TXT -`), nil, dns.RcodeFormatError, ""},
		{"a prerequisite with data where none belongs", list(www + ` 0 ANY TXT "one"`), nil, dns.RcodeFormatError, ""},
		{"a prerequisite of another class", list(www + ` 0 CH TXT "one"`), nil, dns.RcodeFormatError, ""},
	} {
		changes, v := ruleOf(known, now).evaluate(sent(t, test.prerequisites), sent(t, test.updates))
		var got []string
		for _, c := range changes {
			sign, rest := "+", fmt.Sprintf(" %d", c.TTL)
			if c.Delete {
				sign, rest = "-", ""
			} else if !c.Expires.Equal(now.Add(time.Hour)) {
				t.Errorf("%s: expires at %v", test.why, c.Expires)
			}
			got = append(got, sign+strings.Split(c.Name, ".")[1]+" "+c.Value+rest)
		}
		if v.rcode != test.rcode || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %s %q, want %s %q", test.why, dns.RcodeToString[v.rcode], strings.Join(got, " "), dns.RcodeToString[test.rcode], test.want)
		}
	}
}

// A zone has no more challenges at once than allowed; what is there can still be changed.
func TestManyChallenges(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	values := []TXT{{"one", 5, now}}
	known := map[string][]TXT{wwwChallenge: values, "_acme-challenge.mail.shop.example.": values}
	if _, v := ruleOf(known, now).evaluate(nil, sent(t, []string{apiChallenge + ` 5 IN TXT "x"`})); v.rcode != dns.RcodeRefused {
		t.Errorf("a third name: %v", v)
	}
	if _, v := ruleOf(known, now).evaluate(nil, sent(t, []string{wwwChallenge + ` 5 IN TXT "x"`})); v.rcode != dns.RcodeSuccess {
		t.Errorf("another value at a name that is there: %v", v)
	}
	swap := []string{wwwChallenge + ` 0 ANY ANY -`, apiChallenge + ` 5 IN TXT "x"`}
	if _, v := ruleOf(known, now).evaluate(nil, sent(t, swap)); v.rcode != dns.RcodeSuccess {
		t.Errorf("one goes and one comes: %v", v)
	}
}

func updateSetup(key, other Key) Setup {
	return Setup{Keys: []Key{key, other}, Updates: map[string]Updates{
		"shop.example": {Keys: map[string][]string{"peer": {"www.shop.example", "api.eu.shop.example"}}},
	}}
}

// Who may change what, by messages as they come.
func TestUpdateMessages(t *testing.T) {
	key, other := keyOfTest(t, "peer", "hmac-sha256"), keyOfTest(t, "other", "hmac-sha256")
	b := &board{values: map[string][]TXT{}}
	zones := shelfOf(zoneOf(t, "shop.example.", 7), zoneOf(t, "bare.example.", 1))
	find := func(apex string) (Zone, error) {
		if apex == "empty.example." {
			return nil, errors.New("not loaded")
		}
		return zones.find(apex)
	}
	s := open(t, Config{Zones: find, Known: b.known, Change: b.change})
	apply(t, s, updateSetup(key, other))
	address, _ := front(t, s, nil)
	add := func(zone, name string) *dns.Msg {
		m := new(dns.Msg).SetUpdate(zone)
		m.Insert([]dns.RR{rrOf(t, name+` 60 IN TXT "x"`)})
		return m
	}
	wrongType := add("shop.example.", wwwChallenge)
	wrongType.Question[0].Qtype = dns.TypeA
	for _, test := range []struct {
		why   string
		m     *dns.Msg
		key   *Key
		err   error
		rcode int
	}{
		{"by a key that may", add("shop.example.", wwwChallenge), &key, nil, dns.RcodeSuccess},
		{"without a key", add("shop.example.", wwwChallenge), nil, nil, dns.RcodeRefused},
		{"by a key that may not", add("shop.example.", wwwChallenge), &other, nil, dns.RcodeRefused},
		{"a zone without updates", add("bare.example.", "_acme-challenge.bare.example."), &key, nil, dns.RcodeRefused},
		{"a zone that is not ours", add("other.example.", "_acme-challenge.other.example."), &key, nil, dns.RcodeNotAuth},
		{"below a zone", add("www.bare.example.", "_acme-challenge.www.bare.example."), &key, nil, dns.RcodeNotAuth},
		{"a zone that is not loaded", add("empty.example.", "_acme-challenge.empty.example."), &key, nil, dns.RcodeServerFailure},
		{"a zone section of another type", wrongType, &key, nil, dns.RcodeFormatError},
		{"not every nameserver confirms", add("shop.example.", apiChallenge), &key, errors.New("two of three"), dns.RcodeServerFailure},
	} {
		b.failWith(test.err)
		c := &dns.Client{Timeout: 20 * time.Second}
		m := test.m
		if test.key != nil {
			c.TsigSecret = secretOf(*test.key)
			m.SetTsig(test.key.Name, test.key.Algorithm, 300, time.Now().Unix())
		}
		got, _, err := c.Exchange(m, address.String())
		if errors.Is(err, dns.ErrAuth) {
			err = nil // so miekg/dns says of any signed answer with NOTAUTH
		}
		if err != nil || got.Rcode != test.rcode || got.Opcode != dns.OpcodeUpdate {
			t.Errorf("%s: %v (%v), want %s", test.why, got, err, dns.RcodeToString[test.rcode])
		}
	}
	if len(b.known(wwwChallenge)) != 1 || len(b.known(apiChallenge)) != 0 {
		t.Errorf("challenges %v and %v", b.known(wwwChallenge), b.known(apiChallenge))
	}
}

// Who waits for confirmation for ever is told so in time, and others of the zone are not held up beyond that.
func TestUpdateInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, other := keyOfTest(t, "peer", "hmac-sha256"), keyOfTest(t, "other", "hmac-sha256")
		b := &board{values: map[string][]TXT{}, hang: true}
		s := open(t, Config{Zones: shelfOf(zoneOf(t, "shop.example.", 7)).find, Known: b.known, Change: b.change})
		apply(t, s, updateSetup(key, other))
		m := new(dns.Msg).SetUpdate("shop.example.")
		m.Insert([]dns.RR{rrOf(t, wwwChallenge+` 60 IN TXT "x"`)})
		packed, _, err := signQuery(m, key, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				s.Handle(Query{Message: packed, From: netip.MustParseAddrPort("127.0.0.1:1"), Send: func(b []byte) error {
					got := new(dns.Msg)
					if err := got.Unpack(b); err != nil || got.Rcode != dns.RcodeServerFailure || time.Since(start) != 10*time.Second {
						t.Errorf("after %v: %v (%v)", time.Since(start), got, err)
					}
					return nil
				}})
			})
		}
		group.Wait()
		s.Close()
	})
}

// nsupdate adds a challenge, sees a prerequisite hold and fail, and deletes it.
func TestNsupdate(t *testing.T) {
	needs(t, "nsupdate")
	for _, algorithm := range []string{"hmac-sha256", "hmac-sha384", "hmac-sha512"} {
		key, other := keyOfTest(t, "peer", algorithm), keyOfTest(t, "other", "hmac-sha256")
		b := &board{values: map[string][]TXT{}}
		s := open(t, Config{Zones: shelfOf(zoneOf(t, "shop.example.", 7)).find, Known: b.known, Change: b.change})
		apply(t, s, updateSetup(key, other))
		address, _ := front(t, s, nil)
		script := func(lines string) string {
			return fmt.Sprintf("server 127.0.0.1 %d\n%s\nsend\n", address.Port(), lines)
		}
		for _, step := range []struct{ lines, fails, want string }{
			{"update add _acme-challenge.www.shop.example 60 TXT abc", "", "[abc]"},
			{"zone shop.example\nprereq nxrrset _acme-challenge.www.shop.example TXT\nupdate add _acme-challenge.www.shop.example 60 TXT def", "YXRRSET", "[abc]"},
			{"zone shop.example\nprereq yxrrset _acme-challenge.www.shop.example TXT\nupdate add _acme-challenge.www.shop.example 60 TXT def", "", "[abc def]"},
			{"zone shop.example\nupdate delete _acme-challenge.www.shop.example TXT abc", "", "[def]"},
			{"zone shop.example\nupdate add www.shop.example 60 A 192.0.2.66", "REFUSED", "[def]"},
			{"zone shop.example\nupdate delete _acme-challenge.www.shop.example TXT", "", "[]"},
		} {
			said, err := nsupdate(t, key, script(step.lines))
			if step.fails == "" && err != nil || !strings.Contains(said, step.fails) || (step.fails != "") != (err != nil) {
				t.Errorf("%s: %v: %s", step.lines, err, said)
			}
			values := []string{}
			for _, v := range b.known(wwwChallenge) {
				values = append(values, v.Value)
			}
			if fmt.Sprint(values) != step.want {
				t.Errorf("%s: values %v, want %s", step.lines, values, step.want)
			}
		}
		if said, err := nsupdate(t, keyOfTest(t, "peer", algorithm), script("zone shop.example\nupdate add _acme-challenge.www.shop.example 60 TXT abc")); err == nil || !strings.Contains(said, "BADSIG") && !strings.Contains(said, "NOTAUTH") {
			t.Errorf("another secret: %v: %s", err, said)
		}
	}
}

func FuzzUpdate(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	for _, texts := range [][]string{
		{wwwChallenge + ` 5 IN TXT "x"`}, {wwwChallenge + ` 0 ANY TXT -`, apiChallenge + ` 0 NONE TXT "one"`}, {wwwChallenge + ` 0 ANY ANY -`},
	} {
		m := new(dns.Msg).SetUpdate("shop.example.")
		m.Answer, m.Ns = sent(f, texts), sent(f, texts)
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		m := new(dns.Msg)
		if m.Unpack(packed) != nil {
			return
		}
		known := map[string][]TXT{wwwChallenge: {{"one", 5, now}}}
		r := ruleOf(known, now)
		changes, v := r.evaluate(m.Answer, m.Ns)
		if v.rcode != dns.RcodeSuccess && len(changes) > 0 {
			t.Errorf("%d changes and %s", len(changes), dns.RcodeToString[v.rcode])
		}
		for _, c := range changes {
			if !r.names[c.Name] || c.Zone != "shop.example." || c.TTL > maxChallengeTTL || c.Value == "" || len(c.Value) > 255 {
				t.Errorf("change %+v", c)
			}
		}
	})
}
