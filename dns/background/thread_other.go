//go:build !linux

package background

// Thread does nothing: threads have no priority of their own.
func Thread() {}
