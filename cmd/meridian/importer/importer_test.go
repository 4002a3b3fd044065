package importer

import (
	"net/netip"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/meridian-gslb/meridian/zones/strict"
)

func TestNames(t *testing.T) {
	var n Names
	long := strings.Repeat("a", 70)
	for _, row := range []struct{ text, want string }{
		{"www.example.com", "www-example-com"},
		{"WWW example--com.", "www-example-com-2"},
		{"*.apps", "any-apps"},
		{"Zürich/1", "z-rich-1"},
		{"", "unnamed"},
		{"…", "unnamed-2"},
		{long, long[:63]},
		{long, long[:61] + "-2"},
	} {
		if got := n.New(row.text); got != row.want || len(got) > 63 {
			t.Errorf("New(%q) = %q, want %q", row.text, got, row.want)
		}
	}
}

func TestZoneFile(t *testing.T) {
	for apex, want := range map[string]string{
		"example.com.": "example.com.zone", "0/25.2.0.192.in-addr.arpa.": "zone-0-25-2-0-192-in-addr-arpa.zone", ".": "zone-.zone",
		`a\.b.example.`: "zone-a-b-example.zone", strings.Repeat("a.", 120): "zone-" + strings.TrimSuffix(strings.Repeat("a-", 32), "-") + ".zone",
	} {
		if got := ZoneFile(apex); got != want {
			t.Errorf("ZoneFile(%s) = %s, want %s", apex, got, want)
		}
	}
}

// Whatever a text is, YAML reads it again, and a comment with it is one line.
func TestScalar(t *testing.T) {
	for _, text := range []string{
		"plain", "10s", "a/b.c", "", " a", "a ", "a: b", "a #b", "- a", "[a", "{a}", "*a", "&a", "!a", "%a", "@", "`a", "'a'", `"a"`, "a\nb", "a\tb", "null", "~", "true", "---", "2001:db8::1",
		"1.2.3.4", "é", "\u0085", "\u009f", "\u2028", "\ufeff", "\x7f", "\x00", "a\\b", "<a>&", "🦊", "?a", "|", ">",
	} {
		var got struct{ Key yaml.Node }
		line := "key: " + scalar(text)
		if err := yaml.Unmarshal([]byte(line), &got); err != nil || got.Key.Value != text {
			t.Errorf("%q is written %s and read as %q, %v", text, line, got.Key.Value, err)
		}
		if one := OneLine(text); strings.ContainsAny(one, "\n\r\u0085\u2028") || yaml.Unmarshal([]byte("# "+one+"\nkey: a"), &got) != nil {
			t.Errorf("%q in a comment is %q", text, one)
		}
	}
	if got := scalar("a\xffb"); got != "\"a\ufffdb\"" {
		t.Errorf("scalar of a text that is not UTF-8 = %s", got)
	}
}

// A member that is too long for a line is written over several, and one that is off as a comment.
func TestMemberLines(t *testing.T) {
	var prefixes []netip.Prefix
	for i := range 30 {
		prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16))
	}
	for _, off := range []bool{false, true} {
		w := World{Pools: []*Pool{{Name: "p", Policy: "cidr", TTL: 1e9, Members: []Member{{Endpoint: "e", Region: "r", Prefixes: prefixes, Off: off}, {Pool: "q", Default: true}}}}}
		var got struct {
			Pools map[string]struct {
				Members []struct {
					Endpoint string
					Prefixes []string
				}
			}
		}
		text := w.Files()["pools.yaml"]
		if err := yaml.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		members := got.Pools["p"].Members
		if want := 2; off && len(members) != 1 || !off && (len(members) != want || len(members[0].Prefixes) != 30) {
			t.Errorf("off %v: read as %+v\n%s", off, members, text)
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			if len(line) > 131 {
				t.Errorf("a line of %d bytes: %s", len(line), line)
			}
		}
	}
}

func TestReport(t *testing.T) {
	var r Report
	same := Feature{"same", "what is alike", Imported, "as it is"}
	left := Feature{"left", "what is not", NotMapped, "there is none"}
	near := Feature{"near", "what is near", Mapped, "nearly"}
	for i := range 7 {
		r.Add(left, strict.Position{File: "f", Line: 9 - i}, "b", "")
	}
	r.Add(near, strict.Position{File: "f", Line: 1}, "c", "%d", 5)
	r.Add(same, strict.Position{File: "f", Line: 1}, "a", "")
	const want = `imported: what is alike (1)
mapped: what is near (1): nearly
  f:1: c: 5
not mapped: what is not (7): there is none
  f:3: b
  f:4: b
  f:5: b
  f:6: b
  f:7: b
  and 2 more
`
	if got := r.Text(); got != want {
		t.Errorf("Text() =\n%s\nwant\n%s", got, want)
	}
	if got, want := Table([]Feature{left}), "| feature | outcome | how, or why not |\n|---|---|---|\n| what is not | not mapped | there is none |\n"; got != want {
		t.Errorf("Table() =\n%s\nwant\n%s", got, want)
	}
}
