package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// However slow the disk is, who searches the journal hears of it before the connection breaks.
func TestSearchIsLimited(t *testing.T) {
	for _, tt := range []struct {
		name   string
		path   string
		handle func(*Server, http.ResponseWriter, *http.Request)
		each   time.Duration // a search takes
		status int
		took   time.Duration
	}{
		{"one search of why hangs", "/v1/why?subject=euw1", (*Server).getWhy, time.Hour, http.StatusServiceUnavailable, searchWait},
		{"many searches of why are slow", "/v1/why?subject=euw1", (*Server).getWhy, 3 * time.Second, http.StatusServiceUnavailable, searchWait},
		{"events hang", "/v1/events?subject=euw1", (*Server).getEvents, time.Hour, http.StatusServiceUnavailable, searchWait},
		{"events are slow", "/v1/events?subject=euw1", (*Server).getEvents, 3 * time.Second, http.StatusOK, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				src := f.source()
				src.Journal = func(ctx context.Context, q JournalQuery) (JournalPage, error) {
					select {
					case <-time.After(tt.each):
						return f.find(ctx, q)
					case <-ctx.Done():
						return JournalPage{}, fmt.Errorf("journal: the disk is busy: %w", ctx.Err())
					}
				}
				w, began := httptest.NewRecorder(), time.Now()
				tt.handle(&Server{src: src}, w, httptest.NewRequest(http.MethodGet, tt.path, nil))
				if took := time.Since(began); w.Code != tt.status || took != tt.took {
					t.Errorf("%s = %d after %v, want %d after %v: %s", tt.path, w.Code, took, tt.status, tt.took, w.Body)
				}
				const detail = "the journal was searched for 20s and not all of it was read: its disk is slow, or many search it at once"
				if w.Code == http.StatusServiceUnavailable && !strings.Contains(w.Body.String(), detail) {
					t.Errorf("%s = %s, want %s", tt.path, w.Body, detail)
				}
			})
		})
	}
	if searchWait >= replyWait {
		t.Errorf("a search may take %v, and its answer only %v", searchWait, replyWait)
	}
}
