package server

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Bytes of headers, and where their fields are.
const (
	ethernetHeader = 14
	ipv4Header     = 20 // without options; packets with some go to the kernel
	ipv6Header     = 40
	udpHeader      = 8

	etherType = 12
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	ipv4Plain    = 0x45 // version and length of a header without options
	ipv4Length   = ethernetHeader + 2
	ipv4ID       = ethernetHeader + 4
	ipv4Fragment = ethernetHeader + 6
	ipv4TTL      = ethernetHeader + 8
	ipv4Protocol = ethernetHeader + 9
	ipv4Checksum = ethernetHeader + 10
	ipv4Source   = ethernetHeader + 12
	ipv4Target   = ethernetHeader + 16

	ipv6Length = ethernetHeader + 4
	ipv6Next   = ethernetHeader + 6
	ipv6Source = ethernetHeader + 8
	ipv6Target = ethernetHeader + 24

	udpSource   = 0 // these are counted from the header's begin
	udpTarget   = 2
	udpLength   = 4
	udpChecksum = 6

	protocolUDP = 17
	hopLimit    = 64
)

// A frame is an Ethernet frame with a query.
type frame struct {
	bytes    []byte
	headers  int // bytes before the query
	query    []byte
	from, to netip.AddrPort
}

// parseFrame reads a frame that the program has let through, which has seen to protocols and fragments. It returns false
// if the kernel would not have taken the packet for a client's: where a length or a checksum is wrong, or where
// the source is nobody in particular.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) < ethernetHeader+ipv4Header+udpHeader {
		return f, false
	}
	var from, to netip.Addr
	var addresses []byte
	end := 0
	if binary.BigEndian.Uint16(b[etherType:]) == etherIPv4 {
		f.headers = ethernetHeader + ipv4Header + udpHeader
		end = ethernetHeader + int(binary.BigEndian.Uint16(b[ipv4Length:]))
		addresses = b[ipv4Source : ipv4Source+8]
		from, to = netip.AddrFrom4([4]byte(b[ipv4Source:])), netip.AddrFrom4([4]byte(b[ipv4Target:]))
		if checksum(0, b[ethernetHeader:ethernetHeader+ipv4Header]) != 0 || from.As4()[0] == 0 || from.As4()[0] >= 240 {
			return f, false
		}
	} else {
		f.headers = ethernetHeader + ipv6Header + udpHeader
		if len(b) < f.headers {
			return f, false
		}
		end = ethernetHeader + ipv6Header + int(binary.BigEndian.Uint16(b[ipv6Length:]))
		addresses = b[ipv6Source : ipv6Source+32]
		from, to = netip.AddrFrom16([16]byte(b[ipv6Source:])).Unmap(), netip.AddrFrom16([16]byte(b[ipv6Target:]))
		if from.Is4() {
			return f, false
		}
	}
	if end < f.headers || end > len(b) || from.IsUnspecified() || from.IsMulticast() || from.IsLoopback() {
		return f, false
	}
	udp := b[f.headers-udpHeader : end]
	size := int(binary.BigEndian.Uint16(udp[udpLength:]))
	if size < udpHeader || size > len(udp) {
		return f, false
	}
	udp = udp[:size]
	if !goodSum(udp, addresses) {
		return f, false
	}
	f.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(udp[udpSource:]))
	f.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(udp[udpTarget:]))
	f.bytes, f.query = b, udp[udpHeader:]
	return f, true
}

// goodSum reports whether the checksum of a datagram is right (RFC 768; RFC 8200, section 8.1). Only over IPv4 there need be none. A
// datagram of this machine, that no device has sent yet, has the sum of the pseudo header alone.
func goodSum(udp, addresses []byte) bool {
	sum := binary.BigEndian.Uint16(udp[udpChecksum:])
	if sum == 0 {
		return len(addresses) == 8
	}
	pseudo := checksumOf(protocolUDP+uint64(len(udp)), addresses)
	return checksum(pseudo, udp) == 0 || ^checksum(pseudo, nil) == sum
}

// answerHeaders writes the headers of an answer to dst, which has size bytes of it behind them. It goes back the way that
// the query came. id tells datagrams apart that routers break up (RFC 6864); like the sockets, it does not forbid that.
func (f *frame) answerHeaders(dst []byte, size int, id uint16) {
	in, datagram := f.bytes, udpHeader+size
	copy(dst, in[6:12])
	copy(dst[6:], in[:6])
	binary.BigEndian.PutUint16(dst[etherType:], binary.BigEndian.Uint16(in[etherType:]))
	udp := dst[f.headers-udpHeader : f.headers+size]
	var addresses []byte
	if f.to.Addr().Is4() {
		ip := dst[ethernetHeader : ethernetHeader+ipv4Header]
		clear(ip)
		ip[0] = ipv4Plain
		binary.BigEndian.PutUint16(dst[ipv4Length:], uint16(ipv4Header+datagram))
		binary.BigEndian.PutUint16(dst[ipv4ID:], id)
		dst[ipv4TTL], dst[ipv4Protocol] = hopLimit, protocolUDP
		copy(dst[ipv4Source:], in[ipv4Target:ipv4Target+4])
		copy(dst[ipv4Target:], in[ipv4Source:ipv4Source+4])
		binary.BigEndian.PutUint16(dst[ipv4Checksum:], checksum(0, ip))
		addresses = dst[ipv4Source : ipv4Source+8]
	} else {
		clear(dst[ethernetHeader:ipv6Length])
		dst[ethernetHeader] = 6 << 4
		binary.BigEndian.PutUint16(dst[ipv6Length:], uint16(datagram))
		dst[ipv6Next], dst[ipv6Next+1] = protocolUDP, hopLimit
		copy(dst[ipv6Source:], in[ipv6Target:ipv6Target+16])
		copy(dst[ipv6Target:], in[ipv6Source:ipv6Source+16])
		addresses = dst[ipv6Source : ipv6Source+32]
	}
	binary.BigEndian.PutUint16(udp[udpSource:], f.to.Port())
	binary.BigEndian.PutUint16(udp[udpTarget:], f.from.Port())
	binary.BigEndian.PutUint16(udp[udpLength:], uint16(datagram))
	udp[udpChecksum], udp[udpChecksum+1] = 0, 0
	// The pseudo header has the addresses, the protocol and the length (RFC 768; RFC 8200, section 8.1). A sum of zero is
	// sent as its other form, for zero says that there is none.
	sum := checksum(checksumOf(protocolUDP+uint64(datagram), addresses), udp)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(udp[udpChecksum:], sum)
}

// checksum returns the Internet checksum of b (RFC 1071), begun with the sum of something else.
func checksum(sum uint64, b []byte) uint16 {
	sum = checksumOf(sum, b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// checksumOf adds b to a sum, eight bytes at a time: a carry that leaves the word comes in again at its other end.
func checksumOf(sum uint64, b []byte) uint64 {
	var carry uint64
	for ; len(b) >= 8; b = b[8:] {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
	}
	if len(b) > 0 {
		var rest [8]byte
		copy(rest[:], b)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(rest[:]), carry)
	}
	sum, carry = bits.Add64(sum, 0, carry)
	return sum + carry
}
