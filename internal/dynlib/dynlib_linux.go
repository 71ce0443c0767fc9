package dynlib

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// Open opens the first of the named libraries that is there, as the dynamic loader searches for it.
func Open(names ...string) (Library, error) {
	var last error
	for _, name := range names {
		h, err := purego.Dlopen(name, purego.RTLD_LAZY|purego.RTLD_GLOBAL)
		if err == nil {
			return Library{h}, nil
		}
		last = err
	}
	return Library{}, fmt.Errorf("%w: %w", ErrNotFound, last)
}

// Find returns the address of a function, 0 if the library lacks it.
func (l Library) Find(name string) uintptr {
	fn, err := purego.Dlsym(l.handle, name)
	if err != nil {
		return 0
	}
	return fn
}

func call(fn uintptr, args []uintptr) uintptr {
	r, _, _ := purego.SyscallN(fn, args...)
	return r
}
