package host

import (
	"encoding/binary"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
)

// countries is a database of MaxMind's format, version 2, in the flat schema: the lower half of all IPv4 addresses is in one country, the
// upper half in another.
func countries(lower, upper string) string {
	number := func(kind byte, n uint16) string { return string(binary.BigEndian.AppendUint16([]byte{kind<<5 | 2}, n)) }
	text := func(s string) string { return string([]byte{2<<5 | byte(len(s))}) + s }
	place := func(country string) string { return "\xe1" + text("country_code") + text(country) }
	nodes := []byte{0, 0, 1 + 16, 0, 0, byte(1 + 16 + len(place(lower)))}
	return string(nodes) + strings.Repeat("\x00", 16) + place(lower) + place(upper) + "\xab\xcd\xefMaxMind.com\xe9" +
		text("binary_format_major_version") + number(5, 2) + text("binary_format_minor_version") + number(5, 0) +
		text("build_epoch") + string([]byte{2, 9 - 7}) + "\x6a\x18" + text("database_type") + text("country ipv4") +
		text("description") + "\xe0" + text("ip_version") + number(5, 4) + text("languages") + string([]byte{0, 11 - 7}) +
		text("node_count") + number(6, 1) + text("record_size") + number(5, 24)
}

// replace puts a file in the place of another one at once.
func replace(t *testing.T, file, text string) {
	t.Helper()
	write(t, file+".new", text)
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// answerTo asks a node for geo.example.com for the clients of a network.
func answerTo(t *testing.T, h *Host, network string) string {
	t.Helper()
	p := netip.MustParsePrefix(network)
	q := new(dns.Msg)
	q.SetQuestion("geo.example.com.", dns.TypeA)
	q.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()},
	}
	m, _, err := new(dns.Client).Exchange(q, h.dns.Addrs()[0].String())
	if err != nil || len(m.Answer) != 1 {
		t.Fatalf("geo.example.com for %s: %v, %v", network, m, err)
	}
	return m.Answer[0].(*dns.A).A.String()
}

// reloadsOf says how often files that place clients were read, with what result.
func reloadsOf(t *testing.T, h *Host, result string) (n float64) {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "meridian_geo_reloads_total" && m.GetLabel()[0].GetValue() == result {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func startPlaced(t *testing.T, cfg nodefile.Node) (*Host, *lockedLog) {
	t.Helper()
	log := new(lockedLog)
	h, err := Start(cfg, Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return h, log
}

// The answers follow the databases and overrides as these change, and stay while one of them is damaged.
func TestPlacesAreReadAgain(t *testing.T) {
	const network, us, de, in = "8.8.8.0/24", "127.0.1.1", "127.0.2.1", "127.0.3.1"
	cfg := newNode(t)
	dir := t.TempDir()
	database, overrides := filepath.Join(dir, "countries.mmdb"), filepath.Join(dir, "overrides.yaml")
	cfg.Geo, cfg.GeoOverrides = []string{database}, []string{overrides}
	write(t, database, countries("DE", "US"))
	write(t, overrides, "# None yet.\n")
	h, log := startPlaced(t, cfg)
	if got := answerTo(t, h, network); got != de {
		t.Errorf("at the start %s, want %s", got, de)
	}
	log.take()
	const refused = "places refused, those in force stay"
	for _, event := range []struct {
		reason string
		do     func()
		want   string
		log    string // a message that it has
		asked  bool   // for a reload; else the change is to be seen
	}{
		{"another database", func() { replace(t, database, countries("US", "DE")) }, us, "database of places in force", false},
		{"a database that is cut", func() { write(t, database, countries("IN", "DE")[:60]) }, us, refused, true},
		{"it is whole", func() { write(t, database, countries("IN", "DE")) }, in, "database of places in force", true},
		{"an override", func() { replace(t, overrides, network+": {country: DE}\n") }, de, "overrides of places in force", true},
		{"a mistake in it", func() { replace(t, overrides, network+": {country: UK}\n") }, de, refused, true},
		{"it is gone", func() { os.Remove(overrides) }, de, refused, true},
		{"another database meanwhile", func() { replace(t, database, countries("US", "US")) }, de, refused, true},
		{"it is there again, empty", func() { write(t, overrides, "") }, us, "overrides of places in force", true},
		{"nothing has changed", func() {}, us, "database of places in force", true},
	} {
		bad, good := reloadsOf(t, h, reloadRefused), reloadsOf(t, h, reloadTaken)
		event.do()
		if event.asked {
			h.Reload()
		}
		if event.log == refused {
			eventually(t, event.reason+" is refused", func() bool { return reloadsOf(t, h, reloadRefused) > bad })
		} else {
			eventually(t, event.reason+" is taken", func() bool { return reloadsOf(t, h, reloadTaken) > good })
			eventually(t, event.reason+" is answered by", func() bool { return answerTo(t, h, network) == event.want })
		}
		if got := answerTo(t, h, network); got != event.want {
			t.Errorf("%s: answer %s, want %s", event.reason, got, event.want)
		}
		eventually(t, event.reason+" is logged", func() bool { return strings.Contains(log.take(), event.log) })
		if shown := h.source().Node().PlacesRefused; (shown != nil) != (event.log == refused) {
			t.Errorf("%s: the dashboard shows %+v", event.reason, shown)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}

	cache := filepath.Join(cfg.Data, placesCache)
	sound, err := os.ReadFile(cache)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(cache); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the cache %v, %v, want 0600", info.Mode(), err)
	}
	damaged := []byte(strings.Clone(string(sound)))
	damaged[len(damaged)/2] ^= 1
	for _, row := range []struct {
		reason string
		cache  []byte
		missed bool
	}{
		{"as it was kept", sound, false},
		{"damaged", damaged, true},
		{"cut", sound[:len(sound)-1], true},
		{"empty", nil, true},
	} {
		write(t, cache, string(row.cache))
		h, log := startPlaced(t, cfg)
		if got := answerTo(t, h, network); got != us {
			t.Errorf("%s: after a start %s, want %s", row.reason, got, us)
		}
		if got := strings.Contains(log.take(), "cache of places not taken"); got != row.missed || h.placer.current.Load().Cached == row.missed {
			t.Errorf("%s: logged that the cache is not taken: %v, want %v", row.reason, got, row.missed)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if mended, err := os.ReadFile(cache); err != nil || string(mended) != string(sound) {
			t.Errorf("%s: %d bytes in the cache, %v, want %d as before", row.reason, len(mended), err, len(sound))
		}
	}
	write(t, database, countries("IN", "IN")[:60])
	h, log = startPlaced(t, cfg)
	if got := answerTo(t, h, network); got != us || !strings.Contains(log.take(), "places refused, those that were kept are in force") || h.source().Node().PlacesRefused == nil {
		t.Errorf("a start while the database is damaged: answer %s, refused %+v, want %s and that it is said", got, h.source().Node().PlacesRefused, us)
	}
	write(t, database, countries("IN", "IN"))
	h.Reload()
	eventually(t, "it is whole", func() bool { return answerTo(t, h, network) == "127.0.3.1" && h.source().Node().PlacesRefused == nil })
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cfg.Data, "*"+newInfix+"*")); len(left) > 0 {
		t.Errorf("half-written files %q are left", left)
	}
}

// A start with a damaged database is refused if nothing was kept; the mistakes of overrides have their lines.
func TestStartWithoutPlaces(t *testing.T) {
	cfg := newNode(t)
	dir := t.TempDir()
	cfg.Geo, cfg.GeoOverrides = []string{filepath.Join(dir, "countries.mmdb")}, []string{filepath.Join(dir, "overrides.yaml")}
	write(t, cfg.Geo[0], countries("DE", "US")[:60])
	write(t, cfg.GeoOverrides[0], "8.8.8.0/24: {country: UK}\n")
	_, err := Start(cfg, Options{Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "countries.mmdb: ") || !strings.Contains(err.Error(), "overrides.yaml:1: ") {
		t.Errorf("Start = %v, want both files named", err)
	}
	if _, wrong := Check(cfg); len(wrong) != 2 || !strings.HasPrefix(wrong[0].Error(), "geo: ") || !strings.Contains(wrong[1].Error(), "overrides.yaml:1: ") {
		t.Errorf("Check = %v, want the two mistakes", wrong)
	}
}
