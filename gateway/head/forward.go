package head

import (
	"net/netip"
	"slices"
	"strings"
)

// A Hop is what the gateway knows of a request and tells the upstream.
type Hop struct {
	Gateway   string // pseudonym in CDN-Loop and Via
	Version   string // of HTTP as received: 1.1
	Peer      netip.Addr
	Trusted   bool   // the peer may speak for others
	Proto     string // http, https
	Host      string // as received
	RequestID string // for a request that brings none to be trusted
}

// Apply sets the forwarded fields, the request id, CDN-Loop and Via.
//
//	field                           trusted peer            any other
//	X-Forwarded-For, Forwarded      appended to             replaced; Forwarded removed
//	X-Forwarded-Proto, -Host        kept if well-formed     replaced
//	all others that isForwarded     kept                    removed
//	X-Request-Id                    kept if well-formed     replaced
//	CDN-Loop, Via                   appended to             appended to
func (h Hop) Apply(f Fields) Fields {
	peer := "unknown"
	if h.Peer.IsValid() {
		peer = h.Peer.Unmap().WithZone("").String()
	}
	via, loop := join(f, "Via"), join(f, "CDN-Loop")
	chain, proto, host, id, forwarded := "", "", "", "", ""
	if h.Trusted {
		chain, forwarded = join(f, "X-Forwarded-For"), join(f, "Forwarded")
		proto, host, id = one(f, "X-Forwarded-Proto"), one(f, "X-Forwarded-Host"), one(f, "X-Request-Id")
	}
	if proto != "http" && proto != "https" {
		proto = h.Proto
	}
	if host == "" || strings.ContainsAny(host, ", \t") {
		host = h.Host
	}
	if !validID(id) {
		id = h.RequestID
	}
	f = slices.DeleteFunc(f, func(o Field) bool {
		switch name := strings.ToLower(o.Name); name {
		case "via", "cdn-loop", "x-request-id", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host":
			return true
		default:
			return !h.Trusted && isForwarded(name) || strings.HasPrefix(name, "meridian-")
		}
	})
	f = append(f,
		Field{"X-Forwarded-For", list(chain, peer)},
		Field{"X-Forwarded-Proto", proto},
		Field{"X-Forwarded-Host", host},
		Field{"X-Request-Id", id},
		Field{"Via", list(via, h.Version+" "+h.Gateway)}, // RFC 9110, section 7.6.3
		Field{"Cdn-Loop", list(loop, h.Gateway)},         // RFC 8586
	)
	if forwarded != "" {
		f = append(f, Field{"Forwarded", list(forwarded, h.forwarded(peer))})
	}
	return f
}

// forwarded is the element that RFC 7239, section 4, has for this hop.
func (h Hop) forwarded(peer string) string {
	if strings.Contains(peer, ":") {
		peer = `"[` + peer + `]"`
	}
	return "for=" + peer + ";proto=" + h.Proto
}

// Loop reads CDN-Loop: does it name this gateway, and does it name another whose pseudonym has the same prefix?
func Loop(f Fields, gateway, prefix string) (self, sibling bool) {
	for element := range f.Tokens("CDN-Loop") {
		id, _, _ := strings.Cut(element, ";")
		switch id = strings.TrimRight(id, " \t"); {
		case strings.EqualFold(id, gateway):
			self = true
		case len(id) > len(prefix) && strings.EqualFold(id[:len(prefix)], prefix):
			sibling = true
		}
	}
	return self, sibling
}

// Client returns the address that a request comes from: the last one in X-Forwarded-For that is not of a trusted peer, if those who
// wrote it there are trusted, else the peer.
func Client(f Fields, peer netip.Addr, trusted func(netip.Addr) bool) netip.Addr {
	peer = peer.Unmap().WithZone("")
	values := f.Values("X-Forwarded-For")
	for i := len(values) - 1; i >= 0; i-- {
		for rest := values[i]; rest != "" && trusted(peer); {
			at := strings.LastIndexByte(rest, ',')
			a, err := netip.ParseAddr(strings.Trim(rest[at+1:], " \t"))
			if err != nil {
				return peer
			}
			peer, rest = a.Unmap().WithZone(""), rest[:max(at, 0)]
		}
	}
	return peer
}

// RequestID returns the id that a request from a trusted peer brings, or "".
func RequestID(f Fields) string {
	if id := one(f, "X-Request-Id"); validID(id) {
		return id
	}
	return ""
}

func validID(id string) bool {
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
}

func one(f Fields, name string) string {
	if values := f.Values(name); len(values) == 1 {
		return strings.Trim(values[0], " \t")
	}
	return ""
}

func join(f Fields, name string) string { return strings.Join(f.Values(name), ", ") }

func list(before, element string) string {
	if before == "" {
		return element
	}
	return before + ", " + element
}
