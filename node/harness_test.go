package node

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"drystone/protocol"
	"drystone/verify"
)

// long runs what takes minutes: go test ./node -long
var long = flag.Bool("long", false, "run the long tests")

// flipStride thins out the flipped bytes of a proof: go test ./node -run LocalRun -long -stride 1 -timeout 3h
var flipStride = flag.Int("stride", 13, "with -long, flip every nth byte of a proof")

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

// tinyConfig describes a local run. cheat, if not nil, says which trainer fabricates in which round.
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
	cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return cfg
}

// testWriter logs to a test; what comes after its end is dropped.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(string(bytes.TrimSpace(p)))
	}
	return len(p), nil
}

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) of(kind EventKind) (out []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// deadline is for conditions that must come true: far more than they take.
const deadline = 5 * time.Minute

// runLocal plays a local run to its end.
func runLocal(t *testing.T, cfg LocalConfig) *Local {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // a second Close does nothing
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		noneRunning(t)
	})
	awaitFinished(t, ctx, l.Aggregators[0])
	return l
}

func awaitFinished(t *testing.T, ctx context.Context, a *Aggregator) {
	t.Helper()
	select {
	case <-a.Finished():
	case <-ctx.Done():
		v := a.view()
		t.Fatalf("the run did not finish: phase %s of round %d, peers %+v, rounds %+v", v.Phase, v.Round, v.Peers, v.Rounds)
	}
}

// statementDigests returns the digests of a member's whole statement chain.
func statementDigests(h *history) (all []protocol.Digest) {
	for i := range h.length() {
		all = append(all, h.at(i).Statement.Digest())
	}
	return all
}

// noneRunning fails if a goroutine of this project outlives everything that was closed.
func noneRunning(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for {
		left := ourGoroutines()
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-end.C:
			t.Errorf("%d goroutines outlive Close, one of them:\n%s", len(left), left[0])
			return
		}
	}
}

// ourGoroutines returns the stacks of goroutines that this project's packages started, tests excepted.
func ourGoroutines() (left []string) {
	buf := make([]byte, 1<<22)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		_, by, ok := strings.Cut(stack, "created by ")
		if ok && strings.HasPrefix(by, "drystone/") && !strings.Contains(by, "_test.go") {
			left = append(left, stack)
		}
	}
	return left
}

func blobsOf(cfg LocalConfig, i int) string {
	return filepath.Join(cfg.Dir, fmt.Sprintf("aggregator-%d", i), "blobs")
}

// awaitProof builds a contribution's proof, once the checkpoint that covers all of it has its signatures.
func awaitProof(t *testing.T, ctx context.Context, a *Aggregator, round uint32, peer protocol.PeerID) []byte {
	t.Helper()
	proof, err := a.Proof(ctx, round, peer)
	for errors.Is(err, verify.ErrGap) && waitFor(ctx, 50*time.Millisecond) {
		proof, err = a.Proof(ctx, round, peer)
	}
	if err != nil {
		t.Fatalf("proof of the contribution of %s to round %d: %v", peer.Short(), round, err)
	}
	return proof
}
