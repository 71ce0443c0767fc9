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
			return nil, nil, nil, err
		}
		if len(sums) != f.size(len(members)) {
			return nil, nil, nil, fmt.Errorf("sums of %d bytes, want %d", len(sums), f.size(len(members)))
		}
		f.add(sums, members)
	}
	record := f.record(spec, len(theta), all)
	t, o, finite := slices.Clone(theta), slices.Clone(outer), true
	for k := range shards {
		lo, hi := spec.Codec.Shard(len(t), k)
		in, _ := own(k)
		ok, err := MergeShard(context.Background(), spec, len(t), k, t[lo:hi], o[min(lo, len(o)):min(hi, len(o))], in, record)
		if err != nil {
			return nil, nil, nil, err
		}
		finite = finite && ok
	}
	if !finite {
		return theta, outer, withoutWeights(record), nil
	}
	return t, o, record, nil
}
