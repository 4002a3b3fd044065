package master

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/miekg/dns"
)

// A param is a parameter of an SVCB or HTTPS record.
type param struct {
	key   uint16
	value []byte // wire format
}

// paramNames are the names of the keys that have one, by number (RFC 9460, section 14.3.2; RFC 9461; RFC 9540).
var paramNames = [...]string{
	dns.SVCB_MANDATORY: "mandatory", dns.SVCB_ALPN: "alpn", dns.SVCB_NO_DEFAULT_ALPN: "no-default-alpn", dns.SVCB_PORT: "port",
	dns.SVCB_IPV4HINT: "ipv4hint", dns.SVCB_ECHCONFIG: "ech", dns.SVCB_IPV6HINT: "ipv6hint", dns.SVCB_DOHPATH: "dohpath", dns.SVCB_OHTTP: "ohttp",
}

// reservedKey is that of no parameter (RFC 9460, section 14.3.2).
const reservedKey = 65535

// keyOf returns the key that a text names, by its name or by `key` and its number (RFC 9460, section 2.1).
func keyOf(text []byte) (key uint16, named, ok bool) {
	for i, name := range paramNames {
		if string(text) == name {
			return uint16(i), true, true
		}
	}
	key, ok = numbered(text, "key")
	zeros := len(text) > len("key0") && text[len("key")] == '0'
	return key, false, ok && !zeros && key != reservedKey
}

func keyText(key uint16) string {
	if int(key) < len(paramNames) {
		return paramNames[key]
	}
	return "key" + strconv.Itoa(int(key))
}

// service takes priority, target and parameters, which go into the data by number (RFC 9460, sections 2.1 and 2.2).
func (s *scanner) service() bool {
	first := s.entry.words[s.word]
	if !s.number16("Priority") || !s.name() {
		return false
	}
	var params []param
	for s.word < len(s.entry.words) {
		p, ok := s.param()
		if !ok {
			return false
		}
		params = append(params, p)
	}
	slices.SortStableFunc(params, func(a, b param) int { return int(a.key) - int(b.key) })
	for _, p := range params {
		s.data = binary.BigEndian.AppendUint16(s.data, p.key)
		s.data = binary.BigEndian.AppendUint16(s.data, uint16(len(p.value)))
		s.data = append(s.data, p.value...)
	}
	return len(s.data) > maxData || s.checkOther(first) // atEnd tells of too much
}

// param takes `key`, `key=value` or `key="value"`.
func (s *scanner) param() (param, bool) {
	w := s.entry.words[s.word]
	s.word++
	text, value, given := bytes.Cut(s.text(w), []byte("="))
	key, named, ok := keyOf(text)
	switch {
	case w.kind != plainWord || !ok:
		return param{}, s.wrong(w, aParam, "")
	case w.joined:
		return param{}, s.failAt(int(w.line), "%s stands next to a quotation mark (want a blank between parameters)", s.shown(w))
	}
	w.start = w.end - int32(len(value))
	if given && len(value) == 0 && s.word < len(s.entry.words) {
		if next := s.entry.words[s.word]; next.kind == quotedWord && next.joined {
			w = next
			s.word++
		}
	}
	p := param{key: key}
	p.value, ok = s.paramValue(w, key, named)
	if ok && len(p.value) > maxData {
		return p, s.failAt(int(w.line), "%s: a value of %d bytes is too long (at most %d)", keyText(key), len(p.value), maxData)
	}
	return p, ok
}

// paramValue reads a value as its key writes it; without a name of the key, and for other keys, it is in wire format. Whether
// there may be none is judged in wire format.
func (s *scanner) paramValue(w word, key uint16, named bool) ([]byte, bool) {
	text := s.text(w)
	wrong := func(text []byte, want string) bool {
		return s.failAt(int(w.line), "%s: %s is not %s", keyText(key), quote(text), want)
	}
	switch {
	case len(text) == 0:
		return nil, true
	case !named:
		return s.unescaped(w)
	}
	var value []byte
	switch dns.SVCBKey(key) {
	case dns.SVCB_MANDATORY: // RFC 9460, section 8
		var keys []uint16
		for item := range bytes.SplitSeq(text, []byte(",")) {
			k, _, ok := keyOf(item)
			if !ok {
				return nil, wrong(item, aParam)
			}
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			value = binary.BigEndian.AppendUint16(value, k)
		}
		return value, true
	case dns.SVCB_ALPN:
		return s.protocols(w)
	case dns.SVCB_PORT: // RFC 9460, section 7.2
		n, ok := number(text, 1<<16-1)
		return binary.BigEndian.AppendUint16(nil, uint16(n)), ok || wrong(text, aNumber16)
	case dns.SVCB_IPV4HINT, dns.SVCB_IPV6HINT: // RFC 9460, section 7.3
		read, want := appendIPv4, anIPv4
		if dns.SVCBKey(key) == dns.SVCB_IPV6HINT {
			read, want = appendIPv6, anIPv6
		}
		for item := range bytes.SplitSeq(text, []byte(",")) {
			var ok bool
			if value, ok = read(value, item); !ok {
				return nil, wrong(item, want)
			}
		}
		return value, true
	case dns.SVCB_ECHCONFIG: // RFC 9848
		value, err := base64.StdEncoding.AppendDecode(nil, text)
		return value, err == nil || wrong(text, someBytes)
	}
	return s.unescaped(w)
}

// protocols reads a list of protocols: with the escapes of a string, and of the list below them (RFC 9460, section 7.1.1 and
// appendix A.1).
func (s *scanner) protocols(w word) ([]byte, bool) {
	list, ok := s.unescaped(w)
	if !ok {
		return nil, false
	}
	var value, item []byte
	for i := 0; i <= len(list); i++ {
		switch {
		case i == len(list) || list[i] == ',':
			if len(item) == 0 || len(item) > maxString {
				return nil, s.failAt(int(w.line), "alpn: %s is not a protocol (1 to 255 bytes)", quote(item))
			}
			value = append(append(value, byte(len(item))), item...)
			item = item[:0]
		case list[i] != '\\':
			item = append(item, list[i])
		case i+1 < len(list) && (list[i+1] == '\\' || list[i+1] == ','):
			i++
			item = append(item, list[i])
		default:
			return nil, s.failAt(int(w.line), `alpn: %s has a \ that stands neither before \ nor before a comma (RFC 9460, appendix A.1)`, quote(list))
		}
	}
	return value, true
}

// unescaped returns what a word says.
func (s *scanner) unescaped(w word) ([]byte, bool) {
	start := len(s.data)
	ok := s.appendText(w)
	value := slices.Clone(s.data[start:])
	s.data = s.data[:start]
	return value, ok
}
