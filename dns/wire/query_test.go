package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/dns/wire"
)

// The pieces that queries are put together from in tests.
const (
	mailA   = "\x04mail\x07example\x03com\x00\x00\x01\x00\x01"
	opt     = "\x00\x00\x29\x04\xD0\x00\x00\x00\x00\x00\x00"
	testID  = "\x12\x34"
	glueOne = "\xC0\x0C\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"
)

// header packs an ID, flags and the numbers of questions, answers, authority and additional records.
func header(flags uint16, counts ...uint16) string {
	b := binary.BigEndian.AppendUint16([]byte(testID), flags)
	for _, count := range counts {
		b = binary.BigEndian.AppendUint16(b, count)
	}
	return string(b)
}

// withOptions is an OPT record that has some options.
func withOptions(options string) string {
	return opt[:9] + string(binary.BigEndian.AppendUint16(nil, uint16(len(options)))) + options
}

func option(code byte, data string) string {
	return "\x00" + string(code) + string(binary.BigEndian.AppendUint16(nil, uint16(len(data)))) + data
}

func subnetQuery(data string) string {
	return header(0, 1, 0, 0, 1) + mailA + withOptions(option(8, data))
}

func TestQuery(t *testing.T) {
	s := snapshot(t)
	long := strings.Repeat("\x3F"+strings.Repeat("a", 63), 3)
	for _, test := range []struct {
		reason string
		query  string
		want   string // rcode, flags, what is in the answer; empty: there is none
	}{
		{"nothing", "", ""},
		{"a byte is missing in the header", header(0, 1, 0, 0, 0)[:11], ""},
		{"a response", header(0x8000, 1, 0, 0, 0) + mailA, ""},
		{"a response with an opcode that is not known", header(0xF800, 1, 0, 0, 0) + mailA, ""},
		{"as it should be", header(0x0100, 1, 0, 0, 0) + mailA, "NOERROR 8500 question answer"},
		{"Z, AD, RA, TC and AA mean nothing in a query", header(0x06E0, 1, 0, 0, 0) + mailA, "NOERROR 8400 question answer"},
		{"CD is copied", header(0x0010, 1, 0, 0, 0) + mailA, "NOERROR 8410 question answer"},
		{"an rcode means nothing in a query", header(0x000F, 1, 0, 0, 0) + mailA, "NOERROR 8400 question answer"},

		{"IQUERY", header(0x0900, 1, 0, 0, 0) + mailA, "NOTIMP 8804"},
		{"NOTIFY", header(0x2000, 1, 0, 0, 0) + mailA, "NOTIMP a004"},
		{"UPDATE with all flags", header(0x2FF0, 1, 0, 0, 1) + mailA + opt, "NOTIMP a804 opt"},
		{"opcode 15", header(0x7800, 0, 0, 0, 0), "NOTIMP f804"},
		{"opcode 15 with counts that are none", header(0x7800, 7, 0, 0, 1) + mailA, "NOTIMP f804"},

		{"no question", header(0x0100, 0, 0, 0, 0), "FORMERR 8101"},
		{"no question but an OPT record", header(0, 0, 0, 0, 1) + opt, "FORMERR 8001 opt"},
		{"two questions", header(0, 2, 0, 0, 0) + mailA + mailA, "FORMERR 8001"},
		{"two questions and an OPT record", header(0, 2, 0, 0, 1) + mailA + mailA + opt, "FORMERR 8001 opt"},
		{"a question that is not there", header(0, 1, 0, 0, 0), "FORMERR 8001"},
		{"a name without end", header(0, 1, 0, 0, 0) + "\x04mail", "FORMERR 8001"},
		{"a label without end", header(0, 1, 0, 0, 0) + "\x04mai", "FORMERR 8001"},
		{"half a type", header(0, 1, 0, 0, 0) + "\x04mail\x00\x00\x01\x00", "FORMERR 8001"},
		{"a pointer in the question", header(0, 1, 0, 0, 1) + "\x04mail\xC0\x0C\x00\x01\x00\x01", "FORMERR 8001"},
		{"a pointer to itself", header(0, 1, 0, 0, 1) + "\xC0\x0C\x00\x01\x00\x01", "FORMERR 8001"},
		{"a label of 64 bytes", header(0, 1, 0, 0, 0) + "\x40" + strings.Repeat("a", 64) + "\x00\x00\x01\x00\x01", "FORMERR 8001"},
		{"a name of 255 bytes", header(0, 1, 0, 0, 0) + long + "\x3D" + strings.Repeat("a", 61) + "\x00\x00\x01\x00\x01", "REFUSED 8005 question"},
		{"a name of 256 bytes", header(0, 1, 0, 0, 0) + long + "\x3E" + strings.Repeat("a", 62) + "\x00\x00\x01\x00\x01", "FORMERR 8001"},

		{"bytes behind the question", header(0, 1, 0, 0, 0) + mailA + "more", "NOERROR 8400 question answer"},
		{"an answer in the query", header(0, 1, 1, 0, 0) + mailA + glueOne, "NOERROR 8400 question answer"},
		{"an answer, authority, OPT and additional", header(0, 1, 1, 1, 2) + mailA + glueOne + glueOne + opt + glueOne, "NOERROR 8400 question answer opt"},
		{"an OPT among the answers is none", header(0, 1, 1, 0, 0) + mailA + opt, "NOERROR 8400 question answer"},
		{"a record is missing", header(0, 1, 0, 0, 1) + mailA, "FORMERR 8001 question"},
		{"a record's data are missing", header(0, 1, 0, 0, 1) + mailA + glueOne[:15], "FORMERR 8001 question"},
		{"a record's length is missing", header(0, 1, 0, 0, 1) + mailA + glueOne[:11], "FORMERR 8001 question"},
		{"a record's name has a bad label", header(0, 1, 0, 0, 1) + mailA + "\x80" + glueOne, "FORMERR 8001 question"},

		{"an OPT record", header(0, 1, 0, 0, 1) + mailA + opt, "NOERROR 8400 question answer opt"},
		{"two OPT records", header(0, 1, 0, 0, 2) + mailA + opt + opt, "FORMERR 8001 question opt"},
		{"an OPT record not at the root", header(0, 1, 0, 0, 1) + mailA + "\x01a" + opt, "FORMERR 8001 question opt"},
		{"an OPT record at a pointer", header(0, 1, 0, 0, 1) + mailA + "\xC0\x1C" + opt[1:], "FORMERR 8001 question opt"},
		{"version 1", header(0x0110, 1, 0, 0, 1) + mailA + opt[:6] + "\x01" + opt[7:], "BADVERS 8110 question opt"},
		{"version 1 with options that are not ours to read", header(0, 1, 0, 0, 1) + mailA + opt[:6] + "\x01\x00\x00\x00\x01\x00", "BADVERS 8000 question opt"},
		{"version 1 twice", header(0, 1, 0, 0, 2) + mailA + opt[:6] + "\x01" + opt[7:] + opt, "FORMERR 8001 question opt"},
		{"a bad class does not hide a bad version", header(0, 1, 0, 0, 1) + "\x00\x00\x01\x00\x03" + opt[:6] + "\x01" + opt[7:], "BADVERS 8000 question opt"},
		{"an extended rcode means nothing in a query", header(0, 1, 0, 0, 1) + mailA + opt[:5] + "\x05" + opt[6:], "NOERROR 8400 question answer opt"},
		{"DO and CO are copied, the bits beside them are not", header(0, 1, 0, 0, 1) + mailA + opt[:7] + "\xFF\xFF" + opt[9:], "NOERROR 8400 question answer opt do co"},
		{"CO without DO", header(0, 1, 0, 0, 1) + mailA + opt[:7] + "\x40\x00" + opt[9:], "NOERROR 8400 question answer opt"},
		{"options that are not known", header(0, 1, 0, 0, 1) + mailA + withOptions(option(99, "")+option(12, "padding")), "NOERROR 8400 question answer opt"},
		{"an option that ends early", header(0, 1, 0, 0, 1) + mailA + withOptions("\x00\x63\x00\x02\x01"), "FORMERR 8001 question opt"},
		{"half an option's head", header(0, 1, 0, 0, 1) + mailA + withOptions("\x00\x63\x00"), "FORMERR 8001 question opt"},

		{"IPv4 subnet", subnetQuery("\x00\x01\x18\x00\x05\x01\x02"), "NOERROR 8400 question answer opt subnet"},
		{"IPv4 subnet of odd length", subnetQuery("\x00\x01\x15\x00\x05\x01\x08"), "NOERROR 8400 question answer opt subnet"},
		{"IPv6 subnet", subnetQuery("\x00\x02\x20\x00\x2A\x00\x00\x01"), "NOERROR 8400 question answer opt subnet"},
		{"IPv4, no bits", subnetQuery("\x00\x01\x00\x00"), "NOERROR 8400 question answer opt subnet"},
		{"IPv6, all bits", subnetQuery("\x00\x02\x80\x00" + strings.Repeat("\x2A", 16)), "NOERROR 8400 question answer opt subnet"},
		{"family 0 without address", subnetQuery("\x00\x00\x00\x00"), "NOERROR 8400 question answer opt subnet"},
		{"family 0 with address", subnetQuery("\x00\x00\x08\x00\x05"), "FORMERR 8001 question opt"},
		{"family 3", subnetQuery("\x00\x03\x08\x00\x05"), "FORMERR 8001 question opt"},
		{"a scope in a query", subnetQuery("\x00\x01\x08\x08\x05"), "FORMERR 8001 question opt"},
		{"33 bits of IPv4", subnetQuery("\x00\x01\x21\x00\x05\x01\x02\x03\x00"), "FORMERR 8001 question opt"},
		{"129 bits of IPv6", subnetQuery("\x00\x02\x81\x00" + strings.Repeat("\x00", 17)), "FORMERR 8001 question opt"},
		{"too few bytes of address", subnetQuery("\x00\x01\x18\x00\x05\x01"), "FORMERR 8001 question opt"},
		{"too many bytes of address", subnetQuery("\x00\x01\x10\x00\x05\x01\x00"), "FORMERR 8001 question opt"},
		{"bits past the source length", subnetQuery("\x00\x01\x15\x00\x05\x01\x04"), "FORMERR 8001 question opt"},
		{"three bytes of option", subnetQuery("\x00\x01\x00"), "FORMERR 8001 question opt"},
		{"two subnets", header(0, 1, 0, 0, 1) + mailA + withOptions(option(8, "\x00\x01\x00\x00")+option(8, "\x00\x01\x00\x00")), "FORMERR 8001 question opt"},
	} {
		answer, _ := answerTo(nil, s, []byte(test.query), european, wire.MaxUDP, 0)
		if got := describe(answer, test.query); got != test.want {
			t.Errorf("%s: Answer(%x) = %q, want %q", test.reason, test.query, got, test.want)
		}
	}
}

// describe reads the bytes of an answer by hand.
func describe(b []byte, query string) string {
	if len(b) == 0 {
		return ""
	}
	rcodes := map[uint16]string{0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"}
	flags := binary.BigEndian.Uint16(b[2:])
	rcode := flags & 15
	var parts []string
	rest := b[12:]
	if b[5] == 1 {
		parts = append(parts, "question")
		n := bytes.IndexByte(rest, 0) + 5
		if !strings.HasPrefix(query[12:], string(rest[:n])) {
			parts = append(parts, "of its own")
		}
		rest = rest[n:]
	}
	if b[7] == 1 {
		parts = append(parts, "answer")
		rest = rest[16:]
	}
	if b[11] == 1 {
		parts = append(parts, "opt")
		rcode |= uint16(rest[5]) << 4
		if rest[7]&0x80 != 0 {
			parts = append(parts, "do")
		}
		if rest[7]&0x40 != 0 {
			parts = append(parts, "co")
		}
		if rest[7]&0x3F != 0 || rest[8] != 0 {
			parts = append(parts, "other flags")
		}
		if options := rest[11:]; len(options) > 0 && options[1] == 8 {
			parts = append(parts, "subnet")
			option := string(options)
			if !strings.HasSuffix(query, option) {
				parts = append(parts, "of its own")
			}
		}
	}
	if string(b[:2]) != testID {
		parts = append(parts, "with another ID")
	}
	return strings.TrimSpace(fmt.Sprintf("%s %04x %s", rcodes[rcode], flags, strings.Join(parts, " ")))
}

// The client's limit counts to the byte, with the OPT record in it.
func TestAnswerKeepsToTheLimit(t *testing.T) {
	s := snapshot(t)
	const big = "\x03big\x07example\x03com\x00\x00\x10\x00\x01"
	query := []byte(header(0, 1, 0, 0, 1) + big + withOptions(option(8, "\x00\x01\x18\x00\x05\x01\x02")))
	size := query[12+len(big)+3:]
	whole, _ := answerTo(nil, s, query, european, wire.MaxMessage, 0)
	for limit := 512; limit < 2*len(whole); limit++ {
		binary.BigEndian.PutUint16(size, uint16(limit))
		answer, out := answerTo(nil, s, query, european, 4096, 0)
		if len(answer) > limit || out.Truncated != (limit < len(whole)) {
			t.Fatalf("Answer has %d bytes, truncated %v; the limit is %d, the whole has %d", len(answer), out.Truncated, limit, len(whole))
		}
	}
}

func TestAnswerAppends(t *testing.T) {
	s, query := snapshot(t), []byte(subnetQuery("\x00\x01\x18\x00\x05\x01\x02"))
	alone, _ := answerTo(nil, s, query, european, wire.MaxUDP, 0)
	behind, _ := answerTo([]byte("before"), s, query, european, wire.MaxUDP, 0)
	if want := "before" + string(alone); string(behind) != want {
		t.Errorf("Answer behind other bytes = %x, want %x", behind, want)
	}
	dropped, out := answerTo([]byte("before"), s, []byte("short"), european, wire.MaxUDP, 0)
	if string(dropped) != "before" || out.Drop != wire.DropShort {
		t.Errorf("Answer to no query = %q, %v, want dst as it was", dropped, out)
	}
}

func TestAnswerWithoutSnapshot(t *testing.T) {
	query := header(0x0100, 1, 0, 0, 1) + mailA + opt
	answer, out := answerTo(nil, nil, []byte(query), european, wire.MaxUDP, 0)
	if got, want := describe(answer, query), "SERVFAIL 8102 question opt"; got != want || out.RCode != wire.ServFail {
		t.Errorf("Answer without a snapshot = %q, %v, want %q", got, out, want)
	}
}
