package dashboard

import (
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
)

// policy lets the page load its own files and talk to its own origin, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func hostSet(extra []string) map[string]bool {
	hosts := map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}
	for _, h := range extra {
		hosts[strings.ToLower(strings.Trim(h, "[]"))] = true
	}
	return hosts
}

// hostOf returns the name in a Host header, in lower case, without its port.
func hostOf(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
	}
	return strings.ToLower(host)
}

// guard lets a request through that is meant for this server, comes from its own page or from no browser at all, and
// brings nothing but JSON.
//
//	Host                                  421      a name that an attacker lets resolve to this address (DNS rebinding)
//	a write of another origin             403      the user's browser, sent here by a stranger's page
//	a read of another site                403      likewise, but for a link that is followed
//	a write that is not application/json  415      what a form could send
//	a body past the limit                 413
func (s *Server) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !s.hosts[hostOf(r.Host)] {
			s.drop(dropHost)
			refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("unknown host %q (have %s)", r.Host,
				strings.Join(slices.Sorted(maps.Keys(s.hosts)), ", ")))
			return
		}
		if err := origin.Check(r); err != nil || fromElsewhere(r) {
			s.drop(dropOrigin)
			refuse(w, http.StatusForbidden, "a request of another origin is refused")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if !isJSON(r.Header.Get("Content-Type")) {
				refuse(w, http.StatusUnsupportedMediaType, fmt.Sprintf("content type %q, want application/json", r.Header.Get("Content-Type")))
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		}
		next.ServeHTTP(w, r)
	})
}

// fromElsewhere reports whether a browser reads for a page of another site. To follow a link to the page is allowed.
func fromElsewhere(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}
