package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"drystone/internal/delta"
	"drystone/internal/speed"
	"drystone/node"
	"drystone/protocol"
)

var ownerLoad = Figure{
	Name:  "owner-load",
	What:  "payloads of 64 contributions to a model of 10.8 M parameters (sparse, k=64) that an aggregator gathers and merges in a round where shards have owners, on average",
	Unit:  "MB",
	Limit: time.Minute,
	Measure: func(_ context.Context, _ *Env) (rows []Row, err error) {
		for _, shard := range []int{1 << 21, 1 << 18} {
			for _, q := range []protocol.QuorumSpec{{Aggregators: 4, Threshold: 3}, {Aggregators: 5, Threshold: 3}, {Aggregators: 10, Threshold: 6}, {Aggregators: 16, Threshold: 9}, {Aggregators: 32, Threshold: 17}} {
				row, err := ownerRow(q, shard)
				if err != nil {
					return rows, err
				}
				rows = append(rows, row)
			}
		}
		return rows, nil
	},
}

// ownerRow adds up what the owners of a council gather, from the lengths of real payloads.
func ownerRow(q protocol.QuorumSpec, shardParams int) (Row, error) {
	spec := node.DefaultSpec()
	spec.Quorum = q
	spec.Codec = protocol.CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: shardParams}
	run, err := spec.ID()
	if err != nil {
		return Row{}, err
	}
	codec, err := delta.New(spec.Codec)
	if err != nil {
		return Row{}, err
	}
	ids := make([]protocol.PeerID, q.Aggregators)
	for i := range ids {
		ids[i] = protocol.DeriveKey(1, fmt.Sprintf("bench/owner/%d", i)).ID()
	}
	owners := spec.Owners(q, mergeParams, mergePeers)
	load, total := make([]float64, len(ids)), 0.0
	peak, u := 0, speed.Normals(shardParams)
	for k := range spec.Codec.Shards(mergeParams) {
		lo, hi := spec.Codec.Shard(mergeParams, k)
		payload, err := codec.Encode(nil, u[:hi-lo], make([]float32, hi-lo))
		if err != nil {
			return Row{}, err
		}
		bytes := mergePeers * len(payload)
		peak, total = max(peak, bytes+3*4*(hi-lo)), total+float64(bytes)
		for _, id := range protocol.OwnerOrder(run, uint32(k), ids)[:owners] {
			load[slices.Index(ids, id)] += float64(bytes)
		}
	}
	mean := 0.0
	for _, l := range load {
		mean += l / float64(len(load))
	}
	return Row{
		Case:  fmt.Sprintf("%d of %d sign, %d own each of %d shards", q.Threshold, q.Aggregators, owners, spec.Codec.Shards(mergeParams)),
		Stats: &Stats{Value: mean / 1e6, Min: slices.Min(load) / 1e6, Max: slices.Max(load) / 1e6, Runs: 1},
		Other: &Other{What: "all own everything", Stats: *exactly(total/1e6, 1)},
		Note: fmt.Sprintf("%.1f to %.1f MB by aggregator; merging one shard takes %.0f MB: its payloads, parameters, outer state and update",
			slices.Min(load)/1e6, slices.Max(load)/1e6, float64(peak)/1e6),
	}, nil
}
