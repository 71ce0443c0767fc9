package delta

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
)

// FuzzValidate checks that no payload makes the decoder panic and that a valid one is the only encoding of its values.
func FuzzValidate(f *testing.F) {
	for form := range byte(10) {
		for _, n := range []int{70, 4100} {
			p, err := mustNew(f, formOf(form, 20)).Encode(nil, normals(1, n), make([]float32, n))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(p, form, uint16(20), uint16(n))
		}
	}
	f.Add(make([]byte, 8), byte(1), uint16(3), uint16(4096))
	f.Fuzz(func(t *testing.T, payload []byte, form byte, k, n uint16) {
		spec := formOf(form, int(k))
		c, err := New(spec)
		if err != nil {
			t.Skip()
		}
		c = c.WithMask(uint64(k), int(n))
		params := int(n) % 9000
		valid := c.Validate(payload, params) == nil
		acc := make([]float32, params)
		added := c.AddTo(acc, 0.5, payload) == nil
		squares, err := c.SumSquares(payload, params)
		c.Chunk(payload, params, int(k)%3)
		if !valid {
			return
		}
		if !added || err != nil || math.IsNaN(squares) || math.IsInf(squares, 0) {
			t.Fatalf("valid, but AddTo %v, SumSquares %v %v", added, squares, err)
		}
		if back := reencode(c, spec, payload, params); !bytes.Equal(back, payload) {
			t.Fatalf("re-encoded\n%x, want\n%x", back, payload)
		}
	})
}

// FuzzEncode checks that whatever numbers come in, there is one payload, which is valid, or one error on every path.
func FuzzEncode(f *testing.F) {
	f.Add(denseBytes(normals(1, 100)), byte(2), uint16(20))
	f.Add(denseBytes(specials), byte(7), uint16(3))
	f.Fuzz(func(t *testing.T, data []byte, form byte, k uint16) {
		spec := formOf(form, int(k))
		u := make([]float32, len(data)/8)
		before := make([]float32, len(u))
		for i := range u {
			u[i], before[i] = denseAt(data, 2*i), denseAt(data, 2*i+1)
		}
		var want, wantAfter []byte
		var wantErr error
		for i, path := range exact.Paths() {
			c, err := newPath(spec, path)
			if err != nil {
				t.Skip()
			}
			after := slices.Clone(before)
			payload, err := c.WithMask(1, 2).Encode(nil, u, after)
			if err == nil && c.Validate(payload, len(u)) != nil {
				t.Fatalf("%s: %x is not valid", path, payload)
			}
			if i == 0 {
				want, wantAfter, wantErr = payload, denseBytes(after), err
			} else if !bytes.Equal(payload, want) || (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(denseBytes(after), wantAfter) {
				t.Fatalf("%s: %x %x %v, want %x %x %v", path, payload, denseBytes(after), err, want, wantAfter, wantErr)
			}
		}
	})
}

// formOf returns one of the ten forms and value sizes; the spec need not be valid.
func formOf(form byte, k int) protocol.CodecSpec {
	ups := []string{"dense", "sparse", "rice", "int8", "masked"}
	spec := topK(ups[int(form)%len(ups)], k%(ChunkParams+1), 2+2*(int(form)/len(ups)%2))
	if spec.Up == "int8" || spec.Up == "masked" {
		spec.ValueBits = 0
	}
	return spec
}
