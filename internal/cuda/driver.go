package cuda

// driver is what is used of a card: memory, and kernels that run one after the other. All calls are of one goroutine.
type driver interface {
	// Info tells of the card.
	Info() info
	// Free returns the bytes that are free on the card now.
	Free() (int64, result)
	// Alloc returns zeros that card and processor can both use.
	Alloc(bytes int) (uintptr, result)
	Release(at uintptr) result
	// Copy and Launch return before they are done. An argument of a kernel stands in 8 bytes, little-endian.
	Copy(to, from uintptr, bytes int) result
	Launch(kernel string, grid [3]uint32, threads uint32, args []uint64) result
	// Wait returns when all is done.
	Wait() result
	Close() result
}

// info is what does not change of a card.
type info struct {
	Name       string
	Processors int // multiprocessors
}
