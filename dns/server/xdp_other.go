//go:build !linux

package server

import (
	"errors"
	"fmt"
)

const keyXDP = "listen.xdp"

// An xdpListener is nothing that there is elsewhere than on Linux.
type xdpListener struct{ workers []*udpWorker }

func (s *Server) bindXDP() error {
	for _, name := range s.config.XDP {
		return fmt.Errorf("dns: xdp %q: %w (config key %s)", name, errors.ErrUnsupported, keyXDP)
	}
	return nil
}

func (l *xdpListener) detach() {}

func (l *xdpListener) close() {}
