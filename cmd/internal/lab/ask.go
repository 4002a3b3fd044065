//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const patience = 2 * time.Second // of a client for an answer

// An asker is the clients of all regions: each asks nameservers, through the router, for the endpoint that is near.
type asker struct {
	mu   sync.Mutex
	asks []ask
}

// An ask is one query. Without an answer it is lost.
type ask struct {
	at       time.Time
	way      way // from the client to the nameserver
	took     time.Duration
	answered bool
	answer   netip.Addr
}

// ask has clients of each region ask the nameservers of some until ctx ends or the test does.
func (l *lab) ask(t *testing.T, ctx context.Context, servers []int, interval time.Duration) *asker {
	t.Helper()
	a := &asker{}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, r := range l.regions {
		for _, server := range servers {
			conn := r.dialUDP(t, l.regions[server].address(hostDNS))
			context.AfterFunc(ctx, func() { conn.Close() })
			client := &client{asker: a, way: way{r.index, server}, conn: conn}
			running.Go(func() { client.send(ctx, interval) })
			running.Go(client.receive)
		}
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return a
}

// A client asks one nameserver.
type client struct {
	asker  *asker
	way    way
	conn   *net.UDPConn
	number [1 << 16]int // of the asks, by id
}

func (c *client) send(ctx context.Context, interval time.Duration) {
	query := question(near)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for id := uint16(1); ; id++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		query[0], query[1] = byte(id>>8), byte(id)
		c.asker.mu.Lock()
		c.number[id] = len(c.asker.asks)
		c.asker.asks = append(c.asker.asks, ask{at: time.Now(), way: c.way})
		c.asker.mu.Unlock()
		_, _ = c.conn.Write(query) // what can't be sent is lost
	}
}

func (c *client) receive() {
	buffer := make([]byte, 4096)
	for {
		n, err := c.conn.Read(buffer)
		if err != nil {
			if opError, ok := err.(*net.OpError); ok && opError.Err == net.ErrClosed {
				return
			}
			continue // nobody listens
		}
		var m dns.Msg
		if m.Unpack(buffer[:n]) != nil {
			continue
		}
		c.asker.mu.Lock()
		if a := &c.asker.asks[c.number[m.Id]]; time.Since(a.at) <= patience && m.Rcode == dns.RcodeSuccess {
			a.took, a.answered = time.Since(a.at), true
			if all := addresses(&m); len(all) > 0 {
				a.answer = all[0]
			}
		}
		c.asker.mu.Unlock()
	}
}

// between returns what was asked in a time that is over, the patience for answers included.
func (a *asker) between(begin, end time.Time) (asks []ask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.asks {
		if !one.at.Before(begin) && one.at.Before(end) {
			asks = append(asks, one)
		}
	}
	return asks
}

// get makes a request from a region, on a connection of its own.
func (r *region) get(url, host string, timeout time.Duration) (status int, body []byte, err error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
		r.space.Do(func() { conn, err = net.DialTimeout(network, address, timeout) })
		return conn, err
	}}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Host = host
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// A status is what a node says of a check.
type status struct {
	Check    string `json:"check"`
	State    string `json:"state"`
	Measured string `json:"measured"`
	Held     bool   `json:"held"`
	Why      string `json:"why"`
}

// status asks a region's nameserver for what it believes of one check.
func (r *region) status(g group, at *region, host int) (s status, err error) {
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/checks/%s/%s/ipv4", portAPI, g.check, endpointName(at, host))
	code, body, err := r.get(url, "", patience)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s: status %d", url, code)
	}
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	return s, err
}

// statuses asks a region's nameserver for what it believes of all checks.
func (r *region) statuses() ([]status, error) {
	var all struct {
		Checks []status `json:"checks"`
	}
	_, body, err := r.get(fmt.Sprintf("http://127.0.0.1:%d/v1/checks", portAPI), "", 10*time.Second)
	if err == nil {
		err = json.Unmarshal(body, &all)
	}
	return all.Checks, err
}

// A visitor is a client that uses what it is answered: it asks its own region's nameserver, or the next one after a second of silence, makes a request to
// the gateway that it is told, and begins again. It keeps no answer.
type visitor struct {
	mu     sync.Mutex
	visits []visit
}

type visit struct {
	at, end time.Time
	region  int
	good    bool
	why     string
}

const pause = 500 * time.Millisecond // between visits

// visit has a visitor in each region until the test ends.
func (l *lab) visit(t *testing.T) *visitor {
	t.Helper()
	v := &visitor{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, r := range l.regions {
		running.Go(func() {
			for ctx.Err() == nil {
				one := visit{at: time.Now(), region: r.index, good: true}
				if err := l.once(r); err != nil {
					one.good, one.why = false, err.Error()
				}
				one.end = time.Now()
				v.mu.Lock()
				v.visits = append(v.visits, one)
				v.mu.Unlock()
				time.Sleep(pause)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return v
}

// once is one visit.
func (l *lab) once(r *region) error {
	query := new(dns.Msg)
	if err := query.Unpack(question(near)); err != nil {
		return err
	}
	var answer *dns.Msg
	var err error
	for i := range l.regions {
		server := l.regions[(r.index+i)%len(l.regions)].address(hostDNS)
		r.space.Do(func() {
			c := dns.Client{Timeout: time.Second}
			answer, _, err = c.Exchange(query, netip.AddrPortFrom(server, portDNS).String())
		})
		if err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	all := addresses(answer)
	if len(all) == 0 {
		return fmt.Errorf("no address: %v", answer)
	}
	code, _, err := r.get(fmt.Sprintf("http://%v/hello", netip.AddrPortFrom(all[0], portHTTP)), service, 3*time.Second)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%v: status %d", all[0], code)
	}
	return err
}

// longest returns how long a region's visitor was without service at worst, from the end of a good visit to that of the next, and how many of its visits
// were bad.
func (v *visitor) longest(region int, begin, end time.Time) (worst time.Duration, visits, bad int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	last, failing := begin, false
	for _, one := range v.visits {
		if one.region != region || one.at.Before(begin) || one.end.After(end) {
			continue
		}
		visits++
		if !one.good {
			bad++
		}
		if failing || !one.good {
			worst = max(worst, one.end.Sub(last))
		}
		if failing = !one.good; one.good {
			last = one.end
		}
	}
	return worst, visits, bad
}
