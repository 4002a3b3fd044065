package strict

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// scalarType is a type of scalars: parse turns the text into a value, article, want and schema say which texts are good.
func scalarType[V any](article, want string, schema *schema, parse func(text string) (V, bool)) Type[V] {
	wanted := article + want
	if schema.Pattern != "" {
		schema.Wanted = "want " + wanted
	}
	return Type[V]{Doc: want, schema: schema, Decode: func(v Value) (V, bool) {
		text, ok := v.scalar(wanted)
		if !ok {
			var zero V
			return zero, false
		}
		decoded, ok := parse(text)
		if !ok {
			v.Problem("%s is not %s", Quote(text), wanted)
		}
		return decoded, ok
	}}
}

// Duration is a time with its unit, within a range.
func Duration(least, most time.Duration) Type[time.Duration] {
	want := fmt.Sprintf("duration from %s to %s", Short(least), Short(most))
	zero := 0.0 // the one that needs no unit
	schema := &schema{Kinds: kinds{isString}, Pattern: timePattern}
	if least <= 0 {
		schema.Kinds, schema.Minimum, schema.Maximum = append(schema.Kinds, isInteger), &zero, &zero
	}
	return scalarType("a ", want, schema, func(text string) (time.Duration, bool) {
		d, err := time.ParseDuration(text)
		return d, err == nil && d >= least && d <= most
	})
}

// Short writes a duration without the parts that are zero: "5m", not "5m0s".
func Short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Integer is a decimal number within a range.
func Integer(least, most int) Type[int] {
	schema := numberSchema(isInteger, `^(0|-?[1-9][0-9]*)$`, float64(least), float64(most))
	return scalarType("an ", fmt.Sprintf("integer from %d to %d", least, most), schema, func(text string) (int, bool) {
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= least && n <= most && strconv.Itoa(n) == text
	})
}

// Port is a TCP or UDP port.
func Port() Type[uint16] {
	return scalarType("a ", "port from 1 to 65535", numberSchema(isInteger, `^[0-9]+$`, 1, 65535), func(text string) (uint16, bool) {
		n, err := strconv.ParseUint(text, 10, 16)
		return uint16(n), err == nil && n > 0
	})
}

// Bool is true or false.
func Bool() Type[bool] {
	schema := &schema{Kinds: kinds{isBoolean, isString}, Pattern: `^(true|false)$`}
	return scalarType("", "true or false", schema, func(text string) (bool, bool) { return text == "true", text == "true" || text == "false" })
}

// Enum is one of a few words. What of it is unknown is named by what.
func Enum[S ~string](what string, words ...S) Type[S] {
	have := make([]string, len(words))
	for i, w := range words {
		have[i] = string(w)
	}
	return Type[S]{Doc: strings.Join(have, " · "), schema: &schema{Words: have}, Decode: func(v Value) (S, bool) {
		text, ok := v.scalar(what)
		if ok && !slices.Contains(have, text) {
			v.Problem("%s", Unknown(what, text, have))
			return "", false
		}
		return S(text), ok
	}}
}

// Name is the name of something that Meridian knows: a label as in a host name, in lower case.
func Name[S ~string]() Type[S] {
	schema := textSchema(namePattern)
	schema.MaxLength = 63
	return scalarType("a ", "name (a-z, 0-9 and -, at most 63 bytes)", schema, func(text string) (S, bool) { return S(text), isName(text) })
}

func isName(text string) bool {
	if text == "" || len(text) > 63 || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Text is any text of at most so many bytes, without control characters.
func Text(most int) Type[string] {
	schema := textSchema(`^[^\x00-\x1f\x7f]+$`)
	schema.MaxLength = most // of characters, which are at most as many as bytes
	return scalarType("", fmt.Sprintf("text of 1 to %d bytes without control characters", most), schema, func(text string) (string, bool) {
		return text, text != "" && len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
	})
}

// Address is an IP address without a zone. An IPv4 address is never written as IPv6.
func Address() Type[netip.Addr] {
	schema := &schema{Kinds: kinds{isString}, Pattern: `^(` + ipv4Pattern + `|` + ipv6Pattern + `)$`}
	return scalarType("an ", "IP address", schema, func(text string) (netip.Addr, bool) {
		a, err := netip.ParseAddr(text)
		return a, err == nil && a.Zone() == "" && !a.Is4In6()
	})
}

// Prefix is an IP prefix without bits past its length.
func Prefix() Type[netip.Prefix] {
	schema := &schema{Kinds: kinds{isString}, Pattern: `^(` + ipv4Pattern + `/(3[0-2]|[12]?[0-9])|` + ipv6Pattern + `/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$`}
	return scalarType("an ", "IP prefix, such as 192.0.2.0/24", schema, func(text string) (netip.Prefix, bool) {
		p, err := netip.ParsePrefix(text)
		return p, err == nil && p == p.Masked() && !p.Addr().Is4In6()
	})
}

// AddrPort is an IP address and a port.
func AddrPort() Type[netip.AddrPort] {
	schema := &schema{Kinds: kinds{isString}, Pattern: `^(` + ipv4Pattern + `|\[` + ipv6Pattern + `\]):[0-9]+$`}
	return scalarType("an ", "IP address and port, such as 192.0.2.1:53", schema, func(text string) (netip.AddrPort, bool) {
		a, err := netip.ParseAddrPort(text)
		return a, err == nil && a.Addr().Zone() == "" && !a.Addr().Is4In6()
	})
}

// Parsed is a scalar with a syntax of its own: parse returns why a text is not good.
func Parsed[V any](doc string, parse func(text string) (V, error)) Type[V] {
	return Type[V]{Doc: doc, schema: textSchema(""), Decode: func(v Value) (V, bool) {
		var decoded V
		text, ok := v.scalar(doc)
		if !ok {
			return decoded, false
		}
		decoded, err := parse(text)
		if err != nil {
			v.Problem("%s: %v", Quote(text), err)
		}
		return decoded, err == nil
	}}
}

// Decimal is a number within a range.
func Decimal(least, most float64) Type[float64] {
	schema := numberSchema(isNumber, `^[-+]?[0-9.][0-9A-Fa-fxXpP._+-]*$`, least, most)
	return scalarType("a ", fmt.Sprintf("number from %v to %v", least, most), schema, func(text string) (float64, bool) {
		n, err := strconv.ParseFloat(text, 64)
		return n, err == nil && n >= least && n <= most
	})
}
