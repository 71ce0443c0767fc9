package delta

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/internal/exact"
	"drystone/protocol"
)

// On every path the inner products are those of the definition in the package comment, to the bit, of the decoded values
// and written another way: lanes as strided sums, products of zeros included.
func TestProductsFollowTheirDefinition(t *testing.T) {
	specs := []protocol.CodecSpec{{Up: "dense"}, {Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.9}, {Up: "sparse", TopK: 4096, ValueBits: 4},
		{Up: "rice", TopK: 64, ValueBits: 2}, {Up: "rice", TopK: 700, ValueBits: 4}, {Up: "int8"}, {Up: "masked", TopK: 100}}
	rapid.Check(t, func(t *rapid.T) {
		spec := rapid.SampledFrom(specs).Draw(t, "spec")
		c, err := newPath(spec, rapid.SampledFrom(exact.Paths()).Draw(t, "path"))
		if err != nil {
			t.Fatal(err)
		}
		c = c.WithMask(7, 3)
		n := rapid.SampledFrom([]int{1, 50, ChunkParams, 2*ChunkParams + 7}).Draw(t, "n")
		var payloads [][]byte
		var rows [][]float32
		for range rapid.IntRange(0, 11).Draw(t, "payloads") {
			u := drawLong(t, "row", n, true)
			if spec.Up != "dense" {
				for j, x := range u {
					u[j] = min(max(x, -100), 100) // a scale is a binary16
				}
			}
			if rapid.Bool().Draw(t, "zero") {
				clear(u)
			}
			payload, err := c.Encode(nil, u, make([]float32, n))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Decode(u, payload); err != nil {
				t.Fatal(err)
			}
			payloads, rows = append(payloads, payload), append(rows, u)
		}
		got, err := c.Products(context.Background(), rapid.IntRange(0, 5).Draw(t, "threads"), payloads, n)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range rows {
			for j, y := range rows {
				if want := product(x, y); math.Float64bits(got[i*len(rows)+j]) != math.Float64bits(want) {
					t.Fatalf("product of %d and %d is %x, want %x", i, j, got[i*len(rows)+j], want)
				}
			}
		}
	})
}

func product(x, y []float32) (total float64) {
	for lo := 0; lo < len(x); lo += ChunkParams {
		var lane []float64
		for l := range 8 {
			sum := 0.0
			for p := lo + l; p < min(lo+ChunkParams, len(x)); p += 8 {
				sum += float64(x[p]) * float64(y[p])
			}
			lane = append(lane, sum)
		}
		for len(lane) > 1 {
			half := len(lane) / 2
			next := make([]float64, half)
			for l := range next {
				next[l] = lane[l] + lane[l+half]
			}
			lane = next
		}
		total += lane[0]
	}
	return total
}

// AddAll adds what AddTo adds one after the other, whatever the threads.
func TestAddAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := rapid.SampledFrom([]protocol.CodecSpec{{Up: "dense"}, {Up: "rice", TopK: 64, ValueBits: 2}, {Up: "int8"}, {Up: "masked", TopK: 100}}).Draw(t, "spec")
		c, err := New(spec)
		if err != nil {
			t.Fatal(err)
		}
		c = c.WithMask(7, 3)
		n := rapid.SampledFrom([]int{1, 50, ChunkParams, 40*ChunkParams + 7}).Draw(t, "n")
		var payloads [][]byte
		var weights []float32
		want, got := make([]float32, n), make([]float32, n)
		for range rapid.IntRange(0, 4).Draw(t, "payloads") {
			w := float32(rapid.IntRange(0, 3).Draw(t, "weight")) / 3
			u := drawLong(t, "row", n, true)
			for j, x := range u {
				u[j] = min(max(x, -100), 100)
			}
			payload, err := c.Encode(nil, u, make([]float32, n))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.AddTo(want, w, payload); w != 0 && err != nil {
				t.Fatal(err)
			}
			payloads, weights = append(payloads, payload), append(weights, w)
		}
		if err := c.AddAll(context.Background(), rapid.IntRange(0, 5).Draw(t, "threads"), got, weights, payloads); err != nil {
			t.Fatal(err)
		}
		for j := range want {
			if math.Float32bits(got[j]) != math.Float32bits(want[j]) && want[j] != 0 {
				t.Fatalf("sum %d is %v, want %v", j, got[j], want[j])
			}
		}
	})
}

// The end of the context ends both before they are done.
func TestSumsStop(t *testing.T) {
	c, err := New(protocol.CodecSpec{Up: "int8"})
	if err != nil {
		t.Fatal(err)
	}
	n := 3 * ChunkParams
	payload, err := c.Encode(nil, make([]float32, n), make([]float32, n))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Products(ctx, 2, [][]byte{payload}, n); !errors.Is(err, context.Canceled) {
		t.Errorf("products: %v", err)
	}
	if err := c.AddAll(ctx, 2, make([]float32, n), []float32{1}, [][]byte{payload}); !errors.Is(err, context.Canceled) {
		t.Errorf("sum: %v", err)
	}
}

// The squares of many chunks add up as those of one after the other, and what is not finite has no sum.
func TestSumSquaresDense(t *testing.T) {
	c, err := New(protocol.CodecSpec{Up: "dense"})
	if err != nil {
		t.Fatal(err)
	}
	u := make([]float32, 9*ChunkParams+5)
	for j := range u {
		u[j] = float32(math.Sin(float64(j)))
	}
	payload, err := c.Encode(nil, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	var want float64
	for lo := 0; lo < len(u); lo += ChunkParams {
		var sum float64
		for _, x := range u[lo:min(lo+ChunkParams, len(u))] {
			sum += float64(float64(x) * float64(x))
		}
		want += sum
	}
	if got, err := c.SumSquares(payload, len(u)); got != want || err != nil {
		t.Errorf("%x, want %x; %v", got, want, err)
	}
	for _, bits := range []uint32{0x7f800000, 0xff800000, 0x7fc00000} {
		bad := binary.LittleEndian.AppendUint32(slices.Clone(payload[:len(payload)-4]), bits)
		if _, err := c.SumSquares(bad, len(u)); !errors.Is(err, ErrNotFinite) {
			t.Errorf("bits %08x: %v", bits, err)
		}
	}
}

func BenchmarkProducts(b *testing.B) {
	for _, spec := range []protocol.CodecSpec{{Up: "dense"}, {Up: "int8"}, {Up: "rice", TopK: 64, ValueBits: 2}, {Up: "rice", TopK: 256, ValueBits: 2}} {
		b.Run(spec.Up, func(b *testing.B) {
			c, err := New(spec)
			if err != nil {
				b.Fatal(err)
			}
			const n, peers = 16 * ChunkParams, 64
			var payloads [][]byte
			for i := range peers {
				u := make([]float32, n)
				for j := range u {
					u[j] = float32(math.Sin(float64((i+1)*(j+1)) * 1.7))
				}
				p, err := c.Encode(nil, u, make([]float32, n))
				if err != nil {
					b.Fatal(err)
				}
				payloads = append(payloads, p)
			}
			for b.Loop() {
				if _, err := c.Products(context.Background(), 1, payloads, n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*peers)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
}
