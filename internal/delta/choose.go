package delta

import (
	"math/bits"
)

// choose sets s.at and s.value to the n entries of x that come first by (magnitude bits descending, index ascending),
// zeros excluded, in ascending order of index, and returns how many there are. top is the largest magnitude bits of x.
// selectTop is the law. With kernels, counts above trial thresholds find one that leaves not much more than n entries of
// the chunk; among these, more counts find the n-th.
func (v *vector) choose(s *scratch, x []float32, n int, top uint32) int {
	if v == nil {
		chosen := selectTop(s.at[:0], x, n)
		for i, at := range chosen {
			s.value[i] = x[at]
		}
		return len(chosen)
	}
	below, above, count := v.narrow(x, n, top)
	v.mark(&s.marks, x, below)
	m := 0
	for w, word := range s.marks[:(len(x)+63)/64] {
		for ; word != 0; word &= word - 1 {
			at := w*64 + bits.TrailingZeros64(word)
			s.at[m], s.value[m] = uint16(at), x[at]
			m++
		}
	}
	if count <= n {
		return m
	}
	return v.cut(s, m, n, below, above)
}

// narrow returns thresholds of magnitude bits: at least n entries of x, count of them, are above below, or it is 0; and
// fewer than n are above above. count is at most 2n+32 or below is 0 or one less than above.
func (v *vector) narrow(x []float32, n int, top uint32) (below, above uint32, count int) {
	below, above, count = 0, top, v.count(x, 0)
	for step := uint32(1 << 22); above-below > 1 && count > 2*n+32; {
		trial := below + (above-below)/2
		if below == 0 && above > step { // half an octave, an octave, ... below the top
			trial = above - step
			step *= 2
		}
		if c := v.count(x, trial); c >= n {
			below, count = trial, c
		} else {
			above = trial
		}
	}
	return below, above, count
}

// cut keeps the first n of the m entries of s, by the same order, given thresholds as narrow returns them.
func (v *vector) cut(s *scratch, m, n int, below, above uint32) int {
	padded := (m + block - 1) &^ (block - 1)
	clear(s.value[m:padded])
	count := m
	for above-below > 1 && count > n {
		trial := below + (above-below)/2
		if c := v.count(s.value[:padded], trial); c >= n {
			below, count = trial, c
		} else {
			above = trial
		}
	}
	v.mark(&s.marks, s.value[:padded], below)
	ties := count - n // that many of the last entries with magnitude bits above itself come too late
	k := 0
	for w, word := range s.marks[:(padded+63)/64] {
		for ; word != 0; word &= word - 1 {
			i := w*64 + bits.TrailingZeros64(word)
			s.at[k], s.value[k] = s.at[i], s.value[i]
			k++
		}
	}
	return s.dropTies(k, ties, above)
}

// dropTies takes the last ties entries with those magnitude bits out of the first n of s.
func (s *scratch) dropTies(n, ties int, magnitude uint32) int {
	if ties == 0 {
		return n
	}
	first := n
	for ; ties > 0; ties-- {
		for first--; magnitudeBits(s.value[first]) != magnitude; first-- {
		}
	}
	kept := first
	for i := first; i < n; i++ {
		if magnitudeBits(s.value[i]) != magnitude {
			s.at[kept], s.value[kept] = s.at[i], s.value[i]
			kept++
		}
	}
	return kept
}
