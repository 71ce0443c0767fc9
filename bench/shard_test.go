package main

import (
	"slices"
	"testing"

	"drystone/internal/speed"
	"drystone/node"
	"drystone/protocol"
)

// quarters is a model of four shards that trains in milliseconds.
var quarters = speed.Model{Name: "quarters", Batch: 2, Shape: protocol.ModelSpec{Family: "llama", Dim: 16, Layers: 1, Heads: 2, KVHeads: 2, FFN: 96,
	Vocab: 256, Context: 8, NormEps: 1e-5, RopeTheta: 10000}}

func TestShares(t *testing.T) {
	for s, want := range map[share][]uint32{{8, 8, false}: nil, {2, 8, false}: {0, 1}, {2, 8, true}: {6, 7}, {1, 4, true}: {3}} {
		if got := s.shards(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}

// Each share trains in a process of its own; a smaller one plans less.
func TestShardMemoryAndStep(t *testing.T) {
	e := testEnv(t)
	if err := onLinux(); err != nil {
		t.Skip(err)
	}
	all := []share{{4, 4, false}, {1, 4, true}}
	rows, err := e.partMemory(t.Context(), quarters, all)
	if err != nil || len(rows) != 2 || rows[1].Other.Value != rows[0].Value {
		t.Errorf("memory: %+v, %v", rows, err)
	}
	var plans []int64
	for _, s := range all {
		got, err := e.trainPart(t.Context(), quarters, s)
		if err != nil || got.Step <= 0 {
			t.Fatalf("%s: %+v, %v", s, got, err)
		}
		plans = append(plans, got.Plan.Total())
	}
	if plans[1] >= plans[0] {
		t.Errorf("a quarter is planned to take %d bytes, the whole %d", plans[1], plans[0])
	}
	rows, err = e.partStep(t.Context(), quarters, all)
	if err != nil || len(rows) != 2 || rows[0].Value <= 0 || rows[1].Other == nil {
		t.Errorf("step: %+v, %v", rows, err)
	}
}

// The three runs of a small model end in three losses, and in the same ones when they are played again.
func TestShardLoss(t *testing.T) {
	e := testEnv(t)
	spec := node.TinySpec(1, 3, 4)
	spec.Model, spec.Train.Steps, spec.Train.Segment = quarters.Shape, 4, 2
	first, err := e.shardLoss(t.Context(), spec, 4)
	if err != nil || len(first) != 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := e.shardLoss(t.Context(), spec, 4)
	if err != nil || again[0].Value != first[0].Value || again[1].Value != first[1].Value || again[0].Other.Value != first[0].Other.Value {
		t.Errorf("played again: %+v, %v; before %+v", again, err, first)
	}
	if half, two, all := first[0].Value, first[1].Value, first[0].Other.Value; half == two || half == all || two == all {
		t.Errorf("losses %v, %v, %v", half, two, all)
	}
}
