//go:build !windows

package main

import "golang.org/x/sys/unix"

// diskFree returns the bytes that an ordinary user may still write where dir is.
func diskFree(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}
