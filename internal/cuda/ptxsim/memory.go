package ptxsim

import (
	"fmt"
	"slices"
	"sort"
	"unsafe"
)

// Memory is the global memory of a device: blocks of memory of this process, by their addresses.
type Memory struct {
	blocks []block // by address
	last   int     // the one that was found last
}

type block struct {
	base uint64
	data []byte
}

// Alloc returns the address of size bytes that can be read and written as ordinary memory too.
func (m *Memory) Alloc(size int) uintptr {
	words := make([]uint64, max(1, (size+7)/8))
	data := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
	base := uintptr(unsafe.Pointer(&words[0]))
	m.blocks = slices.Insert(m.blocks, m.at(uint64(base)), block{uint64(base), data})
	m.last = 0
	return base
}

// Bytes returns the memory that Alloc gave at an address.
func (m *Memory) Bytes(base uintptr) []byte {
	if i := m.at(uint64(base)); i > 0 && m.blocks[i-1].base == uint64(base) {
		return m.blocks[i-1].data
	}
	return nil
}

// Free lets go of what Alloc gave, and reports whether it had given it.
func (m *Memory) Free(base uintptr) bool {
	i := m.at(uint64(base))
	if i == 0 || m.blocks[i-1].base != uint64(base) {
		return false
	}
	m.blocks = slices.Delete(m.blocks, i-1, i)
	m.last = 0
	return true
}

// at returns the number of blocks that begin at or below an address.
func (m *Memory) at(address uint64) int {
	return sort.Search(len(m.blocks), func(i int) bool { return m.blocks[i].base > address })
}

// find returns size bytes at an address.
func (m *Memory) find(address uint64, size int) ([]byte, error) {
	if m.last < len(m.blocks) {
		if b := &m.blocks[m.last]; address >= b.base && address-b.base+uint64(size) <= uint64(len(b.data)) {
			return b.data[address-b.base:], nil
		}
	}
	if i := m.at(address); i > 0 {
		if b := &m.blocks[i-1]; address-b.base+uint64(size) <= uint64(len(b.data)) {
			m.last = i - 1
			return b.data[address-b.base:], nil
		}
	}
	return nil, fmt.Errorf("global address %#x is nobody's", address)
}

// Copy copies bytes between addresses.
func (m *Memory) Copy(to, from uint64, bytes int) error {
	src, err := m.find(from, bytes)
	if err != nil {
		return err
	}
	dst, err := m.find(to, bytes)
	if err != nil {
		return err
	}
	copy(dst[:bytes], src[:bytes])
	return nil
}
