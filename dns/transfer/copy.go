package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A secondary zone has two files: its copy, and beside it what must outlive a restart.
const (
	secondaryDir  = "secondary"
	copySuffix    = ".zone"
	stateSuffix   = ".state"
	membersSuffix = ".members"
)

// A copyState is what must outlive a restart, beside the copy itself.
type copyState struct {
	Refreshed time.Time `json:"refreshed"`        // when a primary was last known to have no newer version
	Member    string    `json:"member,omitempty"` // the label of the zone in its catalog
	Dropped   time.Time `json:"dropped,omitzero"` // when it ceased to be one of the secondary zones
}

func (s *Service) copyFile(apex string) string {
	return filepath.Join(s.config.Dir, secondaryDir, fileName(apex)+copySuffix)
}

func stateFile(copyFile string) string { return strings.TrimSuffix(copyFile, copySuffix) + stateSuffix }

func writeState(copyFile string, state copyState) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return writeFile(stateFile(copyFile), append(text, '\n'))
}

func readState(copyFile string) (state copyState, err error) {
	text, err := os.ReadFile(stateFile(copyFile))
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	return state, err
}

// membersFile is where the members of a catalog are kept, beside its copy.
func membersFile(copyFile string) string {
	return strings.TrimSuffix(copyFile, copySuffix) + membersSuffix
}

// removeCopy removes all files of a zone.
func removeCopy(copyFile string) error {
	var errs []error
	for _, name := range []string{stateFile(copyFile), membersFile(copyFile), copyFile} {
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// A copyWriter writes a copy as a master file (RFC 1035, section 5): a record a line, all names whole.
type copyWriter struct {
	out     *bufio.Writer
	limits  Limits
	records int
	bytes   int
}

func newCopyWriter(w io.Writer, limits Limits) *copyWriter {
	return &copyWriter{out: bufio.NewWriter(w), limits: limits}
}

func (w *copyWriter) record(rr dns.RR) error {
	w.records++
	w.bytes += dns.Len(rr)
	if w.records > w.limits.Records || w.bytes > w.limits.Bytes {
		return fmt.Errorf("the zone is larger than %d records or %d bytes", w.limits.Records, w.limits.Bytes)
	}
	line, err := masterLine(rr)
	if err != nil {
		return err
	}
	if _, err = w.out.WriteString(line); err == nil {
		err = w.out.WriteByte('\n')
	}
	return err
}

// masterLine returns a record as a line from which it can be read again: in its own words, or else in those of RFC 3597.
func masterLine(rr dns.RR) (string, error) {
	line := escapeOwner(rr.String())
	if plain(line, rr) || readsAs(line, rr) {
		return line, nil
	}
	unknown := new(dns.RFC3597)
	if err := unknown.ToRFC3597(rr); err != nil {
		return "", fmt.Errorf("%s %s: %w", rr.Header().Name, dns.Type(rr.Header().Rrtype), err)
	}
	if line = escapeOwner(unknown.String()); !readsAs(line, rr) {
		return "", fmt.Errorf("%s %s: can't be written as text", rr.Header().Name, dns.Type(rr.Header().Rrtype))
	}
	return line, nil
}

// plain reports whether nothing in a line can be misread, so that most records need not be tried.
func plain(line string, rr dns.RR) bool {
	switch rr.(type) {
	case *dns.A, *dns.AAAA, *dns.NS, *dns.CNAME, *dns.MX, *dns.PTR, *dns.SOA:
		return true
	case *dns.TXT, *dns.SRV, *dns.DS:
		return len(line) < 512 && !strings.Contains(line, `\`)
	}
	return false
}

// escapeOwner keeps an owner name from being a directive.
func escapeOwner(line string) string {
	if strings.HasPrefix(line, "$") {
		return `\` + line
	}
	return line
}

func readsAs(line string, rr dns.RR) bool {
	again, err := dns.NewRR(line)
	if err != nil || again == nil {
		return false
	}
	first, second := make([]byte, dns.Len(rr)), make([]byte, dns.Len(again))
	n, err := dns.PackRR(rr, first, 0, nil, false)
	m, errAgain := dns.PackRR(again, second, 0, nil, false)
	return err == nil && errAgain == nil && bytes.Equal(first[:n], second[:m])
}

// eachOf reads the records of a copy.
func eachOf(r io.Reader, yield func(dns.RR) error) error {
	parser := dns.NewZoneParser(r, ".", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if err := yield(rr); err != nil {
			return err
		}
	}
	return parser.Err()
}

var errEnough = errors.New("enough read")

// readSOA returns the SOA record of a copy, which is the first.
func readSOA(copyFile, apex string) (*dns.SOA, error) {
	f, err := os.Open(copyFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var soa *dns.SOA
	err = eachOf(f, func(rr dns.RR) error {
		soa, _ = rr.(*dns.SOA)
		return errEnough
	})
	if soa == nil || dns.CanonicalName(soa.Hdr.Name) != apex {
		return nil, fmt.Errorf("%s: does not begin with the SOA record of %s (%w)", copyFile, apex, err)
	}
	return soa, nil
}

// amend writes the version of a zone that differences make of a copy. They must fit it exactly.
func amend(copied io.Reader, differences []Difference, write func(dns.RR) error) error {
	gone, came, err := netOf(differences)
	if err != nil {
		return err
	}
	if err := write(differences[len(differences)-1].To); err != nil {
		return err
	}
	buffer := make([]byte, dns.MaxMsgSize)
	err = eachOf(copied, func(rr dns.RR) error {
		if soa, ok := rr.(*dns.SOA); ok {
			if soa.Serial != differences[0].From.Serial {
				return fmt.Errorf("the copy has serial %d, the differences begin at %d", soa.Serial, differences[0].From.Serial)
			}
			return nil
		}
		k, _, err := keyOf(rr, buffer)
		switch {
		case err != nil:
			return err
		case gone[k]:
			delete(gone, k)
			return nil
		case came[k]:
			return fmt.Errorf("%s %s is added, and there already", rr.Header().Name, dns.Type(rr.Header().Rrtype))
		}
		return write(rr)
	})
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		return fmt.Errorf("%d records are deleted that are not there", len(gone))
	}
	for _, d := range differences {
		for _, rr := range d.Added {
			k, _, err := keyOf(rr, buffer)
			if err != nil {
				return err
			}
			if came[k] {
				delete(came, k)
				if err := write(rr); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// netOf makes of differences in a row what they come to: a record that went and came again, or the other way, is in neither.
func netOf(differences []Difference) (gone, came map[recordKey]bool, err error) {
	gone, came = map[recordKey]bool{}, map[recordKey]bool{}
	buffer := make([]byte, dns.MaxMsgSize)
	move := func(rrs []dns.RR, from, to map[recordKey]bool, what string) {
		for _, rr := range rrs {
			k, _, keyErr := keyOf(rr, buffer)
			switch {
			case keyErr != nil:
				err = errors.Join(err, keyErr)
			case from[k]:
				delete(from, k)
			case to[k]:
				err = fmt.Errorf("%s %s is %s twice", rr.Header().Name, dns.Type(rr.Header().Rrtype), what)
			default:
				to[k] = true
			}
		}
	}
	for _, d := range differences {
		move(d.Deleted, came, gone, "deleted")
		move(d.Added, gone, came, "added")
	}
	return gone, came, err
}
