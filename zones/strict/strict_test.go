package strict

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

type node struct {
	Name    string
	Port    uint16
	Wait    time.Duration
	Listen  []netip.AddrPort
	Trusted []netip.Prefix
	Ratio   float64
	Peers   []Named[peer]
	Color   At[string]
	Load    At[int]
	Note    string
	Path    string
}

type peer struct {
	Address netip.Addr
	Fast    bool
}

var peerObject = Object[peer]{
	Required("address", "where it is", Address(), func(p *peer) *netip.Addr { return &p.Address }),
	Optional("fast", "whether it is near", "true", Bool(), func(p *peer) *bool { return &p.Fast }),
}

var nodeObject = Object[node]{
	Required("name", "of the node", Name[string](), func(n *node) *string { return &n.Name }),
	Optional("port", "to listen on", "53", Port(), func(n *node) *uint16 { return &n.Port }),
	Optional("wait", "between tries", "1m30s", Duration(time.Second, 2*time.Hour), func(n *node) *time.Duration { return &n.Wait }),
	Optional("listen", "addresses", "[127.0.0.1:53, '[::1]:53']", OneOrList(AddrPort(), 3), func(n *node) *[]netip.AddrPort { return &n.Listen }),
	Optional("trusted", "networks | of friends", "", List(Prefix(), 2), func(n *node) *[]netip.Prefix { return &n.Trusted }),
	Optional("ratio", "of things", "0.5", Decimal(0, 1), func(n *node) *float64 { return &n.Ratio }),
	Optional("peers", "by name", "", NotEmpty(Map("peer", Name[string](), Either(peerByAddress, peerObject.Type("its keys")), 2)), func(n *node) *[]Named[peer] { return &n.Peers }),
	Optional("color", "of the paint", "red", Placed(Enum("color", "red", "green")), func(n *node) *At[string] { return &n.Color }),
	Optional("load", "even", "", Placed(Convert(Integer(0, 9), "even digit", even)), func(n *node) *At[int] { return &n.Load }),
	Optional("note", "to the reader", "", Text(8), func(n *node) *string { return &n.Note }),
	Optional("path", "of a file", "", Parsed("path", slashed), func(n *node) *string { return &n.Path }),
}

func slashed(text string) (string, error) {
	if !strings.HasPrefix(text, "/") {
		return "", errors.New("begins with no slash")
	}
	return text, nil
}

var peerByAddress = Convert(Address(), "IP address", func(a netip.Addr) (peer, error) { return peer{a, true}, nil })

func even(n int) (int, error) {
	if n%2 != 0 {
		return 0, errors.New("is odd")
	}
	return n, nil
}

// decode returns what a file says, and its problems as text.
func decode(text string) (n node, problems string) {
	var r Report
	if document, ok := Document("f", []byte(text), &r); ok {
		nodeObject.Decode(document, &n)
	}
	if err := r.Err(); err != nil {
		problems = err.Error()
	}
	return n, problems
}

func TestDecode(t *testing.T) {
	n, problems := decode(`
name: use1
listen: 192.0.2.1:53
trusted: [192.0.2.0/24, "2001:db8::/32"]
peers:
  b: 192.0.2.2
  a: {address: "2001:db8::1", fast: false}
color: green
load: 4
`)
	const want = "use1 53 1m30s [192.0.2.1:53] [192.0.2.0/24 2001:db8::/32] 0.5 green f:8 4 f:9"
	got := fmt.Sprint(n.Name, " ", n.Port, n.Wait, n.Listen, n.Trusted, n.Ratio, " ", n.Color.Value, " ", n.Color, " ", n.Load.Value, n.Load)
	if got != want || problems != "" {
		t.Errorf("decoded %s, problems %s, want %s", got, problems, want)
	}
	for i, want := range []string{"b {192.0.2.2 true} f:6", "a {2001:db8::1 false} f:7"} {
		if got := fmt.Sprint(n.Peers[i].Name, " ", n.Peers[i].Value, " ", n.Peers[i]); got != want {
			t.Errorf("peer %d: %s, want %s", i, got, want)
		}
	}
}

// A default is decoded like what a user writes, but does not count as given.
func TestDefaults(t *testing.T) {
	n, problems := decode("name: use1")
	if problems != "" || n.Port != 53 || n.Wait != 90*time.Second || len(n.Listen) != 2 || n.Ratio != 0.5 || n.Color.Value != "red" || n.Color.Given() || n.Load.Given() {
		t.Errorf("defaults %+v, problems %s", n, problems)
	}
}

func TestProblems(t *testing.T) {
	const name = "name: a\n"
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, row := range []struct{ why, text, want string }{
		{"an empty file is an empty mapping", "", "f: missing key name (of the node)"},
		{"so is one of comments", "# nothing\n", "f: missing key name (of the node)"},
		{"all mistakes at once, by line", "port: x\nwait: 3\nname: A\n", `f:1: port: "x" is not a port from 1 to 65535
f:2: wait: "3" is not a duration from 1s to 2h
f:3: name: "A" is not a name (a-z, 0-9 and -, at most 63 bytes)`},
		{"a misspelt key", name + "prot: 1", `f:2: unknown key "prot" (did you mean port? have color, listen, load, name, note, path, peers, port, ratio, trusted, wait)`},
		{"a key like no other", name + "zzz: 1", `f:2: unknown key "zzz" (have color, listen, load, name, note, path, peers, port, ratio, trusted, wait)`},
		{"a very long key", name + strings.Repeat("z", 100) + ": 1", `f:2: unknown key "` + strings.Repeat("z", 80) + `…" (have color, listen, load, name, note, path, peers, port, ratio, trusted, wait)`},
		{"a key twice", name + "port: 1\nport: 2", `f:3: key "port" stands twice (first on line 2)`},
		{"a mapping as key", name + "{a: b}: 2", "f:2: a key must be a name, not a mapping"},
		{"a list for a scalar", name + "port: [1]", "f:2: port: want a port from 1 to 65535, not a list"},
		{"nothing for a scalar", name + "port:", "f:2: port: want a port from 1 to 65535, not nothing"},
		{"a scalar for a list", name + "trusted: 192.0.2.0/24", `f:2: trusted: want a list, not "192.0.2.0/24"`},
		{"nothing for a list", name + "trusted:", ""},
		{"too many values", name + "trusted: [192.0.2.0/24, 192.0.2.0/24, 192.0.2.0/24]", "f:2: trusted: has 3 values, at most 2 are allowed"},
		{"too many entries", name + "peers: {a: 192.0.2.1, b: 192.0.2.1, c: 192.0.2.1}", "f:2: peers: has 3 entries, at most 2 are allowed"},
		{"an empty mapping where it may not be", name + "peers: {}", "f:2: peers: is empty"},
		{"a list for a mapping", name + "peers: [a]", "f:2: peers: want a mapping from peer names, not a list"},
		{"a mistake inside", name + "peers: {a: {adress: 1}}", "f:2: peer \"a\": missing key address (where it is)\nf:2: peer \"a\": unknown key \"adress\" (did you mean address? have address, fast)"},
		{"a prefix with bits past its length", name + "trusted: [192.0.2.1/24]", `f:2: trusted: "192.0.2.1/24" is not an IP prefix, such as 192.0.2.0/24`},
		{"an address without port", name + "listen: 192.0.2.1", `f:2: listen: "192.0.2.1" is not an IP address and port, such as 192.0.2.1:53`},
		{"out of range", name + "wait: 3h", `f:2: wait: "3h" is not a duration from 1s to 2h`},
		{"no number", name + "ratio: .nan", `f:2: ratio: ".nan" is not a number from 0 to 1`},
		{"an octal number", name + "load: 08", `f:2: load: "08" is not an integer from 0 to 9`},
		{"a value of no use", name + "load: 3", "f:2: load: is odd"},
		{"an unknown word", name + "color: blue", `f:2: color: unknown color "blue" (have green, red)`},
		{"a bad name inside", name + "peers: {A: 192.0.2.1}", `f:2: peers: "A" is not a name (a-z, 0-9 and -, at most 63 bytes)`},
		{"a name that ends in a hyphen", name + "peers: {a-: 192.0.2.1}", `f:2: peers: "a-" is not a name (a-z, 0-9 and -, at most 63 bytes)`},
		{"a control character", name + "note: \"a\\tb\"", `f:2: note: "a\tb" is not text of 1 to 8 bytes without control characters`},
		{"too much text", name + "note: 123456789", `f:2: note: "123456789" is not text of 1 to 8 bytes without control characters`},
		{"a syntax of its own", name + "path: a", `f:2: path: "a": begins with no slash`},
		{"a list for a syntax of its own", name + "path: [/a]", `f:2: path: want path, not a list`},
		{"an alias", name + "port: &p 53\nload: *p", "f:2: anchor &p is not allowed (write the value where it is used)\nf:3: alias *p is not allowed (write the value out)"},
		{"a merge", name + "<<: {port: 53}", `f:2: unknown key "<<" (have color, listen, load, name, note, path, peers, port, ratio, trusted, wait)`},
		{"a tag", name + "port: !!int 53", "f:2: tag !!int is not allowed"},
		{"two documents", name + "---\nname: b", "f:2: a second document begins here (one file holds one)"},
		{"a second document that is no YAML", name + "---\nport: [", "f:3: not YAML: did not find expected node content"},
		{"no YAML", name + "port: [", "f:2: not YAML: did not find expected node content"},
		{"no text", "name: \"\x00\"", "f: not YAML: control characters are not allowed"},
		{"too deep", name + "port: " + deep, "f:2: is nested more than 32 deep"},
		{"far too deep", strings.Repeat("[", 20_000), "f: not YAML: exceeded max depth of 10000"},
		{"too large", strings.Repeat(" ", MaxSize+1), "f: is larger than 4 MiB"},
	} {
		if _, problems := decode(row.text); problems != row.want {
			t.Errorf("%s: problems\n%s\nwant\n%s", row.why, problems, row.want)
		}
	}
}

// Aliases of aliases are refused where they stand, not multiplied first.
func TestYAMLBomb(t *testing.T) {
	text := "name: a\na: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		text += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	begin := time.Now()
	_, problems := decode(text)
	if n := strings.Count(problems, "\n"); n > 60 || !strings.HasPrefix(problems, "f:2: anchor &a is not allowed") {
		t.Errorf("%d problems: %.200s", n, problems)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("took %v", d)
	}
}

func TestReport(t *testing.T) {
	var r Report
	if r.Err() != nil {
		t.Error("an empty report is an error")
	}
	r.Add(Position{"b", 1}, "x")
	r.Add(Position{"a", 10}, "x")
	r.Add(Position{"a", 9}, "y")
	r.Add(Position{"a", 9}, "x %d", 1)
	r.Add(Position{"a", 9}, "y")
	const want = "a:9: x 1\na:9: y\na:10: x\nb:1: x"
	var problems Problems
	if err := r.Err(); err.Error() != want || !errors.As(err, &problems) || len(problems) != 4 {
		t.Errorf("Err() = %v, want %s", err, want)
	}
	for i := range maxProblems {
		r.Add(Position{"c", i}, "z")
	}
	all := r.Problems()
	if last := all[len(all)-1].String(); last != "5 more problems" {
		t.Errorf("last problem %q", last)
	}
}

func TestUnknown(t *testing.T) {
	if got, want := Unknown("region", "eu-wset", []string{"us-east", "eu-west"}), `unknown region "eu-wset" (have eu-west, us-east)`; got != want {
		t.Errorf("Unknown = %s, want %s", got, want)
	}
	if got, want := Unknown("region", "x", nil), `unknown region "x" (have none)`; got != want {
		t.Errorf("Unknown = %s, want %s", got, want)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("r%02d", i))
	}
	if got := Unknown("region", "x", many); !strings.HasSuffix(got, "r22, r23 and 76 more)") {
		t.Errorf("Unknown = %s", got)
	}
}

func TestNearest(t *testing.T) {
	have := []string{"check", "members", "policy", "ttl"}
	for _, row := range []struct{ word, want string }{
		{"polcy", "policy"}, {"polciy", "policy"}, {"tll", "ttl"}, {"checks", "check"}, {"member", "members"}, {"policies", ""}, {"x", ""}, {"", ""},
	} {
		if got := nearest(row.word, have); got != row.want {
			t.Errorf("nearest(%q) = %q, want %q", row.word, got, row.want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 500 * time.Millisecond: "500ms", 30 * time.Second: "30s", 5 * time.Minute: "5m", 90 * time.Second: "1m30s",
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", time.Hour + 10*time.Second: "1h0m10s",
	} {
		if got := Short(d); got != want {
			t.Errorf("Short(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestReference(t *testing.T) {
	const want = "## Top of the file\n\n" +
		"| key | value | default | meaning |\n|---|---|---|---|\n" +
		"| `name` | name (a-z, 0-9 and -, at most 63 bytes) | *required* | of the node |\n" +
		"| `port` | port from 1 to 65535 | `53` | to listen on |\n" +
		"| `wait` | duration from 1s to 2h | `1m30s` | between tries |\n" +
		"| `listen` | IP address and port, such as 192.0.2.1:53, or a list of these | `[127.0.0.1:53, '[::1]:53']` | addresses |\n" +
		"| `trusted` | [IP prefix, such as 192.0.2.0/24, …] |  | networks \\| of friends |\n" +
		"| `ratio` | number from 0 to 1 | `0.5` | of things |\n" +
		"| `peers` | peer → IP address or its keys |  | by name |\n" +
		"| `color` | red · green | `red` | of the paint |\n" +
		"| `load` | even digit |  | even |\n" +
		"| `note` | text of 1 to 8 bytes without control characters |  | to the reader |\n" +
		"| `path` | path |  | of a file |\n\n" +
		"## `peers.NAME`\n\n" +
		"| key | value | default | meaning |\n|---|---|---|---|\n" +
		"| `address` | IP address | *required* | where it is |\n" +
		"| `fast` | true or false | `true` | whether it is near |\n"
	if got := nodeObject.Reference(); got != want {
		t.Errorf("Reference() =\n%s\nwant\n%s", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{"name: a\npeers: {a: 192.0.2.1}", "a: &a [*a]", "? {a: b}\n: c", "- - - x", "name: !!binary aGk=", "--- |\n a\n--- >\n b", "%YAML 1.1\n---\na: b", "\"a\\\n b\": 'c''d'"} {
		f.Add([]byte(text))
	}
	for _, text := range []string{"name: 10\nport: '53'\nwait: 1h.5s\nratio: 0x1p-2", "name: true\nlisten: '[::1]:53'\nload: 4\nnote: 2026-01-01\npath: /0", "name: .5\nport: 0053\npeers: {1e1: '::'}"} {
		f.Add([]byte(text))
	}
	schema := nodeSchema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var n node
		var r Report
		document, ok := Document("f", data, &r)
		if ok {
			nodeObject.Decode(document, &n)
		} else if r.Err() == nil {
			t.Error("refused without a problem")
		}
		if r.Err() == nil && n.Name == "" {
			t.Errorf("accepted without the required key: %q", data)
		}
		if r.Err() == nil {
			if err := refused(t, schema, string(data)); err != nil {
				t.Errorf("accepted, and refused by the schema: %q: %v", data, err)
			}
		}
	})
}
