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
	"slices"
	"strings"
	"sync"
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

// probeHTTP sends one request, on a connection of its own unless the target keeps one, and judges the answer. Only the head counts, and only
// it is read, unless the target expects a text; then the probe ends as soon as that is seen.
//
//	answer                                            reason
//	503 with Meridian-Drain: 1                        drain, also where 503 is expected
//	a status outside the expected (default 200-399)   status
//	an expected field missing in the head             status
//	expected text not in the first 5120 bytes         body
//	else                                              ok
//
// That a kept connection gives no byte of an answer is no failure: the server may close an idle one at any time, and what lies between may drop it
// without a word. The request is sent again, once, on a new one, and that counts; the 10 s allow the first byte to be late on both.
func probeHTTP(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	question, err := request(t)
	if err != nil {
		r.Reason, r.Detail = health.ReasonOther, "request: "+err.Error()
		return r
	}
	if kept := w.keeper.take(); kept != nil {
		if kept.isWorn(t, time.Now()) {
			kept.Close()
		} else if r.CertificateEnds = kept.ends; !w.exchange(ctx, t, question, kept, &r) {
			return r
		}
	}
	r = health.Result{}
	if conn := w.connect(ctx, t, &r); conn != nil {
		w.exchange(ctx, t, question, &link{conn, time.Now(), r.CertificateEnds}, &r)
	}
	return r
}

// exchange sends a request over a link, judges the answer, and keeps the link or closes it. It reports whether nothing came that is an answer to
// the request, which is then the link's fault if it is an old one.
func (w wire) exchange(ctx context.Context, t *health.Target, question []byte, l *link, r *health.Result) (unheard bool) {
	keep := false
	stop := context.AfterFunc(ctx, func() { l.Close() }) // at the end of the time, or when the target is taken away
	defer func() {
		if !stop() || !keep || !w.keeper.put(l) {
			l.Close()
		}
	}()

	_, firstByte, total := health.Timeouts(t)
	start := time.Now()
	l.SetDeadline(start.Add(firstByte))
	if _, err := l.Write(question); err != nil {
		fail(r, "request", err, firstByte, health.ReasonOther)
		return r.Reason == health.ReasonReset || r.Reason == health.ReasonTimeout
	}
	tape := &tape{Conn: l.Conn, left: headLimit}
	answers := bufio.NewReader(tape)
	if _, err := answers.Peek(1); err != nil {
		fail(r, "first byte", err, firstByte, health.ReasonOther)
		return r.Reason == health.ReasonReset || r.Reason == health.ReasonTimeout
	}
	r.FirstByte = time.Since(start)

	l.SetDeadline(time.Time{}) // from here on the end of ctx ends it
	answer, err := final(answers, t.Method)
	if err != nil {
		fail(r, "answer", cmp.Or(ctx.Err(), tape.err(), err), total, health.ReasonOther)
		return false
	}
	judgeHead(t, answer, r)
	if r.Reason == health.ReasonOK && t.ExpectBody != "" {
		tape.left = wireLimit
		found, read, err := find(answer.Body, t.ExpectBody)
		switch {
		case found:
			r.Detail += ", expected text found"
		case err != nil:
			fail(r, "body", cmp.Or(ctx.Err(), err), total, health.ReasonOther)
		default:
			r.Reason, r.Detail = health.ReasonBody, fmt.Sprintf("%s, expected text not in the first %d bytes", r.Detail, read)
		}
	}
	keep = t.KeepAlive && w.keeper != nil && !answer.Close && r.Reason == health.ReasonOK && drain(l, tape, answers, answer.Body)
	return answer.StatusCode == http.StatusRequestTimeout && answer.Close // what a server says that gave up waiting, to nobody in particular
}

// drainTime is how long the rest of an answer may take to come for its connection to be kept.
const drainTime = 100 * time.Millisecond

// drain reads what is left of an answer, so that the next can be told from it. It reports whether the link is fit for that.
func drain(l *link, tape *tape, answers *bufio.Reader, body io.Reader) bool {
	tape.left = wireLimit
	l.SetDeadline(time.Now().Add(drainTime))
	_, err := io.Copy(io.Discard, body)
	l.SetDeadline(time.Time{})
	return err == nil && tape.err() == nil && answers.Buffered() == 0
}

// judgeHead judges the head of an answer.
func judgeHead(t *health.Target, answer *http.Response, r *health.Result) {
	expected := t.ExpectStatus
	if len(expected) == 0 {
		expected = defaultStatus
	}
	r.Reason, r.Detail = health.ReasonOK, fmt.Sprintf("status %d", answer.StatusCode)
	switch {
	case answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get(DrainHeader) == "1":
		r.Reason, r.Detail = health.ReasonDrain, r.Detail+" with "+DrainHeader
		return
	case !covers(expected, answer.StatusCode):
		r.Reason, r.Detail = health.ReasonStatus, r.Detail+", expected "+spell(expected)
		return
	}
	for _, want := range t.ExpectHeader {
		has := func(value string) bool { return strings.Contains(value, want.Text) }
		if !slices.ContainsFunc(answer.Header.Values(want.Name), has) {
			r.Reason, r.Detail = health.ReasonStatus, fmt.Sprintf("%s, expected header %v missing", r.Detail, want)
			return
		}
	}
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
		Method: cmp.Or(t.Method, http.MethodGet),
		URL:    target,
		Host:   host,
		Header: http.Header{"User-Agent": {userAgent}},
		Close:  !t.KeepAlive,
	}
	for _, h := range t.Headers {
		if http.CanonicalHeaderKey(h.Name) == "User-Agent" {
			r.Header.Del(h.Name) // net/http sends one only
		}
		r.Header.Add(h.Name, h.Value)
	}
	r.Header.Set("Accept-Encoding", "identity") // no answer is decompressed
	var b bytes.Buffer
	err = r.Write(&b)
	return b.Bytes(), err
}

// final reads answers to a request of a method, up to the one that is not informational.
func final(answers *bufio.Reader, method string) (*http.Response, error) {
	for range infoLimit + 1 {
		answer, err := http.ReadResponse(answers, &http.Request{Method: method})
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
// only that it is malformed. That the connection was closed here is no such error. One goroutine reads and sets left.
type tape struct {
	net.Conn
	left int

	mu    sync.Mutex
	error error
}

func (t *tape) Read(b []byte) (n int, err error) {
	if t.left <= 0 {
		err = errLong
	} else {
		n, err = t.Conn.Read(b[:min(len(b), t.left)])
		t.left -= n
	}
	t.note(err)
	return n, err
}

// note remembers why reading ended.
func (t *tape) note(err error) {
	if err == nil || isAny(err, net.ErrClosed, io.ErrClosedPipe) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.error = err
}

// err returns the error that ended reading; nil while nothing did.
func (t *tape) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.error
}
