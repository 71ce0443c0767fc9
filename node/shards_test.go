package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"drystone/protocol"
	"drystone/trainer"
	"drystone/verify"
)

// partialConfig is a local run of four trainers on a model of four shards, of which the last two trainers take two each.
func partialConfig(t *testing.T, seed uint64, rounds uint32, cheat func(i int, round uint32) bool) LocalConfig {
	cfg := tinyConfig(t, seed, rounds, 4, cheat)
	cfg.Spec.Model.FFN = 96
	cfg.Spec.Codec.ShardParams = 4096
	cfg.Spec.Train.MinShards = 1
	cfg.Trainers[2].Shards, cfg.Trainers[3].Shards = 2, 2
	return cfg
}

// docs/protocol.md, "Shares": a run where half the peers train half the shards, over real sockets. Spot checks pass the
// honest and convict the cheat, who trains a part too; parts are paid by their share; proofs audit with replay and merge;
// and the run ends in the same state when it is played again.
func TestPartialPeers(t *testing.T) {
	const (
		rounds       = 4
		cheat, first = 3, 2
	)
	var models []protocol.Digest
	for threads := 1; threads <= 2; threads++ {
		t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
			cfg := partialConfig(t, 5, rounds, func(i int, round uint32) bool { return i == cheat && round >= first })
			cfg.Threads = threads
			l := runLocal(t, cfg)
			models = append(models, l.Aggregators[0].View().Model)
			if threads > 1 {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			checkAssignments(t, l, rounds)
			checkConviction(t, l, cheat, first, rounds)
			checkProofs(t, ctx, l, cfg, cheat, first, rounds)
			checkShares(t, ctx, l, cheat)
		})
	}
	if len(models) == 2 && models[0] != models[1] {
		t.Errorf("ModelRoot %s, played again %s", models[0], models[1])
	}
}

// checkAssignments: everyone has what AssignShards says of the Open, each partial peer reveals exactly that, and over two
// rounds it comes to every shard.
func checkAssignments(t *testing.T, l *Local, rounds uint32) {
	a := l.Aggregators[0]
	seen := map[protocol.PeerID]map[uint32]bool{}
	for round := range rounds {
		open, _, err := await[protocol.Open](t.Context(), a.history, protocol.KindOpen, round)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range open.Roster {
			own := open.Shards(&l.spec.Codec, a.params, round, i)
			at := slices.IndexFunc(l.Trainers, func(t *Trainer) bool { return t.ID() == id })
			if want := []int{0, 0, 2, 2}[at]; len(own) != want {
				t.Errorf("round %d: trainer %d is assigned %v, want %d shards", round, at, own, want)
			}
			for shard := range uint32(l.spec.Codec.Shards(a.params)) {
				_, owed := protocol.PlaceOf(own, int(shard))
				data, err := a.reveals.get(round, id, shard)
				if err != nil || (data != nil) != owed {
					t.Errorf("round %d: shard %d of trainer %d, assigned %v: revealed is %v (%v)", round, shard, at, own, data != nil, err)
				}
				if owed && round < 2 {
					if seen[id] == nil {
						seen[id] = map[uint32]bool{}
					}
					seen[id][shard] = true
				}
			}
		}
	}
	for id, shards := range seen {
		if len(shards) != 4 {
			t.Errorf("%s trained %d shards in two rounds, want all 4", id.Short(), len(shards))
		}
	}
}

// checkShares: a contribution is paid for its steps by the share of the parameters that it trained (docs/economics.md).
// The cheat is refuted in epoch 2, rounds 2 and 3.
func checkShares(t *testing.T, ctx context.Context, l *Local, cheat int) {
	c, err := Dial(ctx, l.Link, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := l.Aggregators[0]
	for i, tr := range l.Trainers {
		var trained uint64
		for round := range l.spec.Train.Rounds {
			if i == cheat && round >= 2 {
				continue
			}
			own, err := a.history.shards(round, a.params, tr.ID())
			if err != nil {
				t.Fatal(err)
			}
			trained += uint64(l.spec.Train.Steps) * l.spec.TokensPerStep() * uint64(l.spec.Codec.Trained(a.params, own)) / uint64(a.params)
		}
		want := new(big.Int).Mul(tokens(1), new(big.Int).SetUint64(trained*l.spec.Payout.PerMillion))
		want.Div(want, big.NewInt(1e6))
		claim, err := c.Claim(ctx, tr.Payout())
		if err != nil {
			t.Fatalf("trainer %d: %v", i, err)
		}
		if claim.Paid != want.String() {
			t.Errorf("trainer %d: paid %s, want %s", i, claim.Paid, want)
		}
	}
}

// Real training of a part passes every check; training of other shards and fabrication pass none, over seeds.
func TestPartialChecks(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 2
	}
	cfg := partialConfig(t, 1, 2, nil)
	spec := &cfg.Spec
	spec.Verify.Chunks = 32
	run, err := spec.ID()
	if err != nil {
		t.Fatal(err)
	}
	dataset, err := trainer.NewDataset(cfg.Data, spec.Data.Holdout)
	if err != nil {
		t.Fatal(err)
	}
	device, err := trainer.NewDevice(spec, run, dataset, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	theta, err := device.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	whole := spec.Codec.Shards(len(theta))
	for seed := range seeds {
		key := protocol.DeriveKey(seed, "trainer")
		opt := trainer.TrainOptions{Peer: key.ID(), Salt: trainer.KeySalt(key, run, 0)}
		capacity := []uint32{uint32(1 + seed%3), 2}
		a := protocol.Assignment{Run: run, Steps: spec.Train.Steps, Shards: protocol.AssignShards(whole, uint32(seed), capacity, 0)}
		other := a
		other.Shards = protocol.AssignShards(whole, uint32(seed)+1, capacity, 0)
		honest, err1 := device.Train(t.Context(), a, theta, opt)
		wrong, err2 := device.Train(t.Context(), other, theta, opt)
		fabricated, err3 := trainer.Fabricate(spec, a, theta, opt, seed)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		for segment := range spec.Segments(a.Steps) {
			for _, x := range []struct {
				c    *trainer.Contribution
				want []protocol.Outcome
			}{
				{honest, []protocol.Outcome{protocol.Passed}}, {fabricated, []protocol.Outcome{protocol.Mismatch}},
				{wrong, []protocol.Outcome{protocol.Mismatch, protocol.Malformed}}, // the opened theta moved where it must not
			} {
				draw := protocol.Draw{BLS: [48]byte{byte(seed)}}
				ch := verify.ChallengeOf(spec, len(theta), &draw, key.ID(), a.Steps, a.Shards)
				ch.Segment = segment
				task := &verify.Task{
					Spec: spec, Run: run, Params: len(theta), Model: protocol.MerkleRoot(floatBytes(theta)),
					Commit: protocol.Sign(key, x.c.Commit(protocol.Hash("open"))), Start: x.c.Start, End: x.c.End, Assignment: a, Theta: theta,
					Challenge: ch,
				}
				if x.c == wrong { // nobody attests to it; what if its payload passed for that of the assigned shards
					var leaves []protocol.Digest
					for i := range x.c.Payloads {
						leaves = append(leaves, protocol.PayloadLeaf(key.ID(), a.Shards[i], x.c.Payloads[i], x.c.Salts[i]))
					}
					task.End.Payload = protocol.RootOf(leaves)
				}
				for i := range x.c.Payloads {
					task.Shards = append(task.Shards, verify.Shard{Payload: x.c.Payloads[i], Salt: x.c.Salts[i]})
				}
				got, _, err := verify.Check(t.Context(), task, verify.Tools{Replayer: replayer{device}, Opener: localOpener{x.c}})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(x.want, got) {
					t.Errorf("seed %d, shards %v, segment %d: %s, want %v", seed, a.Shards, segment, got, x.want)
				}
			}
		}
	}
}

// A share that the run does not admit is refused before the peer joins; as many shards as there are are all.
func TestChooseCapacity(t *testing.T) {
	for _, c := range []struct {
		min, shards, want uint32
		err               error
	}{
		{0, 0, 0, nil}, {0, 4, 0, nil}, {0, 2, 0, ErrCapacity}, {2, 2, 2, nil}, {2, 1, 0, ErrCapacity}, {2, 3, 3, nil}, {2, 9, 0, nil},
	} {
		spec := partialConfig(t, 1, 2, nil).Spec
		spec.Train.MinShards = c.min
		tr := &Trainer{member: member{spec: &spec, params: 4*4096 - 9}}
		got, err := tr.chooseCapacity(t.Context(), TrainerConfig{Shards: c.shards})
		if got.Shards != c.want || got.Of != 4 || !errors.Is(err, c.err) {
			t.Errorf("min_shards = %d, %d asked for: %+v (%v), want %d (%v)", c.min, c.shards, got, err, c.want, c.err)
		}
	}
}
