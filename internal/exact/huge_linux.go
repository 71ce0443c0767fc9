package exact

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// huge asks the system to back x with large pages where it can: strided reads of a
// matrix outrun the processor's table of small ones. It changes no result.
func huge(x []float32) {
	const page = 2 << 20
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(x)))
	lo, hi := int(-at%page), len(bytes)-int((at+uintptr(len(bytes)))%page)
	if lo < hi {
		// Advice: a system without large pages goes on with small ones.
		_ = unix.Madvise(bytes[lo:hi], unix.MADV_HUGEPAGE)
	}
}
