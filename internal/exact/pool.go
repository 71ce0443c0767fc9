package exact

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// task does piece i of the kernel whose arguments the Engine holds. worker is in
// [0, threads) and names the scratch memory that the piece may use.
type task func(e *Engine, worker, i int)

// pool runs the pieces of one kernel at a time on threads-1 goroutines and the
// caller. The goroutines start in newPool and end at close.
type pool struct {
	threads int
	spins   int           // how often to look for work before sleeping
	wake    chan struct{} // one token per helper that should join the job
	busy    atomic.Int64  // helpers that have not finished the job
	done    sync.WaitGroup
	exit    sync.WaitGroup

	// The current job; written by run before it wakes anybody.
	e     *Engine
	f     task
	n     int64
	next  atomic.Int64
	ids   atomic.Int64
	crash atomic.Pointer[crash]
}

type crash struct{ value any }

func newPool(threads int) *pool {
	p := &pool{threads: threads, wake: make(chan struct{}, threads)}
	if threads <= runtime.GOMAXPROCS(0) {
		p.spins = spins
	}
	p.exit.Add(threads - 1)
	for range threads - 1 {
		go p.help()
	}
	return p
}

func (p *pool) close() {
	close(p.wake)
	p.exit.Wait()
}

func (p *pool) help() {
	defer p.exit.Done()
	for {
		p.spin(func() bool { return len(p.wake) > 0 })
		if _, open := <-p.wake; !open {
			return
		}
		p.work(int(p.ids.Add(1)))
		p.busy.Add(-1)
		p.done.Done()
	}
}

// Kernels follow each other within microseconds, and to wake a sleeping thread takes
// as long as a small kernel: so workers look out for a while, about 50 µs, before
// they sleep, unless there are more of them than processors.
const (
	spins  = 1000
	pauses = 4 // a pause is 10 to 140 cycles
)

// spin waits until ready, or for as long as is worth it.
func (p *pool) spin(ready func() bool) {
	for i := 0; i < p.spins && !ready(); i++ {
		pause(pauses)
	}
}

// run does f for i in [0, n) and returns when all are done. A panic in a piece
// is raised again here, in the caller's goroutine.
func (p *pool) run(e *Engine, n int, f task) {
	helpers := min(p.threads, n) - 1
	if helpers <= 0 {
		for i := range n {
			f(e, 0, i)
		}
		return
	}
	p.e, p.f, p.n = e, f, int64(n)
	p.next.Store(0)
	p.ids.Store(0)
	p.done.Add(helpers)
	p.busy.Store(int64(helpers))
	for range helpers {
		p.wake <- struct{}{}
	}
	p.work(0)
	p.recall()
	p.spin(func() bool { return p.busy.Load() == 0 })
	p.done.Wait()
	p.e, p.f = nil, nil
	if c := p.crash.Swap(nil); c != nil {
		panic(c.value)
	}
}

// recall takes back the tokens of helpers that have not begun, which on a busy
// machine may be long in coming; the pieces are done without them.
func (p *pool) recall() {
	for {
		select {
		case <-p.wake:
			p.busy.Add(-1)
			p.done.Done()
		default:
			return
		}
	}
}

func (p *pool) work(worker int) {
	defer func() {
		if v := recover(); v != nil {
			p.crash.CompareAndSwap(nil, &crash{v})
			p.next.Store(p.n)
		}
	}()
	for {
		i := p.next.Add(1) - 1
		if i >= p.n {
			return
		}
		p.f(p.e, worker, int(i))
	}
}
