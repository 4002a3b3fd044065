package master_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/master"
)

// samples are records of all types that the DNS library can print, as text without owner, TTL and class; but for IPSECKEY,
// behind which it reads no record. <name>, <string> and <number> are drawn anew each time.
var samples = []string{
	"A 192.0.2.1", "A 0.0.0.0", "AAAA 2001:db8::1", "AAAA ::", "AAAA 1:2:3:4:5:6:7:8", "AAAA ::ffff:192.0.2.1", "AAAA 1::", "AAAA 1:2:3:4:5:6:7::",
	"NS <name>", "CNAME <name>", "DNAME <name>", "PTR <name>", "MX <number> <name>", "SRV <number> <number> <number> <name>", "SOA <name> <name> <number> 2 3h 1w 5",
	"TXT <string>", "TXT <string> <string> <string>", "SPF <string> <string>", "CAA 0 issue <string>", "HINFO <string> <string>",
	"NAPTR <number> <number> \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" <name>", "NAPTR <number> 1 \"\" \"\" \"\" .",
	"DS <number> 13 2 ABCDEF0123456789", "CDS 0 0 0 00", "DNSKEY 257 3 13 AQIDBAUG", "CDNSKEY 0 3 0 AA==", "DS <number> RSASHA256 2 AB CD EF",
	"RRSIG A 13 3 300 20260101000000 20250101000000 <number> <name> AQIDBAUG", "RRSIG TYPE65280 8 3 300 1735689600 20240229235959 <number> <name> AQ ID BA UG",
	"NSEC <name> A NS MX RRSIG NSEC TYPE1234 TYPE65535", "NSEC <name>", "NSEC3 1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG CAA",
	"NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr", "NSEC3PARAM 1 0 <number> AABB", "NSEC3PARAM 1 0 0 -",
	"TLSA 3 1 1 ABCDEF", "TLSA 3 1 1 AB CD EF", "SSHFP 4 2 ABCDEF", "SMIMEA 3 1 1 ABCDEF", "CERT PGP 0 0 AQID", "OPENPGPKEY AQIDBAUG",
	"LOC 42 21 54 N 71 06 18 W -24m 30m", "LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m", "LOC 1 N 0 59 .25 w 12.5 0.5m 19.99m 90000000", "RP <name> <name>", "AFSDB <number> <name>", "RT <number> <name>",
	"X25 311061700956", "ISDN \"150862028003217\" \"004\"", "KX <number> <name>", "MB <name>", "MG <name>", "MR <name>", "MINFO <name> <name>", "MF <name>", "MD <name>", "PX <number> <name> <name>",
	"GPOS 10.0 20.0 5", "EUI48 00-00-5e-90-01-2a", "EUI64 00-00-5e-ef-10-00-00-2a", "URI <number> 1 \"ftp://ftp.example.com/public\"",
	"APL 1:192.0.2.0/24 !1:192.0.2.64/28 2:2001:db8::/32", "DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=", "HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cI <name>",
	"NID <number> 0014:4fff:ff20:ee64", "L64 <number> 2001:0db8:1140:1000", "L32 <number> 10.1.2.0", "LP <number> <name>", "NINFO <string>", "AVC <string> <string>", "CSYNC 66 3 A NS AAAA",
	"ZONEMD 2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE7EB1A7B641A47BA7FED2DD5B97AE499FAFA4F22C6BD647DE", "UID 1", "GID 2", "UINFO \"someone\"",
	"HTTPS 1 . alpn=\"h2,h3\" ipv4hint=\"192.0.2.1\"", "SVCB 16 <name> port=8080 key65333=\"ex1\"", "HTTPS 0 <name>",
	"SVCB 1 <name> mandatory=port,alpn alpn=\"f\\\\\\\\oo\\\\,bar,h2\" port=53 no-default-alpn ipv6hint=2001:db8::1,::2 ech=AAAA dohpath=\"/q{?dns}\" ohttp", "HTTPS <number> <name> key65534=<string> key10 ipv4hint=192.0.2.1,192.0.2.2 key9=\"\"",
	"AMTRELAY 10 0 3 <name>", "KEY 256 3 13 AQIDBAUG", "DLV <number> 13 2 ABCDEF", "TA <number> 13 2 ABCDEF", "TALINK <name> <name>", "NSAP-PTR <name>", "EID ABCD", "NIMLOC ABCD", "RKEY 0 1 2 AQID", "RESINFO <string>",
	"TYPE1 \\# 4 C0 00 02 01", "TYPE65280 \\# 3 AB CDEF", "MX \\# 5 000A 0161 00", "TYPE65281 \\# 0",
}

// A writer makes random master files of what both readers understand alike.
type writer struct {
	*rand.Rand
	out bytes.Buffer
}

func (w *writer) pick(words ...string) string { return words[w.IntN(len(words))] }

func (w *writer) name() string {
	switch w.IntN(12) {
	case 0:
		return "@"
	case 1:
		return "."
	case 2:
		return w.pick("a", "B") + `\` + w.pick(".", "\\", "\"", ";", "(", "@", "000", "255", "046", " ") + w.pick("", "x", ".y", ".y.")
	case 3:
		return strings.Repeat(w.pick("l", "M"), 1+w.IntN(63)) + w.pick("", ".", ".n")
	}
	labels := make([]string, 1+w.IntN(4))
	for i := range labels {
		labels[i] = w.pick("www", "Mail", "x", "_tcp", "*", "1", "in", "A", "xn--abc", "h\xc3\xbc")
	}
	return strings.Join(labels, ".") + w.pick("", ".", ".example.net.")
}

func (w *writer) string() string {
	var b strings.Builder
	quoted := w.IntN(2) == 0
	for range w.IntN(20) {
		b.WriteString(w.pick("a", "Z", "0", "=", `\"`, `\\`, `\;`, `\000`, `\255`, `\065`, "\xff", "@", "$", `\(`, "'"))
		if quoted && w.IntN(4) == 0 {
			b.WriteString(w.pick(" ", ";", "(", ")", "\t", "\n", "  "))
		}
	}
	if quoted || b.Len() == 0 {
		return `"` + b.String() + `"`
	}
	return b.String()
}

// gap is what may stand between two words; in parentheses more may.
func (w *writer) gap(parentheses, comments bool) string {
	switch {
	case parentheses && comments && w.IntN(3) == 0:
		return "\t; a comment ) ( \"\n\t"
	case parentheses && w.IntN(3) == 0:
		return w.pick(" \n ", " \r\n ", "  \n\n  ")
	}
	return w.pick(" ", " ", "\t", "  ", " \t ")
}

func (w *writer) mixedCase(word string) string {
	b := []byte(word)
	for i := range b {
		if w.IntN(2) == 0 {
			b[i] = bytes.ToLower(b[i : i+1])[0]
		}
	}
	return string(b)
}

func (w *writer) ttl() string {
	return w.pick("0", "300", "1h", "1W", "2d3h", "1h30", "4294967295", "90s")
}

func (w *writer) record(first bool) {
	sample := samples[w.IntN(len(samples))]
	for strings.Contains(sample, "<name>") {
		sample = strings.Replace(sample, "<name>", w.name(), 1)
	}
	for strings.Contains(sample, "<string>") {
		sample = strings.Replace(sample, "<string>", w.string(), 1)
	}
	for strings.Contains(sample, "<number>") {
		sample = strings.Replace(sample, "<number>", w.pick("0", "1", "007", "65535", fmt.Sprint(w.IntN(65536))), 1)
	}
	owner := w.name()
	if !first && w.IntN(3) == 0 {
		owner = ""
	}
	words := []string{}
	switch w.IntN(6) {
	case 0:
		words = append(words, w.ttl())
	case 1:
		words = append(words, w.pick("IN", "in", "CH", "CLASS1"))
	case 2:
		words = append(words, w.ttl(), w.pick("IN", "CLASS7"))
	case 3:
		words = append(words, w.pick("IN", "HS"), w.ttl())
	}
	fields := splitFields(sample)
	words = append(append(words, w.mixedCase(fields[0])), fields[1:]...)
	w.out.WriteString(owner)
	// Behind a comment in parentheses the library takes words of data for types and classes.
	comments := !slices.ContainsFunc(fields[1:], func(word string) bool {
		word = strings.ToUpper(word)
		_, isType := dns.StringToType[word]
		_, isClass := dns.StringToClass[word]
		return isType || isClass || strings.HasPrefix(word, "TYPE")
	})
	depth := 0
	for _, word := range words {
		w.out.WriteString(w.gap(depth > 0, comments))
		if word == fields[1] && w.IntN(4) == 0 {
			w.out.WriteString("( ")
			depth++
		}
		w.out.WriteString(word)
	}
	w.out.WriteString(strings.Repeat(w.pick(" )", "\n )"), depth) + w.pick("", " ", "\t; (comment", " ;") + w.pick("\n", "\n", "\r\n", "\n\n", "\n ; x\n"))
}

// splitFields splits at blanks that are neither quoted nor escaped.
func splitFields(text string) []string {
	var fields []string
	quoted, start := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ' ' && !quoted:
			fields = append(fields, text[start:i])
			start = i + 1
		}
	}
	return append(fields, text[start:])
}

// TestTwin feeds the same files to the DNS library's reader.
func TestTwin(t *testing.T) {
	seen := map[uint16]int{}
	for seed := range uint64(1500) {
		w := &writer{Rand: rand.New(rand.NewPCG(seed, 1))}
		w.out.WriteString("$TTL " + w.ttl() + "\n")
		for i := range 1 + w.IntN(8) {
			switch w.IntN(12) {
			case 0:
				w.out.WriteString(w.mixedCase("$TTL") + w.gap(false, false) + w.ttl() + w.pick("\n", " ; x\n"))
			case 1:
				w.out.WriteString(w.mixedCase("$ORIGIN") + w.gap(false, false) + w.pick("sub", "A.b", ".", "@", "other.example.") + w.pick("\n", " ; x\n"))
			case 2:
				if w.IntN(4) == 0 {
					w.out.WriteString("$GENERATE 1-" + w.pick("3", "9/2") + " g" + w.pick("$", "${0}", "${3,4,x}", "$$") + " 300 " + w.pick("TXT \"x$\"", "CNAME h${-1}.x", "A 192.0.2.$") + "\n")
				}
			}
			w.record(i == 0)
		}
		file := w.out.String()
		got, mistakes := readAll(t, strings.NewReader(file))
		want, wrong := twin(file)
		for i := range got {
			_, got[i], _ = strings.Cut(got[i], ": ")
		}
		if !slices.Equal(got, want) || wrong != nil || len(mistakes) > 0 {
			t.Fatalf("seed %d: file\n%s\nrecords\n%s\nmistakes %s\nwant\n%s\n%v", seed, file, strings.Join(got, "\n"), mistakes, strings.Join(want, "\n"), wrong)
		}
		genericTwin(t, file, seen)
	}
	for _, sample := range samples {
		name, _, _ := strings.Cut(sample, " ")
		if rrtype := dns.StringToType[name]; rrtype != 0 && seen[rrtype] == 0 {
			t.Errorf("no record of type %s was compared", name)
		}
	}
}

// twin reads a file by the DNS library and returns its records after a trip through the wire format.
func twin(file string) (records []string, err error) {
	parser := dns.NewZoneParser(strings.NewReader(file), "z.example.", "")
	buffer := make([]byte, 1<<16)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		n, err := dns.PackRR(rr, buffer, 0, nil, false)
		if err != nil {
			return records, err
		}
		again, _, err := dns.UnpackRR(buffer[:n], 0)
		if err != nil {
			return records, err
		}
		records = append(records, strings.ReplaceAll(again.String(), "\t", " "))
	}
	return records, parser.Err()
}

// genericTwin writes each record of a file in the form for all types, reads that, and counts the types.
func genericTwin(t *testing.T, file string, seen map[uint16]int) {
	t.Helper()
	none := func(m master.Mistake) error { return errors.New(mistakeText(m)) }
	err := master.Read(strings.NewReader(file), "z.example.", func(r *master.Record) error {
		seen[r.Type]++
		text := fmt.Sprintf("a 5 TYPE%d \\# %d %x\n", r.Type, len(r.Data), r.Data)
		return master.Read(strings.NewReader(text), ".", func(again *master.Record) error {
			if again.Type != r.Type || !bytes.Equal(again.Data, r.Data) {
				return fmt.Errorf("%s gives %v", text, again)
			}
			return nil
		}, none)
	}, none)
	if err != nil {
		t.Fatalf("file\n%s\n%v", file, err)
	}
}

// dataOf reads the data of one record; false if that is a mistake.
func dataOf(t *testing.T, text string) (data []byte, ok bool) {
	t.Helper()
	err := master.Read(strings.NewReader("a 5 "+text), ".", func(r *master.Record) error {
		data, ok = slices.Clone(r.Data), true
		return nil
	}, func(master.Mistake) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return data, ok
}

// TestAddresses compares with the standard library what is an address and what is nearly one.
func TestAddresses(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	good := 0
	for range 100_000 {
		var b strings.Builder
		for range 1 + rnd.IntN(10) {
			b.WriteString([]string{":", "::", "0", "1", "abcd", "F", "12345", "1:2:3", "1:2:3:4:5:6", "192.0.2.1", "255", "256", ".", "1.2.3.", "01", "%a"}[rnd.IntN(16)])
		}
		text := b.String()
		rrtype, want := "A", netip.Addr{}
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			want = addr
		}
		if strings.Contains(text, ":") {
			rrtype = "AAAA"
		}
		data, ok := dataOf(t, rrtype+" "+text)
		if got, _ := netip.AddrFromSlice(data); ok != want.IsValid() || got != want {
			t.Fatalf("%s %q = %v, want %v", rrtype, text, data, want)
		}
		if ok {
			good++
		}
	}
	if good < 1000 {
		t.Errorf("only %d addresses were good", good)
	}
}

// TestTimes compares with the standard library the times of signatures.
func TestTimes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 3))
	for range 10_000 {
		at := time.Unix(int64(rnd.Uint32()), 0).UTC()
		data, _ := dataOf(t, "RRSIG A 13 3 300 "+at.Format("20060102150405")+fmt.Sprintf(" %d 1 a. AQID", at.Unix()))
		if got := data[8:16]; binary.BigEndian.Uint32(got) != uint32(at.Unix()) || binary.BigEndian.Uint32(got[4:]) != uint32(at.Unix()) {
			t.Fatalf("%v = % x", at, got)
		}
	}
	for _, bad := range []string{"20260001000000", "20261301000000", "20260431000000", "20260101240000", "20260101006000", "20260101000060", "2026010100000x", "4294967296", "-1", ""} {
		if data, ok := dataOf(t, "RRSIG A 13 3 300 "+bad+" 1 1 a. AQID"); ok {
			t.Errorf("time %q = % x", bad, data)
		}
	}
}
