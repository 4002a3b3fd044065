//go:build !linux

package probe

import (
	"context"
	"errors"

	"github.com/meridian-gslb/meridian/health"
)

// run starts nothing: that all processes of a program end with it is only sure on Linux.
func run(context.Context, *health.Target) outcome {
	return outcome{failed: errors.ErrUnsupported}
}
