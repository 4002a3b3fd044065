package master

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"unicode/utf8"

	"github.com/miekg/dns"
)

const unfit = "does not fit the wire format of the type"

// unsound says what is wrong with data in wire format, in the types whose receivers refuse what the DNS library does not. It is
// the one judge of it, in whatever form the record is written. It returns "" for sound data and for other types.
func unsound(rrtype uint16, data []byte) string {
	switch rrtype {
	case dns.TypeSVCB, dns.TypeHTTPS:
		return unsoundService(data)
	case dns.TypeLOC:
		return unsoundLocation(data)
	}
	return ""
}

// unsoundService judges parameters as clients do, which drop all records of a name for one that is malformed (RFC 9460, section
// 2.2). They ignore those of an alias (section 2.4.2); servers that copy the zone do not.
func unsoundService(data []byte) string {
	const prioritySize, headSize = 2, 4 // headSize is that of a parameter: key and length
	if len(data) < prioritySize || nameSize(data[prioritySize:]) < 0 {
		return unfit
	}
	var params []param
	rest := data[prioritySize+nameSize(data[prioritySize:]):]
	for len(rest) > 0 {
		if len(rest) < headSize || len(rest)-headSize < int(binary.BigEndian.Uint16(rest[2:])) {
			return unfit
		}
		key, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		value := rest[headSize:][:size]
		rest = rest[headSize+size:]
		if n := len(params); n > 0 && params[n-1].key == key {
			return keyText(key) + " stands twice (RFC 9460, section 2.1)"
		} else if n > 0 && params[n-1].key > key {
			return keyText(key) + " stands behind " + keyText(params[n-1].key) + " (want parameters in the order of their numbers: RFC 9460, section 2.2)"
		}
		if wrong := unsoundValue(key, value); wrong != "" {
			return keyText(key) + ": " + wrong
		}
		params = append(params, param{key, value})
	}
	return unsoundTogether(params)
}

// unsoundValue judges the value of one parameter.
func unsoundValue(key uint16, value []byte) string {
	size := len(value)
	switch dns.SVCBKey(key) {
	case dns.SVCB_MANDATORY: // RFC 9460, section 8
		return unsoundMandatory(value)
	case dns.SVCB_ALPN: // RFC 9460, section 7.1.1
		if size == 0 {
			return "has no protocol (alpn=h2,h3)"
		}
		for n := 0; n < size; n += 1 + int(value[n]) {
			if value[n] == 0 || stringSize(value[n:]) < 0 {
				return "does not fit the wire format (protocols of 1 to 255 bytes, each behind its length)"
			}
		}
	case dns.SVCB_NO_DEFAULT_ALPN, dns.SVCB_OHTTP: // RFC 9460, section 7.1.1; RFC 9540, section 4
		if size > 0 {
			return "has a value (want none)"
		}
	case dns.SVCB_PORT: // RFC 9460, section 7.2
		if size != 2 {
			return fmt.Sprintf("has %d bytes (want a number of 2)", size)
		}
	case dns.SVCB_IPV4HINT: // RFC 9460, section 7.3
		if size == 0 || size%4 != 0 {
			return fmt.Sprintf("has %d bytes (want addresses of 4)", size)
		}
	case dns.SVCB_IPV6HINT:
		if size == 0 || size%16 != 0 {
			return fmt.Sprintf("has %d bytes (want addresses of 16)", size)
		}
		for n := 0; n < size; n += 16 { // the DNS library takes no such address
			if addr := netip.AddrFrom16([16]byte(value[n:])); addr.Is4In6() {
				return fmt.Sprintf("%s is an IPv4 address (want it as an ipv4hint)", quote([]byte(addr.String())))
			}
		}
	case dns.SVCB_DOHPATH: // RFC 9461, section 5
		if !utf8.Valid(value) || !bytes.HasPrefix(value, []byte("/")) || !hasVariable(value, "dns") {
			return quote(value) + " is not a path with the variable dns (/dns-query{?dns})"
		}
	case reservedKey:
		return "is reserved (want key0 to key65534: RFC 9460, section 14.3.2)"
	}
	return ""
}

// unsoundMandatory judges a list of keys, as far as that goes without the other parameters.
func unsoundMandatory(value []byte) string {
	if len(value) == 0 {
		return "has no key (mandatory=alpn)"
	}
	if len(value)%2 != 0 {
		return fmt.Sprintf("has %d bytes (want keys of 2)", len(value))
	}
	for i := 0; i < len(value); i += 2 {
		key := binary.BigEndian.Uint16(value[i:])
		if dns.SVCBKey(key) == dns.SVCB_MANDATORY {
			return "lists itself (RFC 9460, section 8)"
		}
		if i == 0 {
			continue
		}
		switch last := binary.BigEndian.Uint16(value[i-2:]); {
		case last == key:
			return "lists " + keyText(key) + " twice (RFC 9460, section 8)"
		case last > key:
			return "lists " + keyText(key) + " behind " + keyText(last) + " (want keys in the order of their numbers: RFC 9460, section 8)"
		}
	}
	return ""
}

// unsoundTogether judges whether parameters need others, which are not there. The parameters are in order.
func unsoundTogether(params []param) string {
	has := func(key uint16) bool {
		_, found := slices.BinarySearchFunc(params, key, func(p param, key uint16) int { return int(p.key) - int(key) })
		return found
	}
	for _, p := range params {
		switch dns.SVCBKey(p.key) {
		case dns.SVCB_MANDATORY:
			for i := 0; i < len(p.value); i += 2 {
				if key := binary.BigEndian.Uint16(p.value[i:]); !has(key) {
					return "mandatory: lists " + keyText(key) + ", which the record lacks (RFC 9460, section 8)"
				}
			}
		case dns.SVCB_NO_DEFAULT_ALPN:
			if !has(uint16(dns.SVCB_ALPN)) {
				return "no-default-alpn stands without alpn (RFC 9460, section 7.1.1)"
			}
		}
	}
	return ""
}

// hasVariable reports whether a URI template has a variable (RFC 6570, section 2).
func hasVariable(template []byte, name string) bool {
	for {
		_, rest, _ := bytes.Cut(template, []byte("{"))
		expression, rest, ok := bytes.Cut(rest, []byte("}"))
		if !ok {
			return false
		}
		for variable := range bytes.SplitSeq(bytes.TrimLeft(expression, "+#./;?&"), []byte(",")) {
			variable, _, _ = bytes.Cut(variable, []byte(":"))
			if string(bytes.TrimSuffix(variable, []byte("*"))) == name {
				return true
			}
		}
		template = rest
	}
}

// unsoundLocation judges a place (RFC 1876, section 2). The data of other versions than 0 has no meaning that is known.
func unsoundLocation(data []byte) string {
	const size = 16
	switch {
	case len(data) != size:
		return unfit
	case data[0] != 0:
		return ""
	}
	for i, field := range [...]string{"Size", "HorizPre", "VertPre"} {
		if n := data[1+i]; n>>4 > 9 || n&0xf > 9 || n != 0 && n>>4 == 0 {
			return fmt.Sprintf("0x%02x is not a digit from 1 to 9 and a power of ten from 0 to 9, or 0x00 (%s)", n, field)
		}
	}
	for i, a := range [...]*axis{&latitude, &longitude} {
		angle := int64(binary.BigEndian.Uint32(data[4+4*i:])) - angleOrigin
		if most := int64(a.most) * degree; angle < -most || angle > most {
			return fmt.Sprintf("an angle of %d thousandths of a second is more than %d degrees (%s)", angle, a.most, a.field)
		}
	}
	return ""
}
