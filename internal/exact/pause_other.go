//go:build !amd64 && !arm64

package exact

// pause returns at once; those who wait look again.
func pause(int) {}
