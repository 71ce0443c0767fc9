package exact

// Kernels are the operations of docs/numerics.md on one device: an Engine is those of the processor. Whoever computes with
// them and keeps to these rules gets the same bits on every device:
//
//   - operands lie in memory that Floats and Ints gave;
//   - a kernel may return before it has run. They run in the order of the calls; after Wait their results can be read and
//     their operands written, as ordinary memory;
//   - a kernel that fails, because the device does, leaves its results undefined, and so do those after it; Wait says why.
//
// The methods are described at Engine. One caller at a time may use them.
type Kernels interface {
	// Floats and Ints return n zeros. They panic with an error as value if the device has no room, see Attempt.
	Floats(n int) []float32
	Ints(n int) []int32
	// Copy copies len(dst) elements of src, which may be dst or else must not overlap it.
	Copy(dst, src []float32)
	// Wait returns when all kernels have run, with the error of the first that failed since the device was opened.
	Wait() error
	// Forget lets go of all memory that Floats and Ints gave: nobody may use it any more. What they gave to a processor lives
	// for as long as it is used.
	Forget()
	// Close lets go of the device.
	Close()
	// Path names the device, such as avx2 or cuda:0.
	Path() string

	Gemm(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool)

	Add(y, a, b []float32)
	Sub(y, a, b []float32)
	Scale(y, x []float32, s float32)
	FMA(y []float32, s float32, x []float32)
	ReLU(y, x []float32)
	ReLUBackward(dx, dy, x []float32)
	GELU(y, x []float32)
	GELUBackward(dx, dy, x []float32)
	SwiGLU(y, gate, up []float32)
	SwiGLUBackward(dgate, dup, dy, gate, up []float32)
	AddBias(y, x, bias []float32, rows, dim int)
	BiasBackward(dbias, dy []float32, rows, dim int, accumulate bool)
	AdamWStep(p, g, m, v []float32, h AdamWParams)

	RMSNorm(y, x, gain, rstd []float32, rows, dim int, eps float32)
	RMSNormBackwardAdd(dx, dgain, plus, dy, x, gain, rstd []float32, rows, dim int, accumulate bool)
	Rope(y, x, cos, sin []float32, batch, seq, heads, headDim int, inverse bool)
	Attention(o, q, k, v, rowMax, rowSum []float32, batch, seq, heads, kvHeads, headDim int)
	AttentionBackward(dq, dk, dv, do, q, k, v, o, rowMax, rowSum []float32, batch, seq, heads, kvHeads, headDim int)

	Gather(y, table []float32, ids []int32, dim int)
	ScatterAddRows(dtable, dy []float32, ids []int32, vocab, dim, lo, hi int, accumulate bool)
	CrossEntropyPart(logits []float32, targets []int32, rows, vocab, of int, losses []float32, dlogits []float32)
	SquaredError(pred, target []float32, rows, dim int, losses, dpred []float32, divisor int)

	Im2Col(col, x []float32, shape ConvShape)
	Col2Im(dx, dcol []float32, shape ConvShape)
	MaxPool(y []float32, index []int32, x []float32, shape ConvShape)
	MaxPoolBackward(dx, dy []float32, index []int32, shape ConvShape)

	// Mean sets y[0] to the row fold of x divided by its length, and SumSquaresTo to that of its squares.
	Mean(y, x []float32)
	SumSquaresTo(y, x []float32)
}

var _ Kernels = (*Engine)(nil)

// Attempt runs f and returns the error that a device without room for more panics with; other panics go on.
func Attempt(f func() error) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *DeviceError:
			err = v
		default:
			panic(v)
		}
	}()
	return f()
}

// DeviceError is what Floats and Ints panic with if the device has no room or does not work any more.
type DeviceError struct{ Err error }

func (e *DeviceError) Error() string { return e.Err.Error() }
func (e *DeviceError) Unwrap() error { return e.Err }

// Floats implements Kernels; it is the function Floats.
func (e *Engine) Floats(n int) []float32 { return Floats(n) }

// Ints implements Kernels.
func (e *Engine) Ints(n int) []int32 { return make([]int32, n) }

// Copy implements Kernels.
func (e *Engine) Copy(dst, src []float32) {
	need("Copy", "src", len(src), len(dst))
	copy(dst, src)
}

// Wait returns nil at once: on a processor a kernel has run when it returns.
func (e *Engine) Wait() error { return nil }

// Mean sets y[0] to Sum(x)/len(x).
func (e *Engine) Mean(y, x []float32) {
	need("Mean", "y", len(y), 1)
	y[0] = e.Sum(x) / float32(len(x))
}

// SumSquaresTo sets y[0] to SumSquares(x).
func (e *Engine) SumSquaresTo(y, x []float32) {
	need("SumSquaresTo", "y", len(y), 1)
	y[0] = e.SumSquares(x)
}
