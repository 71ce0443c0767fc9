package ptxsim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Errors of Launch.
var (
	ErrKernel = errors.New("ptxsim: no such kernel, or it is not launched as it wants")
	ErrFault  = errors.New("ptxsim: the kernel is at fault")
)

// MaxShared is the shared memory that a block of any card has.
const MaxShared = 48 << 10

// Options say how to run: Reverse takes the threads of a block in descending order.
type Options struct{ Reverse bool }

// Launch runs a kernel on a grid of blocks. args has one value for each parameter, by its bits.
func (m *Module) Launch(mem *Memory, name string, grid, threads [3]uint32, args []uint64, opt Options) error {
	k := m.kernels[name]
	n := int(threads[0])
	switch {
	case k == nil:
		return fmt.Errorf("%w: %q", ErrKernel, name)
	case len(args) != len(k.params):
		return fmt.Errorf("%w: %s has %d parameters, not %d", ErrKernel, name, len(k.params), len(args))
	case n < 1 || n > 1024 || threads[1] != 1 || threads[2] != 1:
		return fmt.Errorf("%w: %s: blocks of %v threads; want 1 to 1024 in one dimension", ErrKernel, name, threads)
	case grid[0] < 1 || grid[1] < 1 || grid[2] < 1 || grid[0] > 1<<31-1 || grid[1] > 65535 || grid[2] > 65535:
		return fmt.Errorf("%w: %s: a grid of %v", ErrKernel, name, grid)
	case k.shared > MaxShared:
		return fmt.Errorf("%w: %s takes %d bytes of shared memory", ErrKernel, name, k.shared)
	}
	b := &running{kernel: k, mem: mem, shared: make([]byte, k.shared), threads: make([]thread, n)}
	for i := range b.threads {
		b.threads[i].slots = make([]uint64, k.slots)
	}
	for z := range grid[2] {
		for y := range grid[1] {
			for x := range grid[0] {
				b.begin([3]uint32{x, y, z}, grid, threads, args)
				if err := b.run(opt.Reverse); err != nil {
					return fmt.Errorf("%w: %s, block %d,%d,%d: %w", ErrFault, name, x, y, z, err)
				}
			}
		}
	}
	return nil
}

// running is a block of threads under way.
type running struct {
	*kernel
	mem     *Memory
	shared  []byte
	threads []thread
}

type thread struct {
	slots []uint64
	pc    int
	done  bool
	steps int
}

// maxSteps is how many instructions a thread may take: none of the kernels comes near it.
const maxSteps = 1 << 32

func (b *running) begin(block, grid, threads [3]uint32, args []uint64) {
	for i := range b.shared {
		b.shared[i] = 0xff // a NaN as float32
	}
	for i := range b.threads {
		t := &b.threads[i]
		copy(t.slots, b.start)
		t.pc, t.done, t.steps = 0, false, 0
		for j, s := range b.param {
			t.slots[s] = args[j]
		}
		for _, s := range b.special {
			of := [3]uint32{uint32(i)} // tid
			switch s.of {
			case "ntid":
				of = threads
			case "ctaid":
				of = block
			case "nctaid":
				of = grid
			}
			t.slots[s.slot] = uint64(of[s.axis])
		}
	}
}

// run takes all threads to their end, from barrier to barrier.
func (b *running) run(reverse bool) error {
	order := make([]int, len(b.threads))
	for i := range order {
		order[i] = i
	}
	if reverse {
		slices.Reverse(order)
	}
	for {
		waiting, ended := 0, 0
		for _, i := range order {
			t := &b.threads[i]
			if err := b.advance(t); err != nil {
				return fmt.Errorf("thread %d: %w", i, err)
			}
			if t.done {
				ended++
			} else {
				waiting++
			}
		}
		if waiting == 0 {
			return nil
		}
		if ended > 0 {
			return fmt.Errorf("%d threads are at a barrier that %d never reach", waiting, ended)
		}
	}
}

// advance runs a thread to the next barrier or its end.
func (b *running) advance(t *thread) error {
	if t.done {
		return nil
	}
	slots := t.slots
	for ; ; t.steps++ {
		if t.pc >= len(b.code) || t.steps > maxSteps {
			return fmt.Errorf("it does not end")
		}
		in := &b.code[t.pc]
		t.pc++
		if in.guard >= 0 && (slots[in.guard] != 0) == in.negate {
			continue
		}
		switch in.op {
		case opCompute:
			slots[in.dst] = in.compute(slots[in.src[0]], slots[in.src[1]], slots[in.src[2]])
		case opCompare:
			slots[in.dst] = 0
			if in.compare(slots[in.src[0]], slots[in.src[1]]) {
				slots[in.dst] = 1
			}
		case opBranch:
			t.pc = in.target
		case opBarrier:
			return nil
		case opReturn:
			t.done = true
			return nil
		default:
			if err := b.access(in, slots); err != nil {
				return fmt.Errorf("%s: %w", in.text, err)
			}
		}
	}
}

// access does a load or a store.
func (b *running) access(in *instr, slots []uint64) error {
	at := slots[in.src[0]] + in.offset
	size := in.size * len(in.more)
	if at%uint64(size) != 0 {
		return fmt.Errorf("address %#x is not a multiple of %d", at, size)
	}
	var data []byte
	switch {
	case !in.shared:
		var err error
		if data, err = b.mem.find(at, size); err != nil {
			return err
		}
	case at > uint64(len(b.shared)) || uint64(len(b.shared))-at < uint64(size):
		return fmt.Errorf("shared address %d of %d", at, len(b.shared))
	default:
		data = b.shared[at:]
	}
	for i, s := range in.more {
		d := data[i*in.size:]
		switch {
		case in.op == opLoad && in.size == 4:
			slots[s] = uint64(binary.LittleEndian.Uint32(d))
		case in.op == opLoad && in.size == 8:
			slots[s] = binary.LittleEndian.Uint64(d)
		case in.op == opLoad:
			slots[s] = uint64(d[0])
		case in.size == 4:
			binary.LittleEndian.PutUint32(d, uint32(slots[s]))
		case in.size == 8:
			binary.LittleEndian.PutUint64(d, slots[s])
		default:
			d[0] = byte(slots[s])
		}
	}
	return nil
}
