package probe

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// proxySignature begins a PROXY header of version 2.
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// proxyHeader returns the PROXY header that says truly who is connected to whom. Where the ends are not addresses of one family of IP it says
// so, and the server goes by the connection.
func proxyHeader(version int, conn net.Conn) []byte {
	from, to := endOf(conn.LocalAddr()), endOf(conn.RemoteAddr())
	known := from.IsValid() && to.IsValid() && from.Addr().Is4() == to.Addr().Is4()
	if version == 1 {
		if !known {
			return []byte("PROXY UNKNOWN\r\n")
		}
		family := "TCP6"
		if from.Addr().Is4() {
			family = "TCP4"
		}
		return fmt.Appendf(nil, "PROXY %s %v %v %d %d\r\n", family, from.Addr(), to.Addr(), from.Port(), to.Port())
	}
	header := []byte(proxySignature)
	if !known {
		return append(header, 0x20, 0, 0, 0) // version 2, LOCAL; no family, nothing more
	}
	family := byte(0x21) // TCP over IPv6
	if from.Addr().Is4() {
		family = 0x11
	}
	ends := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	ends = binary.BigEndian.AppendUint16(ends, from.Port())
	ends = binary.BigEndian.AppendUint16(ends, to.Port())
	header = append(header, 0x21, family) // version 2, PROXY
	header = binary.BigEndian.AppendUint16(header, uint16(len(ends)))
	return append(header, ends...)
}

// endOf returns an end of a TCP connection; the zero one of another.
func endOf(address net.Addr) netip.AddrPort {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	end := tcp.AddrPort()
	return netip.AddrPortFrom(end.Addr().Unmap().WithZone(""), end.Port())
}
