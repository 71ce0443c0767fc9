package cuda

import (
	"fmt"
	"slices"
	"unsafe"

	"drystone/internal/exact"
)

// Options choose a card.
type Options struct {
	UUID  string // as NVML writes it, GPU-...; empty for the first
	Label string // what Path returns, such as cuda:0; default cuda
	Limit int64  // bytes to take at most; 0 for what is free, less a reserve
}

// reserve is memory that is left to the driver and to what else draws on the card.
const reserve = 256 << 20

// Card is an NVIDIA card, as exact.Kernels. One caller at a time may use it.
type Card struct {
	d     driver
	label string
	limit int64 // bytes

	blocks []block   // memory that it gave, by address
	taken  int64     // bytes of them
	work   []float32 // of kernels that come in two steps
	err    *exact.DeviceError
	closed bool
	args   []uint64 // of the launch under way
}

var _ exact.Kernels = (*Card)(nil)

type block struct {
	at    uintptr
	bytes int
}

// Open opens a card and compiles the kernels for it, which takes a moment the first time. The error wraps one of this package's.
func Open(opt Options) (*Card, error) {
	d, err := openDriver(libraryNames, opt.UUID, kernelText)
	if err != nil {
		return nil, err
	}
	c, err := on(d, opt)
	if err != nil {
		d.Close()
		return nil, err
	}
	return c, nil
}

// on returns a Card by its driver.
func on(d driver, opt Options) (*Card, error) {
	free, r := d.Free()
	if err := r.fail("ask for free memory"); err != nil {
		return nil, err
	}
	c := &Card{d: d, label: opt.Label, limit: max(free-reserve, 0)}
	if c.label == "" {
		c.label = "cuda"
	}
	if opt.Limit > 0 {
		c.limit = min(c.limit, opt.Limit)
	}
	return c, nil
}

// Name returns the card's name.
func (c *Card) Name() string { return c.d.Info().Name }

// Path implements exact.Kernels.
func (c *Card) Path() string { return c.label }

// Wait implements exact.Kernels.
func (c *Card) Wait() error {
	if c.err == nil && !c.closed {
		c.failed(c.d.Wait(), "compute")
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

// failed notes the first error.
func (c *Card) failed(r result, doing string) {
	if err := r.fail(doing); err != nil && c.err == nil {
		c.err = &exact.DeviceError{Err: fmt.Errorf("%s: %w", c.label, err)}
	}
}

// Floats implements exact.Kernels.
func (c *Card) Floats(n int) []float32 {
	if n == 0 {
		return []float32{}
	}
	return unsafe.Slice((*float32)(pointer(c.alloc(4*n))), n)
}

// Ints implements exact.Kernels.
func (c *Card) Ints(n int) []int32 {
	if n == 0 {
		return []int32{}
	}
	return unsafe.Slice((*int32)(pointer(c.alloc(4*n))), n)
}

// pointer makes a pointer of an address that the driver gave: it is no memory of Go's.
func pointer(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

// alloc takes memory, or panics with the reason why there is none. A card without room stays in use.
func (c *Card) alloc(bytes int) uintptr {
	if c.err != nil {
		panic(c.err)
	}
	if c.taken+int64(bytes) > c.limit {
		panic(&exact.DeviceError{Err: fmt.Errorf("%s: %w: %.2f GB are to be had, %.2f GB are taken and %.2f GB more are needed",
			c.label, ErrMemory, float64(c.limit)/1e9, float64(c.taken)/1e9, float64(bytes)/1e9)})
	}
	at, r := c.d.Alloc(bytes)
	if err := r.fail(c.label); err != nil {
		if r != outOfMemory {
			c.failed(r, "take memory")
		}
		panic(&exact.DeviceError{Err: err})
	}
	i, _ := slices.BinarySearchFunc(c.blocks, at, func(b block, at uintptr) int { return compareAddress(b.at, at) })
	c.blocks = slices.Insert(c.blocks, i, block{at, bytes})
	c.taken += int64(bytes)
	return at
}

func compareAddress(a, b uintptr) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// owns reports whether memory lies in what the card gave.
func (c *Card) owns(at uintptr, bytes int) bool {
	i, found := slices.BinarySearchFunc(c.blocks, at, func(b block, at uintptr) int { return compareAddress(b.at, at) })
	if !found {
		i--
	}
	return i >= 0 && at+uintptr(bytes) <= c.blocks[i].at+uintptr(c.blocks[i].bytes)
}

// release gives back one block.
func (c *Card) release(at uintptr) {
	c.blocks = slices.DeleteFunc(c.blocks, func(b block) bool {
		if b.at == at {
			c.taken -= int64(b.bytes)
		}
		return b.at == at
	})
	c.failed(c.d.Release(at), "give memory back")
}

// workspace returns n floats for a kernel of two steps, contents undefined. The next call takes them again.
func (c *Card) workspace(n int) []float32 {
	if len(c.work) < n {
		if old := c.work; old != nil {
			c.work = nil
			c.Wait() // kernels under way may use it
			c.release(uintptr(unsafe.Pointer(&old[0])))
		}
		c.work = c.Floats(n + n/4)
	}
	return c.work[:n]
}

// Forget implements exact.Kernels.
func (c *Card) Forget() {
	if c.closed {
		return
	}
	c.Wait()
	for _, b := range slices.Clone(c.blocks) {
		c.release(b.at)
	}
	c.work = nil
}

// Close implements exact.Kernels. Memory that the card gave must not be used any more.
func (c *Card) Close() {
	if !c.closed {
		c.Forget()
		c.closed = true
		c.d.Close()
	}
}
