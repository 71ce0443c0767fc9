package trainer

import (
	"errors"
	"testing"

	"drystone/protocol"
)

// The plan of fewer shards takes less, by 12 bytes for each parameter at least, and 16 where openings hold moments, and Capacity is the largest share whose
// plan fits.
func TestCapacityFits(t *testing.T) {
	b := partialBench(t, 1, func(s *protocol.RunSpec) { s.Train.MinShards = 2 })
	whole := b.spec.Codec.Shards(b.Params())
	var need []int64
	for n := 1; n <= whole; n++ {
		f, err := b.Footprint(ctx, firstShards(n, whole))
		if err != nil {
			t.Fatal(err)
		}
		if f.Trained != (12+16)*int64(b.spec.Codec.Trained(b.Params(), firstShards(n, whole))) || f.Total() != f.Fixed+f.Activations+f.Trained {
			t.Errorf("%d shards: %+v", n, f)
		}
		if n > 1 && f.Total()-need[n-2] < 12*1000 {
			t.Errorf("%d shards take %d bytes, one less %d", n, f.Total(), need[n-2])
		}
		need = append(need, f.Total())
	}
	for n := 2; n <= whole; n++ {
		for _, memory := range []int64{need[n-1], need[n-1] + 1} {
			got, f, err := b.Capacity(ctx, memory)
			if err != nil || int(got) != n%whole || f.Total() != need[n-1] {
				t.Errorf("%d bytes: %d shards with %+v, want %d (%v)", memory, got, f, n%whole, err)
			}
		}
	}
	if _, _, err := b.Capacity(ctx, need[1]-1); !errors.Is(err, ErrMemory) {
		t.Errorf("less than the fewest shards take: %v", err)
	}
	all := newBench(t, 1, nil) // a run that admits no partial peers
	f, err := all.Footprint(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := all.Capacity(ctx, f.Total()); err != nil || got != 0 {
		t.Errorf("all fits: %d (%v)", got, err)
	}
	if _, _, err := all.Capacity(ctx, f.Total()-1); !errors.Is(err, ErrMemory) {
		t.Errorf("all does not fit: %v", err)
	}
}
