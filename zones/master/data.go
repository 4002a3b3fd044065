package master

import "github.com/miekg/dns"

// readData reads the data of a record, as its type writes it or in the form for all types.
func (s *scanner) readData() bool {
	s.data = s.data[:0]
	if s.word == len(s.entry.words) {
		if s.out.Type == dns.TypeAPL { // RFC 3123, section 4: no prefix at all is a list of them
			return true
		}
		return s.failAt(s.entry.line, "has no data, or too little")
	}
	if w := s.entry.words[s.word]; w.kind == plainWord && string(s.text(w)) == `\#` {
		return s.generic()
	}
	switch s.out.Type {
	case dns.TypeA:
		return s.ipv4()
	case dns.TypeAAAA:
		return s.ipv6()
	case dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME, dns.TypePTR:
		return s.name()
	case dns.TypeMX:
		return s.number16("Pref") && s.name()
	case dns.TypeTXT, dns.TypeSPF:
		return s.strings()
	case dns.TypeSRV: // RFC 2782
		return s.number16("Priority") && s.number16("Weight") && s.number16("Port") && s.name()
	case dns.TypeSOA:
		return s.soa()
	case dns.TypeCAA: // RFC 8659, section 4.1.1
		return s.number8("Flag") && s.tag()
	case dns.TypeHINFO:
		return s.string("Cpu") && s.string("Os")
	case dns.TypeNAPTR: // RFC 3403, section 4.1
		return s.number16("Order") && s.number16("Preference") && s.string("Flags") && s.string("Service") && s.string("Regexp") && s.name()
	case dns.TypeDS, dns.TypeCDS: // RFC 4034, section 5.3
		return s.number16("KeyTag") && s.algorithm() && s.number8("DigestType") && s.hex("Digest")
	case dns.TypeDNSKEY, dns.TypeCDNSKEY: // RFC 4034, section 2.2
		return s.number16("Flags") && s.number8("Protocol") && s.algorithm() && s.base64("PublicKey")
	case dns.TypeRRSIG: // RFC 4034, section 3.2
		return s.coveredType() && s.algorithm() && s.number8("Labels") && s.number32("OrigTtl") && s.time("Expiration") &&
			s.time("Inception") && s.number16("KeyTag") && s.name() && s.base64("Signature")
	case dns.TypeNSEC: // RFC 4034, section 4.2
		return s.name() && s.bitmap()
	case dns.TypeNSEC3: // RFC 5155, section 3.3
		return s.number8("Hash") && s.number8("Flags") && s.number16("Iterations") && s.salt() && s.hashedOwner() && s.bitmap()
	case dns.TypeNSEC3PARAM: // RFC 5155, section 4.3
		return s.number8("Hash") && s.number8("Flags") && s.number16("Iterations") && s.salt()
	case dns.TypeTLSA: // RFC 6698, section 2.2
		return s.number8("Usage") && s.number8("Selector") && s.number8("MatchingType") && s.hex("Certificate")
	case dns.TypeSSHFP: // RFC 4255, section 3.2
		return s.number8("Algorithm") && s.number8("Type") && s.hex("FingerPrint")
	case dns.TypeSVCB, dns.TypeHTTPS:
		return s.service()
	case dns.TypeLOC:
		return s.location()
	}
	return s.otherType()
}

// layout is the wire format of the types that are read here, for those of them that are written in the generic form. Each
// letter or digit is a part: a digit so many bytes, n a name, s a string, S strings to the end, x bytes to the end, of which
// there is one at least, v bytes to the end, b a bitmap of types to the end. It is empty for other types.
func layout(rrtype uint16) string {
	switch rrtype {
	case dns.TypeA:
		return "4"
	case dns.TypeAAAA:
		return "88"
	case dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME, dns.TypePTR:
		return "n"
	case dns.TypeMX:
		return "2n"
	case dns.TypeTXT, dns.TypeSPF:
		return "S"
	case dns.TypeSRV:
		return "6n"
	case dns.TypeSOA:
		return "nn488"
	case dns.TypeCAA:
		return "1sv"
	case dns.TypeHINFO:
		return "ss"
	case dns.TypeNAPTR:
		return "4sssn"
	case dns.TypeDS, dns.TypeCDS, dns.TypeDNSKEY, dns.TypeCDNSKEY:
		return "4x"
	case dns.TypeRRSIG:
		return "99nx"
	case dns.TypeNSEC:
		return "nb"
	case dns.TypeNSEC3:
		return "4ssb"
	case dns.TypeNSEC3PARAM:
		return "4s"
	case dns.TypeTLSA:
		return "3x"
	case dns.TypeSSHFP:
		return "2x"
	}
	return ""
}

// follows reports whether data has a layout.
func follows(data []byte, layout string) bool {
	for _, part := range []byte(layout) {
		n := -1
		switch {
		case isDigit(part):
			n = int(part - '0')
		case part == 'n':
			n = nameSize(data)
		case part == 's':
			n = stringSize(data)
		case part == 'S':
			for n = 0; n < len(data) && stringSize(data[n:]) > 0; {
				n += stringSize(data[n:])
			}
			n = max(1, n)
		case part == 'x':
			n = max(1, len(data))
		case part == 'v':
			n = len(data)
		case part == 'b':
			n = bitmapSize(data)
		}
		if n < 0 || n > len(data) {
			return false
		}
		data = data[n:]
	}
	return len(data) == 0
}

// nameSize is the length of the name that data begins with; -1 where none does. Names are not compressed here (RFC 3597,
// section 4).
func nameSize(data []byte) int {
	for n := 0; n < len(data) && n < maxName && data[n] <= maxLabel; n += int(data[n]) + 1 {
		if data[n] == 0 {
			return n + 1
		}
	}
	return -1
}

func stringSize(data []byte) int {
	if len(data) == 0 || len(data) < 1+int(data[0]) {
		return -1
	}
	return 1 + int(data[0])
}

// bitmapSize is the length of all data if that is a bitmap of types, with its windows in order; -1 if not (RFC 4034, section
// 4.1.2).
func bitmapSize(data []byte) int {
	for n, last := 0, -1; ; {
		switch {
		case n == len(data):
			return n
		case n+2 > len(data), int(data[n]) <= last, data[n+1] == 0, data[n+1] > 32, n+2+int(data[n+1]) > len(data):
			return -1
		}
		last = int(data[n])
		n += 2 + int(data[n+1])
	}
}
