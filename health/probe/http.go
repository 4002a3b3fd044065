package probe

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

const (
	// DrainHeader, with the value 1 in an answer 503, says that an endpoint takes no new clients but is not ill.
	DrainHeader = "Meridian-Drain"

	userAgent = "Meridian-Health-Check/1"
	headLimit = 32 << 10 // bytes of the answer's head, informational answers before it included
	bodyLimit = 5120     // bytes of the body in which the expected text is looked for
	wireLimit = 64 << 10 // bytes read for that: a server may send it in tiny chunks
	infoLimit = 5        // informational answers before the final one (RFC 9110, section 15.2)
)

// defaultStatus is what counts as success where a target does not say.
var defaultStatus = []health.StatusRange{{Low: 200, High: 399}}

// probeHTTP sends one GET on a connection of its own and judges the answer. Only the head counts, and only it is read,
// unless the target expects a text; then the probe ends as soon as that is seen.
//
//	answer                                            reason
//	503 with Meridian-Drain: 1                        drain, also where 503 is expected
//	a status outside the expected (default 200-399)   status
//	expected text not in the first 5120 bytes         body
//	else                                              ok
func probeHTTP(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	question, err := request(t)
	if err != nil {
		r.Reason, r.Detail = health.ReasonOther, "request: "+err.Error()
		return r
	}
	conn := w.connect(ctx, t, &r)
	if conn == nil {
		return r
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // at the end of the time, or when the target is taken away

	_, firstByte, total := health.Timeouts(t)
	start := time.Now()
	conn.SetDeadline(start.Add(firstByte))
	if _, err := conn.Write(question); err != nil {
		fail(&r, "request", err, firstByte, health.ReasonOther)
		return r
	}
	tape := &tape{conn: conn, left: headLimit}
	answers := bufio.NewReader(tape)
	if _, err := answers.Peek(1); err != nil {
		fail(&r, "first byte", err, firstByte, health.ReasonOther)
		return r
	}
	r.FirstByte = time.Since(start)

	conn.SetDeadline(time.Time{}) // from here on the end of ctx ends it
	answer, err := final(answers)
	if err != nil {
		fail(&r, "answer", cmp.Or(ctx.Err(), tape.err, err), total, health.ReasonOther)
		return r
	}
	expected := t.ExpectStatus
	if len(expected) == 0 {
		expected = defaultStatus
	}
	r.Detail = fmt.Sprintf("status %d", answer.StatusCode)
	switch {
	case answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get(DrainHeader) == "1":
		r.Reason, r.Detail = health.ReasonDrain, r.Detail+" with "+DrainHeader
	case !covers(expected, answer.StatusCode):
		r.Reason, r.Detail = health.ReasonStatus, r.Detail+", expected "+spell(expected)
	case t.ExpectBody == "":
		r.Reason = health.ReasonOK
	default:
		tape.left = wireLimit
		found, read, err := find(answer.Body, t.ExpectBody)
		switch {
		case found:
			r.Reason, r.Detail = health.ReasonOK, r.Detail+", expected text found"
		case err != nil:
			fail(&r, "body", cmp.Or(ctx.Err(), err), total, health.ReasonOther)
		default:
			r.Reason, r.Detail = health.ReasonBody, fmt.Sprintf("%s, expected text not in the first %d bytes", r.Detail, read)
		}
	}
	return r
}

// request returns the bytes of a target's request. The path may hold a query; nothing of the target can break the head.
func request(t *health.Target) ([]byte, error) {
	path := cmp.Or(t.Path, "/")
	if path[0] != '/' {
		return nil, fmt.Errorf("path %q does not begin with /", path)
	}
	target, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, err
	}
	address := netip.AddrPortFrom(t.Address.Addr().WithZone(""), t.Address.Port())
	host := cmp.Or(t.Host, address.String())
	if u, err := url.Parse("//" + host); err != nil || u.Host != host {
		return nil, fmt.Errorf("host %q is not a host", host) // net/http would send an empty one
	}
	r := http.Request{
		Method: http.MethodGet,
		URL:    target,
		Host:   host,
		Header: http.Header{"User-Agent": {userAgent}},
		Close:  true,
	}
	var b bytes.Buffer
	err = r.Write(&b)
	return b.Bytes(), err
}

// final reads answers up to the one that is not informational.
func final(answers *bufio.Reader) (*http.Response, error) {
	for range infoLimit + 1 {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("more than %d informational answers", infoLimit)
}

// find reads up to bodyLimit bytes, until text is among them.
func find(body io.Reader, text string) (found bool, read int, err error) {
	b := make([]byte, bodyLimit)
	for read < bodyLimit && err == nil {
		var n int
		n, err = body.Read(b[read:])
		from := max(0, read-len(text)+1)
		read += n
		if bytes.Contains(b[from:read], []byte(text)) {
			return true, read, nil
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return false, read, err
}

func covers(ranges []health.StatusRange, status int) bool {
	for _, r := range ranges {
		if r.Low <= status && status <= r.High {
			return true
		}
	}
	return false
}

// spell writes ranges as a configuration file does: 200-299,304.
func spell(ranges []health.StatusRange) string {
	var words []string
	for _, r := range ranges {
		word := fmt.Sprint(r.Low)
		if r.High != r.Low {
			word += fmt.Sprintf("-%d", r.High)
		}
		words = append(words, word)
	}
	return strings.Join(words, ",")
}

var errLong = errors.New("more bytes than a probe reads")

// A tape reads a connection up to a limit and remembers the error that ended it: of a line that breaks off, net/http says
// only that it is malformed.
type tape struct {
	conn net.Conn
	left int
	err  error
}

func (t *tape) Read(b []byte) (n int, err error) {
	if t.left <= 0 {
		t.err = errLong
		return 0, errLong
	}
	n, err = t.conn.Read(b[:min(len(b), t.left)])
	t.left -= n
	if err != nil {
		t.err = err
	}
	return n, err
}
