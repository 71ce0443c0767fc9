package delta

import (
	"errors"
	"math"
	"testing"

	"drystone/protocol"
)

func TestRefuses(t *testing.T) {
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	for _, spec := range allSpecs {
		c := mustNew(t, spec)
		for _, bad := range []float32{inf, nan} {
			u := normals(3, 5000)
			u[4500] = bad
			dst := []byte("kept")
			if got, err := c.Encode(dst, u, make([]float32, 5000)); !errors.Is(err, ErrNotFinite) || string(got) != "kept" {
				t.Fatalf("%s %v: %v, %q", spec.Up, bad, err, got)
			}
		}
		for _, p := range [][]byte{nil, make([]byte, c.Size(5000)-1), make([]byte, c.Size(5000)+1)} {
			if err := c.Validate(p, 5000); !errors.Is(err, ErrLength) {
				t.Fatalf("%s: %d bytes: %v", spec.Up, len(p), err)
			}
			if err := c.AddTo(make([]float32, 5000), 1, p); !errors.Is(err, ErrLength) {
				t.Fatalf("%s: AddTo %d bytes: %v", spec.Up, len(p), err)
			}
		}
		if err := c.Validate(nil, -1); !errors.Is(err, ErrLength) {
			t.Fatal(err)
		}
	}
	c := mustNew(t, sparseSpec(3))
	if _, err := c.Encode(nil, []float32{1e30, 1}, make([]float32, 2)); !errors.Is(err, ErrRange) {
		t.Fatalf("too large a scale: %v", err)
	}
	if _, err := c.Encode(nil, []float32{math.MaxFloat32}, []float32{math.MaxFloat32}); !errors.Is(err, ErrNotFinite) {
		t.Fatalf("overflow in the accumulator: %v", err)
	}
	unseeded, err := New(topK("masked", 3, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unseeded.Encode(nil, []float32{1}, []float32{0}); !errors.Is(err, ErrMask) {
		t.Errorf("encoded without a mask: %v", err)
	}
	if err := unseeded.AddTo([]float32{1}, 1, []byte{0, 0, 0}); !errors.Is(err, ErrMask) {
		t.Errorf("decoded without a mask: %v", err)
	}
	dense := mustNew(t, protocol.CodecSpec{Up: "dense"})
	if err := dense.Validate([]byte{0, 0, 0x80, 0x7f}, 1); !errors.Is(err, ErrNotFinite) {
		t.Fatalf("infinity on the wire: %v", err)
	}
	for _, spec := range []protocol.CodecSpec{{}, {Up: "x"}, {Up: "sparse", TopK: 1, ValueBits: 3}, {Up: "sparse", TopK: 4097, ValueBits: 2},
		{Up: "sparse", ValueBits: 2}, {Up: "sparse", TopK: 1, ValueBits: 2, Decay: math.NaN()}, topK("rice", 64, 8), topK("rice", 0, 2),
		topK("masked", 4097, 0), {Up: "int8", Decay: 1.1}} {
		if _, err := New(spec); !errors.Is(err, ErrSpec) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}
