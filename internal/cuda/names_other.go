//go:build !linux && !windows

package cuda

var libraryNames = []string{"libcuda"} // dynlib opens nothing here
