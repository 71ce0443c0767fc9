package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/internal/delta"
	"drystone/internal/speed"
	"drystone/node"
	"drystone/protocol"
)

// The merge that is measured: as many contributions to a model as large as llama-10m, on one core.
const (
	mergePeers  = 64
	mergeParams = 10_800_000
)

var mergeThroughput = Figure{
	Name:   "merge-throughput",
	What:   "merging 64 contributions to a model of 10.8 M parameters by their mean, on one core: payloads checked, decoded, added up and applied",
	Unit:   "M decoded parameters/s per core",
	Target: Target{Of: "value", Cmp: ">=", Bound: 1000},
	Limit:  10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) (rows []Row, err error) {
		for _, k := range []int{64, 256} {
			m, err := newMergeInput(k, mergePeers, mergeParams)
			if err != nil {
				return rows, err
			}
			t, err := e.takeTurns(ctx, 1, e.Runs(5), m.perSecond(meanRule))
			if err != nil {
				return rows, err
			}
			rows = append(rows, t.row(fmt.Sprintf("sparse, k=%d", k), ""))
		}
		return rows, nil
	},
}

var mergeRobust = Figure{
	Name:   "merge-robust",
	What:   "merging 64 contributions to a model of 10.8 M parameters by centered clipping, with norm cap and mixing, against their mean, on one core",
	Unit:   "s",
	Target: Target{Of: "ratio", Cmp: "<=", Bound: 3},
	Limit:  10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) (rows []Row, err error) {
		for _, k := range []int{64, 256} {
			m, err := newMergeInput(k, mergePeers, mergeParams)
			if err != nil {
				return rows, err
			}
			t, err := e.takeTurns(ctx, 1, e.Runs(5), m.seconds(clipRule), m.seconds(meanRule))
			if err != nil {
				return rows, err
			}
			rows = append(rows, t.row(fmt.Sprintf("sparse, k=%d", k), "mean"))
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
func newMergeInput(k, peers, params int) (*mergeInput, error) {
	m := &mergeInput{spec: node.DefaultSpec(), theta: make([]float32, params)}
	m.spec.Codec = protocol.CodecSpec{Up: "sparse", TopK: k, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 21}
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

// seconds merges once by a rule.
func (m *mergeInput) seconds(rule protocol.AggregateSpec) side {
	return func() (float64, error) {
		spec := m.spec
		spec.Aggregate = rule
		start := time.Now()
		_, _, _, err := aggregate.Merge(&spec, m.theta, nil, m.in)
		return since(start), err
	}
}

// perSecond is millions of parameters of all contributions per second.
func (m *mergeInput) perSecond(rule protocol.AggregateSpec) side {
	return func() (float64, error) {
		s, err := m.seconds(rule)()
		return float64(len(m.theta)) * float64(len(m.in)) / s / 1e6, err
	}
}
