//go:build !amd64

package delta

// vectorFor knows no kernels on this architecture.
func vectorFor(string) *vector { return nil }
