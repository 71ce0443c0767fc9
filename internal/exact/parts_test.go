package exact

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPartsMakeTheWhole: work may be divided between blocks of 128 rows, and
// where outputs are independent (docs/numerics.md, section 2).
func TestPartsMakeTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 1700).Draw(t, "rows")
		cut := rapid.IntRange(0, rows/foldBlock).Draw(t, "cut") * foldBlock
		d, vocab := rapid.IntRange(1, 20).Draw(t, "dim"), rapid.IntRange(2, 40).Draw(t, "vocab")
		v := drawValues(t)
		x, dy, gain, rstd, plus := v.slice(rows*d), v.slice(rows*d), v.slice(d), v.slice(rows), v.slice(rows*d)
		ids, logits := v.ints(rows, vocab), v.slice(rows*vocab)
		lo := rapid.IntRange(0, vocab-1).Draw(t, "lo")
		hi := rapid.IntRange(lo, vocab).Draw(t, "hi")
		old := v.slice(d + vocab*d + rows*d) // what memory holds before
		ref, others := drawEngines(t)
		for _, e := range append(others, ref) {
			dgain, dx := clone(old[:d]), make([]float32, rows*d)
			e.RMSNormBackward(dx, dgain, dy, x, gain, rstd, rows, d)
			e.Add(dx, plus, dx)
			gotGain, gotDx, alone := clone(old[:d]), clone(dy), clone(dy)
			e.RMSNormBackwardAdd(gotDx, gotGain, plus, gotDx, x, gain, rstd, cut, d, false)
			e.RMSNormBackwardAdd(gotDx[cut*d:], gotGain, plus[cut*d:], gotDx[cut*d:], x[cut*d:], gain, rstd[cut:], rows-cut, d, cut > 0)
			e.RMSNormBackwardAdd(alone, nil, plus, alone, x, gain, rstd, rows, d, false)
			same(t, e, "dgain", gotGain, dgain)
			same(t, e, "dx", gotDx, dx)
			same(t, e, "dx alone", alone, dx)

			table := clone(old[:vocab*d])
			e.ScatterAdd(table, dy, ids, vocab, d)
			some := clone(old[:(hi-lo)*d])
			e.ScatterAddRows(some, dy[:cut*d], ids[:cut], vocab, d, lo, hi, false)
			e.ScatterAddRows(some, dy[cut*d:], ids[cut:], vocab, d, lo, hi, true)
			same(t, e, "rows of the table", some, table[lo*d:hi*d])

			dw, parts := clone(old[:vocab*d]), clone(old[:(hi-lo)*d])
			e.Gemm(true, false, vocab, d, rows, logits, vocab, dy, d, dw, d, false)
			e.Gemm(true, false, hi-lo, d, cut, logits[lo:], vocab, dy, d, parts, d, false)
			e.Gemm(true, false, hi-lo, d, rows-cut, logits[min(cut*vocab+lo, len(logits)):], vocab, dy[cut*d:], d, parts, d, cut > 0)
			same(t, e, "rows of dW", parts, dw[lo*d:hi*d])

			loss, dl := make([]float32, rows), make([]float32, rows*vocab)
			e.CrossEntropy(logits, ids, rows, vocab, loss, dl)
			gotLoss, gotDl := make([]float32, rows), clone(logits)
			e.CrossEntropyPart(gotDl, ids, cut, vocab, rows, gotLoss, gotDl)
			e.CrossEntropyPart(gotDl[cut*vocab:], ids[cut:], rows-cut, vocab, rows, gotLoss[cut:], gotDl[cut*vocab:])
			same(t, e, "losses", gotLoss, loss)
			same(t, e, "dlogits", gotDl, dl)
		}
	})
}

func same(t *rapid.T, e *Engine, what string, got, want []float32) {
	t.Helper()
	if at := differ(got, want); at >= 0 {
		t.Fatalf("%s, %d threads: %s: element %d of %d is %x, want %x", e.Path(), e.Threads(), what, at, len(want), got[at], want[at])
	}
}
