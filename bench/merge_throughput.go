package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/internal/delta"
	"drystone/internal/speed"
	"drystone/node"
	"drystone/protocol"
)

// The merge that is measured: as many contributions to a model as large as llama-10m.
const (
	mergePeers  = 64
	mergeParams = 10_800_000
)

// mergeCase is a codec and how many parameters are merged: with those that send every value, one shard of the model, for
// what 64 contributions to all of it take would not fit into the memory of many machines.
type mergeCase struct {
	name   string
	codec  protocol.CodecSpec
	params int
}

var mergeCases = []mergeCase{
	{"rice, k=64", protocol.CodecSpec{Up: "rice", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 21}, mergeParams},
	{"sparse, k=64", protocol.CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 21}, mergeParams},
	{"sparse, k=256", protocol.CodecSpec{Up: "sparse", TopK: 256, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 21}, mergeParams},
	{"int8, one shard", protocol.CodecSpec{Up: "int8", Decay: 0.95, ShardParams: 1 << 19}, 1 << 19},
	{"dense, one shard", protocol.CodecSpec{Up: "dense", ShardParams: 1 << 17}, 1 << 17},
}

var mergeThroughput = Figure{
	Name:   "merge-throughput",
	What:   "merging 64 contributions to a model of 10.8 M parameters by their mean, on one core: payloads checked, decoded, added up and applied",
	Unit:   "M decoded parameters/s per core",
	Target: Target{Of: "value", Cmp: ">=", Bound: 1000},
	Limit:  10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) (rows []Row, err error) {
		for _, c := range mergeCases {
			m, err := newMergeInput(c, mergePeers)
			if err != nil {
				return rows, err
			}
			t, err := e.takeTurns(ctx, 1, e.Runs(5), m.perSecond(meanRule, 1))
			if err != nil {
				return rows, err
			}
			rows = append(rows, t.row(c.name, ""))
		}
		return rows, nil
	},
}

var mergeRobust = Figure{
	Name:   "merge-robust",
	What:   "merging 64 contributions to a model of 10.8 M parameters by centered clipping, with norm cap and mixing, against their mean, on one core and on all",
	Unit:   "s",
	Target: Target{Of: "ratio", Cmp: "<=", Bound: 3},
	Limit:  20 * time.Minute,
	Measure: func(ctx context.Context, e *Env) (rows []Row, err error) {
		for _, c := range mergeCases {
			m, err := newMergeInput(c, mergePeers)
			if err != nil {
				return rows, err
			}
			for _, cores := range slices.Compact([]int{1, runtime.GOMAXPROCS(0)}) {
				t, err := e.takeTurns(ctx, 1, e.Runs(5), m.seconds(clipRule, cores), m.seconds(meanRule, cores))
				if err != nil {
					return rows, err
				}
				rows = append(rows, t.row(fmt.Sprintf("%s, %d threads", c.name, cores), "mean"))
			}
		}
		return rows, nil
	},
}

var (
	meanRule = protocol.AggregateSpec{Rule: "mean", MinPeers: mergePeers}
	clipRule = protocol.AggregateSpec{Rule: "centered-clip", NormCap: 3, Faults: 19, Radius: 1, Mixing: true, MinPeers: mergePeers}
)

// mergeInput is what a merge takes.
type mergeInput struct {
	spec  protocol.RunSpec
	theta []float32
	in    []aggregate.Contribution
}

// newMergeInput encodes contributions, each another part of one vector of normal values.
func newMergeInput(of mergeCase, peers int) (*mergeInput, error) {
	params := of.params
	m := &mergeInput{spec: node.DefaultSpec(), theta: make([]float32, params)}
	m.spec.Codec = of.codec
	m.spec.Outer = protocol.OuterSpec{Optimiser: "sgd", LR: 1}
	codec, err := delta.New(m.spec.Codec)
	if err != nil {
		return nil, err
	}
	const shift = 1000 // so that no two chunks are equal
	u, feedback := speed.Normals(params+peers*shift), make([]float32, m.spec.Codec.ShardParams)
	for i := range peers {
		c := aggregate.Contribution{Peer: protocol.DeriveKey(1, fmt.Sprintf("bench/merge/%d", i)).ID(), Steps: m.spec.Train.Steps}
		for s := range m.spec.Codec.Shards(params) {
			lo, hi := m.spec.Codec.Shard(params, s)
			clear(feedback)
			payload, err := codec.Encode(nil, u[i*shift+lo:i*shift+hi], feedback[:hi-lo])
			if err != nil {
				return nil, err
			}
			c.Payloads = append(c.Payloads, payload)
		}
		m.in = append(m.in, c)
	}
	slices.SortFunc(m.in, func(a, b aggregate.Contribution) int { return bytes.Compare(a.Peer[:], b.Peer[:]) })
	return m, nil
}

// seconds merges once by a rule, on so many cores.
func (m *mergeInput) seconds(rule protocol.AggregateSpec, cores int) side {
	return func() (float64, error) {
		spec := m.spec
		spec.Aggregate = rule
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		start := time.Now()
		_, _, _, err := aggregate.Merge(&spec, m.theta, nil, m.in)
		return since(start), err
	}
}

// perSecond is millions of parameters of all contributions per second.
func (m *mergeInput) perSecond(rule protocol.AggregateSpec, cores int) side {
	return func() (float64, error) {
		s, err := m.seconds(rule, cores)()
		return float64(len(m.theta)) * float64(len(m.in)) / s / 1e6, err
	}
}
