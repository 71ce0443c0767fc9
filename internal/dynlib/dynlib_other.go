//go:build !linux && !windows

package dynlib

import (
	"fmt"
	"runtime"
)

// Open fails: there is nothing to open on this system.
func Open(names ...string) (Library, error) {
	return Library{}, fmt.Errorf("%w: %v on %s", ErrNotFound, names, runtime.GOOS)
}

// Find returns 0.
func (l Library) Find(string) uintptr { return 0 }

func call(uintptr, []uintptr) uintptr { panic("dynlib: no library is open") } // no address was ever given out
