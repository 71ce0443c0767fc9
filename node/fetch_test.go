package node

import (
	"math"
	"testing"
)

func TestRatesAreChecked(t *testing.T) {
	for rate, ok := range map[float64]bool{0: true, 0.5: true, 20: true, 0.4: false, -1: false, 2e6: false, math.NaN(): false, math.Inf(1): false} {
		for _, c := range []Config{{Dir: "x", Up: rate}, {Dir: "x", Down: rate}} {
			if err := c.fill(); (err == nil) != ok {
				t.Errorf("%g Mbit/s: %v", rate, err)
			}
		}
	}
	if got := bytesPerSecond(20); got != 2_500_000 {
		t.Errorf("20 Mbit/s are %d bytes/s", got)
	}
}
