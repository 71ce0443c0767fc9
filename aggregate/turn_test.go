package aggregate_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/internal/delta"
	"drystone/protocol"
)

// docs/protocol.md, "Turns and masks": every kind of rule on codecs of which the round decides what is sent. A shard whose
// turn it is not keeps theta and the outer state; a median over a mask is that of the decoded values, parameter by parameter;
// and owners who merge shards by themselves come to the same bits.
func TestTurnsAndMasks(t *testing.T) {
	const peers, params, round = 5, 3*4096 + 100, 7
	masked := protocol.CodecSpec{Up: "masked", TopK: 300, Decay: 0.9, ShardParams: 4096}
	rice := protocol.CodecSpec{Up: "rice", TopK: 64, ValueBits: 2, Decay: 0.9, ShardParams: 4096}
	for _, c := range []struct {
		codec   protocol.CodecSpec
		stagger uint32
		rule    protocol.AggregateSpec
	}{
		{masked, 0, protocol.AggregateSpec{Rule: "median"}},
		{masked, 0, protocol.AggregateSpec{Rule: "trimmed-mean", Faults: 1}},
		{masked, 3, protocol.AggregateSpec{Rule: "median"}},
		{masked, 2, protocol.AggregateSpec{Rule: "multi-krum", Faults: 1}},
		{rice, 2, protocol.AggregateSpec{Rule: "norm-clip", NormCap: 3}},
		{rice, 64, protocol.AggregateSpec{Rule: "centered-clip", Radius: 1}}, // round 7: it is no shard's turn
	} {
		spec := aggtest.New(nil).Spec
		spec.Codec, spec.Aggregate, spec.Outer = c.codec, c.rule, protocol.OuterSpec{Optimiser: "nesterov", LR: 0.7, Momentum: 0.9}
		spec.Codec.Stagger, spec.Aggregate.MinPeers = c.stagger, peers
		if err := spec.Validate(); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(c.stagger)))
		vector := func(n int) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(rng.NormFloat64())
			}
			return v
		}
		codec := roundCodec(t, &spec, round)
		theta, outer := vector(params), vector(params)
		var in []aggregate.Contribution
		for i := range peers {
			x := aggregate.Contribution{Peer: protocol.PeerID{2, byte(i)}, Round: round, Steps: 4}
			for k := range spec.Codec.Shards(params) {
				lo, hi := spec.Codec.Shard(params, k)
				payload, err := codec.Shard(k).Encode([]byte{}, vector(hi-lo), make([]float32, hi-lo))
				if err != nil {
					t.Fatal(err)
				}
				x.Payloads = append(x.Payloads, payload)
			}
			in = append(in, x)
		}
		r, err := aggregate.MergeContext(t.Context(), &spec, theta, outer, in)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := aggregate.MergePartsResult(&spec, theta, outer, in)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(bits(parts.Theta), bits(r.Theta)) || !slices.Equal(bits(parts.Outer), bits(r.Outer)) || !slices.Equal(parts.Record, r.Record) {
			t.Errorf("%s, turns of %d, %s: a merge in parts differs", c.codec.Up, c.stagger, c.rule.Rule)
		}
		for k := range spec.Codec.Shards(params) {
			lo, hi := spec.Codec.Shard(params, k)
			turn := c.stagger == 0 || uint32(k)%c.stagger == round%c.stagger
			same := slices.Equal(bits(r.Theta[lo:hi]), bits(theta[lo:hi])) && slices.Equal(bits(r.Outer[lo:hi]), bits(outer[lo:hi]))
			if same == turn {
				t.Errorf("%s, turns of %d, %s: shard %d, whose turn is %v, unchanged: %v", c.codec.Up, c.stagger, c.rule.Rule, k, turn, same)
			}
			if turn && c.rule.Rule == "median" {
				checkMedian(t, &spec, codec.Shard(k), k, theta[lo:hi], outer[lo:hi], in, r.Theta[lo:hi])
			}
		}
		in[1].Round++
		if _, err := aggregate.MergeContext(t.Context(), &spec, theta, outer, in); !errors.Is(err, aggregate.ErrMergeInput) {
			t.Errorf("contributions to two rounds: %v", err)
		}
	}
}

func roundCodec(t *testing.T, spec *protocol.RunSpec, round uint32) delta.Codec {
	t.Helper()
	codec, err := delta.New(spec.Codec)
	if err != nil {
		t.Fatal(err)
	}
	run, err := spec.ID()
	if err != nil {
		t.Fatal(err)
	}
	return codec.Round(run, round)
}

// checkMedian computes a shard's merge of an odd number of contributions by the definition.
func checkMedian(t *testing.T, spec *protocol.RunSpec, codec delta.Codec, k int, theta, outer []float32, in []aggregate.Contribution, got []float32) {
	t.Helper()
	rows := make([][]float32, len(in))
	for i, c := range in {
		rows[i] = make([]float32, len(theta))
		if err := codec.Decode(rows[i], c.Payloads[k]); err != nil {
			t.Fatal(err)
		}
	}
	lr, mu, moved := float32(spec.Outer.LR), float32(spec.Outer.Momentum), 0
	for j := range theta {
		var x []float32
		for i := range rows {
			x = append(x, rows[i][j])
		}
		slices.Sort(x)
		u := x[len(x)/2] + 0 // a zero is +0
		if u != 0 {
			moved++
		}
		m := float32(mu*outer[j]) + u
		if want := theta[j] - float32(lr*(u+float32(mu*m))); want != got[j] {
			t.Fatalf("shard %d, parameter %d: %v, want %v", k, j, got[j], want)
		}
	}
	if moved == 0 {
		t.Errorf("shard %d: every median is zero", k)
	}
}
