//go:build !linux

package probe

import (
	"errors"

	"github.com/meridian-gslb/meridian/health"
)

// launch starts nothing: that all processes of a program end with it is only sure on Linux.
func launch(*health.Target) (process, error) { return process{}, errors.ErrUnsupported }
