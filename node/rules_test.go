package node

import (
	"context"
	"testing"

	"drystone/protocol"
)

// A run with a vector rule and an adaptive outer optimiser, whose state is two vectors: four aggregators agree on every
// merge, and an auditor with the blobs repeats each.
func TestRobustRun(t *testing.T) {
	const rounds, peers = 3, 3
	cfg := tinyConfig(t, 1, rounds, peers, nil)
	cfg.Spec.Aggregate.Rule, cfg.Spec.Aggregate.NormCap, cfg.Spec.Aggregate.Radius = "centered-clip", 3, 1
	cfg.Spec.Outer = protocol.OuterSpec{Optimiser: "fedyogi", LR: 0.01, Momentum: 0.9, Beta2: 0.99, Tau: 1e-3}
	l := runLocal(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	last, _, err := await[protocol.Certificate](ctx, l.Aggregators[0].history, protocol.KindCertificate, rounds-1)
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := await[protocol.Certificate](ctx, l.Aggregators[0].history, protocol.KindCertificate, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(last.Merge) != peers || last.Outer == first.Outer || last.Model == first.Model {
		t.Errorf("after the last round: %+v", last)
	}
	outer, err := l.Aggregators[0].outer(ctx, last.Outer)
	if err != nil || len(outer) != 2*l.Aggregators[0].params {
		t.Errorf("outer state of %d values for %d parameters: %v", len(outer), l.Aggregators[0].params, err)
	}
	checkProofs(t, ctx, l, cfg, 0, rounds, rounds)
}
