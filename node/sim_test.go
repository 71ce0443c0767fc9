package node

import (
	"context"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/core"
	"github.com/marcopolo/simnet"

	"drystone/gossip"
	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// simRun is a run whose processes are real and whose network and clock are simulated: computing takes no time there, unless
// a test makes it.
type simRun struct {
	*Local
	t       *testing.T
	cfg     LocalConfig
	network *simlink.Network

	mu    sync.Mutex
	wires []*simlink.Wire                         // of every process, by its number
	lines func(i int) simnet.NodeBiDiLinkSettings // of the process that starts as number i, the aggregators first
}

// simulateRun plays the run that cfg describes in a bubble; test has it when all trainers have joined.
func simulateRun(t *testing.T, cfg LocalConfig, latency func(from, to int) time.Duration,
	lines func(i int) simnet.NodeBiDiLinkSettings, test func(t *testing.T, r *simRun)) {
	t.Helper()
	core.SenderCacher() // the EVM's library starts goroutines once and for ever: they must not belong to the bubble
	// It also sleeps under a mutex as it starts, for which a bubble's clock would wait for ever if another thread met it.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		r := &simRun{t: t, cfg: cfg, network: simlink.New(latency), lines: lines}
		defer r.network.Close()
		r.cfg.Edit = func(c *Config) {
			r.place(c)
			if cfg.Edit != nil {
				cfg.Edit(c)
			}
		}
		l, err := StartLocal(t.Context(), r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		r.Local = l
		test(t, r)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // for what a library leaves to a timer
	})
}

// place puts a process on the network.
func (r *simRun) place(c *Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.network.Join(r.lines(r.network.Size()))
	c.Listen, c.Network = p.Listen, p.Option
	r.wires = append(r.wires, p.Wire)
}

// packets returns what all processes from a number on have sent and received, in bytes of packets.
func (r *simRun) packets(from int) (sent, received int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wires[from:] {
		sent, received = sent+w.Sent.Load(), received+w.Received.Load()
	}
	return sent, received
}

// trainer opens one more trainer.
func (r *simRun) trainer(ctx context.Context, seed uint64, name string, onEvent func(Event)) (*Trainer, error) {
	c := Config{Key: protocol.DeriveKey(seed, name), Dir: filepath.Join(r.cfg.Dir, name), Device: r.Device, Log: r.cfg.Log, OnEvent: onEvent}
	r.place(&c)
	return OpenTrainer(ctx, TrainerConfig{Config: c}, gossip.Link{Run: r.Run, Addrs: r.Aggregators[0].host.Addrs()})
}

func everyLine(down, up float64) func(int) simnet.NodeBiDiLinkSettings {
	return func(int) simnet.NodeBiDiLinkSettings { return simlink.Line(down, up) }
}

// A whole run over simulated home lines: every trainer contributes to every round, and all end with the same state.
func TestSimulatedRun(t *testing.T) {
	const rounds, trainers = 3, 4
	cfg := tinyConfig(t, 21, rounds, trainers, nil)
	simulateRun(t, cfg, simlink.Steady(50*time.Millisecond), everyLine(100, 20), func(t *testing.T, r *simRun) {
		for _, tr := range r.Trainers {
			if <-tr.Finished(); tr.Err() != nil {
				t.Error(tr.Err())
			}
		}
		last, _, err := r.Trainers[0].history.modelRoot(rounds)
		if err != nil {
			t.Fatal(err)
		}
		for i, tr := range r.Trainers {
			got, _, err := tr.history.modelRoot(rounds)
			if err != nil || got != last {
				t.Errorf("trainer %d ends with %s, %v, want %s", i, got.Short(), err, last.Short())
			}
			if _, err := tr.vector(t.Context(), last, tr.params, tr.councilPeers); err != nil {
				t.Error(err)
			}
		}
		checkServed(t, r, last)
		for round := range uint32(rounds) {
			set, _, err := statementOf[protocol.RevealSet](r.Trainers[0].history, protocol.KindRevealSet, round)
			if err != nil || len(set.Set) != trainers {
				t.Errorf("round %d has %v, %v", round, set, err)
			}
		}
	})
}

// checkServed fetches a state that no aggregator gives any more: whoever fetched it serves it, also to a peer that came later
// than every announcement of it.
func checkServed(t *testing.T, r *simRun, root protocol.Digest) {
	t.Helper()
	for _, a := range r.Aggregators {
		a.host.Handle("blob/have", 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) {
			return nil, gossip.Errorf(gossip.CodeNotFound, "not any more")
		})
	}
	c := Config{Key: protocol.DeriveKey(21, "reader"), Dir: filepath.Join(r.cfg.Dir, "reader")}
	r.place(&c)
	var m member
	defer func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := m.open(t.Context(), c, r.Link, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.catchUp(t.Context(), linkPeers(r.Link)); err != nil {
		t.Fatal(err)
	}
	err := retry(t.Context(), time.Second, func() error { // until discovery has found a trainer
		_, err := m.vector(t.Context(), root, m.params, m.councilPeers)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(m.path("blobs", "parts", "*")); err != nil || len(left) > 0 {
		t.Errorf("parts left: %v, %v", left, err)
	}
}
