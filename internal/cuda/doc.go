// Package cuda runs the kernels of docs/numerics.md on NVIDIA cards, to the bits of internal/exact.
//
//	card, err := cuda.Open(cuda.Options{UUID: uuid})    // errors.Is(err, cuda.ErrNoDriver) on most machines
//	defer card.Close()
//	x := card.Floats(n)
//
// A [Card] is an exact.Kernels. The driver's library is opened when a card is, and nothing here needs a driver, a toolkit or a C
// compiler to build. The kernels are PTX, kernels.ptx, which the driver compiles for the card at hand; it is made by clang from
// kernels/, see generate.go, and committed.
//
// # Memory
//
// Memory of a card is managed by the driver: one address for card and processor, and pages move to who uses them. So a slice of
// it is an ordinary slice, which the host may read and write after Wait. Nothing is copied, and nothing waits, between kernels.
//
// # Errors
//
// The first error of a card ends its use: kernels after it do nothing, and Wait returns it as a *exact.DeviceError that wraps
// one of this package's errors. Floats and Ints panic with such an error, see exact.Attempt.
//
// # What is tested without a card
//
// The tests execute kernels.ptx itself, with internal/cuda/ptxsim behind the driver's interface, and compare each kernel with
// internal/exact bit for bit. They also read it: every operation on floats must be one that rounds as it should.
package cuda
