// Package dynlib opens C libraries while the program runs and calls their functions, without a C compiler to build it and
// without the libraries to start it. Only functions of integers and pointers can be called, which is all that NVIDIA's
// drivers have.
//
// On Linux the loader is purego, which makes a program that imports this package need the system's dynamic loader; on Windows
// it is the system's own. Elsewhere Open fails.
package dynlib

import "errors"

// ErrNotFound: no library of the given names can be opened here.
var ErrNotFound = errors.New("library not found")

// Library is an open library. It stays open until the program ends.
type Library struct{ handle uintptr }

//go:uintptrescapes

// Call calls the function at address fn, which Find gave, with at most 15 arguments and returns its result. An argument
// uintptr(unsafe.Pointer(p)), written in the call itself, keeps what p points at alive and in place for the time of the call.
func Call(fn uintptr, args ...uintptr) uintptr { return call(fn, args) }
