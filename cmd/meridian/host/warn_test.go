package host

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/keys"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// What was said of the world before is not said again, wherever it stands now.
func TestWarningsAreLoggedOnce(t *testing.T) {
	log := new(lockedLog)
	c := &compiler{log: slog.New(slog.NewTextHandler(log, nil))}
	before := []zones.Problem{{File: "a.yaml", Line: 3, Text: "old"}, {File: "a.yaml", Line: 5, Text: "gone"}}
	after := []zones.Problem{{File: "a.yaml", Line: 4, Text: "old"}, {File: "b.yaml", Line: 4, Text: "old"}, {File: "a.yaml", Line: 9, Text: "new"}}
	count := func() int { return strings.Count(log.take(), "about the world") }
	c.warn(before)
	if got := count(); got != 2 {
		t.Errorf("at the start %d warnings are logged, want 2", got)
	}
	c.warn(after)
	if got := count(); got != 2 {
		t.Errorf("after a change %d warnings are logged, want those that are new in their file, 2", got)
	}
	c.warn(after)
	if got := count(); got != 0 {
		t.Errorf("without a change %d warnings are logged, want none", got)
	}
}

func TestEndOfTheNodesCertificateIsTold(t *testing.T) {
	const day = 24 * time.Hour
	dir := t.TempDir()
	if err := keys.Init(dir, "test"); err != nil {
		t.Fatal(err)
	}
	if err := keys.Issue(dir, pki.Identity{Name: "ns1", Region: "eu-west", Roles: health.RoleDNS}, 40*day); err != nil {
		t.Fatal(err)
	}
	log := new(lockedLog)
	h := Host{log: slog.New(slog.NewTextHandler(log, nil)), cfg: nodefile.Node{
		Name: "ns1", Region: "eu-west", Roles: health.RoleDNS,
		Certificate: filepath.Join(dir, "ns1.crt"), Key: filepath.Join(dir, "ns1.key"), CA: filepath.Join(dir, keys.CACertificate),
	}}
	if err := h.identify(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{{9 * day, ""}, {11 * day, "ends soon"}, {41 * day, "has expired"}} {
		h.warnOfEnd(time.Now().Add(tt.after))
		if got := log.take(); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("after %v: log %q, want %q", tt.after, got, tt.want)
		}
	}
}
