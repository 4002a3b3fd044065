package demand

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/zones"
)

var reports = []struct {
	name   string
	report Report
	bytes  string
}{
	{"nothing", Report{Epoch: 1}, "01 01 00 00"},
	{"counts of two pools", Report{Epoch: 300, Ready: true, Counts: []Count{{"p", 1, 2, 3}, {"p", 4, 500, 0}, {"q", 1, 0, 1}}},
		"01 ac02 02 03 0170 0000000000000001 02 03 00 0000000000000004 f403 00 0171 0000000000000001 00 01"},
	{"a decision", Report{Epoch: 300, Decision: true, Spill: []zones.Kept{{Pool: "p", Member: "e/u", PerMille: 620}}}, "01 ac02 01 01 0170 03652f75 ec04"},
	{"a decision that nobody is full", Report{Epoch: 300, Decision: true}, "01 ac02 01 00"},
}

func TestReport(t *testing.T) {
	for _, row := range reports {
		if got, want := hex.EncodeToString(row.report.Append(nil)), strings.ReplaceAll(row.bytes, " ", ""); got != want {
			t.Errorf("%s is written as %s, want %s", row.name, got, want)
		}
		got, err := ParseReport(row.report.Append(nil))
		if err != nil || !reflect.DeepEqual(got, row.report) {
			t.Errorf("%s is read as %+v, %v; want %+v", row.name, got, err, row.report)
		}
	}
}

func TestBadReports(t *testing.T) {
	for _, row := range []struct{ why, bytes, want string }{
		{"nothing", "", "cut short"},
		{"another version", "02010000", "version 2, want 1"},
		{"an unknown flag", "01010400", "flags 0x4"},
		{"more counts than allowed", "01 01 00 8110", "2049 is more than 2048"},
		{"fewer counts than said", "01 01 00 01", "cut short"},
		{"a count of no pool", "01 01 00 01 00 0000000000000001 01 01", "a count of no pool"},
		{"a group twice", "01 01 00 02 0170 0000000000000001 01 01 00 0000000000000001 01 01", "counts out of order"},
		{"a name longer than all", "01 01 00 01 7f", "cut short"},
		{"a member that keeps everything", "01 01 01 01 0170 016d e807", "1000 is more than 999"},
		{"a member that keeps nothing", "01 01 01 01 0170 016d 00", "a member that keeps nothing"},
		{"more bytes", "01 01 00 00 00", "1 bytes too many"},
		{"an epoch without end", "01 ffffffffffffffff7f", "is more than"},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(row.bytes, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseReport(b); !errors.Is(err, ErrReport) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.why, err, row.want)
		}
	}
}

// FuzzReport: what is read is written so that the same is read, and nothing panics or grows beyond its limits.
func FuzzReport(f *testing.F) {
	for _, row := range reports {
		f.Add(row.report.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			if !errors.Is(err, ErrReport) {
				t.Fatalf("%v is no ErrReport", err)
			}
			return
		}
		again, err := ParseReport(r.Append(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v is read again as %+v, %v", r, again, err)
		}
		if len(r.Counts) > MaxCounts || len(r.Spill) > maxKept {
			t.Fatalf("%d counts, %d members", len(r.Counts), len(r.Spill))
		}
	})
}
