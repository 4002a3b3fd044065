package transfer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/strict"
)

const (
	maxKeyFile = 64 << 10
	leastKey   = 16 // bytes of a secret
	mostKey    = 512
)

// A tsigAlgorithm is one that RFC 8945, section 6 wants or recommends. SHA-1 and MD5 are not among ours.
type tsigAlgorithm struct {
	hash func() hash.Hash
	size int // bytes of a MAC
}

var tsigAlgorithms = map[string]tsigAlgorithm{
	dns.HmacSHA256: {sha256.New, sha256.Size},
	dns.HmacSHA384: {sha512.New384, sha512.Size384},
	dns.HmacSHA512: {sha512.New, sha512.Size},
}

func algorithmNames() []string {
	var names []string
	for name := range maps.Keys(tsigAlgorithms) {
		names = append(names, strings.TrimSuffix(name, "."))
	}
	return slices.Sorted(slices.Values(names))
}

// A Key is a secret that two hosts share (TSIG, RFC 8945). It is a value; only Declaration shows the secret.
type Key struct {
	Name      string // canonical
	Algorithm string // canonical: hmac-sha256., hmac-sha384. or hmac-sha512.
	secret    []byte
}

// Format makes every verb of fmt print the name alone, so that no log line can show a secret.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.Name) }

// Declaration returns the key in the form that BIND and ParseKeys read. It holds the secret, as those below.
func (k Key) Declaration() string {
	return k.declare("key %q {\n\talgorithm %s;\n\tsecret \"%s\";\n};\n")
}

// DeclarationNSD returns the key as nsd.conf has it.
func (k Key) DeclarationNSD() string {
	return k.declare("key:\n\tname: %q\n\talgorithm: %s\n\tsecret: \"%s\"\n")
}

// DeclarationKnot returns the key as knot.conf has it.
func (k Key) DeclarationKnot() string {
	return k.declare("key:\n  - id: %q\n    algorithm: %s\n    secret: \"%s\"\n")
}

func (k Key) declare(format string) string {
	return fmt.Sprintf(format, strings.TrimSuffix(k.Name, "."), strings.TrimSuffix(k.Algorithm, "."), base64.StdEncoding.EncodeToString(k.secret))
}

// mac returns the HMAC of the parts.
func (k Key) mac(parts ...[]byte) []byte {
	h := hmac.New(tsigAlgorithms[k.Algorithm].hash, k.secret)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// NewKey makes a key with a random secret as long as the MAC (RFC 8945, section 8).
func NewKey(name, algorithm string) (Key, error) {
	canonical, err := keyName(name)
	if err != nil {
		return Key{}, err
	}
	a, ok := tsigAlgorithms[dns.CanonicalName(algorithm)]
	if !ok {
		return Key{}, fmt.Errorf("%s", strict.Unknown("algorithm", algorithm, algorithmNames()))
	}
	secret := make([]byte, a.size)
	rand.Read(secret)
	return Key{canonical, dns.CanonicalName(algorithm), secret}, nil
}

// keyName returns a key's name in canonical form. Such bytes as programs write otherwise than they read are in none.
func keyName(name string) (string, error) {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' || r == '"' }
	if _, ok := dns.IsDomainName(name); !ok || name == "" || name == "." || strings.ContainsFunc(name, odd) {
		return "", fmt.Errorf("key %s: want a domain name of printable ASCII without \\ and \"", strict.Quote(name))
	}
	return dns.CanonicalName(name), nil
}

// LoadKeys reads a file of keys. Only its owner may have access to it.
func LoadKeys(file string) ([]Key, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is not a regular file", file)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s: others may read it (mode %04o, want 0600)", file, info.Mode().Perm())
	case info.Size() > maxKeyFile:
		return nil, fmt.Errorf("%s: is larger than %d bytes", file, maxKeyFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	return ParseKeys(file, text)
}

// ParseKeys reads keys in BIND's form: key "name" { algorithm hmac-sha256; secret "base64"; }; and so on. The error is
// strict.Problems, and quotes no secret.
func ParseKeys(file string, text []byte) ([]Key, error) {
	var report strict.Report
	p := keyParser{file: file, tokens: keyTokens(string(text)), report: &report}
	var keys []Key
	for len(p.tokens) > 0 && report.Err() == nil {
		key, line := p.key()
		if slices.ContainsFunc(keys, func(k Key) bool { return k.Name == key.Name }) {
			p.problem(line, "key %s is there twice", strict.Quote(key.Name))
		}
		keys = append(keys, key)
	}
	if err := report.Err(); err != nil {
		return nil, err
	}
	return keys, nil
}

// A keyToken is a word, a quoted text, or one of { } ; of a file of keys.
type keyToken struct {
	text   string
	quoted bool
	line   int
}

// keyTokens splits a file; comments are as in BIND: # and // to the end of the line, and between /* and */.
func keyTokens(text string) []keyToken {
	var tokens []keyToken
	line := 1
	for text != "" {
		end, quoted := 1, false
		switch c := text[0]; {
		case c == '\n':
			line++
			fallthrough
		case c == ' ' || c == '\t' || c == '\r':
			text = text[1:]
			continue
		case c == '#' || strings.HasPrefix(text, "//"):
			text = text[len(firstLine(text)):]
			continue
		case strings.HasPrefix(text, "/*"):
			comment, rest, _ := strings.Cut(text[2:], "*/")
			line += strings.Count(comment, "\n")
			text = rest
			continue
		case c == '{' || c == '}' || c == ';':
		case c == '"':
			inner := firstLine(text[1:])
			if i := strings.IndexByte(inner, '"'); i >= 0 {
				inner = inner[:i]
			}
			tokens = append(tokens, keyToken{inner, true, line})
			text = strings.TrimPrefix(text[1+len(inner):], `"`)
			continue
		default:
			if end = strings.IndexAny(text, " \t\r\n{};\"#"); end < 0 {
				end = len(text)
			}
		}
		tokens = append(tokens, keyToken{text[:end], quoted, line})
		text = text[end:]
	}
	return tokens
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

type keyParser struct {
	file   string
	tokens []keyToken
	line   int // of the token taken last
	report *strict.Report
}

func (p *keyParser) problem(line int, format string, args ...any) {
	p.report.Add(strict.Position{File: p.file, Line: line}, format, args...)
}

func (p *keyParser) next() keyToken {
	if len(p.tokens) == 0 {
		return keyToken{line: p.line}
	}
	t := p.tokens[0]
	p.tokens, p.line = p.tokens[1:], t.line
	return t
}

// want takes a token that can only be one. What stands there instead may be a secret, so it is not quoted.
func (p *keyParser) want(text, after string) bool {
	t := p.next()
	if t.text == text && !t.quoted {
		return true
	}
	if p.report.Err() == nil {
		p.problem(t.line, "want %q %s", text, after)
	}
	return false
}

// key reads one declaration. After a problem the rest of the file is of no use.
func (p *keyParser) key() (k Key, line int) {
	if !p.want("key", `as the start of a key: key "name" { algorithm hmac-sha256; secret "base64"; };`) {
		return k, p.line
	}
	name := p.next()
	line = name.line
	canonical, err := keyName(name.text)
	if err != nil {
		p.problem(line, "%v", err)
		return k, line
	}
	k.Name = canonical
	if !p.want("{", "after the name of key "+name.text) {
		return k, line
	}
	for {
		word := p.next()
		switch {
		case word.text == "}" && !word.quoted:
			if p.want(";", "at the end of key "+name.text) {
				p.complete(k, line)
			}
			return k, line
		case word.text == "algorithm":
			p.algorithm(&k)
		case word.text == "secret":
			p.secret(&k)
		default:
			p.problem(word.line, "key %s: want algorithm, secret or }", name.text)
		}
		if p.report.Err() != nil || !p.want(";", "after "+word.text) {
			return k, line
		}
	}
}

func (p *keyParser) algorithm(k *Key) {
	word := p.next()
	k.Algorithm = dns.CanonicalName(word.text)
	if _, ok := tsigAlgorithms[k.Algorithm]; !ok {
		p.problem(word.line, "key %s: %s", k.Name, strict.Unknown("algorithm", word.text, algorithmNames()))
	}
}

func (p *keyParser) secret(k *Key) {
	word := p.next()
	secret, err := base64.StdEncoding.DecodeString(word.text)
	if err != nil || len(secret) < leastKey || len(secret) > mostKey {
		p.problem(word.line, "key %s: want %d to %d bytes in base64 as its secret", k.Name, leastKey, mostKey)
	}
	k.secret = secret
}

func (p *keyParser) complete(k Key, line int) {
	if k.Algorithm == "" || k.secret == nil {
		p.problem(line, "key %s: want an algorithm and a secret", k.Name)
	}
}
