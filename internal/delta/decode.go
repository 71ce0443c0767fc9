package delta

// unpack decodes a chunk of that many parameters and checks that it is canonical. The entries have no indices where the
// form does not write them.
func (c Codec) unpack(s *scratch, chunk []byte, params int) (entries, error) {
	switch c.form {
	case silent:
		return entries{}, nil
	case sparse:
		return c.unpackSparse(s, chunk, params)
	case rice:
		return c.unpackRice(s, chunk, params)
	default:
		return c.unpackBytes(chunk)
	}
}

// Validate checks that payload is an encoding of n parameters: the right length, canonical, no NaN or infinity. It reads
// every byte once and allocates nothing. It needs no mask. The error wraps ErrLength, ErrNotCanonical or ErrNotFinite.
func (c Codec) Validate(payload []byte, n int) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return c.cut(payload, n, func(_, params int, chunk []byte) error {
		if c.form == dense {
			return checkDense(chunk)
		}
		_, err := c.unpack(s, chunk, params)
		return err
	})
}

// AddTo adds w times the decoded payload to acc, which decides the number of parameters: acc[j] = fma(w, value, acc[j])
// for every entry that the payload holds. Those that it leaves out are skipped. The payload must have passed Validate for
// len(acc) parameters; of one that has not, a part may have been added before an error comes back. A masked codec without
// a mask returns ErrMask.
func (c Codec) AddTo(acc []float32, w float32, payload []byte) error {
	if c.form == masked && !c.seeded {
		return ErrMask
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return c.cut(payload, len(acc), func(i, params int, chunk []byte) error {
		return c.addChunk(s, acc[i*ChunkParams:][:params], w, i, chunk)
	})
}

// addChunk adds w times chunk i to acc, which is as long.
func (c Codec) addChunk(s *scratch, acc []float32, w float32, i int, chunk []byte) error {
	switch c.form {
	case silent:
		return nil
	case dense:
		c.vec.fma(acc, chunk, w)
		return nil
	}
	e, err := c.unpack(s, chunk, len(acc))
	if err != nil {
		return err
	}
	if c.form == masked {
		e.at = c.mask(s, i, len(acc))
	}
	e.addTo(s, c.vec, acc, w, unit(e.scale, c.bits))
	return nil
}

// Decode sets out to the values of a payload, +0 where it has none. Errors are those of AddTo.
func (c Codec) Decode(out []float32, payload []byte) error {
	clear(out)
	return c.AddTo(out, 1, payload)
}

// SumSquares validates as Validate does and returns the sum of the squares of the decoded payload, in float64. Each square
// is exact; they are folded from +0 in order of index within each chunk, and the chunks' results in order from +0. It
// needs no mask.
func (c Codec) SumSquares(payload []byte, n int) (float64, error) {
	if c.form == dense {
		return c.squaresDense(payload, n)
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	var total float64
	err := c.cut(payload, n, func(_, params int, chunk []byte) error {
		e, err := c.unpack(s, chunk, params)
		if err != nil {
			return err
		}
		total += e.squares(c.vec, unit(e.scale, c.bits))
		return nil
	})
	return total, err
}
