package forecast

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/zones"
)

// worldOf makes a world of zone files; those whose names begin with a word of steered steer that name.
func worldOf(t *testing.T, files map[string]string, steered ...string) *zones.World {
	t.Helper()
	world := zones.FileMap{}
	text := frame + "pools:\n  a: {policy: failover, members: [{endpoint: us, region: us-east, address: 192.0.2.1}]}\nzones:\n"
	for _, apex := range []string{"a.example", "b.example", "c.example"} {
		file, ok := files[apex]
		if !ok {
			continue
		}
		text += "  " + apex + ":\n    file: " + apex + ".zone\n"
		var steers []string
		for _, name := range steered {
			if owner, ok := strings.CutSuffix(name, "."+apex); ok {
				steers = append(steers, owner+": {pool: a}")
			}
		}
		if len(steers) > 0 {
			text += "    steer: {" + strings.Join(steers, ", ") + "}\n"
		}
		world[apex+".zone"] = []byte(zoneFile + file)
	}
	world["world.yaml"] = []byte(text)
	w, err := zones.Parse(world)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRecords(t *testing.T) {
	for _, c := range []struct{ why, before, after, want string }{
		{"nothing", "www 300 A 192.0.2.1", "www 300 A 192.0.2.1", ""},
		{"written otherwise", "www 300 A 192.0.2.1\nwww 300 A 192.0.2.2", "; a comment\nWWW 300 A 192.0.2.2\nwww 300 IN A 192.0.2.1", ""},
		{"another serial", "", "$TTL 300\n", ""},
		{"one more", "", "www 300 A 192.0.2.1", "4→5 +1 -0 ~0 lost 0: + www.a.example. A 300 192.0.2.1"},
		{"one less", "www 300 A 192.0.2.1", "", "5→4 +0 -1 ~0 lost 1: - www.a.example. A 300 192.0.2.1"},
		{"another type", "www 300 A 192.0.2.1", "www 300 TXT x", `5→5 +1 -1 ~0 lost 1: - www.a.example. A 300 192.0.2.1; + www.a.example. TXT 300 "x"`},
		{"another address", "www 300 A 192.0.2.1", "www 300 A 192.0.2.2", "5→5 +0 -0 ~1 lost 0: ~ www.a.example. A 192.0.2.1 → 192.0.2.2"},
		{"another TTL", "www 300 A 192.0.2.1", "www 60 A 192.0.2.1", "5→5 +0 -0 ~1 lost 0: ~ www.a.example. A TTL 300 → 60"},
		{"fewer addresses", "www 300 A 192.0.2.1\nwww 300 A 192.0.2.2\nwww 300 A 192.0.2.3", "www 300 A 192.0.2.2", "7→5 +0 -0 ~1 lost 2: ~ www.a.example. A without 192.0.2.1 | 192.0.2.3"},
		{"glue", "sub 300 NS ns.sub\nns.sub 300 A 192.0.2.1", "sub 300 NS ns.sub\nns.sub 300 A 192.0.2.2", "6→6 +0 -0 ~1 lost 0: ~ ns.sub.a.example. A 192.0.2.1 → 192.0.2.2"},
		{"many", "", "www 300 A 192.0.2.1\nwww 300 A 192.0.2.2\nwww 300 A 192.0.2.3\nwww 300 A 192.0.2.4\nwww 300 A 192.0.2.5", "4→9 +1 -0 ~0 lost 0: + www.a.example. A 300 192.0.2.1 | 192.0.2.2 | 192.0.2.3 and 2 more"},
		{"a long one", "", "www 300 TXT " + strings.Repeat("ä", 70), `4→5 +1 -0 ~0 lost 0: + www.a.example. TXT 300 "` + strings.Repeat(`\195\164`, 7) + `\19…`},
	} {
		before, after := worldOf(t, map[string]string{"a.example": c.before + "\n" + plainName}), worldOf(t, map[string]string{"a.example": c.after + "\n" + plainName})
		var texts []string
		for _, r := range records(before, after) {
			for i := range r.Sets {
				s := &r.Sets[i]
				texts = append(texts, fmt.Sprintf("%s %s %s %s", marks[s.Operation], s.Name, s.Type, s.text()))
			}
			texts = []string{fmt.Sprintf("%d→%d +%d -%d ~%d lost %d: %s", r.Before, r.After, r.Added, r.Removed, r.Changed, r.Lost, strings.Join(texts, "; "))}
		}
		if got := strings.Join(texts, " and "); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// generated is so many records of one name.
func generated(name string, n int) string {
	return fmt.Sprintf("$GENERATE 1-%d %s$ 300 A 192.0.2.$\n", n, name)
}

func TestGuards(t *testing.T) {
	table := table(t)
	steady := func(w *zones.World) *zones.Snapshot {
		plan, err := w.Compile(table, nil)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Publish(nil, Steady(plan), zones.Change{All: true}, time.Unix(0, 0))
	}
	type files = map[string]string
	for _, c := range []struct {
		why           string
		before, after *zones.World
		want          string
	}{
		{"nothing", worldOf(t, files{"a.example": generated("x", 20)}), worldOf(t, files{"a.example": generated("x", 20)}), ""},
		{"a fifth of 20 records", worldOf(t, files{"a.example": generated("x", 17)}), worldOf(t, files{"a.example": generated("x", 13)}), ""},
		{"more than that", worldOf(t, files{"a.example": generated("x", 17)}), worldOf(t, files{"a.example": generated("x", 12)}), "records: zone a.example.: 5 of its 20 records are gone, more than 20 %"},
		{"half of a few in much", worldOf(t, files{"a.example": generated("x", 5), "b.example": generated("x", 50)}), worldOf(t, files{"a.example": "", "b.example": generated("x", 50)}), ""},
		{"half of a few in little", worldOf(t, files{"a.example": generated("x", 5), "b.example": ""}), worldOf(t, files{"a.example": "", "b.example": ""}), "records: all zones: 5 of 11 records are gone, more than 20 %"},
		{"a zone", worldOf(t, files{"a.example": "", "b.example": generated("x", 50)}), worldOf(t, files{"b.example": generated("x", 50)}), "records: zone a.example.: is gone, with its 3 records"},
		{"other addresses", worldOf(t, files{"a.example": generated("x", 20)}), worldOf(t, files{"a.example": strings.ReplaceAll(generated("x", 20), "192.0.2", "198.51.100")}), ""},
		{"a steered name", worldOf(t, files{"a.example": generated("x", 20)}, "w.a.example"), worldOf(t, files{"a.example": generated("x", 20)}), "empty: w.a.example.: 100.0 % of IPv4, 100.0 % of IPv6 of the clients that pool a answered before get no answer"},
		{"steered names are records too", worldOf(t, files{"a.example": generated("x", 6)}, "w.a.example", "v.a.example", "u.a.example"), worldOf(t, files{"a.example": generated("x", 6) + "w 300 A 192.0.2.1\nv 300 A 192.0.2.1\nu 300 A 192.0.2.1\n"}), "records: zone a.example.: 3 of its 12 records are gone, more than 20 %"},
		{"a new TTL that is short", worldOf(t, files{"a.example": ""}), worldOf(t, files{"a.example": "w 4 A 192.0.2.1\nv 5 A 192.0.2.1\n"}), "ttl: w.a.example. A: a TTL of 4 s, less than 5 s"},
		{"a new TTL that is long", worldOf(t, files{"a.example": "w 300 A 192.0.2.1\n"}), worldOf(t, files{"a.example": "w 86401 A 192.0.2.1\nv 86400 A 192.0.2.1\n"}), "ttl: w.a.example. A: a TTL of 86401 s, more than a day (86400 s)"},
		{"one that was there before", worldOf(t, files{"a.example": "w 1 A 192.0.2.1\n"}), worldOf(t, files{"a.example": "w 1 A 192.0.2.2\n"}), ""},
		{"one that goes", worldOf(t, files{"a.example": "w 1 A 192.0.2.1\n" + generated("x", 20)}), worldOf(t, files{"a.example": generated("x", 20)}), ""},
	} {
		f := Compare(steady(c.before), steady(c.after), nil)
		var texts []string
		for _, g := range f.Guards {
			texts = append(texts, string(g.Guard)+": "+g.Found)
		}
		if got := strings.Join(texts, "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// Who had no answer before loses none.
func TestEmptyBefore(t *testing.T) {
	table := table(t)
	const none = "  a: {policy: failover, members: [{endpoint: us, region: us-east, address: 192.0.2.1, enabled: false}]}\n"
	f := Compare(snapshot(t, table, none, "www: {pool: a}"), snapshot(t, table, none, ""), nil)
	if movesText(&f.Clients) != "" || len(f.Guards) > 0 {
		t.Errorf("moves %q and guards %v, want nothing of both", movesText(&f.Clients), f.Guards)
	}
}

func TestSerialIsNoChange(t *testing.T) {
	before := worldOf(t, map[string]string{"a.example": ""})
	for file, want := range map[string]int{
		strings.Replace(zoneFile, "h 1 2", "h 7 2", 1):       0,
		strings.Replace(zoneFile, "h 1 2", "h 7 3", 1):       1,
		strings.Replace(zoneFile, "ns h 1", "ns other 1", 1): 1,
	} {
		after, err := zones.Parse(zones.FileMap{"world.yaml": []byte(frame + "pools:\n  a: {policy: failover, members: [{endpoint: us, region: us-east, address: 192.0.2.1}]}\nzones: {a.example: {file: z}}\n"), "z": []byte(file)})
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for _, r := range records(before, after) {
			changed += r.Changed
		}
		if changed != want {
			t.Errorf("with the file\n%s%d record sets differ, want %d", file, changed, want)
		}
	}
}
