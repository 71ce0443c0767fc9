package node

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/marcopolo/simnet"

	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// scattered draws what peers all over the world have: 20 to 300 ms between any two, the same both ways, and lines of 20 to
// 1000 Mbit/s.
func scattered(seed uint64) (latency func(from, to int) time.Duration, lines func(int) simnet.NodeBiDiLinkSettings) {
	latency = func(from, to int) time.Duration {
		rng := rand.New(rand.NewPCG(seed, uint64(min(from, to))<<32|uint64(max(from, to))))
		return time.Duration(10+rng.IntN(141)) * time.Millisecond // one way
	}
	rates := []float64{20, 50, 100, 300, 1000}
	lines = func(i int) simnet.NodeBiDiLinkSettings {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		return simlink.Line(rates[rng.IntN(len(rates))], rates[rng.IntN(len(rates))])
	}
	return latency, lines
}

// Peers come and go every round, a third of those who go without a word, and no round is lost: each is certified, whoever
// stays is in every one of them, and all end with the same state. The whole figure has 64 peers: go test ./node -run Churn -long
func TestChurn(t *testing.T) {
	trainers, rounds := 16, 4
	if *long {
		trainers, rounds = 60, 8
	}
	leave := (trainers + 4 + 19) / 20 // 5 % of all, rounded up
	cfg := tinyConfig(t, 23, uint32(rounds), trainers, nil)
	cfg.Spec.Deadlines = protocol.DeadlineSpec{Train: 20, Reveal: 20, Check: 60}
	latency, lines := scattered(23)
	simulateRun(t, cfg, latency, lines, func(t *testing.T, r *simRun) {
		began := time.Now()
		var gone, came []*Trainer
		watch := r.Aggregators[0].history
		for round := range uint32(rounds - 1) {
			eventually(t, t.Context(), watch, protocol.KindOpen, round)
			for i := range leave {
				tr := r.Trainers[i]
				if i%3 > 0 {
					if err := tr.Leave(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if err := tr.Close(); err != nil {
					t.Error(err)
				}
				gone = append(gone, tr)
			}
			r.Trainers = r.Trainers[leave:]
			for i := range leave {
				tr, err := r.trainer(t.Context(), 23, fmt.Sprintf("late-%d-%d", round, i), nil)
				if err != nil {
					t.Fatal(err)
				}
				came = append(came, tr)
			}
		}
		stayed := r.Trainers
		r.Trainers = append(r.Trainers, came...)
		checkSameEnd(t, r, uint32(rounds))
		took := time.Since(began)
		least := checkStayed(t, watch, stayed, uint32(rounds))
		t.Logf("figure churn-64|%d peers, %d leave and %d join each round|%d|%d rounds in %.0f s, at least %d contributions to each; %d left, %d came",
			trainers+4, leave, leave, rounds, rounds, took.Seconds(), least, len(gone), len(came))
	})
}

// checkSameEnd waits for the end of the run and checks that every trainer has the same state then.
func checkSameEnd(t *testing.T, r *simRun, rounds uint32) {
	t.Helper()
	var want protocol.Digest
	for i, tr := range r.Trainers {
		if <-tr.Finished(); tr.Err() != nil {
			t.Errorf("trainer %d: %v", i, tr.Err())
		}
		root, _, err := tr.history.modelRoot(rounds)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want = root
		}
		if root != want {
			t.Errorf("trainer %d ends with %s, another with %s", i, root.Short(), want.Short())
		}
		if _, err := tr.vector(t.Context(), root, tr.params, tr.councilPeers); err != nil {
			t.Errorf("trainer %d: %v", i, err)
		}
	}
}

// checkStayed checks that peers who were there from beginning to end are in every RevealSet. It returns the size of the
// smallest.
func checkStayed(t *testing.T, h *history, stayed []*Trainer, rounds uint32) (least int) {
	t.Helper()
	for round := range rounds {
		set, _, err := statementOf[protocol.RevealSet](h, protocol.KindRevealSet, round)
		if err != nil {
			t.Fatal(err)
		}
		in := map[protocol.PeerID]bool{}
		for _, s := range set.Set {
			in[s.Peer] = true
		}
		for i, tr := range stayed {
			if !in[tr.ID()] {
				t.Errorf("round %d is without peer %d of those who stayed", round, i)
			}
		}
		if round == 0 || len(set.Set) < least {
			least = len(set.Set)
		}
	}
	return least
}
