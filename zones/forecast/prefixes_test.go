package forecast

import (
	"fmt"
	"strings"
	"testing"
)

func TestParsePrefixes(t *testing.T) {
	for _, c := range []struct{ why, text, want string }{
		{"prefixes, addresses, weights, comments", "8.8.8.0/24\n\n# nothing\n9.9.9.9 2.5 # one address\r\n2600::/32\t100", "8.8.8.0/24 1, 9.9.9.9/32 2.5, 2600::/32 100"},
		{"an empty file", "# none\n", "!f: no prefix in it: want one a line, such as 8.8.8.0/24, and after a blank its weight if that is not 1"},
		{"not a prefix", "8.8.8.0/33\nhost", "!f:1: \"8.8.8.0/33\" is not a prefix, such as 8.8.8.0/24 or 2600::/32\nf:2: \"host\" is not a prefix, such as 8.8.8.0/24 or 2600::/32"},
		{"bits past its length", "8.8.8.8/24", "!f:1: \"8.8.8.8/24\" has bits set past its length: want 8.8.8.0/24"},
		{"v4-mapped", "::ffff:8.8.8.0/120", "!f:1: \"::ffff:8.8.8.0/120\" is an IPv4 address in IPv6: write it as IPv4"},
		{"no weight", "8.8.8.0/24 many", "!f:1: \"many\" is not a weight: want a number greater than 0, at most 1e+12"},
		{"a weight of nothing", "8.8.8.0/24 0", "!f:1: \"0\" is not a weight: want a number greater than 0, at most 1e+12"},
		{"not a number", "8.8.8.0/24 NaN", "!f:1: \"NaN\" is not a weight: want a number greater than 0, at most 1e+12"},
		{"too many words", "8.8.8.0/24 1 2", "!f:1: 3 words, want a prefix and a weight"},
	} {
		prefixes, err := ParsePrefixes("f", []byte(c.text))
		var texts []string
		for _, p := range prefixes {
			texts = append(texts, fmt.Sprintf("%v %g", p.Prefix, p.Weight))
		}
		got := strings.Join(texts, ", ")
		if err != nil {
			got = "!" + err.Error()
		}
		if got != c.want {
			t.Errorf("%s: ParsePrefixes(%q) = %s, want %s", c.why, c.text, got, c.want)
		}
	}
	if _, err := ParsePrefixes("f", []byte(strings.Repeat("8.8.8.0/24\n", maxPrefixes+1))); err == nil || !strings.Contains(err.Error(), "f:1000001: more than 1000000 prefixes") {
		t.Errorf("of too many prefixes: %v", err)
	}
}

func FuzzParsePrefixes(f *testing.F) {
	f.Add([]byte("8.8.8.0/24 1\n2600::/32"))
	f.Fuzz(func(t *testing.T, text []byte) {
		prefixes, err := ParsePrefixes("f", text)
		if (err == nil) != (len(prefixes) > 0) {
			t.Errorf("ParsePrefixes(%q) = %v, %v", text, prefixes, err)
		}
		for _, p := range prefixes {
			if !p.IsValid() || p.Prefix != p.Masked() || !(p.Weight > 0) {
				t.Errorf("ParsePrefixes(%q) has %v", text, p)
			}
		}
	})
}
