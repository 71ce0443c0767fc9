package node

import (
	"context"
	"errors"
	"fmt"

	"drystone/protocol"
	"drystone/trainer"
)

// ErrCapacity means that a peer offers to train fewer shards than the run admits.
var ErrCapacity = errors.New("the run does not admit this share")

// Capacity is how much of the model a peer offers to train each round.
type Capacity struct {
	Shards uint32 // 0 for all
	Of     int    // shards of the model
	// Memory is what training the first so many shards takes, which need the whole way back; zero if the compute device
	// is not the peer's own.
	Memory trainer.Footprint
}

// admits refuses an assignment, of that many shards or of all if 0, that is more than what is offered now: the Open of a
// round under way may still go by the Join from before a restart.
func (c Capacity) admits(shards int) error {
	if c.Shards == 0 || shards > 0 && shards <= int(c.Shards) {
		return nil
	}
	if shards == 0 {
		shards = c.Of
	}
	return fmt.Errorf("%w: an earlier offer was for %d shards, now it is %d; the new one counts from the next round", ErrCapacity, shards, c.Shards)
}

// chooseCapacity decides what to offer at the Join.
func (t *Trainer) chooseCapacity(ctx context.Context, cfg TrainerConfig) (c Capacity, err error) {
	whole, least := t.spec.Codec.Shards(t.params), t.spec.Train.MinShards
	c.Of = whole
	if cfg.Memory != 0 {
		if c.Shards, c.Memory, err = t.device.Capacity(ctx, cfg.Memory); err != nil {
			return c, fmt.Errorf("choose a share of the model: %w", err)
		}
		return c, nil
	}
	switch {
	case cfg.Shards == 0 || int64(cfg.Shards) >= int64(whole):
	case least == 0:
		return c, fmt.Errorf("%w: %d of %d shards; every peer has to train all of them (train.min_shards = 0)", ErrCapacity, cfg.Shards, whole)
	case cfg.Shards < least:
		return c, fmt.Errorf("%w: %d of %d shards, want at least train.min_shards = %d", ErrCapacity, cfg.Shards, whole, least)
	default:
		c.Shards = cfg.Shards
	}
	if t.ownDevice {
		c.Memory, err = t.device.Footprint(ctx, protocol.AssignShards(whole, 0, []uint32{c.Shards}, 0))
	}
	return c, err
}
