package master_test

import (
	"strings"
	"testing"
)

func TestServices(t *testing.T) {
	for _, row := range []struct{ why, data, want string }{
		{"an alias", `SVCB 0 b`, `SVCB 0 b.z.example.`},
		{"parameters that an alias should not have, and clients ignore", `HTTPS 0 b alpn=h2`, `HTTPS 0 b.z.example. alpn="h2"`},
		{"all by name, in any order", `SVCB 7 b.c. ohttp port=53 alpn="h2,h3" ipv6hint=2001:db8::1,::2 no-default-alpn= ech=AAAA ipv4hint=192.0.2.1,192.0.2.2 dohpath=/{?dns} mandatory=port,alpn key65333=x`,
			`SVCB 7 b.c. mandatory="alpn,port" alpn="h2,h3" no-default-alpn="" port="53" ipv4hint="192.0.2.1,192.0.2.2" ech="AAAA" ipv6hint="2001:db8::1,::2" dohpath="/{?dns}" ohttp="" key65333="x"`},
		{"dohpath by number", `SVCB 1 . key7="/dns-query{?dns}"`, `SVCB 1 . dohpath="/dns-query{?dns}"`},
		{"one without quotation marks", `SVCB 1 . key7=/dns-query{?dns}`, `SVCB 1 . dohpath="/dns-query{?dns}"`},
		{"port by number", `SVCB 1 . key3="\000\053"`, `SVCB 1 . port="53"`},
		{"alpn by number", `SVCB 1 . key1="\002h2"`, `SVCB 1 . alpn="h2"`},
		{"no-default-alpn by number", `HTTPS 1 . key2 alpn=h2`, `HTTPS 1 . alpn="h2" no-default-alpn=""`},
		{"hints by number", `HTTPS 1 . key6="abcdefghijklmnop" key4=abcd`, `HTTPS 1 . ipv4hint="97.98.99.100" ipv6hint="6162:6364:6566:6768:696a:6b6c:6d6e:6f70"`},
		{"ech by number", `HTTPS 1 . key5="\000\001"`, `HTTPS 1 . ech="AAE="`},
		{"ohttp by number, with an equality sign", `HTTPS 1 . key8=`, `HTTPS 1 . ohttp=""`},
		{"mandatory by number", `SVCB 1 . port=53 key0="\000\003"`, `SVCB 1 . mandatory="port" port="53"`},
		{"numbers that are mandatory", `SVCB 1 . mandatory=key10,port,key1 alpn=h2 port=53 key10`, `SVCB 1 . mandatory="alpn,port,key10" alpn="h2" port="53" key10=""`},
		{"numbers without a name", `SVCB 1 . key9="a b" key10=")" key65534=\"\044`, `SVCB 1 . key9="a\ b" key10=")" key65534="\","`},
		{"an empty ech, which name servers let pass", `HTTPS 1 . ech`, `HTTPS 1 . ech=""`},
		{"variables of a path", `SVCB 1 . dohpath="/{a}{/b,dns:3}"`, `SVCB 1 . dohpath="/{a}{/b,dns:3}"`},
		{"the generic form", `TYPE64 \# 16 0001 00 0001 0003 02 6832 0003 0002 0035`, `SVCB 1 . alpn="h2" port="53"`},
		{"that of an alias", `TYPE65 \# 10 0000 00 0001 0003 02 6832`, `HTTPS 0 . alpn="h2"`},
		{"over lines", "SVCB 1 . ( key7=/{dns} ; c\n\talpn=\"h2\" )", `SVCB 1 . alpn="h2" dohpath="/{dns}"`},
		{"a comma and a backslash in a protocol", `SVCB 1 . alpn="f\\\\oo\\,bar,h2"`, `SVCB 1 . alpn="f\\\092oo\\\044bar,h2"`}, // RFC 9460, appendix D.2
		{"the same without quotation marks", `SVCB 1 . alpn=f\\\092oo\092,bar,h2`, `SVCB 1 . alpn="f\\\092oo\\\044bar,h2"`},
	} {
		records, mistakes := readAll(t, strings.NewReader("a 5 "+row.data))
		if got := strings.Join(records, "\n"); got != "1: a.z.example. 5 IN "+row.want || len(mistakes) > 0 {
			t.Errorf("%s: %s = %s, mistakes %s, want %s", row.why, row.data, got, mistakes, row.want)
		}
	}
}

func TestServiceMistakes(t *testing.T) {
	const aParam = " is not a parameter (mandatory, alpn, no-default-alpn, port, ipv4hint, ech, ipv6hint, dohpath, ohttp; key0 to key65534, without leading zeros)"
	for _, row := range []struct{ why, data, want string }{
		{"no priority", `x .`, `"x" is not a number from 0 to 65535 (Priority)`},
		{"no target", `1`, `ends where a domain name (RFC 1035: labels of 1 to 63 bytes, 255 bytes in all) should stand`},
		{"no key", `1 . foo=bar`, `"foo=bar"` + aParam},
		{"a key in capital letters", `1 . ALPN=h2`, `"ALPN=h2"` + aParam},
		{"no name of a key", `1 . =h2`, `"=h2"` + aParam},
		{"a number with zeros", `1 . key07=/{?dns}`, `"key07=/{?dns}"` + aParam},
		{"a number that is reserved", `1 . key65535=x`, `"key65535=x"` + aParam},
		{"a number that is too large", `1 . key65536`, `"key65536"` + aParam},
		{"a quoted key", `1 . "alpn=h2"`, `"\""` + aParam},
		{"a blank before the value", `1 . alpn= "h2"`, `"\""` + aParam},
		{"no equality sign before the value", `1 . alpn"h2"`, `"\""` + aParam},
		{"a value that is quoted in part", `1 . key7=/q"{?dns}"`, `"\""` + aParam},
		{"no blank behind a value", `1 . alpn="h2"port=53`, `"port=53" stands next to a quotation mark (want a blank between parameters)`},
		{"a parenthesis that was not open", `1 . alpn=h2 )`, `")" has no "(" before it`},
		{"an escape that is no byte", `1 . key7="\256"`, `"\\256" has a \ before digits that are no byte (\000 to \255)`},
		{"a mandatory key that is none", `1 . mandatory=alpn,foo alpn=h2`, `mandatory: "foo"` + aParam},
		{"no key behind a comma", `1 . mandatory=alpn, alpn=h2`, `mandatory: ""` + aParam},
		{"an empty protocol", `1 . alpn=h2,,h3`, `alpn: "" is not a protocol (1 to 255 bytes)`},
		{"a protocol that is too long", `1 . alpn=` + strings.Repeat("x", 256), `alpn: "` + strings.Repeat("x", 80) + `…" is not a protocol (1 to 255 bytes)`},
		{"an escape that no list has", `1 . alpn=a\\b`, `alpn: "a\\b" has a \ that stands neither before \ nor before a comma (RFC 9460, appendix A.1)`},
		{"a port that is too large", `1 . port=65536`, `port: "65536" is not a number from 0 to 65535`},
		{"a port with escapes", `1 . port=\053`, `port: "\\053" is not a number from 0 to 65535`},
		{"no IPv4 address", `1 . ipv4hint=192.0.2.1,2001:db8::1`, `ipv4hint: "2001:db8::1" is not an IPv4 address`},
		{"no IPv4 address behind a comma", `1 . ipv4hint="192.0.2.1,"`, `ipv4hint: "" is not an IPv4 address`},
		{"no IPv6 address", `1 . ipv6hint=192.0.2.1`, `ipv6hint: "192.0.2.1" is not an IPv6 address`},
		{"no base 64", `1 . ech=A`, `ech: "A" is not base 64`},
		{"a value that is too long", `1 . key9="` + strings.Repeat("x", 65536) + `"`, `key9: a value of 65536 bytes is too long (at most 65535)`},
		{"data that is too long", `1 . key9="` + strings.Repeat("x", 65529) + `"`, `has 65536 bytes of data (at most 65535)`},
		{"no protocol", `1 . alpn`, `alpn: has no protocol (alpn=h2,h3)`},
		{"no protocol behind an equality sign", `1 . alpn=""`, `alpn: has no protocol (alpn=h2,h3)`},
		{"no protocol of an alias", `0 b alpn=`, `alpn: has no protocol (alpn=h2,h3)`},
		{"no length of a protocol by number", `1 . key1=h2`, `alpn: does not fit the wire format (protocols of 1 to 255 bytes, each behind its length)`},
		{"an empty protocol by number", `1 . key1="\002h2\000"`, `alpn: does not fit the wire format (protocols of 1 to 255 bytes, each behind its length)`},
		{"no mandatory key", `1 . mandatory`, `mandatory: has no key (mandatory=alpn)`},
		{"a mandatory key that is absent", `1 . mandatory=alpn`, `mandatory: lists alpn, which the record lacks (RFC 9460, section 8)`},
		{"one without a name", `1 . alpn=h2 mandatory=key10,alpn`, `mandatory: lists key10, which the record lacks (RFC 9460, section 8)`},
		{"mandatory lists itself", `1 . mandatory=mandatory,alpn alpn=h2`, `mandatory: lists itself (RFC 9460, section 8)`},
		{"a mandatory key that is listed twice", `1 . mandatory=port,alpn,key3 alpn=h2 port=53`, `mandatory: lists port twice (RFC 9460, section 8)`},
		{"mandatory keys out of order by number", `1 . key0="\000\003\000\001" alpn=h2 port=53`, `mandatory: lists alpn behind port (want keys in the order of their numbers: RFC 9460, section 8)`},
		{"half a mandatory key by number", `1 . key0="\000\001\000" alpn=h2`, `mandatory: has 3 bytes (want keys of 2)`},
		{"no-default-alpn alone", `1 . no-default-alpn`, `no-default-alpn stands without alpn (RFC 9460, section 7.1.1)`},
		{"no-default-alpn with a value", `1 . alpn=h2 no-default-alpn=x`, `no-default-alpn: has a value (want none)`},
		{"ohttp with a value", `1 . key8=x`, `ohttp: has a value (want none)`},
		{"a key that stands twice", `1 . alpn=h2 port=53 alpn=h3`, `alpn stands twice (RFC 9460, section 2.1)`},
		{"by name and by number", `1 . alpn=h2 key1="\002h3"`, `alpn stands twice (RFC 9460, section 2.1)`},
		{"no port", `1 . port`, `port: has 0 bytes (want a number of 2)`},
		{"half a port by number", `1 . key3="\053"`, `port: has 1 bytes (want a number of 2)`},
		{"no IPv4 address at all", `1 . ipv4hint=`, `ipv4hint: has 0 bytes (want addresses of 4)`},
		{"part of an IPv4 address by number", `1 . key4=abcde`, `ipv4hint: has 5 bytes (want addresses of 4)`},
		{"no IPv6 address at all", `1 . ipv6hint=""`, `ipv6hint: has 0 bytes (want addresses of 16)`},
		{"part of an IPv6 address by number", `1 . key6=abcd`, `ipv6hint: has 4 bytes (want addresses of 16)`},
		{"an IPv4 address as one of IPv6", `1 . ipv6hint=2001:db8::1,::ffff:192.0.2.1`, `ipv6hint: "::ffff:192.0.2.1" is an IPv4 address (want it as an ipv4hint)`},
		{"no path", `1 . dohpath`, `dohpath: "" is not a path with the variable dns (/dns-query{?dns})`},
		{"a path without a variable", `1 . key7=/dns-query`, `dohpath: "/dns-query" is not a path with the variable dns (/dns-query{?dns})`},
		{"a path with others", `1 . dohpath=/{?dnss,x}{dns`, `dohpath: "/{?dnss,x}{dns" is not a path with the variable dns (/dns-query{?dns})`},
		{"a path that is relative", `1 . dohpath=q{?dns}`, `dohpath: "q{?dns}" is not a path with the variable dns (/dns-query{?dns})`},
		{"a path that is no text", `1 . dohpath="/\255{?dns}"`, `dohpath: "/\xff{?dns}" is not a path with the variable dns (/dns-query{?dns})`},
		{"no parameters of the generic form", `\# 2 0001`, `does not fit the wire format of the type`},
		{"a compressed target", `\# 4 0001 c000`, `does not fit the wire format of the type`},
		{"a parameter that is cut off", `\# 8 0001 00 0003 0002 00`, `does not fit the wire format of the type`},
		{"half a head of a parameter", `\# 6 0001 00 0003 00`, `does not fit the wire format of the type`},
		{"no protocol in the generic form", `\# 7 0001 00 0001 0000`, `alpn: has no protocol (alpn=h2,h3)`},
		{"twice in the generic form", `\# 15 0001 00 0003 0002 0035 0003 0002 0035`, `port stands twice (RFC 9460, section 2.1)`},
		{"out of order", `\# 16 0001 00 0003 0002 0035 0001 0003 026832`, `alpn stands behind port (want parameters in the order of their numbers: RFC 9460, section 2.2)`},
		{"the reserved key", `\# 7 0001 00 ffff 0000`, `key65535: is reserved (want key0 to key65534: RFC 9460, section 14.3.2)`},
	} {
		for _, rrtype := range []string{"SVCB", "HTTPS"} {
			records, mistakes := readAll(t, strings.NewReader("a 5 "+rrtype+" "+row.data))
			want := "1: a.z.example. " + rrtype + ": " + row.want + " (lost a.z.example. " + rrtype + ")"
			if got := strings.Join(mistakes, "\n"); got != want || len(records) > 0 {
				t.Errorf("%s: %s: mistakes\n%s\nwant\n%s\nrecords %s", row.why, row.data, got, want, records)
			}
		}
	}
}
