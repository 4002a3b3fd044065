package pki

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// handshake runs both sides over loopback; each side's error is its own.
func handshake(t *testing.T, server, client *tls.Config) (peerOfServer, peerOfClient Identity, serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()

	done := make(chan struct{})
	go func() {
		defer close(done)
		conn := tls.Server(accepted, server)
		if serverErr = conn.Handshake(); serverErr == nil {
			_, serverErr = conn.Write([]byte("ok"))
		}
		if serverErr == nil {
			peerOfServer, serverErr = PeerIdentity(conn.ConnectionState())
		}
		io.Copy(io.Discard, accepted) // a close over unread bytes would reset the connection and lose the alert
	}()
	conn := tls.Client(raw, client)
	if clientErr = conn.Handshake(); clientErr == nil {
		// In TLS 1.3 the client learns only from its first read that the server refused it.
		_, clientErr = conn.Read(make([]byte, 2))
	}
	if clientErr == nil {
		peerOfClient, clientErr = PeerIdentity(conn.ConnectionState())
	}
	raw.Close()
	<-done
	return peerOfServer, peerOfClient, serverErr, clientErr
}

func TestTLS(t *testing.T) {
	// crypto/tls asks its own clock: all times are around now.
	now := time.Now()
	ca, otherCA := newAuthority(t, "example", now.Add(-2*NodeValidity)), newAuthority(t, "example", now)
	use1, euw1 := ca.node(t, use1, now), ca.node(t, euw1, now)
	stranger := otherCA.node(t, use1.Identity(), now)
	strangeControl := otherCA.node(t, euw1.Identity(), now)
	ended := ca.node(t, use1.Identity(), now.Add(-NodeValidity-time.Hour))
	endedControl := ca.node(t, euw1.Identity(), now.Add(-NodeValidity-time.Hour))

	with := func(c *tls.Config, change func(*tls.Config)) *tls.Config { change(c); return c }
	onlyTLS12 := func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }

	tests := []struct {
		name      string
		server    *tls.Config
		client    *tls.Config
		serverErr string
		clientErr string
	}{
		{"two nodes, by name", euw1.ServerTLS(), use1.ClientTLS("euw1"), "", ""},
		{"two nodes, any control node", euw1.ServerTLS(), use1.ClientTLS(AnyControl), "", ""},
		{"a node to itself", euw1.ServerTLS(), euw1.ClientTLS("euw1"), "", ""},
		{"another node than expected", euw1.ServerTLS(), use1.ClientTLS("aps1"), "bad certificate", "not aps1.meridian.internal"},
		{"a node without the control role", use1.ServerTLS(), euw1.ClientTLS(AnyControl), "bad certificate", "not control.role.meridian.internal"},
		{"a client of another authority", euw1.ServerTLS(), with(stranger.ClientTLS("euw1"), func(c *tls.Config) { c.RootCAs = use1.roots }), "unknown authority", "unknown certificate authority"},
		{"a server of another authority", strangeControl.ServerTLS(), use1.ClientTLS("euw1"), "bad certificate", "unknown authority"},
		{"a client whose certificate has ended", euw1.ServerTLS(), ended.ClientTLS("euw1"), "expired", "expired"},
		{"a server whose certificate has ended", endedControl.ServerTLS(), use1.ClientTLS("euw1"), "bad certificate", "expired"},
		{"a client that shows none", euw1.ServerTLS(), with(use1.ClientTLS("euw1"), func(c *tls.Config) { c.Certificates = nil }), "didn't provide a certificate", "certificate required"},
		{"a client of TLS 1.2", euw1.ServerTLS(), with(use1.ClientTLS("euw1"), onlyTLS12), "unsupported versions", "protocol version not supported"},
		{"a server of TLS 1.2", with(euw1.ServerTLS(), onlyTLS12), use1.ClientTLS("euw1"), "unsupported versions", "protocol version not supported"},
		{"a listener for control nodes only", with(use1.ServerTLS(), func(c *tls.Config) { c.VerifyConnection = RequireRole(health.RoleControl) }), euw1.ClientTLS("use1"), "", ""},
		{"a client without the role", with(euw1.ServerTLS(), func(c *tls.Config) { c.VerifyConnection = RequireRole(health.RoleControl) }), use1.ClientTLS("euw1"), `pki: node "use1": roles [dns probe], want [control]`, "bad certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			peerOfServer, peerOfClient, serverErr, clientErr := handshake(t, test.server, test.client)
			for _, side := range []struct {
				name string
				err  error
				want string
			}{{"server", serverErr, test.serverErr}, {"client", clientErr, test.clientErr}} {
				if (side.err == nil) != (side.want == "") || !strings.Contains(text(side.err), side.want) {
					t.Errorf("%s: %v, want %q", side.name, side.err, side.want)
				}
			}
			if test.serverErr == "" {
				if want, err := identify(test.client.Certificates[0].Leaf); err != nil || peerOfServer != want {
					t.Errorf("the server's peer = %v, want %v", peerOfServer, want)
				}
				if want, err := identify(test.server.Certificates[0].Leaf); err != nil || peerOfClient != want {
					t.Errorf("the client's peer = %v, want %v", peerOfClient, want)
				}
			}
		})
	}
}

func TestPeerIdentityOfUnverified(t *testing.T) {
	if id, err := PeerIdentity(tls.ConnectionState{}); err == nil {
		t.Errorf("PeerIdentity of a connection without certificates = %v, want an error", id)
	}
}
