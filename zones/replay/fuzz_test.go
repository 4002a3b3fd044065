package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// seedSegment is a small segment with all kinds of records.
func seedSegment(f *testing.F) []byte {
	f.Helper()
	rnd := rand.New(rand.NewPCG(3, 3))
	w := NewWriter(noon, time.Time{}, 1<<20)
	var b []byte
	var last *Moment
	for range 3 {
		last = draw(rnd, last, noon)
		var err error
		if b, _, err = w.Moment(b, last, 1); err != nil {
			f.Fatal(err)
		}
	}
	b, _, _ = w.Alive(b, noon.Add(time.Second))
	b, _, _ = w.Ended(b, noon.Add(time.Minute))
	return b
}

// Any bytes are read to an end or to damage, and what they tell keeps the order of times.
func FuzzSegment(f *testing.F) {
	f.Add(seedSegment(f))
	f.Add([]byte(magic))
	f.Fuzz(readFuzzed)
}

func readFuzzed(t *testing.T, segment []byte) {
	r, err := NewReader(bytes.NewReader(segment), time.UTC)
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("NewReader: %v", err)
		}
		return
	}
	at := r.Head().First
	for {
		e, err := r.Next()
		if m, damage := r.Moment(); damage != nil && !errors.Is(damage, ErrDamaged) || m != nil && m.Health == nil {
			t.Fatalf("Moment() = %+v, %v", m, damage)
		}
		if err == io.EOF || errors.Is(err, ErrDamaged) {
			return
		}
		if err != nil || e.At.Before(at) || e.Kind != Published && e.Kind != Alive && e.Kind != Ended {
			t.Fatalf("Next() = %+v after %v, %v", e, at, err)
		}
		at = e.At
	}
}

// FuzzRecords gives every body the checksum that fits it: what is behind the checksums is tried.
func FuzzRecords(f *testing.F) {
	var bodies [][]byte
	segment := seedSegment(f)[len(magic):]
	for len(segment) > 0 {
		size := int(binary.BigEndian.Uint32(segment))
		bodies = append(bodies, append(binary.BigEndian.AppendUint16(nil, uint16(size)), segment[frameSize:frameSize+size]...))
		segment = segment[frameSize+size:]
	}
	f.Add(bytes.Join(bodies, nil))
	f.Add(slices.Concat(bodies[0], bodies[1], bodies[len(bodies)-1], bodies[len(bodies)-2])) // the last before the last but one
	f.Fuzz(func(t *testing.T, bodies []byte) {
		framed := []byte(magic)
		for len(bodies) >= 2 {
			size := min(int(binary.BigEndian.Uint16(bodies)), len(bodies)-2)
			body := bodies[2 : 2+size]
			framed = binary.BigEndian.AppendUint32(framed, uint32(size))
			framed = append(binary.BigEndian.AppendUint32(framed, crc32.Checksum(body, castagnoli)), body...)
			bodies = bodies[2+size:]
		}
		readFuzzed(t, framed)
	})
}
