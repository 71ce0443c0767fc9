package models

import (
	"fmt"
	"slices"

	"drystone/internal/exact"
	"drystone/protocol"
)

// Options choose how a training step is computed. None of them changes a bit of what it computes.
type Options struct {
	// Trained are the parts of theta that get a gradient: ascending, disjoint, none of them empty. They may cut a tensor
	// anywhere. None at all means the whole of theta.
	Trained []Range
	// MicroBatch is the sequences or examples per pass; 0 is the whole batch. It divides the batch, and MicroBatch*Context,
	// or MicroBatch itself for examples, is a multiple of 128 unless it is the batch: gradients are folded over blocks of
	// 128 rows, between which passes may part.
	MicroBatch int
	// Recompute keeps only the input of each layer and computes the rest of the layer again on the way back.
	Recompute bool
}

// passRows is what the rows of a pass are a multiple of, if there is more than one (docs/numerics.md, section 2).
const passRows = exact.FoldBlock

// resolve checks o against a model of the given size and fills in what is left out.
func (o Options) resolve(spec protocol.ModelSpec, batch, params int) (Options, error) {
	if o.MicroBatch == 0 {
		o.MicroBatch = batch
	}
	if o.MicroBatch < 0 || batch%o.MicroBatch != 0 {
		return o, fmt.Errorf("models: micro-batch of %d sequences: want a divisor of batch = %d", o.MicroBatch, batch)
	}
	if rows := o.MicroBatch * max(spec.Context, 1); o.MicroBatch != batch && rows%passRows != 0 {
		return o, fmt.Errorf("models: micro-batch of %d sequences is %d rows: want a multiple of %d", o.MicroBatch, rows, passRows)
	}
	if len(o.Trained) == 0 {
		o.Trained = []Range{{0, params}}
	}
	o.Trained = slices.Clone(o.Trained)
	at := 0
	for _, r := range o.Trained {
		if r.Lo < at || r.Hi <= r.Lo || r.Hi > params {
			return o, fmt.Errorf("models: trained range [%d, %d): want ascending, disjoint parts of [0, %d)", r.Lo, r.Hi, params)
		}
		at = r.Hi
	}
	return o, nil
}
