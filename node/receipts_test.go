package node

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/internal/durable"
	"drystone/protocol"
	"drystone/verify"
)

// A commit counts as placed only with receipts of more aggregators than may lie: n - t + 1, so that one of them signs every
// Freeze. They are on disk before it counts. Another peer that never commits keeps the round open meanwhile.
func TestCommitNeedsSeveralReceipts(t *testing.T) {
	cfg := tinyConfig(t, 17, 4, 1, nil)
	cfg.Spec.Aggregate.StartPeers = 2
	silent := protocol.DeriveKey(17, "silent")
	placed := make(chan Event, 64)
	cfg.OnEvent = func(e Event) {
		if e.Kind == EventCommitted {
			select {
			case placed <- e:
			default:
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	join := protocol.Sign(silent, protocol.Join{Run: l.Run, Peer: silent.ID(), Payout: protocol.Address{1}, Nonce: 1})
	if err := l.Aggregators[0].propose(ctx, aggregate.JoinRecord(join)); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-placed:
		files, err := os.ReadDir(l.Trainers[0].receiptDir(0))
		if e.Round != 0 || e.Count < 2 || err != nil || len(files) < 2 {
			t.Errorf("committed to round %d with %d receipts, %d on disk (%v), want 2 of 4 at least", e.Round, e.Count, len(files), err)
		}
	case <-ctx.Done():
		t.Fatal("no commit")
	}
}

// A trainer whose commit a Freeze lacks in spite of receipts keeps a file that convicts who signed both, which it also finds
// after a restart. If no giver signed the Freeze, or there is no receipt, nobody broke a promise, and none is accused.
func TestLeftOut(t *testing.T) {
	c := newChain(t)
	next := c.aggs[1:]
	for _, tt := range []struct {
		name      string
		givers    []protocol.Key
		convicted []protocol.Key
		says      string
	}{
		{"two of four, one signed the Freeze", []protocol.Key{next[0], next[1]}, []protocol.Key{next[1]}, "left out in spite of its receipt by " + next[1].ID().String()},
		{"one that did not sign the Freeze", []protocol.Key{next[0]}, nil, "none of the 1"},
		{"none", nil, nil, "came too late"},
	} {
		var rec recorder
		dir := t.TempDir()
		tr := &Trainer{member: member{cfg: Config{Key: protocol.DeriveKey(1, "trainer"), Dir: dir, OnEvent: rec.event}, run: c.run, spec: &c.spec}}
		var err error
		if tr.history, err = openHistory(filepath.Join(dir, "statements"), &c.spec, c.run, false); err != nil {
			t.Fatal(err)
		}
		for _, s := range c.list {
			if _, err := tr.history.add(s); err != nil {
				t.Fatal(err)
			}
		}
		open := tr.history.find(protocol.KindOpen, 1)
		commit := protocol.Sign(tr.cfg.Key, protocol.Commit{Run: c.run, Round: 1, Peer: tr.cfg.Key.ID(), Open: open.Statement.Digest(), Steps: 4})
		for _, k := range tt.givers {
			if err := tr.keepReceipt(protocol.Sign(k, protocol.Receipt{Run: c.run, Round: 1, Commit: commit.Digest(), Aggregator: k.ID()})); err != nil {
				t.Fatal(err)
			}
		}
		// One of another commit, and a damaged one, are not this commit's.
		other := protocol.Sign(next[2], protocol.Receipt{Run: c.run, Round: 1, Commit: protocol.Hash("other"), Aggregator: next[2].ID()})
		if err := tr.keepReceipt(other); err != nil {
			t.Fatal(err)
		}
		if err := durable.WriteFile(filepath.Join(tr.receiptDir(1), "damaged.cbor"), []byte{1, 2}, 0o600); err != nil {
			t.Fatal(err)
		}
		tr.leftOut(1, commit)
		said := append(rec.of(EventOmitted), rec.of(EventWarning)...)
		if len(said) != 1 || !strings.Contains(said[0].Text, tt.says) || (said[0].Kind == EventOmitted) != (len(tt.convicted) > 0) {
			t.Errorf("%s: said %+v", tt.name, said)
		}
		data, err := os.ReadFile(filepath.Join(dir, "evidence", "omission-1.evidence"))
		if tt.convicted == nil {
			if err == nil {
				t.Errorf("%s: evidence against nobody", tt.name)
			}
			continue
		}
		o, err := verify.DecodeOmission(data)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		r, err := o.Judge(&c.run)
		if err != nil || !slices.Equal(r.Convicted, []protocol.PeerID{tt.convicted[0].ID()}) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
	}
}
