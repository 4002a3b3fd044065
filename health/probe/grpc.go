package probe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meridian-gslb/meridian/health"
)

const (
	healthPath = "/grpc.health.v1.Health/Check"
	frameLimit = 1024 // bytes of the message that says whether a service serves
)

// servingStatus is what the health service says of a service, by number.
var servingStatus = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// grpcCodes are the codes of gRPC, by number.
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

var (
	errNoHead  = errors.New("no head in time")
	errMessage = errors.New("malformed message")
)

// overHTTP2 makes a client of HTTP/2 of a connection, which stays the caller's to close. Whether that is encrypted is no matter of the client: it
// begins at once, as is right without TLS and where ALPN has said h2.
func overHTTP2(ctx context.Context, t *health.Target, conn net.Conn) (*http.ClientConn, error) {
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Protocols:              new(http.Protocols),
		DisableCompression:     true,
		MaxResponseHeaderBytes: headLimit,
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return transport.NewClientConn(ctx, "http", t.Address.String())
}

// probeGRPC asks the health service (grpc.health.v1) on a connection of its own whether a service serves.
//
//	answer                              reason
//	HTTP status other than 200          status
//	a gRPC code other than OK           status; NOT_FOUND: the server does not know the service
//	SERVING                             ok
//	any other status of the service     status
//	not such a message                  other
func probeGRPC(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	conn := w.connect(ctx, t, &r)
	if conn == nil {
		return r
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	_, firstByte, total := health.Timeouts(t)
	start := time.Now()
	tape := &tape{Conn: conn, left: wireLimit}
	conn.SetWriteDeadline(start.Add(firstByte))
	call, cancel := context.WithCancelCause(ctx) // at the end of ctx, it may lag behind
	defer cancel(nil)
	head := make(chan struct{})
	client, err := overHTTP2(call, t, newFrames(call, tape, head))
	if err != nil {
		fail(&r, "request", err, firstByte, health.ReasonOther)
		return r
	}
	late := time.AfterFunc(firstByte, func() { cancel(errNoHead) })
	answer, err := client.RoundTrip(grpcRequest(call, t))
	if !late.Stop() || err != nil {
		if err = cmp.Or(tape.err(), err); context.Cause(call) == errNoHead {
			err = context.DeadlineExceeded // and the connection was closed for it
		}
		fail(&r, "first byte", err, firstByte, health.ReasonOther)
		return r
	}
	r.FirstByte = time.Since(start)
	close(head)
	defer answer.Body.Close()
	message, err := io.ReadAll(io.LimitReader(answer.Body, frameLimit+1))
	if err != nil {
		fail(&r, "answer", cmp.Or(ctx.Err(), tape.err(), err), total, health.ReasonOther)
		return r
	}
	r.Reason, r.Detail = judgeGRPC(answer, message)
	return r
}

// grpcRequest returns the call of a target. The time that is given to the server is all that it has to begin its answer.
func grpcRequest(ctx context.Context, t *health.Target) *http.Request {
	scheme := "http"
	if t.Options.TLS {
		scheme = "https"
	}
	host := cmp.Or(t.Host, netip.AddrPortFrom(t.Address.Addr().WithZone(""), t.Address.Port()).String())
	body := grpcQuestion(t.Service)
	r := &http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Scheme: scheme, Host: host, Path: healthPath},
		Host:   host,
		Header: http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {userAgent}},
		Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	_, firstByte, _ := health.Timeouts(t)
	r.Header.Set("Grpc-Timeout", strconv.FormatInt(firstByte.Milliseconds(), 10)+"m")
	return r.WithContext(ctx)
}

// grpcQuestion frames a HealthCheckRequest: not compressed, its length, its only field.
func grpcQuestion(service string) []byte {
	var message []byte
	if service != "" {
		message = protowire.AppendTag(message, 1, protowire.BytesType)
		message = protowire.AppendString(message, service)
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(frame, message...)
}

// judgeGRPC judges an answer whose body was read.
func judgeGRPC(answer *http.Response, message []byte) (health.Reason, string) {
	if answer.StatusCode != http.StatusOK {
		return health.ReasonStatus, fmt.Sprintf("HTTP status %d, expected 200", answer.StatusCode)
	}
	code, text := answer.Trailer.Get("Grpc-Status"), answer.Trailer.Get("Grpc-Message")
	if code == "" { // an answer without a message has it in its head
		code, text = answer.Header.Get("Grpc-Status"), answer.Header.Get("Grpc-Message")
	}
	switch n, err := strconv.Atoi(code); {
	case code == "":
		return health.ReasonOther, "answer: not of gRPC: no grpc-status"
	case err != nil || n < 0:
		return health.ReasonOther, fmt.Sprintf("answer: grpc-status %q", code)
	case n != 0:
		if n < len(grpcCodes) {
			code = grpcCodes[n]
		}
		return health.ReasonStatus, strings.TrimSuffix("gRPC code "+code+": "+text, ": ")
	}
	status, err := servingOf(message)
	if err != nil {
		return health.ReasonOther, "answer: " + err.Error()
	}
	name := strconv.FormatUint(status, 10)
	if status < uint64(len(servingStatus)) {
		name = servingStatus[status]
	}
	if status != serving {
		return health.ReasonStatus, name + ", expected SERVING"
	}
	return health.ReasonOK, name
}

// servingOf reads the frame of a HealthCheckResponse. Fields that are not known are passed over; of several the last counts.
func servingOf(frame []byte) (status uint64, err error) {
	if len(frame) < 5 {
		return 0, fmt.Errorf("%w: %d bytes", errMessage, len(frame))
	}
	if frame[0] != 0 {
		return 0, fmt.Errorf("%w: compressed", errMessage)
	}
	length, message := binary.BigEndian.Uint32(frame[1:]), frame[5:]
	if uint64(length) != uint64(len(message)) || len(message) > frameLimit {
		return 0, fmt.Errorf("%w: %d bytes, of which there are %d", errMessage, length, len(message))
	}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return 0, fmt.Errorf("%w: %w", errMessage, protowire.ParseError(n))
		}
		message = message[n:]
		if number == 1 && kind == protowire.VarintType {
			status, n = protowire.ConsumeVarint(message)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return 0, fmt.Errorf("%w: %w", errMessage, protowire.ParseError(n))
		}
		message = message[n:]
	}
	return status, nil
}
