package server

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

const (
	xdpPass = 2 // XDP_PASS: to the kernel's stack

	// Where the program's argument, a struct xdp_md, has what it needs.
	argumentData  = 0
	argumentEnd   = 4
	argumentQueue = 16

	longestQuery = 1600 // bytes of a frame; a longer one goes to the kernel, for it need not fit into a part of the memory
)

func newSocketMap(queues int) (*ebpf.Map, error) {
	return ebpf.NewMap(&ebpf.MapSpec{Name: "meridian", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues)})
}

// loadXDP has the kernel check and translate the program.
func loadXDP(targets []xdpTarget, sockets *ebpf.Map) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{Name: "meridian", Type: ebpf.XDP, License: "Apache-2.0", Instructions: xdpProgram(targets, sockets.FD())})
}

// xdpProgram takes the queries for the targets from an interface:
//
//	frame                                      what becomes of it
//	to a group of stations, or too long        kernel
//	not IPv4 or IPv6 with UDP right behind     kernel
//	IPv4 with options, or a fragment           kernel
//	lengths of IP, UDP and frame disagree      kernel, which counts them
//	IPv6 without a checksum                    kernel, which drops them
//	no DNS header, a response, an opcode       kernel: the UDP socket sees to them
//	other than QUERY, an authority section
//	a target's address and port                the socket of its queue; the kernel, if there is none
//	any other                                  kernel
//
// The frame is in R2 to R3, its length in R0.
func xdpProgram(targets []xdpTarget, sockets int) asm.Instructions {
	p := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, argumentData, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, argumentEnd, asm.Word),
		asm.Mov.Reg(asm.R0, asm.R3),
		asm.Sub.Reg(asm.R0, asm.R2),
		asm.JGT.Imm(asm.R0, longestQuery, "pass"),
	}
	p = append(p, needBytes(ethernetHeader+ipv4Header+udpHeader+headerSize)...)
	p = append(p,
		asm.LoadMem(asm.R4, asm.R2, 0, asm.Byte),
		asm.JSet.Imm(asm.R4, 1, "pass"),
	)
	p = append(p, loadHalf(asm.R4, etherType)...)
	p = append(p,
		asm.JEq.Imm(asm.R4, etherIPv4, "ipv4"),
		asm.JNE.Imm(asm.R4, etherIPv6, "pass"),
	)
	p = append(p, programIPv6()...)
	p = append(p, matchTargets(targets, false)...)
	p = append(p, label("ipv4", programIPv4())...)
	p = append(p, matchTargets(targets, true)...)
	return append(p,
		asm.LoadMem(asm.R2, asm.R1, argumentQueue, asm.Word).WithSymbol("take"),
		asm.LoadMapPtr(asm.R1, sockets),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
	)
}

func programIPv4() asm.Instructions {
	const datagram = ethernetHeader + ipv4Header
	p := asm.Instructions{
		asm.LoadMem(asm.R4, asm.R2, ethernetHeader, asm.Byte),
		asm.JNE.Imm(asm.R4, ipv4Plain, "pass"),
		asm.LoadMem(asm.R4, asm.R2, ipv4Protocol, asm.Byte),
		asm.JNE.Imm(asm.R4, protocolUDP, "pass"),
	}
	p = append(p, loadHalf(asm.R4, ipv4Fragment)...)
	p = append(p, asm.JSet.Imm(asm.R4, 0x3fff, "pass")) // more fragments, or not the first
	p = append(p, loadHalf(asm.R5, ipv4Length)...)
	return append(p, programUDP(datagram, asm.Sub.Imm(asm.R5, ipv4Header))...)
}

func programIPv6() asm.Instructions {
	const datagram = ethernetHeader + ipv6Header
	p := needBytes(datagram + udpHeader + headerSize)
	p = append(p,
		asm.LoadMem(asm.R4, asm.R2, ethernetHeader, asm.Byte),
		asm.And.Imm(asm.R4, 0xf0),
		asm.JNE.Imm(asm.R4, 6<<4, "pass"),
		asm.LoadMem(asm.R4, asm.R2, ipv6Next, asm.Byte),
		asm.JNE.Imm(asm.R4, protocolUDP, "pass"),
	)
	p = append(p, loadHalf(asm.R4, datagram+udpChecksum)...)
	p = append(p, asm.JEq.Imm(asm.R4, 0, "pass")) // RFC 8200, section 8.1
	p = append(p, loadHalf(asm.R5, ipv6Length)...)
	return append(p, programUDP(datagram)...)
}

// programUDP looks at a datagram whose length, as IP has it, is in R5 after adjust. Its port is left in R7.
func programUDP(datagram int16, adjust ...asm.Instruction) asm.Instructions {
	const dnsFlags, dnsAuthority = 2, 8
	p := append(asm.Instructions(nil), adjust...)
	p = append(p, asm.JLT.Imm(asm.R5, udpHeader+headerSize, "pass")) // a negative one is large, and fails below
	p = append(p, loadHalf(asm.R4, datagram+udpLength)...)
	p = append(p,
		asm.JNE.Reg(asm.R4, asm.R5, "pass"),
		asm.Add.Imm(asm.R5, int32(datagram)),
		asm.JGT.Reg(asm.R5, asm.R0, "pass"),
		asm.LoadMem(asm.R4, asm.R2, datagram+udpHeader+dnsFlags, asm.Byte),
		asm.JSet.Imm(asm.R4, 0xf8, "pass"), // QR and the opcode (RFC 1035, section 4.1.1)
		asm.LoadMem(asm.R4, asm.R2, datagram+udpHeader+dnsAuthority, asm.Half),
		asm.JNE.Imm(asm.R4, 0, "pass"),
	)
	return append(p, loadHalf(asm.R7, datagram+udpTarget)...)
}

// matchTargets ends in one of the labels take and pass.
func matchTargets(targets []xdpTarget, ipv4 bool) (p asm.Instructions) {
	at, family := int16(ipv6Target), "ipv6"
	if ipv4 {
		at, family = ipv4Target, "ipv4"
	}
	for i, t := range targets {
		a := t.address.Addr()
		if a.Is4() != ipv4 {
			continue
		}
		next := fmt.Sprintf("not-%s-%d", family, i)
		p = append(p, asm.JNE.Imm(asm.R7, int32(t.address.Port()), next))
		for offset, b := int16(0), a.AsSlice(); len(b) > 0; offset, b = offset+4, b[4:] {
			p = append(p,
				asm.LoadMem(asm.R4, asm.R2, at+offset, asm.Word),
				asm.HostTo(asm.BE, asm.R4, asm.Word),
				asm.JNE.Imm32(asm.R4, int32(binary.BigEndian.Uint32(b)), next),
			)
		}
		p = append(p, asm.Ja.Label("take"), asm.Mov.Imm(asm.R4, 0).WithSymbol(next))
	}
	return append(p, asm.Ja.Label("pass"))
}

// needBytes passes what is shorter: without that the kernel does not allow to look there.
func needBytes(n int32) asm.Instructions {
	return asm.Instructions{asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, n), asm.JGT.Reg(asm.R4, asm.R3, "pass")}
}

// loadHalf loads two bytes in network order.
func loadHalf(to asm.Register, at int16) asm.Instructions {
	return asm.Instructions{asm.LoadMem(to, asm.R2, at, asm.Half), asm.HostTo(asm.BE, to, asm.Half)}
}

func label(name string, p asm.Instructions) asm.Instructions {
	p[0] = p[0].WithSymbol(name)
	return p
}
