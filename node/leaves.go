package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/protocol"
	"drystone/verify"
)

// An aggregator that was away for so long that Raft gave it a snapshot, or that lost its transparency log, lacks leaves.
// It fetches them from the others, and takes none that does not lead to the root in its own state machine.

// leavesPage bounds the leaves of one response.
const leavesPage = 4096

// serveLeaves gives anyone leaves of the transparency log, which is public.
func (a *Aggregator) serveLeaves() {
	a.host.Handle(callLeaves, maxSmall, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		var r leavesRequest
		if err := protocol.Decode(req, maxSmall, &r); err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		if have := a.tlog.Size(); r.From >= r.Size || r.Size > have {
			return nil, gossip.Errorf(gossip.CodeNotFound, "leaves from %d of %d; the log here has %d", r.From, r.Size, have)
		}
		return a.encodeLeaves(r)
	})
}

// encodeLeaves puts as many leaves as fit into a response, with the proof that they are of the log that was asked about.
func (a *Aggregator) encodeLeaves(r leavesRequest) ([]byte, error) {
	resp := leavesResponse{Leaves: [][]byte{}, Proof: []protocol.Digest{}}
	for n, size := r.From, 0; n < r.Size && len(resp.Leaves) < leavesPage; n++ {
		leaf, err := a.tlog.Leaf(n)
		if err != nil {
			return nil, err
		}
		if size += len(leaf) + 8; size > maxLeaves/2 && n > r.From {
			break
		}
		resp.Leaves = append(resp.Leaves, leaf)
	}
	if last := r.From + uint64(len(resp.Leaves)); last < r.Size {
		var err error
		if resp.Proof, err = a.tlog.Consistency(last, r.Size); err != nil {
			return nil, err
		}
	}
	return protocol.Encode(resp)
}

// keepLeaves appends leaves to the transparency log and indexes them. Some may be there already. ErrGap means that some
// before them are missing.
func (a *Aggregator) keepLeaves(first uint64, leaves [][]byte) error {
	a.keeping.Lock()
	defer a.keeping.Unlock()
	for i, leaf := range leaves {
		have := a.tlog.Size()
		if err := a.tlog.Append(first+uint64(i), leaf); err != nil {
			return fmt.Errorf("transparency log: %w", err)
		}
		if a.tlog.Size() > have {
			a.index.add(have, leaf)
		}
	}
	return nil
}

// lackLeaves has completeLog look.
func (a *Aggregator) lackLeaves() {
	select {
	case a.lacking <- struct{}{}:
	default:
	}
}

// completeLog fetches leaves that are missing whenever some are, until the aggregator closes.
func (a *Aggregator) completeLog(ctx context.Context) {
	for {
		select {
		case <-a.lacking:
		case <-ctx.Done():
			return
		}
		for _, p := range a.councilPeers() {
			n, err := a.leavesFrom(ctx, p)
			if n > 0 {
				a.emit(Event{Kind: EventCaughtUp, Count: n, Text: fmt.Sprintf("%d leaves of the transparency log fetched from %s", n, p.Short())})
			}
			if err != nil && ctx.Err() == nil {
				a.cfg.Log.Info("leaves of the transparency log", "from", p.Short(), "err", err)
			}
		}
		if size, _ := a.loggedSize(); a.tlog.Size() < size && waitFor(ctx, time.Second) {
			a.lackLeaves()
		}
	}
}

// loggedSize returns size and root of the transparency log by the state machine.
func (a *Aggregator) loggedSize() (size uint64, root protocol.Digest) {
	a.replica.Read(func(m *aggregate.Machine) { size, root = m.Log() })
	return size, root
}

// leavesFrom fetches from one peer what is missing, page by page, and returns how many leaves it gave.
func (a *Aggregator) leavesFrom(ctx context.Context, p protocol.PeerID) (n uint64, err error) {
	for ctx.Err() == nil {
		first := a.tlog.Size()
		size, root := a.loggedSize()
		if first >= size {
			return n, nil
		}
		req, err := protocol.Encode(leavesRequest{From: first, Size: size})
		if err != nil {
			return n, err
		}
		data, err := a.callFor(ctx, time.Minute, p, callLeaves, req, maxLeaves)
		if err != nil {
			return n, err
		}
		var resp leavesResponse
		if err := protocol.Decode(data, maxLeaves, &resp); err != nil {
			return n, fmt.Errorf("leaves from %s: %w", p.Short(), err)
		}
		if err := a.tlog.CheckExtension(first, resp.Leaves, size, root, resp.Proof); err != nil {
			return n, fmt.Errorf("leaves from %s: %w", p.Short(), err)
		}
		if err := a.keepLeaves(first, resp.Leaves); err != nil {
			a.keptLeaves(err)
			return n, err
		}
		n += uint64(len(resp.Leaves))
	}
	return n, ctx.Err()
}

// keptLeaves handles the outcome of keepLeaves for what the state machine handed out: a gap is filled from others; a disk
// that fails ends the aggregator, as it must not sign for a log that it does not hold.
func (a *Aggregator) keptLeaves(err error) {
	switch {
	case err == nil:
	case errors.Is(err, verify.ErrGap):
		a.lackLeaves()
	case errors.Is(err, verify.ErrFork):
		a.warn(0, err)
	default:
		a.fail(err)
	}
}
