package node

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// withDown gives a spec a way down at a thirtieth of the states' bytes, about.
func withDown(spec *protocol.RunSpec) {
	spec.Codec.Down, spec.Codec.DownTopK, spec.Codec.DownValueBits, spec.Codec.DownDecay = "rice", 512, 2, 1
}

// docs/protocol.md, "The way down": a run in which owners merge their shards and trainers get payloads. Every trainer holds the
// certified states without having fetched more than the first one whole, who missed rounds makes up for them by payloads, and
// an audit merges to the same payloads.
func TestWayDown(t *testing.T) {
	for delay := range uint32(2) {
		t.Run(fmt.Sprintf("delay %d", delay), func(t *testing.T) {
			if delay > 0 && !*long {
				t.Skip("-long")
			}
			wayDown(t, delay)
		})
	}
}

func wayDown(t *testing.T, delay uint32) {
	const rounds = 4
	cfg := ownedConfig(t, rounds, protocol.AggregateSpec{Rule: "centered-clip", Radius: 1})
	withDown(&cfg.Spec)
	cfg.Spec.Train.Delay = delay
	l := runLocal(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	h, params := l.Aggregators[0].history, l.Aggregators[0].params
	whole, sizes := 4*params, make([]int, rounds)
	for round := range uint32(rounds) {
		cert, err := l.Aggregators[0].certificate(round)
		if err != nil || len(cert.Updates) < 2 {
			t.Fatalf("certificate of round %d: %+v, %v", round, cert, err)
		}
		for _, u := range cert.Updates {
			sizes[round] += int(u.Size)
		}
		if sizes[round] == 0 || sizes[round] > whole/10 {
			t.Errorf("payloads of round %d have %d bytes, a state %d", round, sizes[round], whole)
		}
	}
	for i, tr := range l.Trainers {
		<-tr.Finished()
		if tr.Err() != nil {
			t.Errorf("trainer %d: %v", i, tr.Err())
		}
		wantBytes(t, "a trainer from the first state on", int(tr.host.Stats().BlobDown), whole+sizes[0]+sizes[1]+sizes[2])
	}
	t.Run("missed rounds", func(t *testing.T) { checkMissed(t, ctx, l, cfg, sizes) })
	t.Run("audit", func(t *testing.T) {
		var blobs []string
		for i := range cfg.Aggregators {
			blobs = append(blobs, blobsOf(cfg, i))
		}
		proof := awaitProof(t, ctx, l.Aggregators[0], 2, l.Trainers[0].ID())
		r, err := Audit(ctx, proof, &l.Run, blobs, 1)
		if err != nil || r.Level != "L3" {
			t.Errorf("audit: %v\n%+v", err, r)
		}
	})
	if got := modelRoots(t, h); len(got) != 2*rounds {
		t.Errorf("%d roots of %d rounds", len(got), rounds)
	}
}

// checkMissed: who has the state of round 1 takes payloads, who has none the newest state, and a wrong turn is noticed.
func checkMissed(t *testing.T, ctx context.Context, l *Local, cfg LocalConfig, sizes []int) {
	c := Config{Key: protocol.DeriveKey(21, "reader"), Dir: filepath.Join(cfg.Dir, "reader")}
	var m member
	defer func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := m.open(ctx, c, l.Link, nil); err != nil {
		t.Fatal(err)
	}
	if err := retry(ctx, time.Second, func() error { return m.catchUp(ctx, linkPeers(l.Link)) }); err != nil {
		t.Fatal(err)
	}
	root := func(round uint32) protocol.Digest {
		r, _, err := m.history.modelRoot(round)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	read := func(round uint32) (fetched int) {
		before := m.host.Stats().BlobDown
		theta, err := m.model(ctx, round, root(round), m.councilPeers)
		if err != nil || aggregate.VectorRoot(theta) != root(round) {
			t.Fatalf("state of round %d: %v", round, err)
		}
		return int(m.host.Stats().BlobDown - before)
	}
	wantBytes(t, "who has no state", read(1), 4*m.params)
	if _, err := m.stepTo(ctx, 3, root(4), m.councilPeers); err == nil || !strings.Contains(err.Error(), "lead to state") {
		t.Errorf("payloads that lead elsewhere: %v", err)
	}
	wantBytes(t, "who has the state of round 1", read(4), sizes[3]) // those of rounds 1 and 2 are here by now
	if _, err := m.shortcut(1); err == nil {
		t.Error("a shortcut to round 1 without the state before it")
	}
	for i, tr := range l.Trainers {
		if _, err := tr.model(ctx, 4, root(4), tr.councilPeers); err != nil {
			t.Errorf("trainer %d: %v", i, err)
		}
	}
}

// wantBytes allows for the frames of pieces, and on a slow machine for pieces that come twice.
func wantBytes(t *testing.T, who string, got, want int) {
	t.Helper()
	if got < want || got > 2*want { // a late piece is asked of a second source
		t.Errorf("%s fetches %d bytes of pieces, want %d", who, got, want)
	}
}
