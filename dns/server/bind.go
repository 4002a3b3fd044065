package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// The keys of node.yaml that errors name.
const (
	keyDNS   = "listen.dns"
	keyTLS   = "listen.dot"
	keyHTTPS = "listen.doh"
	keyQUIC  = "listen.doq"
)

// bindAttempts is how often a port that is free for TCP is looked for that is free for UDP too.
const bindAttempts = 20

// bindAll takes all addresses of the configuration, until one can't be had.
func (s *Server) bindAll() error {
	c := &s.config
	if len(c.Listen) == 0 {
		return errNoAddress
	}
	if len(c.TLS)+len(c.HTTPS)+len(c.QUIC) > 0 && c.Certificate == nil {
		return errNoCertificate
	}
	for _, address := range c.Listen {
		b, err := s.bind(address)
		if err != nil {
			return err
		}
		s.bound = append(s.bound, b)
	}
	if err := s.bindXDP(); err != nil {
		return err
	}
	var err error
	if s.tls, err = bindTCP(c.TLS, keyTLS); err != nil {
		return err
	}
	if s.https, err = bindTCP(c.HTTPS, keyHTTPS); err != nil {
		return err
	}
	for _, address := range c.QUIC {
		l, err := s.bindQUIC(address)
		if err != nil {
			return bindError(address, err, keyQUIC)
		}
		s.quic = append(s.quic, l)
	}
	return nil
}

// bind takes an address for TCP and then for UDP. TCP comes first because its port can't be shared: UDP sockets of
// several programs may share one by SO_REUSEPORT, and then each would get a part of the queries.
func (s *Server) bind(address netip.AddrPort) (binding, error) {
	var err error
	for range bindAttempts {
		var b binding
		b, err = s.bindOnce(address)
		if err == nil {
			return b, nil
		}
		if address.Port() != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return binding{}, bindError(address, err, keyDNS)
}

func (s *Server) bindOnce(address netip.AddrPort) (binding, error) {
	tcp, err := net.ListenTCP(network("tcp", address.Addr()), net.TCPAddrFromAddrPort(address))
	if err != nil {
		return binding{}, err
	}
	port := tcp.Addr().(*net.TCPAddr).AddrPort().Port()
	b := binding{address: netip.AddrPortFrom(address.Addr(), port), tcp: tcp}
	b.udp, err = bindUDP(b.address, s.config.UDPWorkers)
	if err != nil {
		tcp.Close()
		return binding{}, err
	}
	for _, w := range b.udp {
		w.counters = s.ledger.open(transportUDP)
		w.limiter = s.newLimiter(w.counters, b.address)
	}
	return b, nil
}

// bindTCP takes addresses for TCP alone, and returns those that it has also with an error.
func bindTCP(addresses []netip.AddrPort, key string) (listeners []*net.TCPListener, err error) {
	for _, address := range addresses {
		l, err := net.ListenTCP(network("tcp", address.Addr()), net.TCPAddrFromAddrPort(address))
		if err != nil {
			return listeners, bindError(address, err, key)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// network names the protocol for one family, so that a socket for [::] takes no IPv4.
func network(protocol string, a netip.Addr) string {
	if a.Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}

// bindError says what can be done about it.
func bindError(address netip.AddrPort, err error, key string) error {
	advice := "is it an address of this machine?"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "another server has it: stop that one, or choose another address or port"
	case errors.Is(err, syscall.EACCES):
		advice = "ports below 1024 need CAP_NET_BIND_SERVICE: grant it, or choose another port"
	}
	var cause syscall.Errno
	if errors.As(err, &cause) {
		return fmt.Errorf("dns: listen %v: %w; %s (config key %s)", address, cause, advice, key)
	}
	return fmt.Errorf("dns: listen %v: %w (config key %s)", address, err, key)
}
