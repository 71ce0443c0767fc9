package aggregate

import (
	"context"
	"fmt"
	"slices"

	"drystone/protocol"
)

// Transitions is the table that enter obeys.
func Transitions(from Phase) []Phase { return transitions[from] }

// Enter is what every change of the phase goes through.
func (m *Machine) Enter(from, to Phase) Phase {
	m.s.Phase = from
	m.enter(to)
	return m.s.Phase
}

// SumsAhead returns the most bytes that the sums of shards ahead of the fold take in the state, and of how many shards.
func SumsAhead(aggregators, contributors int, gram bool) (bytes, shards int) {
	f := fold{Gram: []uint64{}}
	if gram {
		f.Gram = make([]uint64, 1)
	}
	shards = aheadOf(aggregators, f.size(contributors))
	return shards * aggregators * f.size(contributors), shards
}

// MergeInParts is Merge as the owners of the shards and the machine do it together.
func MergeInParts(spec *protocol.RunSpec, theta, outer []float32, all []Contribution) ([]float32, []float32, []protocol.Merged, error) {
	r, err := MergePartsResult(spec, theta, outer, all)
	if err != nil {
		return nil, nil, nil, err
	}
	return r.Theta, r.Outer, r.Record, nil
}

// MergePartsResult is MergeContext likewise.
func MergePartsResult(spec *protocol.RunSpec, theta, outer []float32, all []Contribution) (*Result, error) {
	shards := spec.Codec.Shards(len(theta))
	own := func(k int) (in []Contribution, members []int) {
		for i, c := range all {
			if place, ok := protocol.PlaceOf(c.Shards, k); ok {
				c.Payloads = c.Payloads[place : place+1]
				members = append(members, i)
			} else {
				c.Payloads = nil
			}
			in = append(in, c)
		}
		return in, members
	}
	f := newFold(spec, all)
	for k := range shards {
		in, members := own(k)
		sums, err := ShardSums(context.Background(), spec, len(theta), k, in)
		if err != nil {
			return nil, err
		}
		if len(sums) != f.size(len(members)) {
			return nil, fmt.Errorf("sums of %d bytes, want %d", len(sums), f.size(len(members)))
		}
		f.add(sums, members)
	}
	r, finite := &Result{Theta: slices.Clone(theta), Outer: slices.Clone(outer), Record: f.record(spec, len(theta), all)}, true
	for k := range shards {
		lo, hi := spec.Codec.Shard(len(theta), k)
		outerLo, outerHi := spec.OuterShard(len(theta), k)
		in, _ := own(k)
		payload, ok, err := MergeShard(context.Background(), spec, len(theta), k, r.Theta[lo:hi], r.Outer[outerLo:outerHi], in, r.Record)
		if err != nil {
			return nil, err
		}
		finite = finite && ok
		r.Down = append(r.Down, payload)
	}
	if !finite {
		return &Result{Theta: theta, Outer: outer, Record: withoutWeights(r.Record), Down: make([][]byte, shards)}, nil
	}
	return r, nil
}
