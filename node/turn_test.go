package node

import (
	"context"
	"testing"

	"drystone/protocol"
)

// docs/protocol.md, "Turns and masks": runs over real sockets whose shards take turns, with and without a way down, and whose
// rounds draw masks, merged parameter by parameter. Spot checks pass the honest and convict the cheat; proofs audit with
// replay and merge.
func TestTurnsAndMasks(t *testing.T) {
	const (
		rounds       = 4
		cheat, first = 3, 2
	)
	for name, change := range map[string]func(*protocol.RunSpec){
		"turns": func(s *protocol.RunSpec) {
			s.Codec.Stagger, s.Train.Delay = 2, 1
			s.Codec.Down, s.Codec.DownTopK, s.Codec.DownValueBits, s.Codec.DownDecay = "rice", 512, 4, 1
		},
		"masks": func(s *protocol.RunSpec) {
			s.Codec.Up, s.Codec.TopK, s.Codec.ValueBits = "masked", 512, 0
			s.Aggregate.Rule, s.Aggregate.NormCap = "median", 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tinyConfig(t, 33, rounds, 4, func(i int, round uint32) bool { return i == cheat && round >= first })
			cfg.Spec.Codec.ShardParams = 4096
			change(&cfg.Spec)
			l := runLocal(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			checkConviction(t, l, cheat, first, rounds)
			checkProofs(t, ctx, l, cfg, cheat, first, rounds)
		})
	}
}
