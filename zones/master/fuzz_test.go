package master_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meridian-gslb/meridian/zones/master"
)

// FuzzRead reads anything. What it gives is well-formed, however the bytes come.
func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"../testdata/demo/*.zone", "../testdata/bad/*/*.zone", "../testdata/good/*/*.zone"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, sample := range samples {
		f.Add([]byte("a 5 " + strings.NewReplacer("<name>", "b.c.", "<string>", `"d \"e"`, "<number>", "7").Replace(sample)))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if bytes.Contains(bytes.ToUpper(file), []byte("$GENERATE")) && len(file) > 2000 {
			return // large by intent
		}
		records, mistakes := readSome(t, file, false)
		again, mistakesAgain := readSome(t, file, true)
		if !slices.Equal(records, again) || !slices.Equal(mistakes, mistakesAgain) {
			t.Errorf("records\n%s\nmistakes\n%s\nbyte by byte\n%s\n%s", records, mistakes, again, mistakesAgain)
		}
	})
}

// readSome reads a file, and no more than some thousands of records of it.
func readSome(t *testing.T, file []byte, single bool) (records, mistakes []string) {
	r := iotest.DataErrReader(bytes.NewReader(file))
	if single {
		r = iotest.OneByteReader(bytes.NewReader(file))
	}
	var lines, last int
	lines = bytes.Count(file, []byte("\n")) + 1
	err := master.Read(r, "z.example.", func(r *master.Record) error {
		if r.Line < last || r.Line > lines {
			t.Errorf("record on line %d of %d, after line %d", r.Line, lines, last)
		}
		last = r.Line
		if records = append(records, recordText(t, r)); len(records) == 5000 {
			return iotest.ErrTimeout
		}
		return nil
	}, func(m master.Mistake) error {
		if m.Line < 1 || m.Line > lines || strings.ContainsAny(m.Text, "\n\r") || m.Text == "" && !m.Lost {
			t.Errorf("mistake %+v in %d lines", m, lines)
		}
		mistakes = append(mistakes, mistakeText(m))
		return nil
	})
	if err != nil && err != iotest.ErrTimeout {
		t.Errorf("Read = %v", err)
	}
	return records, mistakes
}
