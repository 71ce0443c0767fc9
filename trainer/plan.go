package trainer

import (
	"fmt"
	"runtime"
	"slices"

	"drystone/internal/exact"
	"drystone/models"
	"drystone/protocol"
)

// plan is what training the shards of one assignment takes: the model with gradients of these shards alone, and the
// moments of what they hold. grads, m and v are the trained ranges of theta one after the other.
type plan struct {
	shards []uint32 // empty for all
	model  *models.Model
	pieces []piece
	m, v   []float32
	// squares receives the sum of squares of the gradient of each piece.
	squares []float32
}

// piece is the part of a tensor that lies in one trained range: theta[lo:hi], of which gradient and moments begin at at.
type piece struct {
	lo, hi, at int
	matrix     bool // weight decay applies
}

// trainedRanges returns the shards of an assignment as ranges of theta; adjacent shards are one range.
func trainedRanges(c *protocol.CodecSpec, params int, shards []uint32) []models.Range {
	if len(shards) == 0 {
		return []models.Range{{Lo: 0, Hi: params}}
	}
	var out []models.Range
	for _, s := range shards {
		lo, hi := c.Shard(params, int(s))
		if n := len(out); n > 0 && out[n-1].Hi == lo {
			out[n-1].Hi = hi
		} else {
			out = append(out, models.Range{Lo: lo, Hi: hi})
		}
	}
	return out
}

// cut returns the pieces into which the ranges cut the tensors of a layout, ascending.
func cut(layout []models.Param, ranges []models.Range) []piece {
	var out []piece
	at := 0
	for _, r := range ranges {
		for _, p := range layout {
			lo, hi := max(p.Offset, r.Lo), min(p.Offset+p.Len, r.Hi)
			if lo < hi {
				out = append(out, piece{lo, hi, at, len(p.Shape) > 1})
				at += hi - lo
			}
		}
	}
	return out
}

// planFor makes the device's plan that of an assignment's shards. The last plan is kept, so that one who trains or checks
// the same shards again plans nothing; another one is dropped first, so that there is never more than one.
func (d *Device) planFor(shards []uint32) error {
	if d.plan != nil && slices.Equal(d.plan.shards, shards) {
		return nil
	}
	if d.plan != nil { // its memory is free before the next one takes as much
		d.plan = nil
		d.on.Forget()
		runtime.GC()
	}
	ranges := trainedRanges(&d.spec.Codec, d.params, shards)
	model, err := models.New(d.spec.Model, d.on, d.spec.Train.Batch, models.Options{
		Trained: ranges, MicroBatch: d.spec.Train.MicroBatch, Recompute: d.spec.Train.Recompute,
	})
	if err != nil {
		d.on.Forget()
		return deviceError(err)
	}
	n := d.spec.Codec.Trained(d.params, shards)
	p := &plan{shards: slices.Clone(shards), model: model, pieces: cut(d.layout, ranges)}
	err = exact.Attempt(func() error {
		p.m, p.v, p.squares = d.on.Floats(n), d.on.Floats(n), d.on.Floats(len(p.pieces))
		return nil
	})
	if err != nil {
		d.on.Forget()
		return deviceError(err)
	}
	d.plan = p
	return nil
}

// checkShards checks that shards are those of an assignment: ascending and in range.
func checkShards(c *protocol.CodecSpec, params int, shards []uint32) error {
	total := c.Shards(params)
	for i, s := range shards {
		if int64(s) >= int64(total) || i > 0 && s <= shards[i-1] {
			return fmt.Errorf("%w: shards %v, want ascending ones of %d", ErrAssignment, shards, total)
		}
	}
	return nil
}

// frozenKept returns ErrMalformed unless theta equals the public start, bit for bit, outside the shards of an assignment.
func (d *Device) frozenKept(shards []uint32, start, theta []float32) error {
	at := 0
	for _, r := range append(trainedRanges(&d.spec.Codec, d.params, shards), models.Range{Lo: d.params, Hi: d.params}) {
		if !equalBits(start[at:r.Lo], theta[at:r.Lo]) {
			return fmt.Errorf("%w: opened theta differs from theta_r in a shard that was not to be trained", ErrMalformed)
		}
		at = r.Hi
	}
	return nil
}
