package host

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

// asked are questions whose explanations are compared.
var asked = []zones.Question{
	{Name: "failover.example.com", Type: dns.TypeA, Client: zones.Client{Source: netip.MustParseAddr("91.0.0.1")}},
	{Name: "api.example.com", Type: dns.TypeA, Client: zones.Client{Source: netip.MustParseAddr("8.8.8.8")}},
	{Name: "weighted.example.com", Type: dns.TypeA, Client: zones.Client{Source: netip.MustParseAddr("8.8.8.8")}, Random: 1 << 31},
	{Name: "static.example.com", Type: dns.TypeAAAA, Client: zones.Client{Source: netip.MustParseAddr("8.8.8.8")}},
	{Name: "nothing.example.com", Type: dns.TypeA, Client: zones.Client{Source: netip.MustParseAddr("8.8.8.8")}},
}

func explanations(t *testing.T, s *zones.Snapshot) string {
	t.Helper()
	var b strings.Builder
	for _, q := range asked {
		e, err := s.Explain(q)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(e.String())
	}
	return b.String()
}

// then is what was explained at a time.
type then struct {
	at    time.Time
	text  string
	world health.Hash64
}

// now explains by what is in force now, and is sure that it is: a snapshot is in force a moment later than it says.
func now(t *testing.T, h *Host) (x then) {
	t.Helper()
	eventually(t, "a moment at which nothing is published", func() bool {
		s := h.snapshot.Load()
		x = then{time.Now(), explanations(t, s), s.Plan.World.Digest}
		time.Sleep(50 * time.Millisecond)
		return h.snapshot.Load() == s
	})
	return x
}

// replays compares the replay of a time with what was explained then.
func (x then) replays(t *testing.T, h *Host, why string) {
	t.Helper()
	p, err := h.replayed(t.Context(), x.at)
	if err != nil {
		t.Errorf("%s: %v", why, err)
		return
	}
	if got := explanations(t, p.Snapshot); got != x.text {
		t.Errorf("%s: the replay of %v explains\n%s\nand then it was\n%s", why, x.at, got, x.text)
	}
	if notes := p.Notes(&zones.Explanation{Zone: "example.com."}); len(notes) > 0 {
		t.Errorf("%s: notes %q, want none", why, notes)
	}
}

// edit replaces a text in a file of the world, has the world read again and waits until the node goes by it and keeps it.
func edit(t *testing.T, h *Host, file, old, new string) {
	t.Helper()
	name := filepath.Join(h.cfg.World, file)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, new, 1)
	if changed == string(text) {
		t.Fatalf("%s has no %q", file, old)
	}
	before := h.world.Load()
	replace(t, name, changed) // at once: a file that is just being written is a world without what is not there yet
	h.Reload()
	eventually(t, "another world", func() bool {
		s := h.snapshot.Load()
		return h.world.Load() != before && s.Plan.World == h.world.Load()
	})
	eventually(t, "world kept", func() bool { return kept(h) })
}

// kept reports whether the world in force is kept for replays.
func kept(h *Host) bool {
	_, err := h.past.World(h.snapshot.Load().Plan.World.Digest)
	return err == nil
}

// Whatever world was in force, and however often the node has started since: a time that is past is explained as it was then.
func TestReplay(t *testing.T) {
	cfg := newNode(t)
	h, _, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "world kept", func() bool { return kept(h) })
	first := now(t, h)
	edit(t, h, "api.yaml", "- {endpoint: use1, region: us-east,  address: 127.0.1.1}", "- {endpoint: new1, region: eu-west,  address: 127.0.1.9}")
	second := now(t, h)
	if second.text == first.text {
		t.Error("the second world explains everything as the first one did")
	}
	first.replays(t, h, "a world that was in force before")
	second.replays(t, h, "the world in force")

	// A zone file with a mistake, and another pool: the zone stays as it was, the pool does not.
	replace(t, filepath.Join(cfg.World, "example.com.zone"), "@ nonsense\n")
	edit(t, h, "api.yaml", "weight: 60", "weight: 0")
	if len(h.world.Load().Refused) == 0 {
		t.Error("the zone file with a mistake is not refused")
	}
	partly := now(t, h)
	edit(t, h, "api.yaml", "weight: 30", "weight: 300")
	partlyAgain := now(t, h)
	if err := h.Close(); err != nil {
		t.Error(err)
	}

	if err := os.WriteFile(filepath.Join(cfg.World, "example.com.zone"), []byte("$TTL 60\n@ SOA ns1 h 9 1 1 1 1\n@ NS ns1\nns1 A 192.0.2.99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, log, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "first answers", func() bool { return h.snapshot.Load() != nil })
	first.replays(t, h, "an earlier process, first world")
	second.replays(t, h, "an earlier process, second world")
	partly.replays(t, h, "an earlier process, world of which a zone file was refused")
	partlyAgain.replays(t, h, "the same, with the pool changed once more")
	last := now(t, h)
	if last.text == partlyAgain.text {
		t.Error("the new zone file changes nothing")
	}

	file, err := h.past.World(first.world)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := h.replayed(t.Context(), first.at); !errors.Is(err, replay.ErrOutside) || !strings.Contains(err.Error(), first.world.String()+" that was in force is not kept") {
		t.Errorf("replay by a world that is not kept: %v", err)
	}
	mistaken, err := h.past.World(second.world)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(mistaken, file); err != nil {
		t.Fatal(err)
	}
	if _, err := h.replayed(t.Context(), first.at); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "it is configuration "+second.world.String()) {
		t.Errorf("replay by another world: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, file, "meridian world v1 0123456789abcdef\nnonsense")
	if _, err := h.replayed(t.Context(), first.at); !errors.Is(err, errDamaged) {
		t.Errorf("replay by a world that is damaged: %v", err)
	}
	if _, err := h.replayed(t.Context(), first.at.Add(-time.Hour)); !errors.Is(err, replay.ErrOutside) || !strings.Contains(err.Error(), "is not between") {
		t.Errorf("replay of a time before all: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("errors in the log: %s", log)
	}
}

// Without room nothing is kept, and that is what is said.
func TestReplayOfNothing(t *testing.T) {
	cfg := newNode(t)
	cfg.Replay.SizeMiB = 0
	h, _, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.replayed(t.Context(), time.Now()); !errors.Is(err, replay.ErrOutside) || !strings.Contains(err.Error(), "replay.size_mib is 0") {
		t.Errorf("replay: %v, want that nothing is kept", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, "past")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory is made for nothing: %v", err)
	}
}

// What was otherwise is said.
func TestNotAsThen(t *testing.T) {
	places, err := table()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Load(filepath.Join(newNode(t).World), places)
	if err != nil {
		t.Fatal(err)
	}
	s := plan.Publish(nil, zones.Inputs{Health: health.NewView(nil)}, zones.Change{All: true}, time.Now())
	sampled := &zones.Explanation{Pool: &zones.PoolReason{Members: []zones.MemberReason{{Members: []zones.MemberReason{{Samples: 1}}}}}}
	for _, tt := range []struct {
		name        string
		change      func(m *replay.Moment)
		explanation *zones.Explanation
		want        string
	}{
		{"nothing", func(*replay.Moment) {}, &zones.Explanation{Zone: "example.com."}, ""},
		{"geo table", func(m *replay.Moment) { m.Basis.Places++; m.Basis.Plan++; m.Digest++ }, sampled, "geo table"},
		{"order of regions", func(m *replay.Moment) { m.Basis.Plan++; m.Digest++ }, sampled, "another order"},
		{"answers", func(m *replay.Moment) { m.Digest++ }, sampled, "another version of this program"},
		{"samples", func(*replay.Moment) {}, sampled, "the regions were in the same order"},
	} {
		m := replay.Of(s)
		tt.change(m)
		got := otherwise(m, s, tt.explanation)
		if (tt.want == "") != (len(got) == 0) || len(got) > 1 || len(got) == 1 && !strings.Contains(got[0], tt.want) {
			t.Errorf("%s: otherwise = %q, want one with %q", tt.name, got, tt.want)
		}
	}
}
