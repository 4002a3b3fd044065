package master_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/master"
)

// readAll reads a file of the origin z.example. and returns what it gives: records by line and text, mistakes by line,
// owner, type and text.
func readAll(t testing.TB, r io.Reader) (records, mistakes []string) {
	t.Helper()
	err := master.Read(r, "z.example.",
		func(r *master.Record) error {
			records = append(records, fmt.Sprintf("%d: %s", r.Line, recordText(t, r)))
			return nil
		},
		func(m master.Mistake) error {
			mistakes = append(mistakes, mistakeText(m))
			return nil
		})
	if err != nil {
		t.Fatalf("Read = %v, want nil", err)
	}
	return records, mistakes
}

// recordText is a record as the DNS library writes it.
func recordText(t testing.TB, r *master.Record) string {
	t.Helper()
	name, n, err := dns.UnpackDomainName(r.Owner, 0)
	if err != nil || n != len(r.Owner) {
		t.Fatalf("line %d: owner % x: read %d of %d bytes, %v", r.Line, r.Owner, n, len(r.Owner), err)
	}
	header := dns.RR_Header{Name: name, Rrtype: r.Type, Class: r.Class, Ttl: r.TTL, Rdlength: uint16(len(r.Data))}
	rr, n, err := dns.UnpackRRWithHeader(header, r.Data, 0)
	if err != nil || n != len(r.Data) || len(r.Data) > 65535 {
		t.Fatalf("line %d: %s %s: data % x: read %d of %d bytes, %v", r.Line, name, dns.Type(r.Type), r.Data, n, len(r.Data), err)
	}
	return strings.ReplaceAll(rr.String(), "\t", " ")
}

func mistakeText(m master.Mistake) string {
	lost := ""
	switch {
	case !m.Lost:
		lost = " (nothing lost)"
	case m.Owner == "" && m.Type == 0:
		lost = " (anything lost)"
	default:
		lost = fmt.Sprintf(" (lost %s %s)", m.Owner, dns.Type(m.Type))
	}
	return fmt.Sprintf("%d: %s%s", m.Line, m.Text, lost)
}

func TestRead(t *testing.T) {
	const soa = "@ 60 SOA a b 1 2 3 4 5\n"
	for _, row := range []struct{ why, file, want string }{
		{"nothing", "", ""},
		{"blank lines and comments", "\n \t\r\n; a ( comment \"\n ; another", ""},
		{"owner, TTL, class and type in either order", "a 5 IN A 192.0.2.1\nb IN 5 A 192.0.2.1\nc 5 A 192.0.2.1\nd CH A 192.0.2.1\n",
			"1: a.z.example. 5 IN A 192.0.2.1\n2: b.z.example. 5 IN A 192.0.2.1\n3: c.z.example. 5 IN A 192.0.2.1\n4: d.z.example. 5 CH A 192.0.2.1"},
		{"mnemonics in small letters", "a 5 in aaaa 2001:DB8::1\n", "1: a.z.example. 5 IN AAAA 2001:db8::1"},
		{"a type that is an owner", "a 5 A 192.0.2.1\nmx a 192.0.2.1\nIN A 192.0.2.2\n", "1: a.z.example. 5 IN A 192.0.2.1\n2: mx.z.example. 5 IN A 192.0.2.1\n3: IN.z.example. 5 IN A 192.0.2.2"},
		{"a blank owner is the one before", "a 5 A 192.0.2.1\n\n ; b\n  A 192.0.2.2\n\tTXT x", "1: a.z.example. 5 IN A 192.0.2.1\n4: a.z.example. 5 IN A 192.0.2.2\n5: a.z.example. 5 IN TXT \"x\""},
		{"it stays across $ORIGIN and $GENERATE", "a 5 A 192.0.2.1\n$ORIGIN b\n$GENERATE 1-1 g$ A 192.0.2.$\n A 192.0.2.2\n", "1: a.z.example. 5 IN A 192.0.2.1\n3: g1.b.z.example. 5 IN A 192.0.2.1\n4: a.z.example. 5 IN A 192.0.2.2"},
		{"$TTL rules over what is stated", "$TTL 1h\na A 192.0.2.1\nb 5 A 192.0.2.1\nc A 192.0.2.1\n", "2: a.z.example. 3600 IN A 192.0.2.1\n3: b.z.example. 5 IN A 192.0.2.1\n4: c.z.example. 3600 IN A 192.0.2.1"},
		{"the last stated TTL without $TTL", soa + "a A 192.0.2.1\nb 7 A 192.0.2.1\nc A 192.0.2.1\n", "1: z.example. 60 IN SOA a.z.example. b.z.example. 1 2 3 4 5\n2: a.z.example. 60 IN A 192.0.2.1\n3: b.z.example. 7 IN A 192.0.2.1\n4: c.z.example. 7 IN A 192.0.2.1"},
		{"the minimum of the SOA without any", "@ IN SOA a b 1 2 3 4 5m\na A 192.0.2.1\n", "1: z.example. 300 IN SOA a.z.example. b.z.example. 1 2 3 4 300\n2: a.z.example. 300 IN A 192.0.2.1"},
		{"units", "$TTL 1w2d3h4m5s\na A 192.0.2.1\nb 1D A 192.0.2.1\nc 1h30 A 192.0.2.1\n", "2: a.z.example. 788645 IN A 192.0.2.1\n3: b.z.example. 86400 IN A 192.0.2.1\n4: c.z.example. 3630 IN A 192.0.2.1"},
		{"the largest TTL of 32 bits", "a 4294967295 A 192.0.2.1", "1: a.z.example. 4294967295 IN A 192.0.2.1"},
		{"parentheses", "a 5 SOA (a b ( ; the (first)\n1\n2 3) 4\n5 )\nb A (192.0.2.1)\n", "1: a.z.example. 5 IN SOA a.z.example. b.z.example. 1 2 3 4 5\n5: b.z.example. 5 IN A 192.0.2.1"},
		{"parentheses end words", "a 5 MX(10 b)\n(c) A 192.0.2.1\n", "1: a.z.example. 5 IN MX 10 b.z.example.\n2: c.z.example. 5 IN A 192.0.2.1"},
		{"a line break in parentheses is a blank", "a 5 TXT (b\nc)\n", `1: a.z.example. 5 IN TXT "b" "c"`},
		{"an owner behind a line break in parentheses", "(\na 5 A 192.0.2.1 )\n", "1: a.z.example. 5 IN A 192.0.2.1"},
		{"DOS line ends", "a 5 A 192.0.2.1\r\n\r\n  A (\r\n192.0.2.2 ) ; c\r\n", "1: a.z.example. 5 IN A 192.0.2.1\n3: a.z.example. 5 IN A 192.0.2.2"},
		{"no line break at the end", "a 5 TXT b;c", `1: a.z.example. 5 IN TXT "b"`},
		{"strings", "a 5 TXT \"\" a\"b;(\"c \"d\ne\" \\\" \"\\\"\\\\\\065\" \\;\\032\n", `1: a.z.example. 5 IN TXT "" "a" "b;(" "c" "d\010e" "\"" "\"\\A" "; "`},
		{"escapes in names", "a\\.b 5 CNAME \\065\\@.c\\\\\n\\@ A 192.0.2.1\n\\$TTL A 192.0.2.1\n\\000 A 192.0.2.1\n", "1: a\\.b.z.example. 5 IN CNAME A\\@.c\\\\.z.example.\n2: \\@.z.example. 5 IN A 192.0.2.1\n3: $TTL.z.example. 5 IN A 192.0.2.1\n4: \\000.z.example. 5 IN A 192.0.2.1"},
		{"case is kept", "aB.C. 5 CNAME dE", "1: aB.C. 5 IN CNAME dE.z.example."},
		{"the origin", "$ORIGIN a\n@ 5 NS @\n$ORIGIN .\n@ NS .\nb NS c\n$ORIGIN C.\nd NS e", "2: a.z.example. 5 IN NS a.z.example.\n4: . 5 IN NS .\n5: b. 5 IN NS c.\n7: d.C. 5 IN NS e.C."},
		{"an owner that looks like a directive", "$ORIGINAL 5 A 192.0.2.1", "1: $ORIGINAL.z.example. 5 IN A 192.0.2.1"},
		{"the longest name", strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 51) + " 5 A 192.0.2.1\n", "1: " + strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 51) + ".z.example. 5 IN A 192.0.2.1"},
		{"generic forms", "a 5 TYPE1 \\# 4 C0 00 02 01\nb A \\# 4 (C000\n0201)\nc TYPE65280 \\# 2 0102\nd TYPE65280 \\# 0\ne type65280 \\# 1 ff\nf LOC \\# 16 0012161389 17 2d d0 70 be 15 f0 00 98 8d 20\n",
			"1: a.z.example. 5 IN A 192.0.2.1\n2: b.z.example. 5 IN A 192.0.2.1\n4: c.z.example. 5 CLASS1 TYPE65280 \\# 2 0102\n5: d.z.example. 5 CLASS1 TYPE65280 \\# 0 \n6: e.z.example. 5 CLASS1 TYPE65280 \\# 1 ff\n7: f.z.example. 5 IN LOC 42 21 54.000 N 71 06 18.000 W -24m 1m 10000m 10m"},
		{"types of messages are for the receiver to judge", "a 5 ANY \\# 0\nb TYPE200 \\# 1 00\n", "1: a.z.example. 5 IN ANY \n2: b.z.example. 5 CLASS1 TYPE200 \\# 1 00"},
		{"types that the library reads", "a 5 SVCB 1 . alpn=\"h2,h3\" ( ; c\n port=53 )\nb RP c d\nc APL\nd APL 1:192.0.2.0/24\ne URI 10 1 \"https://a/b c\"\n",
			"1: a.z.example. 5 IN SVCB 1 . alpn=\"h2,h3\" port=\"53\"\n3: b.z.example. 5 IN RP c.z.example. d.z.example.\n4: c.z.example. 5 IN APL \n5: d.z.example. 5 IN APL 1:192.0.2.0/24\n6: e.z.example. 5 IN URI 10 1 \"https://a/b c\""},
		{"a CAA value that is no string", "a 5 CAA 128 iodef \"mailto:a@b\"\nb CAA 0 issue " + strings.Repeat("x", 300), "1: a.z.example. 5 IN CAA 128 iodef \"mailto:a@b\"\n2: b.z.example. 5 IN CAA 0 issue \"" + strings.Repeat("x", 300) + "\""},
		{"DNSSEC", "a 5 NSEC3 1 1 12 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr\n A 192.0.2.1\nb NSEC c TYPE65534 NSEC A RRSIG\nc DS 1 ecdsap256sha256 2 ab CD\nd DNSKEY 257 3 13 (AQ\n ID)\ne RRSIG A 13 3 300 20260101000000 1735689600 1 @ AQID\nf CDNSKEY 0 3 0 AA==\ng NSEC3PARAM 1 0 0 ab\n",
			"1: a.z.example. 5 IN NSEC3 1 1 12 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR\n2: a.z.example. 5 IN A 192.0.2.1\n3: b.z.example. 5 IN NSEC c.z.example. A RRSIG NSEC TYPE65534\n4: c.z.example. 5 IN DS 1 13 2 ABCD\n5: d.z.example. 5 IN DNSKEY 257 3 13 AQID\n7: e.z.example. 5 IN RRSIG A 13 3 300 20260101000000 20250101000000 1 z.example. AQID\n8: f.z.example. 5 IN CDNSKEY 0 3 0 AA==\n9: g.z.example. 5 IN NSEC3PARAM 1 0 0 AB"},
		{"generated names", "$TTL 5\n$GENERATE 1-2 h$ A 192.0.2.$\n$generate 0-4/2 ${10,3,d}.${-0,2,x} 7 IN CNAME a$$b\\$c ; $\n",
			"2: h1.z.example. 5 IN A 192.0.2.1\n2: h2.z.example. 5 IN A 192.0.2.2\n3: 010.00.z.example. 7 IN CNAME a$b$c.z.example.\n3: 012.02.z.example. 7 IN CNAME a$b$c.z.example.\n3: 014.04.z.example. 7 IN CNAME a$b$c.z.example."},
		{"generated strings", "$GENERATE 9-10 h$ 5 TXT (\"a $;\"\n b)$\n", "1: h9.z.example. 5 IN TXT \"a 9;\" \"b\" \"9\"\n1: h10.z.example. 5 IN TXT \"a 10;\" \"b\" \"10\""},
		{"generated in other bases", "$GENERATE 254-255 h${0,4,X} 5 TXT ${0,0,o} ${1,0,x}\n", "1: h00FE.z.example. 5 IN TXT \"376\" \"ff\"\n1: h00FF.z.example. 5 IN TXT \"377\" \"100\""},
	} {
		records, mistakes := readAll(t, strings.NewReader(row.file))
		if strings.Join(records, "\n") != row.want || len(mistakes) > 0 {
			t.Errorf("%s: records\n%s\nwant\n%s\nmistakes\n%s\nwant none", row.why, strings.Join(records, "\n"), row.want, strings.Join(mistakes, "\n"))
		}
	}
}

func TestMistakes(t *testing.T) {
	const (
		aType     = "a type (A, AAAA, CNAME, MX, NS, TXT, ...), a class (IN) or a TTL (300, 5m)"
		aName     = "a domain name (RFC 1035: labels of 1 to 63 bytes, 255 bytes in all)"
		aTimer    = "a number (serial, refresh, retry, expire, minimum; all but the serial may be durations like 2h)"
		anEnd     = " (the file is read no further) (anything lost)"
		aModifier = " is not a modifier (${offset,width,base}: ${0}, ${-5,3} or ${0,2,x}; base d, o, x or X)"
		aRange    = " is not a range (1-100, or 0-100/2; at most 65536 values)"
	)
	long := strings.Repeat("x", 64)
	for _, row := range []struct{ why, file, want string }{
		{"no IPv4 address", "a A 192.0.2.256", `1: a.z.example. A: "192.0.2.256" is not an IPv4 address (lost a.z.example. A)`},
		{"an octal one", "a A 192.0.2.01", `1: a.z.example. A: "192.0.2.01" is not an IPv4 address (lost a.z.example. A)`},
		{"three numbers", "a A 192.0.2", `1: a.z.example. A: "192.0.2" is not an IPv4 address (lost a.z.example. A)`},
		{"a quoted one", "a A \"192.0.2.1\"", `1: a.z.example. A: "\"" is not an IPv4 address (lost a.z.example. A)`},
		{"no IPv6 address", "a AAAA 192.0.2.1", `1: a.z.example. AAAA: "192.0.2.1" is not an IPv6 address (lost a.z.example. AAAA)`},
		{"a long value is cut", "a A " + strings.Repeat("x", 300), `1: a.z.example. A: "` + strings.Repeat("x", 80) + `…" is not an IPv4 address (lost a.z.example. A)`},
		{"no number", "a MX ten b", `1: a.z.example. MX: "ten" is not a number from 0 to 65535 (Pref) (lost a.z.example. MX)`},
		{"a number that is too large", "a MX 65536 b", `1: a.z.example. MX: "65536" is not a number from 0 to 65535 (Pref) (lost a.z.example. MX)`},
		{"a byte that is too large", "a TLSA 256 1 1 aa", `1: a.z.example. TLSA: "256" is not a number from 0 to 255 (Usage) (lost a.z.example. TLSA)`},
		{"a name is missing", "a MX 10\nb A x", `1: a.z.example. MX: ends where ` + aName + " should stand (lost a.z.example. MX)\n" + `2: b.z.example. A: "x" is not an IPv4 address (lost b.z.example. A)`},
		{"a number is missing", "a SRV 1", `1: a.z.example. SRV: ends where a number from 0 to 65535 (Weight) should stand (lost a.z.example. SRV)`},
		{"an empty label", "a NS b..c", `1: a.z.example. NS: "b..c" is not ` + aName + " (lost a.z.example. NS)"},
		{"a label that is too long", "a NS " + long, `1: a.z.example. NS: "` + long + `" is not ` + aName + " (lost a.z.example. NS)"},
		{"a name that is too long with its origin", "a NS " + strings.Repeat("b.", 123) + "b", `1: a.z.example. NS: "` + strings.Repeat("b.", 40) + `…" is not ` + aName + " (lost a.z.example. NS)"},
		{"a dot first", "a NS .b", `1: a.z.example. NS: ".b" is not ` + aName + " (lost a.z.example. NS)"},
		{"an escape that is no byte", `a NS b\256`, `1: a.z.example. NS: "b\\256" is not ` + aName + " (lost a.z.example. NS)"},
		{"an escape that is too short", `a TXT "\25"`, `1: a.z.example. TXT: "\\25" has a \ before digits that are no byte (\000 to \255) (lost a.z.example. TXT)`},
		{"a backslash at the end of the line", "a NS b\\\n", "1: a.z.example. NS: a backslash stands at the end of the line (lost a.z.example. NS)"},
		{"no data", "a A\n A ; c", "1: a.z.example. A: has no data, or too little (lost a.z.example. A)\n2: a.z.example. A: has no data, or too little (lost a.z.example. A)"},
		{"no data in the generic form", `a A \# 0`, "1: a.z.example. A: has no data (lost a.z.example. A)"},
		{"an owner alone", "a", `1: a.z.example.: "a" stands alone (want an owner name, a type and data) (lost a.z.example. None)`},
		{"no type", "a CNMAE b", `1: a.z.example.: "CNMAE" is not ` + aType + " (lost a.z.example. None)"},
		{"no type behind a TTL", "a 5 B c", `1: a.z.example.: "B" is not a type (A, AAAA, CNAME, MX, NS, TXT, ...) or a class (IN) (lost a.z.example. None)`},
		{"no type behind a class", "a IN B c", `1: a.z.example.: "B" is not a type (A, AAAA, CNAME, MX, NS, TXT, ...) or a TTL (300, 5m) (lost a.z.example. None)`},
		{"no type behind both", "a IN 5 B c", `1: a.z.example.: "B" is not a type (A, AAAA, CNAME, MX, NS, TXT, ...) (lost a.z.example. None)`},
		{"two TTLs", "a 5 6 A 192.0.2.1", `1: a.z.example. A: "6" is not a type (A, AAAA, CNAME, MX, NS, TXT, ...) or a class (IN) (lost a.z.example. A)`},
		{"no TTL behind a class", "a IN 5x A 192.0.2.1", `1: a.z.example. A: "5x" is not ` + aType + " (lost a.z.example. A)"},
		{"a TTL that is too large", "a 4294967296 A 192.0.2.1", `1: a.z.example. A: "4294967296" is not ` + aType + " (lost a.z.example. A)"},
		{"an unknown type by number", `a TYPE65536 \# 0`, "1: a.z.example.: unknown RR type (lost a.z.example. None)"},
		{"an unknown class by number", "a CLASSX A 192.0.2.1", "1: a.z.example. A: unknown class (lost a.z.example. A)"},
		{"no owner", " 5 A 192.0.2.1", "1: A record: has no owner name, and no record stands before it (lost  A)"},
		{"more than its data", "a A 192.0.2.1 b", `1: a.z.example. A: "b" stands after the end of the data (lost a.z.example. A)`},
		{"a parenthesis that was not open", "a 5 A 192.0.2.1 )", `1: a.z.example. A: ")" has no "(" before it (lost a.z.example. A)`},
		{"another in what the library reads", "a KX )", `1: a.z.example. KX: ")" has no "(" before it (lost a.z.example. KX)`},
		{"the line of the word", "a CAA (\n 0\n issue )", "3: a.z.example. CAA: bad CAA Value: \"issue\" (lost a.z.example. CAA)"},
		{"the line of a missing word", "a MX (\n 5\n )", "3: a.z.example. MX: ends where " + aName + " should stand (lost a.z.example. MX)"},
		{"a serial with a unit", "@ SOA a b 1h 2 3 4 5", `1: z.example. SOA: "1h" is not ` + aTimer + " (lost z.example. SOA)"},
		{"a timer without an end", "@ SOA a b 1 2 3 4 h", `1: z.example. SOA: "h" is not ` + aTimer + " (lost z.example. SOA)"},
		{"a string that is too long", "a TXT b " + strings.Repeat("x", 256), "1: a.z.example. TXT: a string of 256 bytes is too long (at most 255) (lost a.z.example. TXT)"},
		{"too few strings", "a HINFO b", "1: a.z.example. HINFO: ends where a string (Os) should stand (lost a.z.example. HINFO)"},
		{"a tag that is none", "a CAA 0 is-sue b", `1: a.z.example. CAA: "is-sue" is not a tag of letters and digits (Tag) (lost a.z.example. CAA)`},
		{"half a byte", "a SSHFP 1 1 abc", `1: a.z.example. SSHFP: "abc" is not hexadecimal digits, two for a byte (FingerPrint) (lost a.z.example. SSHFP)`},
		{"no base 64", "a DNSKEY 256 3 13 A", `1: a.z.example. DNSKEY: "A" is not base 64 (PublicKey) (lost a.z.example. DNSKEY)`},
		{"no algorithm", "a DS 1 RSAX 1 ab", `1: a.z.example. DS: "RSAX" is not a number from 0 to 255 or a mnemonic (Algorithm) (lost a.z.example. DS)`},
		{"no such day", "a RRSIG A 13 3 300 20260230000000 20260101000000 1 b AQID", `1: a.z.example. RRSIG: "20260230000000" is not a time (20060102150405, or seconds since 1970) (Expiration) (lost a.z.example. RRSIG)`},
		{"no type in a bitmap, which leaves nothing behind", "a 5 NSEC b MX X\n NSEC b\n", `1: a.z.example. NSEC: "X" is not a type (A, AAAA, CNAME, MX, NS, TXT, ...) (lost a.z.example. NSEC)`},
		{"a salt that is too long", "a NSEC3PARAM 1 0 0 " + strings.Repeat("ab", 256), `1: a.z.example. NSEC3PARAM: "` + strings.Repeat("ab", 40) + `…" is not a salt (hexadecimal digits, at most 255 bytes, or - for none) (lost a.z.example. NSEC3PARAM)`},
		{"a hash that is none", "a NSEC3 1 0 0 - xyz", `1: a.z.example. NSEC3: "xyz" is not a hashed owner name (base 32 with extended hex digits) (lost a.z.example. NSEC3)`},
		{"a length that is not that of the data", `a TXT \# 3 00`, `1: a.z.example. TXT: bad RFC3597 Rdata: "3" (lost a.z.example. TXT)`},
		{"data that is not of the type", `a MX \# 2 000a`, "1: a.z.example. MX: does not fit the wire format of the type (lost a.z.example. MX)"},
		{"compressed data", `a NS \# 2 c000`, "1: a.z.example. NS: does not fit the wire format of the type (lost a.z.example. NS)"},
		{"a label of 64 bytes in the generic form", `a NS \# 66 40` + strings.Repeat("61", 64) + "00", "1: a.z.example. NS: does not fit the wire format of the type (lost a.z.example. NS)"},
		{"windows of types out of order", `a NSEC \# 7 00 010140 000140`, "1: a.z.example. NSEC: does not fit the wire format of the type (lost a.z.example. NSEC)"},
		{"an unknown type as text", "a TYPE65280 b", `1: a.z.example. TYPE65280: bad RFC3597 Rdata: "b" (lost a.z.example. TYPE65280)`},
		{"a type of messages as text", "a AXFR b", `1: a.z.example. AXFR: bad RFC3597 Rdata: "b" (lost a.z.example. AXFR)`},
		{"what the library refuses", "a APL 1:x/8\nb GPOS (\n x )\nc KX x\nd RP", `1: a.z.example. APL: "1:x/8" is not understood (lost a.z.example. APL)
3: b.z.example. GPOS: bad GPOS Longitude: "x" (lost b.z.example. GPOS)
4: c.z.example. KX: "x" is not a number from 0 to 65535 (Pref) (lost c.z.example. KX)
5: d.z.example. RP: has no data, or too little (lost d.z.example. RP)`},
		{"a bad owner, and who has it", "a..b A 192.0.2.1\n CNAME c\n A 1\nd A 192.0.2.1", `1: A record: "a..b" is not ` + aName + " (lost  A)\n2:  (lost  CNAME)\n3: A record: \"1\" is not an IPv4 address (lost  A)"},
		{"the owner of an entry that can't be read", "a A 1\n A 2", `1: a.z.example. A: "1" is not an IPv4 address (lost a.z.example. A)` + "\n" + `2: a.z.example. A: "2" is not an IPv4 address (lost a.z.example. A)`},
		{"an owner in capital letters", "A.B A 1", `1: a.b.z.example. A: "1" is not an IPv4 address (lost a.b.z.example. A)`},
		{"$TTL", "$TTL 5y\na A 192.0.2.1\n$TTL\n$TTL 5 6", `1: $TTL: "5y" is not a TTL (300, 5m) (nothing lost)` + "\n3: $TTL: ends where a TTL (300, 5m) should stand (nothing lost)\n" + `4: $TTL: "6" stands after the end of the data (nothing lost)`},
		{"$ORIGIN", "a A 1\n$ORIGIN a..b\na A 1", `1: a.z.example. A: "1" is not an IPv4 address (lost a.z.example. A)` + "\n" + `2: $ORIGIN: "a..b" is not ` + aName + anEnd},
		{"$INCLUDE", "$INCLUDE /etc/passwd\n$include", `1: $INCLUDE: is not allowed (write the records of "/etc/passwd" here) (anything lost)` + "\n2: $INCLUDE: is not allowed (write the records here) (anything lost)"},
		{"an open parenthesis", "a 5 SOA b (\n 1 2\nb A 1\n", "1: a.z.example. SOA: a parenthesis is never closed" + anEnd},
		{"an open parenthesis in a directive", "$TTL 5 (", "1: $TTL: a parenthesis is never closed" + anEnd},
		{"only a parenthesis", "\n(", "2: a parenthesis is never closed" + anEnd},
		{"an open quotation mark", "a TXT b \"c\nb A 1\n", "1: a.z.example. TXT: a quotation mark is never closed" + anEnd},
		{"the first that is broken", "a TXT \"b\nc\" \"d\ne", "1: a.z.example. TXT: a quotation mark is never closed" + anEnd},
		{"a quotation mark that may have been forgotten", "a A \"x\nb A 1\nc TXT \"d\nb A 2", `1: a.z.example. A: "\"" is not an IPv4 address (the file is read no further: the quotation mark on line 2 is not closed on its line) (anything lost)`},
		{"generated mistakes are told once", "$GENERATE 1-2 a$ 300 A 192.0.2.$x\nb A 1", `1: $GENERATE: "192.0.2.1x" is not an IPv4 address (anything lost)` + "\n" + `2: b.z.example. A: "1" is not an IPv4 address (lost b.z.example. A)`},
		{"a range", "$GENERATE 1 a A 192.0.2.1", `1: $GENERATE: "1"` + aRange + " (anything lost)"},
		{"a range that is too large", "$GENERATE 0-65536 a A 192.0.2.1", `1: $GENERATE: "0-65536"` + aRange + " (anything lost)"},
		{"a step of nothing", "$GENERATE 1-2/0 a A 192.0.2.1", `1: $GENERATE: "1-2/0"` + aRange + " (anything lost)"},
		{"a range backwards", "$GENERATE 2-1 a A 192.0.2.1", `1: $GENERATE: "2-1"` + aRange + " (anything lost)"},
		{"no text", "$GENERATE 1-2", "1: $GENERATE: ends where " + aName + " should stand (anything lost)"},
		{"no type", "$GENERATE 1-3 e$ 300", "1: $GENERATE: ends where a type (A, AAAA, CNAME, MX, NS, TXT, ...) or a class (IN) should stand (anything lost)"},
		{"a base", "$GENERATE 1-3 e${0,0,b} 5 A 192.0.2.1", `1: $GENERATE: "${0,0,b}"` + aModifier + " (anything lost)"},
		{"an open modifier", "$GENERATE 1-3 e${0 5 A 192.0.2.1", `1: $GENERATE: "${0 5 A 192.0.2.1"` + aModifier + " (anything lost)"},
		{"an offset below 0", "$GENERATE 1-3 e${-2} 5 A 192.0.2.1", `1: $GENERATE: "${-2}"` + aModifier + " (anything lost)"},
		{"a width", "$GENERATE 1-3 e${0,256} 5 A 192.0.2.1", `1: $GENERATE: "${0,256}"` + aModifier + " (anything lost)"},
		{"a generated directive", "$GENERATE 1-3 $$GENERATE 1-2 a$$ 5 A 192.0.2.1", "1: $GENERATE: makes the directive $GENERATE, not records (anything lost)"},
	} {
		_, mistakes := readAll(t, strings.NewReader("$TTL 5\n"+row.file))
		for i, m := range mistakes {
			line, text, _ := strings.Cut(m, ":")
			n, err := strconv.Atoi(line)
			if err != nil {
				t.Fatal(err)
			}
			mistakes[i] = fmt.Sprintf("%d:%s", n-1, text) // the row begins below the $TTL
		}
		if got := strings.Join(mistakes, "\n"); got != row.want {
			t.Errorf("%s: mistakes\n%s\nwant\n%s", row.why, got, row.want)
		}
	}
}

// What has no TTL may have lost it with what can't be read before it.
func TestNoTTL(t *testing.T) {
	for _, row := range []struct{ why, file, want string }{
		{"told once", "a A 192.0.2.1\nb A 192.0.2.1\n", "1: a.z.example. A: has no TTL, and no TTL or $TTL stands before it (lost a.z.example. A)"},
		{"after a mistake", "$TTL 5y\nb A 192.0.2.1\n", `1: $TTL: "5y" is not a TTL (300, 5m) (nothing lost)`},
		{"the SOA behind a record", "a IN A 192.0.2.1\n@ SOA a b 1 2 3 4 5\n", "1: a.z.example. A: has no TTL, and no TTL or $TTL stands before it (lost a.z.example. A)"},
	} {
		if _, mistakes := readAll(t, strings.NewReader(row.file)); strings.Join(mistakes, "\n") != row.want {
			t.Errorf("%s: mistakes %s, want %s", row.why, mistakes, row.want)
		}
	}
}

// A file of mistakes only is read as far as its mistakes are told.
func TestManyMistakes(t *testing.T) {
	_, mistakes := readAll(t, strings.NewReader(strings.Repeat("a 5 A 1\n", 100_000)))
	const want = `1000: a.z.example. A: "1" is not an IPv4 address (the file is read no further) (anything lost)`
	if last := mistakes[len(mistakes)-1]; len(mistakes) != 1000 || last != want {
		t.Errorf("%d mistakes, the last %s, want 1000, %s", len(mistakes), last, want)
	}
}

// What is kept of a file has a limit, and an entry that is within it may be far longer than the buffer.
func TestLongEntries(t *testing.T) {
	long := "a 5 TXT (" + strings.Repeat(" ; "+strings.Repeat("x", 1000)+"\n", 900) + " b )\nc A 192.0.2.1\n"
	records, mistakes := readAll(t, strings.NewReader(long))
	if want := []string{`1: a.z.example. 5 IN TXT "b"`, "902: c.z.example. 5 IN A 192.0.2.1"}; !slices.Equal(records, want) || len(mistakes) > 0 {
		t.Errorf("records %s, mistakes %s, want %s", records, mistakes, want)
	}
	for _, row := range []struct{ why, begin, want string }{
		{"a parenthesis", "a TXT (\n", "1: a.z.example. TXT: is longer than 1 MiB, and a parenthesis is not closed (the file is read no further) (anything lost)"},
		{"a quotation mark", "\na TXT \"", "2: a.z.example. TXT: is longer than 1 MiB, and a quotation mark is not closed (the file is read no further) (anything lost)"},
		{"a line", "a TXT ", "1: a.z.example. TXT: is longer than 1 MiB (the file is read no further) (anything lost)"},
		{"a comment", ";", "1: is longer than 1 MiB (the file is read no further) (anything lost)"},
	} {
		r := &endless{begin: row.begin}
		_, mistakes := readAll(t, r)
		if got := strings.Join(mistakes, "\n"); got != row.want || r.given > 3<<20 {
			t.Errorf("%s: mistakes %s after %d bytes, want %s", row.why, got, r.given, row.want)
		}
	}
	_, mistakes = readAll(t, strings.NewReader("a 5 TXT "+strings.Repeat(strings.Repeat("x", 255)+" ", 256)))
	if want := []string{"1: a.z.example. TXT: has 65536 bytes of data (at most 65535) (lost a.z.example. TXT)"}; !slices.Equal(mistakes, want) {
		t.Errorf("mistakes %s, want %s", mistakes, want)
	}
}

// An endless reader gives x after x, in words.
type endless struct {
	begin string
	given int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.begin)
	e.begin = e.begin[n:]
	for i := n; i < len(b); i++ {
		b[i] = 'x'
		if i%100 == 0 {
			b[i] = ' '
		}
	}
	e.given += len(b)
	return len(b), nil
}

// However the bytes come, they give the same.
func TestPortions(t *testing.T) {
	file := string(mixedFile(500)) + "a A 1\nb TXT ( \"c\nd\" ; e\n f )\n$GENERATE 1-3 g$ TXT \"$ $\"\n a A 2 \nb TXT \"open"
	records, mistakes := readAll(t, strings.NewReader(file))
	if len(records) < 500 || len(mistakes) < 3 {
		t.Fatalf("%d records and %d mistakes", len(records), len(mistakes))
	}
	for name, r := range map[string]io.Reader{
		"single bytes": iotest.OneByteReader(strings.NewReader(file)), "halves": iotest.HalfReader(strings.NewReader(file)),
		"data with the end": iotest.DataErrReader(strings.NewReader(file)),
	} {
		r2, m2 := readAll(t, r)
		if !slices.Equal(r2, records) || !slices.Equal(m2, mistakes) {
			t.Errorf("%s: %d records and %s, want %d and %s", name, len(r2), m2, len(records), mistakes)
		}
	}
}

func TestErrors(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	record := func(*master.Record) error { calls++; return nil }
	mistake := func(master.Mistake) error { calls++; return nil }
	for _, row := range []struct {
		why  string
		read func() error
		want error
	}{
		{"of the reader", func() error { return master.Read(iotest.ErrReader(stop), "a.", record, mistake) }, stop},
		{"of the reader, early", func() error { return master.Read(iotest.ErrReader(io.ErrUnexpectedEOF), "a.", record, mistake) }, io.ErrUnexpectedEOF},
		{"of a reader that gives nothing", func() error { return master.Read(nothing{}, "a.", record, mistake) }, io.ErrNoProgress},
		{"of record", func() error {
			return master.Read(strings.NewReader("a 5 A 192.0.2.1\nb A 192.0.2.1\n"), "a.", func(*master.Record) error { calls++; return stop }, mistake)
		}, stop},
		{"of record, generated", func() error {
			return master.Read(strings.NewReader("$GENERATE 1-9 a$ 5 A 192.0.2.1\n"), "a.", func(*master.Record) error { calls++; return stop }, mistake)
		}, stop},
		{"of mistake", func() error {
			return master.Read(strings.NewReader("a\nb\n"), "a.", record, func(master.Mistake) error { calls++; return stop })
		}, stop},
	} {
		calls = 0
		if err := row.read(); err != row.want || calls > 1 {
			t.Errorf("%s: Read = %v after %d calls, want %v", row.why, err, calls, row.want)
		}
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestOriginMustBeQualified(t *testing.T) {
	for _, origin := range []string{"", "a", "a..", strings.Repeat("a.", 128)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Read with origin %q does not panic", origin)
				}
			}()
			master.Read(bytes.NewReader(nil), origin, nil, nil)
		}()
	}
}

// A Reader begins anew with each file, whatever the one before left behind.
func TestReader(t *testing.T) {
	var r master.Reader
	read := func(file string) (text string) {
		err := r.Read(strings.NewReader(file), "z.example.", func(r *master.Record) error {
			text += fmt.Sprintf("%d: %s\n", r.Line, recordText(t, r))
			return nil
		}, func(m master.Mistake) error {
			text += mistakeText(m) + "\n"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const file = "a 5 A 192.0.2.1\n A 192.0.2.2\nb NSEC c A\n"
	const second = " A 192.0.2.1\na A 192.0.2.1\n"
	want, wantSecond := read(file), read(second)
	if strings.Count(want, "\n") != 3 || !strings.Contains(wantSecond, "has no") {
		t.Fatalf("read %s and %s", want, wantSecond)
	}
	for _, before := range []string{"", "$ORIGIN x.\n$TTL 7\n", "b 5 TXT (", "a 5 TXT \"b", strings.Repeat("a\n", 2000), "b 7 NSEC c TYPE65535 X\n", "a 5 TXT (" + strings.Repeat("b ", 300_000) + ")\n"} {
		read(before)
		if got := read(file); got != want {
			t.Errorf("after %.20q: %s, want %s", before, got, want)
		}
		read(before)
		if got := read(second); got != wantSecond {
			t.Errorf("after %.20q: %s, want %s", before, got, wantSecond)
		}
	}
}
