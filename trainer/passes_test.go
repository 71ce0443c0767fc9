package trainer

import (
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
)

// A run spec cuts a batch only where a fold over rows may be cut: protocol, which imports nothing, repeats the block.
func TestPassesAreWholeBlocks(t *testing.T) {
	for rows, ok := range map[int]bool{exact.FoldBlock: true, exact.FoldBlock / 2: false} {
		spec := testSpec(func(s *protocol.RunSpec) {
			s.Model.Context, s.Train.Batch, s.Train.MicroBatch = rows, 2, 1
			s.Data.Holdout, s.Data.Tokens = 4096, 16384
		})
		if err := spec.Validate(); (err == nil) != ok {
			t.Errorf("passes of %d rows: %v", rows, err)
		}
	}
}
