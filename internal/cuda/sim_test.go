package cuda

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"drystone/internal/cuda/ptxsim"
)

// simulated is a card whose kernels ptxsim executes.
type simulated struct {
	module  *ptxsim.Module
	memory  ptxsim.Memory
	opt     ptxsim.Options
	about   info
	free    int64
	held    int64
	pending result // of the next Wait
	fault   error
	closed  int
	ran     map[string]int // launches by kernel
}

var module = sync.OnceValues(func() (*ptxsim.Module, error) { return ptxsim.Parse(kernelText) })

func newSimulated(t testing.TB) *simulated {
	t.Helper()
	m, err := module()
	if err != nil {
		t.Fatal(err)
	}
	return &simulated{module: m, about: info{"simulated card", 2}, free: 1 << 30, ran: map[string]int{}}
}

// simCard returns a card that is simulated, and what simulates it.
func simCard(t testing.TB) (*Card, *simulated) {
	t.Helper()
	s := newSimulated(t)
	c, err := on(s, Options{Label: "cuda:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if s.fault != nil {
			t.Error(s.fault)
		}
		if s.held != 0 || s.closed != 1 {
			t.Errorf("%d bytes are still held, the card was closed %d times", s.held, s.closed)
		}
	})
	return c, s
}

func (s *simulated) Info() info            { return s.about }
func (s *simulated) Free() (int64, result) { return s.free, ok }

func (s *simulated) Alloc(bytes int) (uintptr, result) {
	if int64(bytes) > s.free {
		return 0, outOfMemory
	}
	s.free, s.held = s.free-int64(bytes), s.held+int64(bytes)
	return s.memory.Alloc(bytes), ok
}

func (s *simulated) Release(at uintptr) result {
	n := int64(len(s.memory.Bytes(at)))
	if !s.memory.Free(at) {
		return illegalAddress
	}
	s.free, s.held = s.free+n, s.held-n
	return ok
}

func (s *simulated) Copy(to, from uintptr, bytes int) result {
	err := s.memory.Copy(uint64(to), uint64(from), bytes)
	return s.did(err)
}

func (s *simulated) Launch(kernel string, grid [3]uint32, threads uint32, args []uint64) result {
	if s.pending != ok {
		return ok
	}
	s.ran[kernel]++
	return s.did(s.module.Launch(&s.memory, kernel, grid, [3]uint32{threads, 1, 1}, args, s.opt))
}

func (s *simulated) did(err error) result {
	if err == nil {
		return ok
	}
	s.fault = errors.Join(s.fault, err)
	return launchFailed
}

func (s *simulated) Wait() result  { return s.pending }
func (s *simulated) Close() result { s.closed++; return ok }

func (s *simulated) String() string { return fmt.Sprintf("%d bytes held", s.held) }
