package node

import (
	"context"
	"slices"
	"testing"

	"drystone/protocol"
	"drystone/verify"
)

// An aggregator that lacks leaves of the transparency log, as after a snapshot of the others, fetches them, and can then
// prove what they are about.
func TestLeavesAreFetched(t *testing.T) {
	caught := make(chan struct{})
	cfg := tinyConfig(t, 8, 2, 2, nil)
	cfg.OnEvent = func(e Event) {
		if e.Kind == EventCaughtUp {
			close(caught)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, a := range l.Aggregators {
		awaitFinished(t, ctx, a)
	}
	a := l.Aggregators[0]
	complete := a.tlog
	defer complete.Close()
	part, err := verify.OpenLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) { // what it had before
		leaf, err := complete.Leaf(i)
		if err == nil {
			err = part.Append(i, leaf)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	index, err := newLogIndex(part)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock() // duties that used the old one are done
	a.tlog, a.index = part, index
	a.mu.Unlock()
	a.lackLeaves()
	select {
	case <-caught:
	case <-ctx.Done():
		t.Fatal("the leaves did not come")
	}
	size, root := a.loggedSize()
	have, err := a.tlog.Root(size)
	if err != nil || have != root || a.tlog.Size() != complete.Size() {
		t.Errorf("the log has %d leaves and root %s, want %d and %s: %v", a.tlog.Size(), have.Short(), complete.Size(), root.Short(), err)
	}
	open, _, err := statementOf[protocol.Open](a.history, protocol.KindOpen, 1)
	if err != nil {
		t.Fatal(err)
	}
	for p := range slices.Values(open.Roster) {
		awaitProof(t, ctx, a, 1, p)
	}
}

// What another aggregator sends is bounded and checked before anything is kept.
func FuzzLeavesResponse(f *testing.F) {
	l, err := verify.OpenLog(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	good, err := protocol.Encode(leavesResponse{Leaves: [][]byte{{1}, {2}}, Proof: []protocol.Digest{{3}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, size uint64) {
		var resp leavesResponse
		if protocol.Decode(data, maxLeaves, &resp) != nil {
			return
		}
		if l.CheckExtension(0, resp.Leaves, size, protocol.Digest{9}, resp.Proof) == nil {
			t.Fatal("accepted leaves that lead to a root nobody knows")
		}
	})
}
