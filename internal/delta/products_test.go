package delta

import (
	"errors"
	"math"
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
		got, err := c.Products(payloads, n, func() error { return nil })
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

// It ends before the next chunk when it is told to.
func TestProductsStop(t *testing.T) {
	c, err := New(protocol.CodecSpec{Up: "int8"})
	if err != nil {
		t.Fatal(err)
	}
	n, asked, full := 3*ChunkParams, 0, errors.New("enough")
	payload, err := c.Encode(nil, make([]float32, n), make([]float32, n))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Products([][]byte{payload}, n, func() error {
		if asked++; asked == 2 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || asked != 2 {
		t.Errorf("asked %d times, then %v", asked, err)
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
				if _, err := c.Products(payloads, n, func() error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*peers)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
}
