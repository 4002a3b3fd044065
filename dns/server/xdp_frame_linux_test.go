package server

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// A query over each family, as frames with the right checksums.
const (
	frame4 = "0200000000010200000000020800" + "4500003b000000004011f67bc0000201c0000235" + "12340035002785fd" + frameQuery
	frame6 = "02000000000102000000000286dd" + "6000000000271140" + "20010db8000000000000000000000001" + "20010db8000000000000000000000053" + "123400350027ae6e" + frameQuery

	frameQuery = "1234010000010000000000000161076578616d706c6503636f6d0000010001"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseFrame(t *testing.T) {
	for _, test := range []struct {
		reason, frame, old, new, from string // from is empty if it is not taken
	}{
		{"IPv4", frame4, "", "", "192.0.2.1:4660"},
		{"IPv6", frame6, "", "", "[2001:db8::1]:4660"},
		{"padded", frame4 + "0000", "", "", "192.0.2.1:4660"},
		{"IPv4, no checksum", frame4, "002785fd", "00270000", "192.0.2.1:4660"},
		{"IPv4, the device is to make the checksum", frame4, "002785fd", "0027846f", "192.0.2.1:4660"},
		{"IPv6, the device is to make the checksum", frame6, "0027ae6e", "00275bfe", "[2001:db8::1]:4660"},
		{"IPv6, no checksum", frame6, "0027ae6e", "00270000", ""},
		{"UDP checksum", frame4, "002785fd", "0027beef", ""},
		{"UDP checksum over IPv6", frame6, "0027ae6e", "0027beef", ""},
		{"a datagram that is longer than its packet", frame4, "002785fd", "00280000", ""},
		{"a datagram that is shorter than its header", frame4, "002785fd", "00070000", ""},
		{"IPv4 checksum", frame4, "f67b", "f67a", ""},
		{"from the unspecified IPv4 network", frame4, "f67bc0000201", "b87d00000000", ""},
		{"from a group", frame4, "f67bc0000201", "d87be0000001", ""},
		{"from the reserved IPv4 network", frame4, "f67bc0000201", "b87dffffffff", ""},
		{"from loopback", frame4, "f67bc0000201", "397c7f000001", ""},
		{"from an IPv6 group", frame6, "20010db8000000000000000000000001", "ff020000000000000000000000000001", ""},
		{"from nobody", frame6, "20010db8000000000000000000000001", "00000000000000000000000000000000", ""},
		{"from IPv4 in IPv6", frame6, "20010db8000000000000000000000001", "00000000000000000000ffffc0000201", ""},
		{"longer than the frame", frame6, "00271140", "00281140", ""},
		{"shorter than its header", frame6, "00271140", "00071140", ""},
		{"cut", frame6[:100], "", "", ""},
	} {
		f, ok := parseFrame(unhex(t, strings.Replace(test.frame, test.old, test.new, 1)))
		if ok != (test.from != "") || ok && f.from.String() != test.from {
			t.Errorf("%s: from %v, %v, want %q", test.reason, f.from, ok, test.from)
		}
		if ok && hex.EncodeToString(f.query) != frameQuery {
			t.Errorf("%s: query %x, want %s", test.reason, f.query, frameQuery)
		}
	}
}

// An answer goes to where the query came from, and its sums come out even.
func TestAnswerHeaders(t *testing.T) {
	for _, text := range []string{frame4, frame6} {
		in, ok := parseFrame(unhex(t, text))
		if !ok {
			t.Fatalf("%s is not taken", text)
		}
		for size := range 64 {
			out := bytes.Repeat([]byte{0xaa}, in.headers+size)
			for i := range size {
				out[in.headers+i] = byte(rand.Uint32())
			}
			in.answerHeaders(out, size, 7)
			if !bytes.Equal(out[:6], in.bytes[6:12]) || !bytes.Equal(out[6:12], in.bytes[:6]) {
				t.Fatalf("stations of %x, want those of %x the other way round", out, in.bytes)
			}
			back, ok := parseFrame(out)
			if !ok || back.from != in.to || back.to != in.from || len(back.query) != size {
				t.Fatalf("the answer %x is from %v to %v with %d bytes, %v, want %v, %v, %d", out, back.from, back.to, len(back.query), ok, in.to, in.from, size)
			}
			pseudo := in.from.Addr().AsSlice()
			pseudo = append(pseudo, in.to.Addr().AsSlice()...)
			pseudo = append(pseudo, 0, protocolUDP, 0, byte(udpHeader+size))
			if sum := slowChecksum(append(pseudo, out[in.headers-udpHeader:]...)); sum != 0 {
				t.Fatalf("the sum of %x is %04x, want 0", out, sum)
			}
		}
	}
}

// The checksum is that of its obvious twin.
func TestChecksum(t *testing.T) {
	for range 2000 {
		b := make([]byte, rand.IntN(80))
		for i := range b {
			b[i] = byte(rand.Uint32()) | byte(rand.IntN(2)*0xff) // many carries
		}
		if got, want := checksum(0, b), slowChecksum(b); got != want {
			t.Fatalf("checksum(%x) = %04x, want %04x", b, got, want)
		}
	}
}

func slowChecksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		word := [2]byte{}
		copy(word[:], b[i:])
		sum += uint32(binary.BigEndian.Uint16(word[:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func FuzzParseFrame(f *testing.F) {
	f.Add(unhex(f, frame4))
	f.Add(unhex(f, frame6))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, ok := parseFrame(b)
		if !ok {
			return
		}
		if in.from.Addr().Is4() != in.to.Addr().Is4() || in.from.Addr() == (netip.Addr{}) || len(in.query) > len(b)-in.headers {
			t.Fatalf("%x: %v to %v with %d bytes", b, in.from, in.to, len(in.query))
		}
		out := make([]byte, in.headers+12)
		in.answerHeaders(out, 12, 0)
	})
}
