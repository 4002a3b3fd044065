package route

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/zones"
)

func TestParsePath(t *testing.T) {
	for _, test := range []struct{ reason, raw, want string }{
		{"the root", "/", "/"},
		{"a plain path stays", "/a/b;c=1,2/d~e", "/a/b;c=1,2/d~e"},
		{"unreserved characters are decoded", "/%61%2Db%7e", "/a-b~"},
		{"hex digits are upper case", "/a%3b%c3%a9", "/a%3B%C3%A9"},
		{"an encoded slash is unchanged", "/a%2fb%2Fc", "/a%2fb%2Fc"},
		{"an encoded backslash is unchanged", "/a%5cb%5Cc", "/a%5cb%5Cc"},
		{"a raw backslash is encoded", `/a\b`, "/a%5Cb"},
		{"a double encoding is decoded once", "/%252e%252e/a", "/%252e%252e/a"},
		{"raw UTF-8 is encoded", "/é", "/%C3%A9"},
		{"one dot", "/a/./b/.", "/a/b/"},
		{"two dots", "/a/b/../c/..", "/a/"},
		{"dots above the root", "/../../a", "/a"},
		{"encoded dots are dots", "/a/%2e%2E/b", "/b"},
		{"dots within a segment", "/a../.b/...", "/a../.b/..."},
		{"empty segments are kept", "//a//b", "//a//b"},
		{"two dots eat an empty segment", "/a//../b", "/a/b"},
		{"a slash at the end is kept", "/a/", "/a/"},
		{"an encoded slash does not end a segment", "/a/..%2Fb", "/a/..%2Fb"},
		{"no slash at the start", "a", ""},
		{"nothing", "", ""},
		{"an asterisk", "*", ""},
		{"NUL", "/a%00", ""},
		{"a raw control", "/a\x01", ""},
		{"a space", "/a b", ""},
		{"a fragment", "/a#b", ""},
		{"half an encoding", "/a%2", ""},
		{"no hex digits", "/a%zz", ""},
	} {
		got, err := ParsePath(test.raw)
		if got.String() != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%s: ParsePath(%q) = %q, %v, want %q", test.reason, test.raw, got, err, test.want)
		}
		if err != nil && !errors.Is(err, ErrPath) {
			t.Errorf("%s: ParsePath(%q): %v does not wrap ErrPath", test.reason, test.raw, err)
		}
	}
}

func TestParseHost(t *testing.T) {
	for _, test := range []struct{ authority, want string }{
		{"api.example", "api.example"},
		{"API.Example.", "api.example"},
		{"api.example:8080", "api.example"},
		{"api.example.:8080", "api.example"},
		{"api.example:", "api.example"},
		{"127.0.1.1:8080", "127.0.1.1"},
		{"[2001:DB8::1]:443", "[2001:db8::1]"},
		{"[2001:db8::1]", "[2001:db8::1]"},
		{"", ""},
		{":80", ""},
		{".", ""},
		{"a..b", ""},
		{"user@a", ""},
		{"a:80:80", ""},
		{"a:http", ""},
		{"a:123456", ""},
		{"[::1", ""},
		{"[fe80::1%25eth0]", ""},
		{"[127.0.0.1]", ""},
		{"a/b", ""},
		{"é.example", ""},
		{strings.Repeat("a.", 127) + "ab", ""},
	} {
		got, err := ParseHost(test.authority)
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("ParseHost(%q) = %q, %v, want %q", test.authority, got, err, test.want)
		}
	}
}

func world(hosts ...string) zones.Gateway {
	var g zones.Gateway
	for _, h := range hosts {
		host, path, _ := strings.Cut(h, "/")
		g.Services = append(g.Services, zones.Service{Name: h})
		g.Routes = append(g.Routes, zones.Route{Host: host, Path: "/" + path, Service: h})
	}
	return g
}

var routed = world("api.example/", "api.example/v1", "api.example/v1/users/", "*.example/", "*.example/v1",
	"*.eu.example/", "only.example/deep")

func TestMatch(t *testing.T) {
	table, err := New(routed)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ reason, host, path, want string }{
		{"exact before wildcard", "api.example", "/x", "api.example/"},
		{"longest path", "api.example", "/v1/users/7", "api.example/v1/users/"},
		{"a prefix itself", "api.example", "/v1", "api.example/v1"},
		{"only whole segments", "api.example", "/v10", "api.example/"},
		{"a route's slash at the end says nothing", "api.example", "/v1/users", "api.example/v1/users/"},
		{"wildcard", "www.example", "/", "*.example/"},
		{"wildcard of two labels", "a.b.example", "/v1/x", "*.example/v1"},
		{"longer wildcard first", "a.eu.example", "/v1", "*.eu.example/"},
		{"a wildcard does not match its own name", "eu.example", "/v1", "*.example/v1"},
		{"exact host without the path falls back", "only.example", "/v1", "*.example/v1"},
		{"unknown host", "example", "/", ErrUnknownHost.Error()},
		{"unknown host of another domain", "api.test", "/", ErrUnknownHost.Error()},
		{"an encoded slash is no border", "api.example", "/x%2Fy", "api.example/"},
		{"an encoded slash that would change the route", "api.example", "/v1%2Fx", ErrAmbiguous.Error()},
		{"an encoded slash after dots", "api.example", "/x/..%2fv1", ErrAmbiguous.Error()},
		{"an encoded backslash that would change the route", "api.example", "/v1%5Cx", ErrAmbiguous.Error()},
		{"a raw backslash likewise", "api.example", `/v1\x`, ErrAmbiguous.Error()},
		{"empty segments that would change the route", "api.example", "//v1/x", ErrAmbiguous.Error()},
		{"empty segments that change nothing", "api.example", "/v1//x", "api.example/v1"},
		{"dots before a parameter", "api.example", "/v1/..;/x", ErrAmbiguous.Error()},
		{"dots before a parameter with a value", "api.example", "/v1/..;x=1/x", ErrAmbiguous.Error()},
		{"dots and the semicolon encoded", "api.example", "/v1/%2e%2e%3b/x", ErrAmbiguous.Error()},
		{"into a route by dots before a parameter", "api.example", "/x/..;/v1", ErrAmbiguous.Error()},
		{"a parameter that hides a border", "api.example", "/v1;x", ErrAmbiguous.Error()},
		{"a parameter that hides an encoded border", "api.example", "/v1%3Bx/y", ErrAmbiguous.Error()},
		{"an empty segment before a parameter", "api.example", "/;x/v1", ErrAmbiguous.Error()},
		{"dots before a parameter that ends in an encoded slash", "api.example", "/x/..;%2Fv1", ErrAmbiguous.Error()},
		{"a parameter cut before the slash is decoded", "api.example", "/x%2F..;y%2Fz/v1", ErrAmbiguous.Error()},
		{"only the bare semicolon cut, the encoded one kept", "api.example", "/x/..;/v1/..%3B/y", ErrAmbiguous.Error()},
		{"a dot before a parameter", "api.example", "/.;x/v1", ErrAmbiguous.Error()},
		{"a parameter that changes nothing", "api.example", "/v1/a;b=1/c", "api.example/v1"},
		{"dots before a parameter that change nothing", "api.example", "/v1/a/..;/c", "api.example/v1"},
		{"out of the route by an encoded slash", "api.example", "/v1/..%2F..%2Fx", ErrAmbiguous.Error()},
	} {
		path, err := ParsePath(test.path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := table.Match(test.host, path)
		got := r.Service
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: Match(%q, %q) = %q, want %q", test.reason, test.host, test.path, got, test.want)
		}
	}
	deep, err := New(world("only.example/deep"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deep.Match("only.example", Path{text: "/x"}); err != ErrUnknownPath {
		t.Errorf("Match of a known host and an unknown path = %v, want %v", err, ErrUnknownPath)
	}
}

func TestNewRefuses(t *testing.T) {
	bad := world("a/x", "a/x/", "A/", "*/", "*b/", "a/%2f", "a//b", "a/x;y", "a/%zz", "/")
	bad.Routes = append(bad.Routes, zones.Route{Host: "c", Path: "/", Service: "none"})
	_, err := New(bad)
	if err == nil {
		t.Fatal("New = nil, want errors")
	}
	for _, want := range []string{"a/x/: twice", "route A/: host", "route */: host", "route *b/: host", "route a/%2f: path",
		"route a//b: path", "route a/x;y: path", "route a/%zz: path", "route /: host", `route c/: unknown service "none"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New: no %q in:\n%v", want, err)
		}
	}
}

// slowMatch is the rule said plainly: of all routes that fit, the most specific.
func slowMatch(g zones.Gateway, host, path string) string {
	var fit []zones.Route
	for _, r := range g.Routes {
		suffix, wild := strings.CutPrefix(r.Host, "*")
		prefix := strings.TrimSuffix(r.Path, "/")
		if (r.Host == host || wild && strings.HasSuffix(host, suffix)) && strings.HasPrefix(path+"/", prefix+"/") {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	return slices.MinFunc(fit, func(a, b zones.Route) int {
		wild := func(r zones.Route) int { return strings.Count(r.Host, "*") }
		return cmp.Or(wild(a)-wild(b), len(b.Host)-len(a.Host), len(b.Path)-len(a.Path))
	}).Service
}

func TestMatchTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	for round := range 2000 {
		seen := map[string]bool{}
		var names []string
		for range 1 + rng.IntN(8) {
			name := pick("*.", "") + pick("a", "a.b", "c.a.b", "b") + pick("/", "/x", "/x/y", "/xy", "/x/y/z")
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
		g := world(names...)
		table, err := New(g)
		if err != nil {
			t.Fatal(err)
		}
		host := pick("a", "b", "a.b", "c.a.b", "d.c.a.b", "x.a")
		path, _ := ParsePath(pick("/", "/x", "/x/", "/xy/z", "/x/y", "/x/yz", "/x/y/z/w"))
		r, _ := table.Match(host, path)
		if want := slowMatch(g, host, path.text); r.Service != want {
			t.Fatalf("round %d: %q: Match(%q, %q) = %q, want %q", round, names, host, path.text, r.Service, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/../b", "/%2e%2e/v1", "//v1", "/v1%2f..%5cx", `/v1\..\x`, "/é/%00", "/a%2F..//%5c./", "/x/..;/v1", "/v1/%2e%2e%3b;a%2Fb"} {
		f.Add(seed)
	}
	table, err := New(routed)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := ParsePath(raw)
		if err != nil {
			return
		}
		again, err := ParsePath(p.text)
		if err != nil || again != p {
			t.Fatalf("ParsePath(%q) = %+v, but of that %+v, %v", raw, p, again, err)
		}
		decoded, err := url.PathUnescape(p.text)
		if err != nil {
			t.Fatalf("ParsePath(%q) = %q: %v", raw, p.text, err)
		}
		if u := (&url.URL{Path: decoded, RawPath: p.text}); u.EscapedPath() != p.text {
			t.Fatalf("ParsePath(%q) = %q, forwarded as %q", raw, p.text, u.EscapedPath())
		}
		for _, segment := range strings.Split(p.text, "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("ParsePath(%q) = %q", raw, p.text)
			}
		}
		// Whatever is routed is routed alike by one who decodes everything first.
		if r, err := table.Match("api.example", p); err == nil {
			if strings.Contains(decoded, "%") {
				return // naive would have to encode again
			}
			segments := strings.Split(strings.ReplaceAll(decoded, `\`, "/"), "/")
			naive := []string{removeDots(mergeSlashes(strings.Join(segments, "/")))}
			for i, segment := range segments {
				segments[i], _, _ = strings.Cut(segment, ";")
			}
			naive = append(naive, removeDots(mergeSlashes(strings.Join(segments, "/"))))
			for _, path := range naive {
				if want := slowMatch(routed, "api.example", path); r.Service != want {
					t.Fatalf("%q is routed to %q, its decoded form %q to %q", raw, r.Service, path, want)
				}
			}
		}
	})
}
