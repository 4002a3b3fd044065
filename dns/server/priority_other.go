//go:build !linux

package server

// YieldToWorkers does nothing: threads have no priority of their own.
func YieldToWorkers() {}
