package transfer

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A stalledConn gives nothing of an AXFR until it is released, and does not break before.
type stalledConn struct {
	net.Conn
	stalled chan<- struct{}
	release <-chan struct{}
	queries int
}

func (c *stalledConn) Write(b []byte) (int, error) {
	c.queries++
	return c.Conn.Write(b)
}

func (c *stalledConn) Read(b []byte) (int, error) {
	if c.queries > 1 {
		select {
		case c.stalled <- struct{}{}:
		default:
		}
		<-c.release
	}
	return c.Conn.Read(b)
}

func (c *stalledConn) Close() error {
	select {
	case <-c.release:
		return c.Conn.Close()
	default:
		return nil
	}
}

// A transfer of a zone that is dropped meanwhile ends, and leaves the copy of the zone that took its name alone, even if
// all of it comes.
func TestTransferOfDroppedZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const oldAddress, newAddress = "192.0.2.1:53", "192.0.2.2:53"
		policy := Setup{Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}}
		serve := func(z *textZone) *Service {
			s := open(t, Config{Zones: shelfOf(z).find})
			apply(t, s, policy)
			return s
		}
		now := zoneOf(t, "shop.example.", 9, "new.shop.example. 300 IN A 192.0.2.9")
		before, after := serve(zoneOf(t, "shop.example.", 7, "old.shop.example. 300 IN A 192.0.2.7")), serve(now)
		stalled, release := make(chan struct{}, 1), make(chan struct{})
		events := make(told, 100)
		config := events.config(t.TempDir())
		config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == newAddress {
				return (&pipeNet{serve: after, start: time.Now()}).dial(ctx, network, address)
			}
			conn, err := (&pipeNet{serve: before, start: time.Now()}).dial(ctx, network, address)
			return &stalledConn{Conn: conn, stalled: stalled, release: release}, err
		}
		from := func(address string) Setup {
			return Setup{Secondary: map[string]Secondary{"shop.example.": {[]Primary{{Address: netip.MustParseAddrPort(address)}}}}}
		}
		s := open(t, config)
		apply(t, s, from(oldAddress))
		<-stalled
		s.secondaries.Lock()
		dropped := s.secondaries.zones["shop.example."]
		s.secondaries.Unlock()
		apply(t, s, Setup{})
		events.want(t, "dropped shop.example.")
		if dropped.context.Err() == nil {
			t.Error("the transfer of a zone that was dropped goes on")
		}
		apply(t, s, from(newAddress))
		events.want(t, "loaded shop.example.")
		close(release)
		synctest.Wait()
		if got, want := copied(t, s, "shop.example."), sorted(now.Records); !slices.Equal(got, want) {
			t.Errorf("the copy is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if files, _ := filepath.Glob(filepath.Join(config.Dir, secondaryDir, "*"+newInfix+"*")); len(files) > 0 {
			t.Errorf("left behind: %v", files)
		}
		if len(events) > 0 {
			t.Errorf("told %q", <-events)
		}
		for _, end := range []*Service{s, before, after} {
			end.Close()
		}
	})
}
