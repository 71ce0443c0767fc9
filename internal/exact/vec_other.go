//go:build !amd64 && !arm64

package exact

// vectorFor knows only the reference on this architecture.
func vectorFor(path string) (*vector, bool) { return nil, path == PathRef }
