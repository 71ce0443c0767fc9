package exact

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Version names the arithmetic that this package implements (docs/numerics.md).
// A change of any bit of any result is a new version.
const Version = "exact-f32/2"

// EnvPath is the environment variable that forces a code path.
const EnvPath = "DRYSTONE_CPU"

// Code paths: the law, and then those of amd64 and of arm64.
const (
	PathRef    = "ref"
	PathAVX2   = "avx2"
	PathAVX512 = "avx512"
	PathNEON   = "neon"
)

// ErrPath is returned by New and NewPath for a code path that is unknown or that
// this processor cannot run.
var ErrPath = errors.New("exact: code path not available")

// MaxThreads bounds the workers of one Engine.
const MaxThreads = 1024

// Engine runs kernels on one code path with a fixed number of workers. It is
// safe for one caller at a time. Close it to stop the workers.
type Engine struct {
	path string
	vec  *vector // nil on the ref path
	pool *pool

	args    args      // arguments of the running kernel
	scratch []scratch // per worker
	shared  scratch   // for the running kernel as a whole
	bias    biasCache
}

// New returns an Engine on the path that DRYSTONE_CPU names, or on the fastest
// that the processor offers. threads must be in [1, MaxThreads].
func New(threads int) (*Engine, error) {
	path := os.Getenv(EnvPath)
	if path == "" {
		available := Paths()
		path = available[len(available)-1]
	}
	e, err := NewPath(threads, path)
	if err != nil && os.Getenv(EnvPath) != "" {
		return nil, fmt.Errorf("%w (set by %s)", err, EnvPath)
	}
	return e, err
}

// NewPath returns an Engine on the named path.
func NewPath(threads int, path string) (*Engine, error) {
	if threads < 1 || threads > MaxThreads {
		return nil, fmt.Errorf("exact: %d threads: want 1 to %d", threads, MaxThreads)
	}
	vec, ok := vectorFor(path)
	if !ok {
		return nil, fmt.Errorf("%w: %q; here: %s", ErrPath, path, strings.Join(Paths(), ", "))
	}
	return &Engine{path: path, vec: vec, pool: newPool(threads), scratch: make([]scratch, threads)}, nil
}

// Paths lists the code paths that this processor can run, slowest first.
func Paths() []string {
	paths := []string{PathRef}
	for _, p := range []string{PathAVX2, PathAVX512, PathNEON} {
		if _, ok := vectorFor(p); ok {
			paths = append(paths, p)
		}
	}
	return paths
}

// Close stops the workers. The Engine must not be used afterwards; a second
// Close does nothing.
func (e *Engine) Close() {
	if e.pool != nil {
		e.pool.close()
		e.pool = nil
	}
}

// Forget drops what the Engine still holds of the arguments of kernels that have
// run, so that memory which its caller has dropped can be freed.
func (e *Engine) Forget() {
	e.args, e.shared.row = args{}, rowJob{}
	for i := range e.scratch {
		e.scratch[i].row = rowJob{}
	}
}

// Path returns the code path in use: ref, avx2, avx512 or neon.
func (e *Engine) Path() string { return e.path }

// Threads returns the number of workers.
func (e *Engine) Threads() int { return e.pool.threads }

// ShapeError is the value that a kernel panics with when a slice or a dimension
// does not fit.
type ShapeError struct{ Kernel, Problem string }

func (err *ShapeError) Error() string { return "exact: " + err.Kernel + ": " + err.Problem }

// need panics unless the slice called name, of length have, has at least want
// elements (want < 0 stands for an impossible shape).
func need(kernel, name string, have, want int) {
	if want < 0 || have < want {
		panic(&ShapeError{kernel, fmt.Sprintf("%s has %d elements, want %d", name, have, want)})
	}
}

// require panics unless ok.
func require(ok bool, kernel, problem string) {
	if !ok {
		panic(&ShapeError{kernel, problem})
	}
}
