package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrPath is wrapped by every refusal of a path.
var ErrPath = errors.New("path")

// A Path is a normalised request path, still percent-encoded. The zero Path matches nothing. It is a value.
type Path struct {
	text      string
	ambiguous bool // holds %2F, %5C, ; or an empty segment: upstreams differ in how they read it
}

// String returns the path as it is to be forwarded.
func (p Path) String() string { return p.text }

// ParsePath normalises the path of a request target (RFC 3986, section 6.2.2), once.
//
//	raw                          normalised
//	%41 and other unreserved     decoded
//	%3b                          %3B
//	%2F, %2f, %5C, %5c           unchanged
//	" < > [ ] ^ ` { | } \ ≥0x80  percent-encoded
//	. and .. segments            resolved; .. above the root stays at the root
//	%00, controls, space, # and  refused
//	a broken percent-encoding
func ParsePath(raw string) (Path, error) {
	if raw == "" || raw[0] != '/' {
		return Path{}, fmt.Errorf("%w: %.40q does not start with /", ErrPath, raw)
	}
	if plain(raw) {
		return Path{text: raw}, nil
	}
	b := make([]byte, 0, len(raw)+8)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			if i+2 >= len(raw) || unhex(raw[i+1]) < 0 || unhex(raw[i+2]) < 0 {
				return Path{}, fmt.Errorf("%w: broken percent-encoding at byte %d", ErrPath, i)
			}
			decoded := byte(unhex(raw[i+1])<<4 | unhex(raw[i+2]))
			switch {
			case decoded == 0:
				return Path{}, fmt.Errorf("%w: %%00 at byte %d", ErrPath, i)
			case unreserved(decoded):
				b = append(b, decoded)
			case decoded == '/' || decoded == '\\':
				b = append(b, raw[i:i+3]...)
			default:
				b = appendEscaped(b, decoded)
			}
			i += 2
		case c <= ' ' || c == 0x7f || c == '#' || c == '?':
			return Path{}, fmt.Errorf("%w: %q at byte %d", ErrPath, c, i)
		case c == '/' || pchar(c):
			b = append(b, c)
		default:
			b = appendEscaped(b, c)
		}
	}
	text := removeDots(string(b))
	return Path{text, slices.ContainsFunc(ambiguities, func(a string) bool { return strings.Contains(text, a) })}, nil
}

// ambiguities are what of a normalised path upstreams read in different ways.
var ambiguities = []string{"//", "%2F", "%2f", "%5C", "%5c", ";", "%3B"}

// plain reports whether raw is normal already and has one reading only.
func plain(raw string) bool {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '/':
			if i+1 < len(raw) && (raw[i+1] == '/' || raw[i+1] == '.') {
				return false
			}
		case !pchar(c) || c == ';':
			return false
		}
	}
	return true
}

// removeDots is RFC 3986, section 5.2.4, on an absolute path: empty segments count as segments.
func removeDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path[1:], "/")
	kept := segments[:0]
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "") // what a dot segment ends in is a directory
		}
	}
	return "/" + strings.Join(kept, "/")
}

// mergeSlashes drops empty segments.
func mergeSlashes(path string) string {
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b = append(b, path[i])
		}
	}
	return string(b)
}

// cutParameters drops from each segment what follows the first of the marks (RFC 3986, section 3.3: parameters,
// which some upstreams cut off before they look for dot segments).
func cutParameters(path string, marks ...string) string {
	if !slices.ContainsFunc(marks, func(m string) bool { return strings.Contains(path, m) }) {
		return path
	}
	segments := strings.Split(path, "/")
	for i := range segments {
		for _, mark := range marks {
			segments[i], _, _ = strings.Cut(segments[i], mark)
		}
	}
	return strings.Join(segments, "/")
}

func cutBare(path string) string { return cutParameters(path, ";") }
func cutAll(path string) string  { return cutParameters(path, ";", "%3B") }

var (
	decodeSlash     = strings.NewReplacer("%2F", "/", "%2f", "/").Replace
	decodeBackslash = strings.NewReplacer("%5C", "/", "%5c", "/").Replace
)

// ways are what an upstream may do to a path before it resolves dots, each or not, in this order: the parameters
// may be cut off before or after the separators are decoded.
var ways = []func(string) string{cutBare, cutAll, decodeSlash, decodeBackslash, cutBare, cutAll, mergeSlashes}

// readings returns the other ways an upstream may read the path: %2F as a separator or not, %5C likewise,
// parameters cut off or not, empty segments merged or not. It is nil for nearly all paths, and holds 47 at most.
func (p Path) readings() []string {
	if !p.ambiguous {
		return nil
	}
	texts := []string{p.text}
	for _, way := range ways {
		for _, text := range texts {
			if other := way(text); !slices.Contains(texts, other) {
				texts = append(texts, other)
			}
		}
	}
	texts = texts[1:]
	for i, text := range texts {
		texts[i] = removeDots(text)
	}
	return texts
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// pchar is RFC 3986's rule of that name without percent-encodings.
func pchar(c byte) bool { return unreserved(c) || strings.IndexByte("!$&'()*+,;=:@", c) >= 0 }

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func appendEscaped(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}
