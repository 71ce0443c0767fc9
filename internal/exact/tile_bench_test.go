package exact

import (
	"testing"
	"time"
)

// BenchmarkTile is the ceiling of Gemm: one tile over and over, operands in cache.
func BenchmarkTile(b *testing.B) {
	for _, path := range Paths()[1:] {
		e := mustEngine(b, 1, path)
		v := e.vec
		for _, t := range []struct {
			name string
			rows int
			f    tileFunc
		}{{"main", v.mr, v.gemm}, {"4", 4, v.gemm4}, {"1", 1, v.gemm1}} {
			b.Run(path+"/"+t.name, func(b *testing.B) {
				const k, reps = 128, 64
				x, y, c := randoms(16*k), randoms(k*v.nr), randoms(16*v.nr)
				best := time.Hour
				for range b.N {
					start := time.Now()
					for range reps {
						t.f(k, &x[0], k, 1, &y[0], v.nr, &c[0], v.nr, tileStore)
					}
					best = min(best, time.Since(start))
				}
				flops := float64(2 * k * t.rows * v.nr * reps)
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				b.ReportMetric(flops/best.Seconds()/1e9, "best-GFLOP/s")
			})
		}
		e.Close()
	}
}
