package host

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
)

// What the section dns of the node's file says is what the nameserver does.
func TestNameserver(t *testing.T) {
	cfg := newNode(t)
	cfg.Nameserver = nodefile.Nameserver{
		NSID: "us-east", Chaos: []nodefile.ChaosText{{Name: "id.server", Text: "us-east.example.com"}}, Cookies: true, RateMode: nodefile.RateOff,
	}
	dir := t.TempDir()
	cfg.Nameserver.Tap = nodefile.Tap{File: filepath.Join(dir, "dns.tap"), Sample: 1, MaxSizeMiB: 1}
	cfg.Nameserver.QueryLog = nodefile.QueryLog{File: filepath.Join(dir, "queries.log"), Sample: 1, MaxSizeMiB: 1}
	h, _, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	q := new(dns.Msg)
	q.SetQuestion("id.server.", dns.TypeTXT)
	q.Question[0].Qclass = dns.ClassCHAOS
	q.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"},
	}
	m, _, err := new(dns.Client).Exchange(q, h.dns.Addrs()[0].String())
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || len(m.Answer) != 1 || m.Answer[0].(*dns.TXT).Txt[0] != "us-east.example.com" {
		t.Fatalf("id.server: %v, %v, want us-east.example.com", m, err)
	}
	var nsid, cookie string
	for _, o := range m.IsEdns0().Option {
		switch o := o.(type) {
		case *dns.EDNS0_NSID:
			nsid = o.Nsid
		case *dns.EDNS0_COOKIE:
			cookie = o.Cookie
		}
	}
	if nsid != hex.EncodeToString([]byte("us-east")) || len(cookie) != 48 {
		t.Errorf("NSID %q, cookie %q, want us-east in hex and 24 bytes", nsid, cookie)
	}
	for file, want := range map[string]string{cfg.Nameserver.Tap.File: "us-east.example.com", cfg.Nameserver.QueryLog.File: `"name":"id.server.","type":"TXT","class":"CH"`} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, %v, want %q in it", file, text, err, want)
		}
	}
}
