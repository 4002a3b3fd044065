package replica

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
)

// A script is a connection that has all its bytes already.
type script struct {
	net.Conn
	in *bytes.Reader
}

func (s script) Read(b []byte) (int, error)      { return s.in.Read(b) }
func (s script) SetReadDeadline(time.Time) error { return nil }

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("H\x00\x00\x00\x02{}"))
	f.Add([]byte("S\xff\xff\xff\xff"))
	f.Add([]byte("A\x00\x00\x10\x01" + strings.Repeat("x", 4097)))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, payload, err := readFrame(script{in: bytes.NewReader(data)}, time.Second, frameHello, frameAlive, frameState)
		if err == nil && (len(payload) > frameLimit(kind) || !bytes.Equal(payload, data[frameHeader:frameHeader+len(payload)])) {
			t.Errorf("readFrame(%q) = %q %q", data, kind, payload)
		}
	})
}

func TestFrames(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"good", "A\x00\x00\x00\x02{}", "<nil>"},
		{"empty", "", "EOF"},
		{"header cut", "A\x00", "unexpected EOF"},
		{"payload cut", "A\x00\x00\x00\x02{", "unexpected EOF"},
		{"not due", "C\x00\x00\x00\x02{}", `frame of kind 'C', want one of "A"`},
		{"too long", "A\x00\x00\x10\x01", "frame 'A' of 4097 bytes, at most 4096"},
	} {
		_, _, err := readFrame(script{in: bytes.NewReader([]byte(tt.data))}, time.Second, frameAlive)
		if fmt.Sprint(err) != tt.want {
			t.Errorf("%s: readFrame = %v, want %s", tt.name, err, tt.want)
		}
	}
	if err := writeFrame(nil, frameAlive, make([]byte, 4097), time.Second); err == nil {
		t.Error("writeFrame wrote what the reader refuses")
	}
}

func TestViewDeliversInOrderAndNeverBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v view
		v.init(&control.State{Epoch: 1, Index: 5})
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				states := v.wait(ctx)
				if states == nil {
					return
				}
				for _, s := range states {
					got = append(got, fmt.Sprintf("%d/%d", s.Epoch, s.Index))
				}
			}
		}()
		for _, s := range []struct{ epoch, index uint64 }{{1, 4}, {1, 5}, {1, 6}, {1, 6}, {2, 1}, {1, 9}, {2, 2}} {
			v.offer(&control.State{Epoch: s.epoch, Index: s.index})
		}
		synctest.Wait()
		for i := range maxUndelivered + 50 {
			v.offer(&control.State{Epoch: 3, Index: uint64(i)})
		}
		synctest.Wait()
		cancel()
		<-done
		if !slices.Equal(got[:4], []string{"1/5", "1/6", "2/1", "2/2"}) || got[len(got)-1] != fmt.Sprintf("3/%d", maxUndelivered+49) {
			t.Errorf("delivered %v …", got[:4])
		}
	})
}
