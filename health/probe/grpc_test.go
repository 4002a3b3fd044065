package probe

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meridian-gslb/meridian/health"
)

// unencrypted starts a server of HTTP/2 without TLS.
func unencrypted(t *testing.T, handler http.HandlerFunc) netip.AddrPort {
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return address(server.Listener.Addr())
}

// frame is a message as gRPC sends it.
func frame(message ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// grpcAnswer answers every call with a message and a code.
func grpcAnswer(code, text string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		w.WriteHeader(200)
		w.Write(body)
		if code != "" {
			w.Header().Set("Grpc-Status", code)
		}
		if text != "" {
			w.Header().Set("Grpc-Message", text)
		}
	}
}

// healthService knows the services api, which serves, and db, which does not; to all others it says NOT_FOUND, as a server does.
func healthService(w http.ResponseWriter, r *http.Request) {
	question, _ := io.ReadAll(r.Body)
	if r.ProtoMajor != 2 || r.Method != "POST" || r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Content-Type") != "application/grpc" ||
		r.Header.Get("Te") != "trailers" || r.Header.Get("Grpc-Timeout") != "2000m" {
		w.WriteHeader(400)
		return
	}
	switch string(question) {
	case string(frame()), string(frame([]byte("\x0a\x03api")...)):
		grpcAnswer("0", "", frame(8, 1))(w, r)
	case string(frame([]byte("\x0a\x02db")...)):
		grpcAnswer("0", "", frame(8, 2))(w, r)
	default: // the code in the head, and no trailers
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "unknown service")
	}
}

func TestGRPC(t *testing.T) {
	service := unencrypted(t, healthService)
	for _, row := range []struct {
		why     string
		server  netip.AddrPort
		service string
		reason  health.Reason
		detail  string // or its beginning, with … at the end
	}{
		{"the server as a whole", service, "", health.ReasonOK, "SERVING"},
		{"a service", service, "api", health.ReasonOK, "SERVING"},
		{"a service that does not serve", service, "db", health.ReasonStatus, "NOT_SERVING, expected SERVING"},
		{"a service that nobody knows", service, "x", health.ReasonStatus, "gRPC code NOT_FOUND: unknown service"},
		{"nothing in the message is UNKNOWN", unencrypted(t, grpcAnswer("0", "", frame())), "", health.ReasonStatus, "UNKNOWN, expected SERVING"},
		{"a status of the future", unencrypted(t, grpcAnswer("0", "", frame(8, 9))), "", health.ReasonStatus, "9, expected SERVING"},
		{"fields of the future", unencrypted(t, grpcAnswer("0", "", frame(18, 1, 'x', 8, 1))), "", health.ReasonOK, "SERVING"},
		{"a code after the message", unencrypted(t, grpcAnswer("13", "disk on fire", frame(8, 1))), "", health.ReasonStatus, "gRPC code INTERNAL: disk on fire"},
		{"a code of the future", unencrypted(t, grpcAnswer("99", "", nil)), "", health.ReasonStatus, "gRPC code 99"},
		{"a code that is none", unencrypted(t, grpcAnswer("-1", "", nil)), "", health.ReasonOther, `answer: grpc-status "-1"`},
		{"no code", unencrypted(t, grpcAnswer("", "", frame(8, 1))), "", health.ReasonOther, "answer: not of gRPC: no grpc-status"},
		{"no message", unencrypted(t, grpcAnswer("0", "", nil)), "", health.ReasonOther, "answer: malformed message: 0 bytes"},
		{"a message that breaks off", unencrypted(t, grpcAnswer("0", "", frame(8, 1)[:6])), "", health.ReasonOther, "answer: malformed message: 2 bytes, of which there are 1"},
		{"a message that is compressed", unencrypted(t, grpcAnswer("0", "", []byte{1, 0, 0, 0, 0})), "", health.ReasonOther, "answer: malformed message: compressed"},
		{"a large message", unencrypted(t, grpcAnswer("0", "", make([]byte, 100<<10))), "", health.ReasonOther, "answer: …"},
		{"HTTP, but not gRPC", unencrypted(t, status(404, "", "")), "", health.ReasonStatus, "HTTP status 404, expected 200"},
		{"HTTP/1.1", talksFirst(t, func(c *net.TCPConn) {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			io.Copy(io.Discard, c) // to close with bytes unread would reset the connection
		}), "", health.ReasonOther, "first byte: …"},
		{"refused", refuses(t), "", health.ReasonRefused, "connect: refused"},
		{"closed", talks(t, func(*net.TCPConn) {}), "", health.ReasonReset, "first byte: …"},
		{"reset", talks(t, func(c *net.TCPConn) { c.SetLinger(0) }), "", health.ReasonReset, "first byte: connection …"}, // reset to who reads, closed if who writes was told first
	} {
		target := health.Target{Kind: health.KindGRPC, Address: row.server, Options: health.Options{Service: row.service}}
		got := try(&target, nil)
		if begin, ok := strings.CutSuffix(row.detail, "…"); ok && strings.HasPrefix(got.Detail, begin) {
			got.Detail = row.detail
		}
		expect(t, row.why, got, row.reason, row.detail)
		if row.reason == health.ReasonOK && (got.Connect <= 0 || got.FirstByte <= 0) {
			t.Errorf("%s: times %v, %v", row.why, got.Connect, got.FirstByte)
		}
	}
}

func TestGRPCWithTLS(t *testing.T) {
	server := secure(t, http.HandlerFunc(healthService))
	at, certificate := address(server.Listener.Addr()), server.Certificate()
	target := &health.Target{Kind: health.KindGRPC, Address: at, Host: "example.com", Options: health.Options{TLS: true, Service: "api"}}
	got := try(target, poolOf(certificate))
	expect(t, "verified", got, health.ReasonOK, "SERVING")
	if got.TLS <= 0 || !got.CertificateEnds.Equal(certificate.NotAfter) {
		t.Errorf("TLS took %v, certificate ends %v", got.TLS, got.CertificateEnds)
	}
	expect(t, "nobody vouches for it", try(target, x509.NewCertPool()), health.ReasonTLS, "tls: failed to verify certificate: x509: certificate signed by unknown authority")

	for _, row := range []struct {
		why       string
		protocols []string
		detail    string
	}{
		{"another protocol", []string{"http/1.1"}, "tls: remote error: tls: no application protocol"},
		{"no word of protocols", nil, "tls: the server does not agree to HTTP/2 (ALPN h2)"},
	} {
		target.Address, target.SkipVerify = talksFirst(t, func(conn *net.TCPConn) {
			tls.Server(conn, &tls.Config{Certificates: server.TLS.Certificates, NextProtos: row.protocols}).Handshake()
			io.Copy(io.Discard, conn)
		}), true
		expect(t, row.why, try(target, nil), health.ReasonTLS, row.detail)
	}
}

// settings begins HTTP/2 as a server and reads on.
func settings(conn net.Conn) *http2.Framer {
	io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
	f := http2.NewFramer(conn, conn)
	go func() {
		for {
			if _, err := f.ReadFrame(); err != nil {
				return
			}
		}
	}()
	f.WriteSettings()
	return f
}

// What a server does to HTTP/2 ends with the time, or with the bytes, of the probe.
func TestHostileHTTP2(t *testing.T) {
	for _, row := range []struct {
		why    string
		serve  func(net.Conn)
		reason health.Reason
		detail string
		took   time.Duration
	}{
		{"silent", silence, health.ReasonTimeout, "request: timeout after 2s", 2 * time.Second},
		{"settings and nothing more", func(c net.Conn) { settings(c) }, health.ReasonTimeout, "first byte: timeout after 2s", 2 * time.Second},
		{"settings without an end", func(c net.Conn) {
			for f := settings(c); f.WritePing(false, [8]byte{}) == nil; {
			}
		}, health.ReasonOther, "first byte: more bytes than a probe reads", 0},
		{"a head and nothing more", func(c net.Conn) {
			f := settings(c)
			time.Sleep(time.Second)
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}, EndHeaders: true}) // :status 200
			silence(c)
		}, health.ReasonTimeout, "answer: timeout after 10s", 10 * time.Second},
		{"a body drop by drop", func(c net.Conn) {
			f := settings(c)
			time.Sleep(time.Second)
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}, EndHeaders: true})
			for f.WriteData(1, false, []byte{0}) == nil {
				time.Sleep(400 * time.Millisecond)
			}
		}, health.ReasonTimeout, "answer: timeout after 10s", 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.set(place(1), row.serve)
			target := health.Target{Kind: health.KindGRPC, Address: place(1), Interval: 10 * time.Second}
			got := attempt(t.Context(), &target, 7, wireOf(Config{Dial: w.dial}))
			expect(t, row.why, got, row.reason, row.detail)
			if took := time.Since(w.begin); took != row.took {
				t.Errorf("%s: took %v, want %v", row.why, took, row.took)
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

func TestGRPCQuestion(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, row := range []struct {
		service string
		want    []byte
	}{
		{"", []byte{0, 0, 0, 0, 0}},
		{"api", []byte{0, 0, 0, 0, 5, 0x0a, 3, 'a', 'p', 'i'}},
		{long, append([]byte{0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01}, long...)},
	} {
		if got := grpcQuestion(row.service); !slices.Equal(got, row.want) {
			t.Errorf("grpcQuestion(%q) = %x, want %x", row.service, got, row.want)
		}
	}
}

func FuzzServingOf(f *testing.F) {
	for _, seed := range [][]byte{nil, frame(), frame(8, 1), frame(8, 2, 8, 1), frame(18, 1, 'x'), {1, 0, 0, 0, 0}, frame(8), frame(11, 12)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		status, err := servingOf(b)
		if err != nil {
			if !errors.Is(err, errMessage) {
				t.Errorf("servingOf(%x) = %v", b, err)
			}
			return
		}
		// What is read is read likewise when it is written anew and alone.
		again, err := servingOf(frame(protowire.AppendVarint([]byte{8}, status)...))
		if err != nil || again != status {
			t.Errorf("servingOf(%x) = %d, and of that alone %d, %v", b, status, again, err)
		}
	})
}
