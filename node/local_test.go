package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"drystone/protocol"
)

// tinySpec is a run that trains in seconds: every mechanism of a real one, a model of a few thousand parameters.
func tinySpec(seed uint64, rounds, peers uint32, data []byte) protocol.RunSpec {
	s := DemoSpec(seed, rounds, peers)
	s.Name = "tiny"
	s.Founder = protocol.DeriveKey(seed, "aggregator/0").ID()
	s.Model = protocol.ModelSpec{Family: "llama", Dim: 16, Layers: 1, Heads: 2, KVHeads: 2, FFN: 32, Vocab: 256, Context: 16, NormEps: 1e-5, RopeTheta: 10000}
	s.Train.Steps, s.Train.Segment, s.Train.Batch, s.Train.Warmup = 4, 2, 2, 2
	s.Codec.ShardParams = 8192
	s.Payout.EpochRounds = 2
	return WithData(s, data)
}

func tinyData() []byte {
	var b bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&b, "stone %d lies on stone %d. ", i, i+1)
	}
	return b.Bytes()
}

func tinyConfig(t *testing.T, seed uint64, rounds uint32, peers int, cheat func(i int, round uint32) bool) LocalConfig {
	t.Helper()
	data := tinyData()
	cfg := LocalConfig{Spec: tinySpec(seed, rounds, uint32(peers), data), Data: data, Dir: t.TempDir(), Threads: 1}
	for i := range 4 {
		cfg.Aggregators = append(cfg.Aggregators, protocol.DeriveKey(seed, fmt.Sprintf("aggregator/%d", i)))
	}
	for i := range peers {
		lt := LocalTrainer{Key: protocol.DeriveKey(seed, fmt.Sprintf("trainer/%d", i))}
		if cheat != nil {
			lt.Cheat = func(round uint32) bool { return cheat(i, round) }
		}
		cfg.Trainers = append(cfg.Trainers, lt)
	}
	var mu sync.Mutex
	cfg.OnEvent = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind != EventStep {
			t.Logf("%s r%d %s %s", e.Kind, e.Round, e.Peer.Short(), e.Text)
		}
	}
	cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return cfg
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}

// A whole run in one process: honest peers are paid on the chain, the cheat is convicted and paid nothing.
func TestLocalRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cfg := tinyConfig(t, 1, 5, 3, func(i int, round uint32) bool { return i == 1 && round >= 1 })
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	select {
	case <-l.Aggregators[0].Finished():
	case <-ctx.Done():
		t.Fatalf("the run did not finish: %+v", l.Aggregators[0].view())
	}
	c, err := Dial(ctx, l.Link, cfg.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.VerifyContracts(ctx); err != nil {
		t.Error(err)
	}
	for i, tr := range l.Trainers {
		claim, err := c.Claim(ctx, tr.Payout())
		if err != nil {
			t.Logf("trainer %d: %v", i, err)
		}
		balance, err := c.Balance(ctx, tr.Payout())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("trainer %d: claim %+v balance %s", i, claim, balance)
	}
}
