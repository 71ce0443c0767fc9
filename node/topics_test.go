package node

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

// Whoever owns a shard hears it by gossip, whatever became of the council: an observer hears nothing, what it owns when it is
// taken in; those who stay follow the new owners; one that is removed hears nothing more (docs/protocol.md, Owners). The
// rounds in between are certified, paid, and audit.
func TestTopicsFollowTheCouncil(t *testing.T) {
	cfg := tinyConfig(t, 19, 40, 1, nil)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var newcomer *Aggregator
	t.Cleanup(func() {
		if newcomer != nil {
			if err := newcomer.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	host := l.Aggregators[0]
	key := protocol.DeriveKey(19, "newcomer")
	newcomer, err = OpenAggregator(ctx, Config{Key: key, Dir: filepath.Join(cfg.Dir, "newcomer"), Device: l.Device, Log: cfg.Log}, l.Link, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := append(slices.Clone(l.Aggregators), newcomer)
	if heard := newcomer.hearing.shards(); heard != nil {
		t.Errorf("an observer hears shards %v", heard)
	}
	accept, err := newcomer.applies()
	if err != nil {
		t.Fatal(err)
	}
	order := func(nonce uint64, a protocol.Action, in []protocol.Signed[protocol.Accept], out []protocol.PeerID) {
		t.Helper()
		c := protocol.Control{Run: l.Run, Founder: cfg.Aggregators[0].ID(), Action: a, Nonce: nonce, Add: in, Remove: out}
		if err := host.propose(ctx, aggregate.ControlRecord(protocol.Sign(cfg.Aggregators[0], c))); err != nil {
			t.Fatal(err)
		}
	}
	settled := func(members int) {
		t.Helper()
		for _, a := range all {
			awaitChain(t, ctx, a, "a council of its size", func(h *history) bool {
				council, _ := h.rules()
				return len(council.Members) == members
			})
			awaitHeard(t, ctx, a, cfg.Spec.Codec.Shards(a.params))
		}
	}
	order(1, protocol.ActionAdd, []protocol.Signed[protocol.Accept]{accept}, []protocol.PeerID{})
	settled(5)
	grown := host.history.rounds()
	order(2, protocol.ActionRemove, []protocol.Signed[protocol.Accept]{}, []protocol.PeerID{cfg.Aggregators[3].ID()})
	settled(4)
	order(3, protocol.ActionRemove, []protocol.Signed[protocol.Accept]{}, []protocol.PeerID{cfg.Aggregators[2].ID()})
	settled(3)
	members, partly := 0, 0
	for _, a := range all {
		if n := len(a.hearing.shards()); n > 0 {
			members++
			if n < cfg.Spec.Codec.Shards(a.params) {
				partly++
			}
		}
	}
	if members != 3 || partly == 0 {
		t.Errorf("%d aggregators hear shards, %d of them a part; want 3, of whom two own each shard", members, partly)
	}
	order(4, protocol.ActionStop, []protocol.Signed[protocol.Accept]{}, []protocol.PeerID{})
	awaitFinished(t, ctx, host)
	v := host.View()
	tr := l.Trainers[0]
	if paid, err := host.bank.settled(ctx); err != nil || paid != v.Settled || v.Settled == 0 {
		t.Errorf("epoch %d is settled, %d stands on the chain: %v", v.Settled, paid, err)
	}
	var blobs []string
	for i := range cfg.Aggregators {
		blobs = append(blobs, blobsOf(cfg, i))
	}
	blobs = append(blobs, filepath.Join(cfg.Dir, "newcomer", "blobs"))
	for _, round := range []uint32{0, grown, v.Total - 1} { // of three councils
		r, err := Audit(ctx, awaitProof(t, ctx, host, round, tr.ID()), &l.Run, blobs, 1)
		if err != nil || r.Level != "L3" {
			t.Errorf("proof of round %d: %v, %+v", round, err, r)
		}
	}
}

// awaitChain waits until an aggregator's statement chain is as wanted.
func awaitChain(t *testing.T, ctx context.Context, a *Aggregator, what string, ok func(*history) bool) {
	t.Helper()
	for {
		more := a.history.wait()
		if ok(a.history) {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("%s never had %s", a.cfg.Key.ID().Short(), what)
		}
	}
}

// awaitHeard waits until an aggregator hears the shards that it owns, and no other.
func awaitHeard(t *testing.T, ctx context.Context, a *Aggregator, shards int) {
	t.Helper()
	for {
		var owned []int
		for i := range shards {
			if a.gathers(i) {
				owned = append(owned, i)
			}
		}
		if slices.Equal(a.hearing.shards(), owned) {
			return
		}
		if !waitFor(ctx, pollEvery/30) {
			t.Fatalf("%s owns %v and hears %v", a.cfg.Key.ID().Short(), owned, a.hearing.shards())
		}
	}
}
