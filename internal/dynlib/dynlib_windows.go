package dynlib

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/windows"
)

// Open opens the first of the named libraries that is there: by name alone in the system's directory, where nobody but an
// administrator can put one, else by its full path.
func Open(names ...string) (Library, error) {
	var last error
	for _, name := range names {
		h, err := windows.LoadLibraryEx(name, 0, windows.LOAD_LIBRARY_SEARCH_SYSTEM32|windows.LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR*hasPath(name))
		if err == nil {
			return Library{uintptr(h)}, nil
		}
		last = fmt.Errorf("%s: %w", name, err)
	}
	return Library{}, fmt.Errorf("%w: %w", ErrNotFound, last)
}

// hasPath is 1 for a full path, which LoadLibraryEx may search beside.
func hasPath(name string) uintptr {
	if len(name) > 2 && name[1] == ':' {
		return 1
	}
	return 0
}

// Find returns the address of a function, 0 if the library lacks it.
func (l Library) Find(name string) uintptr {
	fn, err := windows.GetProcAddress(windows.Handle(l.handle), name)
	if err != nil {
		return 0
	}
	return fn
}

func call(fn uintptr, args []uintptr) uintptr {
	r, _, _ := syscall.SyscallN(fn, args...)
	return r
}
