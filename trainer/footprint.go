package trainer

import (
	"context"
	"fmt"

	"drystone/protocol"
)

// processBytes is what a process takes beside its training: the program, its connections, buffers of kernels.
const processBytes = 96 << 20

// Footprint is the memory in bytes that a peer's process needs to train some shards, as planned.
type Footprint struct {
	// Fixed does not depend on the shards: parameters, theta_r twice (once as it arrives), theta of an opening as read and
	// as sent, error feedback before and after, the dataset, a batch, and what the process takes besides.
	Fixed int64
	// Activations are what a step keeps between forward and backward. It falls with the shards too: what only the
	// gradient of a frozen matrix would read is not kept, nor what lies before the first trained layer.
	Activations int64
	// Trained is 12 bytes for each trained parameter, gradient, m and v, and 16 for m and v of an opening.
	Trained int64
}

// Total returns the sum.
func (f Footprint) Total() int64 { return f.Fixed + f.Activations + f.Trained }

// batchBytes is the memory of one step's tokens and targets, or features.
func batchBytes(spec *protocol.RunSpec) int64 {
	return 4 * int64(spec.Train.Batch) * int64(2*spec.Model.Context+spec.Model.Features())
}

// Footprint plans the training of the given shards (empty for all) and says what it takes. Errors: ErrAssignment,
// ErrClosed, ctx's.
func (d *Device) Footprint(ctx context.Context, shards []uint32) (Footprint, error) {
	var f Footprint
	if err := checkShards(&d.spec.Codec, d.params, shards); err != nil {
		return f, err
	}
	if err := d.begin(ctx); err != nil {
		return f, err
	}
	defer d.end()
	if err := d.planFor(shards); err != nil {
		return f, err
	}
	m := d.plan.model.Memory()
	f.Fixed = processBytes + 3*4*int64(d.params) + int64(d.data.bytes) + batchBytes(d.spec)
	if d.spec.Verify.Kind == "segment" { // an opening is read and encoded while the next round trains
		f.Fixed += 2 * 4 * int64(d.params)
		f.Trained += 2 * 8 * int64(d.spec.Codec.Trained(d.params, shards))
	}
	if d.codec.HasFeedback() {
		f.Fixed += 2 * 4 * int64(d.params)
	}
	f.Activations = int64(m.Arena) + int64(m.Kept)
	f.Trained += 12 * int64(d.spec.Codec.Trained(d.params, shards))
	return f, nil
}

// Capacity returns how many shards a peer with so many bytes of memory can train, 0 for all, and the footprint of that:
// for the first shards of the model, whose gradients need the whole way back. The error wraps ErrMemory if the run admits
// no share that is small enough, or those of Footprint.
func (d *Device) Capacity(ctx context.Context, memory int64) (uint32, Footprint, error) {
	whole := d.spec.Codec.Shards(d.params)
	least := int(d.spec.Train.MinShards)
	if least == 0 || least > whole {
		least = whole
	}
	best, err := d.Footprint(ctx, firstShards(least, whole))
	if err != nil {
		return 0, best, err
	}
	if best.Total() > memory {
		return 0, best, fmt.Errorf("%w: training %d of %d shards takes %d bytes, there are %d", ErrMemory, least, whole, best.Total(), memory)
	}
	fits, most := least, whole
	for fits < most {
		n := (fits + most + 1) / 2
		f, err := d.Footprint(ctx, firstShards(n, whole))
		if err != nil {
			return 0, f, err
		}
		if f.Total() > memory {
			most = n - 1
		} else {
			fits, best = n, f
		}
	}
	if fits == whole {
		return 0, best, nil
	}
	return uint32(fits), best, nil
}

// firstShards is an assignment to the first n shards.
func firstShards(n, whole int) []uint32 {
	if n >= whole {
		return nil
	}
	return protocol.AssignShards(whole, 0, []uint32{uint32(n)}, 0)
}
