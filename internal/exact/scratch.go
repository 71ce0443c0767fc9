package exact

// scratch is memory that kernels reuse from call to call. Each kernel uses the
// slots as it likes; nothing survives in them from one kernel to the next.
type scratch struct {
	f [slots][]float32
	i [2][]int32

	// Small operands of SIMD kernels, here because what a kernel points to must
	// not be on the stack.
	lanes  rowLanes
	lanes2 rowLanes
	max    float32
	adam   [9]float32
	row    rowJob
}

// Slots that helpers of kernels use; kernels themselves use those from 0 on.
const (
	slotPack = iota + 12 // packed operand of a matrix product
	slotTile             // tile at the edge of a matrix product
	slotTall             // packed rows of the left matrix
	slotFold             // block results of a row fold
	slots
)

// Floats returns n zeros. They lie in large pages where the system has them, which strided kernels are faster on.
func Floats(n int) []float32 {
	x := make([]float32, n)
	huge(x)
	return x
}

// floats returns slot's memory with room for n elements, contents undefined.
func (s *scratch) floats(slot, n int) []float32 {
	if cap(s.f[slot]) < n {
		s.f[slot] = Floats(n + n/4)
	}
	return s.f[slot][:n]
}

// ints is floats for int32.
func (s *scratch) ints(slot, n int) []int32 {
	if cap(s.i[slot]) < n {
		s.i[slot] = make([]int32, n+n/4)
	}
	return s.i[slot][:n]
}

// args holds the arguments of the running kernel, one field per kernel, so that
// handing them to the workers allocates nothing.
type args struct {
	gemm  gemmArgs
	norm  normArgs
	act   actArgs
	rope  ropeArgs
	att   attArgs
	ce    ceArgs
	embed embedArgs
	elem  elemArgs
	adam  adamArgs
	sum   sumArgs

	layer  layerArgs
	rows   rowsArgs
	unary  unaryArgs
	win    winArgs
	se     seArgs
	argmax argmaxArgs
}

// pieces returns how many pieces of the given size cover n.
func pieces(n, size int) int { return (n + size - 1) / size }

// span returns piece i of [0, n).
func span(i, size, n int) (lo, hi int) { return i * size, min((i+1)*size, n) }

// pieceElems is the number of elements that one piece of a cheap kernel covers,
// so that waking a worker is worth it. It has no influence on results.
const pieceElems = 8192

// rowsPerPiece returns how many rows of dim elements make up a piece.
func rowsPerPiece(dim int) int { return max(1, pieceElems/max(dim, 1)) }
