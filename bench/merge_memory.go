package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

var mergeMemory = Figure{
	Name: "merge-memory",
	What: "memory of merging one shard of a model of 10.8 M parameters by centered clipping: the payloads of 64 contributors, the shard's state, and " +
		"all that the merge allocates, even what it drops at once; against one dense shard beside the same inputs",
	Unit:   "MB",
	Target: Target{Of: "ratio", Cmp: "<=", Bound: 2},
	Limit:  10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) (rows []Row, err error) {
		for _, c := range mergeCases {
			c.params = min(c.params, c.codec.ShardParams)
			m, err := newMergeInput(c, mergePeers)
			if err != nil {
				return rows, err
			}
			for _, peers := range []int{16, mergePeers} {
				if err := ctx.Err(); err != nil {
					return rows, err
				}
				used, bound, err := m.memory(peers)
				if err != nil {
					return rows, err
				}
				rows = append(rows, Row{Case: fmt.Sprintf("%s, %d contributors", c.name, peers), Stats: exactly(used/1e6, 1),
					Other: &Other{"one dense shard and the inputs", *exactly(bound/1e6, 1)}})
			}
		}
		return rows, nil
	},
}

// memory merges the one shard that the input has, and returns the bytes of inputs and allocations, and of inputs and one
// dense shard.
func (m *mergeInput) memory(peers int) (used, bound float64, err error) {
	spec, in := m.spec, m.in[:peers]
	spec.Aggregate = clipRule
	theta := slices.Clone(m.theta)
	inputs := 4 * len(theta)
	for _, c := range in {
		inputs += len(c.Payloads[0])
	}
	before := allocated()
	if _, err := aggregate.ShardSums(context.Background(), &spec, len(theta), 0, in); err != nil {
		return 0, 0, err
	}
	record := make([]protocol.Merged, len(in))
	for i, c := range in {
		record[i] = protocol.Merged{Peer: c.Peer, Weight: evenWeight}
	}
	if _, _, err := aggregate.MergeShard(context.Background(), &spec, len(theta), 0, theta, nil, in, record); err != nil {
		return 0, 0, err
	}
	return float64(inputs) + allocated() - before, float64(inputs + 4*len(theta)), nil
}

// evenWeight is 1/64, as a float32 has it.
const evenWeight = 0x3c800000

// allocated returns the bytes that were ever allocated.
func allocated() float64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return float64(s.TotalAlloc)
}
