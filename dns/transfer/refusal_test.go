package transfer

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// What is refused is told with who asked and why, but of each kind only once in a while.
func TestRefusalsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, other := keyOfTest(t, "peer", "hmac-sha256"), keyOfTest(t, "peer", "hmac-sha256")
		var log bytes.Buffer
		b := &board{values: map[string][]TXT{}}
		s := open(t, Config{
			Zones: shelfOf(zoneOf(t, "shop.example.", 7)).find, Known: b.known, Change: b.change,
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == slog.TimeKey {
						return slog.Attr{}
					}
					return a
				}})),
		})
		apply(t, s, Setup{Keys: []Key{key}, Primary: map[string]Policy{"shop.example.": {}},
			Updates: map[string]Updates{"shop.example.": {Keys: map[string][]string{"peer.": {"www.shop.example."}}}}})
		defer s.Close()

		unsigned := func(m *dns.Msg) []byte {
			packed, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			return packed
		}
		signed := func(m *dns.Msg, k Key) []byte {
			m.SetTsig("peer.", k.Algorithm, 300, time.Now().Unix())
			packed, _, err := dns.TsigGenerate(m, secretOf(k)["peer."], "", false)
			if err != nil {
				t.Fatal(err)
			}
			return packed
		}
		update := func(text string) *dns.Msg {
			m := new(dns.Msg).SetUpdate("shop.example.")
			m.Ns = []dns.RR{updateRR(t, text)}
			return m
		}
		asked := update("_acme-challenge.www.shop.example. 0 ANY TXT -")
		asked.Answer = []dns.RR{updateRR(t, "_acme-challenge.www.shop.example. 0 ANY TXT -")}
		for _, tt := range []struct {
			name    string
			after   time.Duration
			message []byte
			want    string
		}{
			{"a transfer to somebody", 0, unsigned(axfr("shop.example.")),
				`level=WARN msg="transfer refused" zone=shop.example. peer=127.0.0.1:1 key="" rcode=REFUSED err="transfer not allowed" not_logged=0`},
			{"another at once", 0, unsigned(axfr("shop.example.")), ""},
			{"and a bit later, of a zone that is not here", 9 * time.Second, unsigned(ixfr("other.example.", 1)), ""},
			{"an update by nobody", 0, unsigned(update("_acme-challenge.www.shop.example. 1 IN TXT x")),
				`level=WARN msg="update refused" zone=shop.example. peer=127.0.0.1:1 key="" rcode=REFUSED err="not signed by a key that may change this zone" not_logged=0`},
			{"a transfer, when it is time again", time.Second, unsigned(ixfr("other.example.", 1)),
				`level=WARN msg="transfer refused" zone=other.example. peer=127.0.0.1:1 key="" rcode=NOTAUTH err="" not_logged=2`},
			{"a wrong secret", 0, signed(axfr("shop.example."), other),
				`level=WARN msg="signature refused" zone=shop.example. peer=127.0.0.1:1 key=peer. rcode=BADSIG err="the signature is wrong" not_logged=0`},
			{"a name that the key may not change", 10 * time.Second, signed(update("api.shop.example. 1 IN TXT x"), key),
				`level=WARN msg="update refused" zone=shop.example. peer=127.0.0.1:1 key=peer. rcode=REFUSED err="the key may not change this name" not_logged=0`},
			{"a prerequisite that does not hold", 10 * time.Second, signed(asked, key), ""},
		} {
			time.Sleep(tt.after)
			log.Reset()
			s.Handle(Query{Message: tt.message, From: loopbackPort, Send: func([]byte) error { return nil }})
			if got := strings.TrimSpace(log.String()); got != tt.want {
				t.Errorf("%s: log\n%s\nwant\n%s", tt.name, got, tt.want)
			}
		}
	})
}
