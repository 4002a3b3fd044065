package dashboard

import (
	"encoding/json"
	"net/http"

	"github.com/meridian-gslb/meridian/health/control"
)

// A problem is an error as RFC 9457 writes it. Its type is about:blank, so the title is the status's own phrase; code
// tells problems of one status apart.
type problem struct {
	Title  string              `json:"title"`
	Status int                 `json:"status"`
	Detail string              `json:"detail"`
	Code   string              `json:"code,omitempty"`
	Rules  []control.Violation `json:"rules,omitempty"` // that refused the command
	Key    string              `json:"key,omitempty"`   // to repeat the command with
}

func refuse(w http.ResponseWriter, status int, detail string) {
	problem{Status: status, Detail: detail}.write(w)
}

func (p problem) write(w http.ResponseWriter) {
	p.Title = http.StatusText(p.Status)
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	encode(w, p)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encode(w, v)
}

// encode writes v for people to read too. What can't be written any more has nobody to be told.
func encode(w http.ResponseWriter, v any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
