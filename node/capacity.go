package node

import (
	"context"
	"errors"
	"fmt"
)

// ErrCapacity means that a peer offers to train fewer shards than the run admits.
var ErrCapacity = errors.New("the run does not admit this share")

// chooseCapacity returns how many shards to offer at the Join, 0 for all.
func (t *Trainer) chooseCapacity(ctx context.Context, cfg TrainerConfig) (uint32, error) {
	if cfg.Memory != 0 {
		shards, _, err := t.device.Capacity(ctx, cfg.Memory)
		if err != nil {
			return 0, fmt.Errorf("choose a share of the model: %w", err)
		}
		return shards, nil
	}
	whole, least := t.spec.Codec.Shards(t.params), t.spec.Train.MinShards
	switch {
	case cfg.Shards == 0 || int64(cfg.Shards) >= int64(whole):
		return 0, nil
	case least == 0:
		return 0, fmt.Errorf("%w: %d of %d shards; every peer has to train all of them (train.min_shards = 0)", ErrCapacity, cfg.Shards, whole)
	case cfg.Shards < least:
		return 0, fmt.Errorf("%w: %d of %d shards, want at least train.min_shards = %d", ErrCapacity, cfg.Shards, whole, least)
	}
	return cfg.Shards, nil
}
