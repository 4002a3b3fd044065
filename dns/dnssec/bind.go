package dnssec

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	bindTime    = "20060102150405"
	maxKeyFile  = 64 << 10 // bytes
	privateHead = "Private-key-format: v1."
)

// A moment is one line of a key's timing in its files.
type moment struct {
	name string
	time *time.Time
}

func (t *Timing) moments() []moment {
	return []moment{{"Created", &t.Created}, {"Publish", &t.Publish}, {"Activate", &t.Activate}, {"Inactive", &t.Inactive},
		{"Delete", &t.Delete}, {"SyncPublish", &t.SyncPublish}, {"SyncDelete", &t.SyncDelete}}
}

// Name returns the name of the key's files without .key and .private, as BIND has it: Kexample.com.+013+12345.
func (k *Key) Name() string {
	return fmt.Sprintf("K%s+%03d+%05d", fileName(k.Zone), k.Algorithm, k.Tag)
}

// fileName returns a zone's name as it stands in the names of files: what else than letters, digits, - and _ could
// mean something there is in hexadecimal.
func fileName(zone string) string {
	var b strings.Builder
	for _, c := range []byte(zone) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// FilePrefix returns what the names of a zone's key files begin with.
func FilePrefix(zone string) (string, error) {
	apex, err := WireName(zone)
	if err != nil {
		return "", err
	}
	return "K" + fileName(TextName(apex)) + "+", nil
}

// Role returns KSK or ZSK, by the flags. Whether a KSK is a CSK is a matter of the other keys of its zone.
func (k *Key) Role() string {
	if k.Flags == FlagsKSK {
		return "KSK"
	}
	return "ZSK"
}

// PublicFile returns the contents of the key's .key file.
func (k *Key) PublicFile() []byte {
	var b bytes.Buffer
	what := "zone-signing"
	if k.Flags == FlagsKSK {
		what = "key-signing"
	}
	fmt.Fprintf(&b, "; This is a %s key, keyid %d, for %s\n", what, k.Tag, k.Zone)
	for _, m := range k.Timing.moments() {
		if !m.time.IsZero() {
			fmt.Fprintf(&b, "; %s: %s (%s)\n", m.name, m.time.UTC().Format(bindTime), m.time.UTC().Format(time.ANSIC))
		}
	}
	fmt.Fprintf(&b, "%s IN DNSKEY %d 3 %d %s\n", k.Zone, k.Flags, k.Algorithm, base64.StdEncoding.EncodeToString(k.Public))
	return b.Bytes()
}

// PrivateFile returns the contents of the key's .private file, nil if there is no private key. It belongs into a file that
// only its owner can read.
func (k *Key) PrivateFile() []byte {
	if !k.CanSign() {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s3\nAlgorithm: %d (%s)\n", privateHead, k.Algorithm, AlgorithmName(k.Algorithm))
	fmt.Fprintf(&b, "PrivateKey: %s\n", base64.StdEncoding.EncodeToString(k.privateBytes()))
	for _, m := range k.Timing.moments() {
		if !m.time.IsZero() {
			fmt.Fprintf(&b, "%s: %s\n", m.name, m.time.UTC().Format(bindTime))
		}
	}
	return b.Bytes()
}

// Parse reads a key from its .key file and, unless that is nil, its .private file, which has the timing. It fails if
// they are not halves of one key. No error holds any of the private file's values.
func Parse(public, private []byte) (*Key, error) {
	if len(public) > maxKeyFile || len(private) > maxKeyFile {
		return nil, fmt.Errorf("key files of %d and %d bytes, want at most %d", len(public), len(private), maxKeyFile)
	}
	parser := dns.NewZoneParser(bytes.NewReader(public), "", "")
	rr, ok := parser.Next()
	_, more := parser.Next()
	record, is := rr.(*dns.DNSKEY)
	if err := parser.Err(); err != nil {
		return nil, err
	}
	if !ok || more || !is || record.Hdr.Class != dns.ClassINET || record.Protocol != 3 {
		return nil, fmt.Errorf("want one DNSKEY record of class IN and protocol 3, have %v", rr)
	}
	k, err := newKey(record.Hdr.Name, record.Flags, record.Algorithm)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(record.PublicKey)
	if err != nil || len(data) != publicSize(k.Algorithm) {
		return nil, fmt.Errorf("zone %s: %d bytes of a public key for %s, want %d",
			k.Zone, len(data), AlgorithmName(k.Algorithm), publicSize(k.Algorithm))
	}
	k.setPublic(data)
	tag := k.Tag
	if private == nil {
		return k, nil
	}
	if err := k.readPrivate(string(private)); err != nil {
		return nil, fmt.Errorf("key %s: private file: %w", k.Name(), err)
	}
	if !bytes.Equal(k.Public, data) {
		return nil, fmt.Errorf("zone %s: the private file belongs to another key than the public one with the tag %d", k.Zone, tag)
	}
	return k, nil
}

// readPrivate takes the lines of a private file. Those that are not known are for others and are passed over.
func (k *Key) readPrivate(text string) error {
	if !strings.HasPrefix(text, privateHead) {
		return fmt.Errorf("does not begin with %q", privateHead)
	}
	found := false
	for i, line := range strings.Split(text, "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "Algorithm":
			if number, _, _ := strings.Cut(value, " "); number != fmt.Sprint(k.Algorithm) {
				return fmt.Errorf("line %d: algorithm %.20q, want %d", i+1, value, k.Algorithm)
			}
		case "PrivateKey":
			data, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return fmt.Errorf("line %d: the key is not base64", i+1)
			}
			if err := k.setPrivate(data); err != nil {
				return fmt.Errorf("line %d: not a key of %s", i+1, AlgorithmName(k.Algorithm))
			}
			found = true
		}
		for _, m := range k.Timing.moments() {
			if m.name != name {
				continue
			}
			var err error
			if *m.time, err = time.Parse(bindTime, value); err != nil {
				return fmt.Errorf("line %d: %s is no time like %s", i+1, name, bindTime)
			}
		}
	}
	if !found {
		return fmt.Errorf("no line PrivateKey")
	}
	return nil
}
