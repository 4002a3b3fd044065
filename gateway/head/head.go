// Package head decides what of the head of a request or response is passed on.
//
// It frames nothing and reads no bytes: it works on fields that an engine has parsed. It
// never trusts a client's word for who the client is, unless told that the peer may speak
// for others.
//
// No field that belongs to one connection passes, and no name that a careless upstream could
// take for one that the gateway sets. Fields keep their order. The functions that remove or
// add write to the fields they are given: the result takes their place.
package head

import (
	"iter"
	"slices"
	"strings"
)

// A Field is one line of a head.
type Field struct{ Name, Value string }

// Fields are the lines of a head in their order. Names compare without case. Not for concurrent writing.
type Fields []Field

// Get returns the value of the first field of that name, or "".
func (f Fields) Get(name string) string {
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return ""
}

// Has reports whether there is a field of that name.
func (f Fields) Has(name string) bool {
	return slices.ContainsFunc(f, func(o Field) bool { return strings.EqualFold(o.Name, name) })
}

// Values returns the values of all fields of that name.
func (f Fields) Values(name string) []string {
	var values []string
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			values = append(values, field.Value)
		}
	}
	return values
}

// Del removes all fields of that name.
func (f Fields) Del(name string) Fields {
	return slices.DeleteFunc(f, func(o Field) bool { return strings.EqualFold(o.Name, name) })
}

// Set replaces all fields of that name by one.
func (f Fields) Set(name, value string) Fields {
	return append(f.Del(name), Field{name, value})
}

// Tokens yields the elements of the comma-separated list that the fields of that name make together,
// commas in quoted strings aside (RFC 9110, section 5.6.1).
func (f Fields) Tokens(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, field := range f {
			if !strings.EqualFold(field.Name, name) {
				continue
			}
			for rest := field.Value; rest != ""; {
				var element string
				element, rest = cutElement(rest)
				if element = strings.Trim(element, " \t"); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

func cutElement(list string) (element, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && c == ',':
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

func (f Fields) hasToken(name, token string) bool {
	for t := range f.Tokens(name) {
		if strings.EqualFold(t, token) {
			return true
		}
	}
	return false
}

// hop are the names that belong to one connection (RFC 9110, section 7.6.1), in lower case. Proxy-…
// are too, save Proxy-Status (RFC 9209).
var hop = map[string]bool{
	"connection": true, "keep-alive": true, "te": true, "trailer": true, "transfer-encoding": true,
	"upgrade": true, "http2-settings": true, "proxy": true,
}

// guarded are the names that the gateway sets, trusts or frames by, besides those of hop; lower case.
// A Connection field cannot remove them: that would let a client choose what the upstream believes.
var guarded = map[string]bool{
	"host": true, "content-length": true, "expect": true, "via": true, "cdn-loop": true, "x-request-id": true,
	"sec-websocket-key": true, "sec-websocket-version": true,
	"sec-websocket-accept": true, "sec-websocket-protocol": true, "sec-websocket-extensions": true,
}

// forwarded are the names by which proxies tell who the client is and what it asked for, besides X-Forwarded-…;
// lower case. Upstreams believe them.
var forwarded = map[string]bool{
	"forwarded": true, "x-real-ip": true, "x-client-ip": true, "x-cluster-client-ip": true, "true-client-ip": true,
	"cf-connecting-ip": true, "fastly-client-ip": true, "x-original-host": true, "x-original-url": true, "x-rewrite-url": true,
}

// isHop, isForwarded and isGuarded take names in lower case.
func isHop(name string) bool {
	return hop[name] || strings.HasPrefix(name, "proxy-") && name != "proxy-status"
}

func isForwarded(name string) bool {
	return forwarded[name] || strings.HasPrefix(name, "x-forwarded-")
}

func isGuarded(name string) bool {
	return guarded[name] || isForwarded(name) || strings.HasPrefix(name, "meridian-")
}

// EndToEnd removes the fields that belong to one connection, those that Connection names included.
// "TE: trailers" stays, for that is a promise that the gateway keeps too.
func EndToEnd(f Fields) Fields {
	listed := map[string]bool{}
	for token := range f.Tokens("Connection") {
		listed[strings.ToLower(token)] = true
	}
	trailers := f.hasToken("TE", "trailers")
	f = slices.DeleteFunc(f, func(o Field) bool {
		name := strings.ToLower(o.Name)
		return isHop(name) || listed[name] && !isGuarded(name)
	})
	if trailers {
		f = append(f, Field{"Te", "trailers"})
	}
	return f
}

// DropLookalikes removes the fields that an upstream could take for others, and returns how many:
// names that, once _ and . become -, equal
//
//	one that the gateway sets, trusts or frames by
//	one that is present as such
//	one that came before under another spelling
//
// All other names with _ or . pass.
func DropLookalikes(f Fields) (Fields, int) {
	if !slices.ContainsFunc(f, func(o Field) bool { return strings.ContainsAny(o.Name, "_.") }) {
		return f, 0
	}
	spelling := make(map[string]string, len(f)) // mapped name to the one that stays
	for _, field := range f {
		if !strings.ContainsAny(field.Name, "_.") {
			name := strings.ToLower(field.Name)
			spelling[name] = name
		}
	}
	before := len(f)
	f = slices.DeleteFunc(f, func(o Field) bool {
		name := strings.ToLower(o.Name)
		mapped := dashed.Replace(name)
		if mapped == name {
			return false
		}
		if isHop(mapped) || isGuarded(mapped) {
			return true
		}
		if other, ok := spelling[mapped]; ok {
			return other != name
		}
		spelling[mapped] = name
		return false
	})
	return f, before - len(f)
}

var dashed = strings.NewReplacer("_", "-", ".", "-")

// Trailer removes what has no place behind a body: what frames, routes or identifies (RFC 9110, section 6.5.1).
func Trailer(f Fields) Fields {
	f = slices.DeleteFunc(f, func(o Field) bool {
		name := strings.ToLower(o.Name)
		return isHop(name) || isGuarded(name)
	})
	f, _ = DropLookalikes(f)
	return f
}

// Response returns what of an upstream's head goes to the client. Content-Length stays out: the engine
// frames. Meridian-… is the gateway's own voice.
func Response(f Fields) Fields {
	return slices.DeleteFunc(EndToEnd(f), func(o Field) bool {
		name := strings.ToLower(o.Name)
		return name == "te" || name == "content-length" || strings.HasPrefix(name, "meridian-")
	})
}
