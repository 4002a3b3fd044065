package head

import (
	"crypto/sha1" // RFC 6455 asks for it; it protects nothing
	"encoding/base64"
)

// Handshake returns the key of a proper WebSocket opening handshake (RFC 6455, section 4.1), or "".
// Whatever else asks for an upgrade is an ordinary request with two fields too many.
func Handshake(method, version string, hasBody bool, f Fields) string {
	if method != "GET" || version != "1.1" || hasBody || !f.hasToken("Connection", "upgrade") ||
		!f.hasToken("Upgrade", "websocket") || one(f, "Sec-WebSocket-Version") != "13" {
		return ""
	}
	key := one(f, "Sec-WebSocket-Key")
	if raw, err := base64.StdEncoding.DecodeString(key); err != nil || len(raw) != 16 {
		return ""
	}
	return key
}

// Accepted reports whether the head of a 101 answers the handshake with that key (RFC 6455, section 4.2.2).
func Accepted(key string, f Fields) bool {
	return f.hasToken("Upgrade", "websocket") && f.hasToken("Connection", "upgrade") &&
		one(f, "Sec-WebSocket-Accept") == Accept(key)
}

// Accept returns the proof that a server read the key.
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
