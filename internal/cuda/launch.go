package cuda

import (
	"fmt"
	"math"
	"unsafe"

	"drystone/internal/exact"
)

// need panics, as internal/exact does, unless a slice has at least want elements.
func need(kernel, name string, have, want int) {
	if want < 0 || have < want {
		panic(&exact.ShapeError{Kernel: kernel, Problem: fmt.Sprintf("%s has %d elements, want %d", name, have, want)})
	}
}

func require(ok bool, kernel, problem string) {
	if !ok {
		panic(&exact.ShapeError{Kernel: kernel, Problem: problem})
	}
}

// A launch of kernels that walk n elements.
const (
	threads   = 256
	maxBlocks = 4096
)

// each launches a kernel over n elements. It does nothing without any.
func (c *Card) each(kernel string, n int, args ...any) {
	if n > 0 {
		c.launch(kernel, [3]int{min((n+threads-1)/threads, maxBlocks), 1, 1}, threads, args...)
	}
}

// launch starts a kernel. Arguments are slices of the card's memory or nil ones, numbers that are not negative, float32 and bool.
func (c *Card) launch(kernel string, grid [3]int, threads int, args ...any) {
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, c.argument(kernel, i, a))
	}
	if c.err != nil {
		return
	}
	var g [3]uint32
	for i, n := range grid {
		require(n >= 1 && n <= [...]int{math.MaxInt32, 65535, 65535}[i], kernel, fmt.Sprintf("a grid of %v", grid))
		g[i] = uint32(n)
	}
	c.failed(c.d.Launch(kernel, g, uint32(threads), c.args), kernel)
}

// argument is an argument by its bits.
func (c *Card) argument(kernel string, i int, a any) uint64 {
	switch v := a.(type) {
	case []float32:
		return c.address(kernel, i, unsafe.Pointer(unsafe.SliceData(v)), len(v))
	case []int32:
		return c.address(kernel, i, unsafe.Pointer(unsafe.SliceData(v)), len(v))
	case int:
		require(v >= 0, kernel, "a number is negative")
		return uint64(v)
	case float32:
		return uint64(math.Float32bits(v))
	case bool:
		if v {
			return 1
		}
		return 0
	}
	panic(fmt.Sprintf("cuda: %s: argument %d is a %T", kernel, i, a)) // a mistake of this package
}

// address checks that memory is the card's: the kernel would find nothing at any other address.
func (c *Card) address(kernel string, i int, at unsafe.Pointer, n int) uint64 {
	if n == 0 {
		return 0
	}
	require(c.owns(uintptr(at), 4*n), kernel, fmt.Sprintf("operand %d is not in the card's memory", i))
	return uint64(uintptr(at))
}
