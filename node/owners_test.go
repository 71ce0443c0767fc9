package node

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"drystone/protocol"
)

// ownedConfig is a run of 5 aggregators, of which 3 own each shard, and no lie is outvoted.
func ownedConfig(t *testing.T, rounds uint32, rule protocol.AggregateSpec) LocalConfig {
	t.Helper()
	cfg := tinyConfig(t, 21, rounds, 3, nil)
	rule.MinPeers, rule.StartPeers = 3, 3
	cfg.Spec.Aggregate = rule
	cfg.Spec.Outer = protocol.OuterSpec{Optimiser: "nesterov", LR: 0.7, Momentum: 0.9}
	cfg.Spec.Codec.ShardParams = 4096
	cfg.Spec.Model.Dim, cfg.Spec.Model.FFN = 32, 64
	cfg.Spec.Quorum = protocol.QuorumSpec{Aggregators: 5, Threshold: 3}
	cfg.Aggregators = append(cfg.Aggregators, protocol.DeriveKey(21, "aggregator/4"))
	return cfg
}

// modelRoots returns the ModelRoots of a chain in order.
func modelRoots(t *testing.T, h *history) (roots []protocol.Digest) {
	t.Helper()
	for i := range h.length() {
		s := h.at(i).Statement
		if s.Kind != protocol.KindCertificate {
			continue
		}
		b, err := protocol.DecodeBody[protocol.Certificate](&s)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, b.Model, b.Outer)
	}
	return roots
}

// A run whose shards have owners gives the models of the same run in which everyone merges everything, and an aggregator
// hears the reveals of its own shards alone.
func TestOwnersMergeAsAllDo(t *testing.T) {
	const rounds = 2
	for _, rule := range []protocol.AggregateSpec{{Rule: "norm-clip", NormCap: 3}, {Rule: "centered-clip", Radius: 1}} {
		t.Run(rule.Rule, func(t *testing.T) {
			if rule.Rule == "norm-clip" && !*long {
				t.Skip("go test ./node -run OwnersMerge -long")
			}
			play := func(undivided bool) (roots []protocol.Digest, heard, shards []uint64) {
				cfg := ownedConfig(t, rounds, rule)
				cfg.Edit = func(c *Config) { c.undivided = undivided }
				t.Run(fmt.Sprintf("undivided %v", undivided), func(t *testing.T) {
					l := runLocal(t, cfg)
					for _, a := range l.Aggregators {
						heard, shards = append(heard, a.heard.Load()), append(shards, owned(a))
					}
					// Its log may say that the run is over before its chain has the last statement.
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					awaitChain(t, ctx, l.Aggregators[0], "every certificate", func(h *history) bool {
						roots = modelRoots(t, h)
						return len(roots) >= 2*rounds
					})
				})
				return roots, heard, shards
			}
			want, all, every := play(true)
			got, part, shards := play(false)
			if len(got) != 2*rounds || len(want) != 2*rounds {
				t.Fatalf("%d and %d roots of %d rounds", len(got), len(want), rounds)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("root %d of round %d: %s, merged by all %s", i%2, i/2, got[i].Short(), want[i].Short())
				}
			}
			var sum, full, mine, total uint64
			for i := range part {
				t.Logf("aggregator %d owns %d shards: heard %d bytes of reveals, %d with all", i, shards[i], part[i], all[i])
				sum, full, mine, total = sum+part[i], full+all[i], mine+shards[i], total+every[i]
			}
			// 3 of 5 own each shard. Shards differ in size, and gossip may bring a reveal after the end of the run.
			if mine*5 != total*3 || sum == 0 || sum*10 > full*7 {
				t.Errorf("%d of %d shards: %d bytes heard, %d with all", mine, total, sum, full)
			}
		})
	}
}

// owned counts the shards that an aggregator hears the reveals of.
func owned(a *Aggregator) (n uint64) {
	for k := range a.spec.Codec.Shards(a.params) {
		if a.gathers(k) {
			n++
		}
	}
	return n
}

// An owner that ends in mid-round, and stays away, stalls nothing: the others finish the run with everyone's work in it.
func TestOwnerLeavesInMidRound(t *testing.T) {
	if !*long {
		t.Skip("waits for deadlines: go test ./node -run OwnerLeaves -long")
	}
	const rounds = 3
	cfg := ownedConfig(t, rounds, protocol.AggregateSpec{Rule: "centered-clip", Radius: 1})
	cfg.Spec.Deadlines.Reveal = 20
	cfg.Spec.Deadlines.Check = 20
	revealed := make(chan struct{})
	var once sync.Once
	cfg.Edit = func(c *Config) {
		c.OnEvent = func(e Event) {
			if e.Kind == EventRevealed && e.Round == 1 {
				once.Do(func() { close(revealed) })
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	select {
	case <-revealed:
	case <-ctx.Done():
		t.Fatal("no reveal of round 1")
	}
	gone := l.Aggregators[4]
	own := owned(gone)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	awaitFinished(t, ctx, l.Aggregators[0])
	if own == 0 {
		t.Error("who left owned nothing")
	}
	for round := range uint32(rounds) {
		set, _, err := statementOf[protocol.RevealSet](l.Aggregators[0].history, protocol.KindRevealSet, round)
		if err != nil || len(set.Set) != 3 {
			t.Errorf("round %d: %v: %+v", round, err, set)
		}
	}
}
