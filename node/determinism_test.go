package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"drystone/protocol"
	"drystone/trainer"
	"drystone/verify"
)

// One seed gives one history (docs/protocol.md): the same spec, data, keys and addresses give the same statements, from
// the Genesis to the last Certificate, whatever the number of threads and the order of messages. The addresses stand in
// the Genesis, so the second run listens where the first one did.
func TestOneSeedOneHistory(t *testing.T) {
	const rounds = 4
	play := func(threads int, like string) (dir string, model protocol.Digest, chain []protocol.Digest) {
		cfg := tinyConfig(t, 2, rounds, 2, func(i int, round uint32) bool { return i == 1 && round == 1 })
		cfg.Threads = threads
		for i := range cfg.Aggregators {
			if like == "" {
				continue
			}
			name := filepath.Join(fmt.Sprintf("aggregator-%d", i), "listen.json")
			data, err := os.ReadFile(filepath.Join(like, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(cfg.Dir, filepath.Dir(name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(cfg.Dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
			l := runLocal(t, cfg)
			a := l.Aggregators[1]
			// This one may be a statement behind the founder, whose end was waited for.
			for more := a.history.wait(); a.history.length() < 1+4*rounds; more = a.history.wait() {
				select {
				case <-more:
				case <-t.Context().Done():
					t.FailNow()
				}
			}
			model, chain = a.View().Model, statementDigests(a.history)
		})
		return cfg.Dir, model, chain
	}
	first, model, chain := play(1, "")
	_, again, same := play(3, first)
	if again != model {
		t.Errorf("ModelRoot %s with one thread, %s with three", model, again)
	}
	if i, ok := firstDifference(chain, same); !ok {
		t.Errorf("the histories differ from statement %d on", i)
	}
}

func firstDifference(a, b []protocol.Digest) (int, bool) {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i, false
		}
	}
	return min(len(a), len(b)), slices.Equal(a, b)
}

// localOpener opens a contribution that is here.
type localOpener struct{ c *trainer.Contribution }

func (o localOpener) Open(_ context.Context, r protocol.OpenRequest) (*protocol.Opening, error) {
	return o.c.Open(r)
}

// Fabricated contributions are caught by every draw, trained ones by none: fifty seeds, of run, fabrication and draw.
func TestFabricationsAreCaught(t *testing.T) {
	seeds := uint64(50)
	if testing.Short() {
		seeds = 3
	}
	data := tinyData()
	for seed := range seeds {
		spec := tinySpec(seed, 2, 1, data)
		run, err := spec.ID()
		if err != nil {
			t.Fatal(err)
		}
		dataset, err := trainer.NewDataset(data, spec.Data.Holdout)
		if err != nil {
			t.Fatal(err)
		}
		device, err := trainer.NewDevice(&spec, run, dataset, 1)
		if err != nil {
			t.Fatal(err)
		}
		checkDraws(t, &spec, run, device, seed)
		device.Close()
	}
}

func checkDraws(t *testing.T, spec *protocol.RunSpec, run protocol.Digest, device *trainer.Device, seed uint64) {
	theta, err := device.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	key := protocol.DeriveKey(seed, "trainer")
	a := protocol.Assignment{Run: run, Steps: spec.Train.Steps}
	opt := trainer.TrainOptions{Peer: key.ID(), Salt: trainer.KeySalt(key, run, 0)}
	honest, err := device.Train(t.Context(), a, theta, opt)
	if err != nil {
		t.Fatal(err)
	}
	fabricated, err := trainer.Fabricate(spec, a, theta, opt, seed)
	if err != nil {
		t.Fatal(err)
	}
	for segment := range spec.Segments(a.Steps) {
		for _, x := range []struct {
			c    *trainer.Contribution
			want protocol.Outcome
		}{{honest, protocol.Passed}, {fabricated, protocol.Mismatch}} {
			task := &verify.Task{
				Spec: spec, Run: run, Params: len(theta), Model: protocol.MerkleRoot(floatBytes(theta)),
				Commit: protocol.Sign(key, x.c.Commit(protocol.Hash("open"))), Start: x.c.Start, End: x.c.End, Assignment: a, Theta: theta,
				Challenge: verify.Challenge{Segment: segment, Chunks: []uint32{uint32(seed) % verify.Chunks(len(theta))}},
			}
			for i := range x.c.Payloads {
				task.Shards = append(task.Shards, verify.Shard{Payload: x.c.Payloads[i], Salt: x.c.Salts[i]})
			}
			got, _, err := verify.Check(t.Context(), task, verify.Tools{Replayer: replayer{device}, Opener: localOpener{x.c}})
			if err != nil {
				t.Fatal(err)
			}
			if got != x.want {
				t.Errorf("seed %d, segment %d: %s, want %s", seed, segment, got, x.want)
			}
		}
	}
}

// Whole runs over many seeds, each with another cheat: always the cheat, never anyone else.
func TestManyRuns(t *testing.T) {
	if !*long {
		t.Skip("takes minutes: go test ./node -run ManyRuns -long -timeout 60m")
	}
	for seed := uint64(100); seed < 120; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cheat, first := int(seed%3), uint32(seed%4)
			l := runLocal(t, tinyConfig(t, seed, 5, 3, func(i int, round uint32) bool { return i == cheat && round >= first }))
			for _, p := range l.Aggregators[0].View().Peers {
				if p.Convicted != (p.ID == l.Trainers[cheat].ID()) || p.Convicted && p.Refuted != first {
					t.Errorf("peer %s: convicted %v, round %d; trainer %d cheats from round %d on", p.ID.Short(), p.Convicted, p.Refuted, cheat, first)
				}
			}
		})
	}
}
