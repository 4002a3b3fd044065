// Package cookie makes and judges DNS server cookies (RFC 7873) in the form that servers of any make understand (RFC 9018).
//
// It reads no clock, keeps no state of clients and draws no random number.
//
// Nameservers that hold the same cluster key accept each other's cookies, also where their clocks differ by minutes and
// while the secret changes. A cookie is good for the client cookie and the address that it was made for, and no other.
package cookie

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/meridian-gslb/meridian/dns/siphash"
)

const (
	// ClientSize is the length of a client cookie in bytes.
	ClientSize = 8
	// ServerSize is the length of a server cookie in bytes.
	ServerSize = 16
	// Size is the length of both together, as they stand in the option.
	Size = ClientSize + ServerSize

	// Period is how long cookies are made with one secret.
	Period = 24 * time.Hour

	// RFC 9018, section 4.3; in seconds.
	maxAge   = 60 * 60
	maxAhead = 5 * 60
	renewAge = 30 * 60

	version = 1
)

// Secrets are what cookies are made with at some time. A server that is ahead makes them with the next secret already, one
// that is behind still with the previous: all three are good (RFC 9018, section 5). So a server may be late with a new
// value by almost a period. The zero value is no secret. Secrets may be copied, and are not changed.
type Secrets struct {
	period                  int64
	previous, current, next siphash.Key
}

// Derive returns the secrets of a moment. All who hold the cluster key, of 32 bytes, derive the same.
func Derive(clusterKey []byte, now time.Time) Secrets {
	period := periodOf(now)
	return Secrets{period, derive(clusterKey, period-1), derive(clusterKey, period), derive(clusterKey, period+1)}
}

// Current reports whether Derive would return the same now.
func (s *Secrets) Current(now time.Time) bool { return s.period == periodOf(now) }

func periodOf(now time.Time) int64 { return now.Unix() / int64(Period/time.Second) }

func derive(clusterKey []byte, period int64) siphash.Key {
	info := binary.BigEndian.AppendUint64([]byte("meridian dns cookie 1 "), uint64(period))
	secret, err := hkdf.Key(sha256.New, clusterKey, nil, string(info), 16)
	if err != nil {
		panic(err) // 16 bytes are never too many
	}
	return siphash.KeyOf([16]byte(secret))
}

// A Verdict says what a server cookie is worth.
type Verdict uint8

const (
	None  Verdict = iota // there is none
	Bad                  // not ours, too old, or made for someone else: it counts as none
	Aging                // good, but the client is to have a new one
	Fresh                // good
)

// Good reports whether the client has shown that it receives what is sent to its address.
func (v Verdict) Good() bool { return v >= Aging }

// Judge says what the server cookie that came behind a client cookie is worth. A server cookie of another length than
// ours is that of another server. now is in Unix seconds and may wrap (RFC 1982).
func (s *Secrets) Judge(client [ClientSize]byte, server []byte, from netip.Addr, now uint32) Verdict {
	if len(server) == 0 {
		return None
	}
	if len(server) != ServerSize || server[0] != version {
		return Bad
	}
	age := int32(now - binary.BigEndian.Uint32(server[4:]))
	if age > maxAge || age < -maxAhead {
		return Bad
	}
	head, got := [8]byte(server[:8]), binary.LittleEndian.Uint64(server[8:])
	switch {
	case equal(got, hash(s.current, client, head, from)), equal(got, hash(s.next, client, head, from)):
		if age > renewAge {
			return Aging
		}
		return Fresh
	case equal(got, hash(s.previous, client, head, from)):
		return Aging
	}
	return Bad
}

// equal takes as long for every pair.
func equal(a, b uint64) bool {
	return subtle.ConstantTimeEq(int32(uint32(a)), int32(uint32(b)))&subtle.ConstantTimeEq(int32(uint32(a>>32)), int32(uint32(b>>32))) == 1
}

// Append appends a client cookie and a new server cookie for it.
func (s *Secrets) Append(b []byte, client [ClientSize]byte, from netip.Addr, now uint32) []byte {
	var head [8]byte
	head[0] = version
	binary.BigEndian.PutUint32(head[4:], now)
	b = append(b, client[:]...)
	b = append(b, head[:]...)
	return binary.LittleEndian.AppendUint64(b, hash(s.current, client, head, from))
}

// hash is over the client cookie, the version, what is reserved as it came, the time and the address (RFC 9018, section 4.4).
func hash(secret siphash.Key, client, head [8]byte, from netip.Addr) uint64 {
	var b [32]byte
	copy(b[:], client[:])
	copy(b[8:], head[:])
	if from.Is4() {
		a := from.As4()
		copy(b[16:], a[:])
		return siphash.Sum(secret, b[:20])
	}
	a := from.As16()
	copy(b[16:], a[:])
	return siphash.Sum(secret, b[:])
}
