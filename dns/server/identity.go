package server

import (
	"time"

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/dns/wire"
)

// identityAt returns what the server says of itself at a time. The secrets of cookies change with it: whoever first comes
// after a change derives the new ones, which costs some microseconds once a day and needs no timer.
func (s *Server) identityAt(now time.Time) *wire.Identity {
	id := s.identity.Load()
	if s.config.CookieKey == nil || id.Cookies != nil && id.Cookies.Current(now) {
		return id
	}
	secrets := cookie.Derive(s.config.CookieKey, now)
	next := s.config.Identity
	next.Cookies = &secrets
	s.identity.Store(&next)
	return &next
}

// keepaliveOf returns a time in the units of RFC 7828, section 3.1.
func keepaliveOf(idle time.Duration) uint16 {
	return uint16(min(idle/(100*time.Millisecond), 65535))
}
