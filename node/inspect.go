package node

import (
	"context"

	"drystone/aggregate"
	"drystone/protocol"
	"drystone/trainer"
)

// CheckCount is how often a peer's contributions were checked, and with what result.
type CheckCount struct{ Passed, Failed int }

// Checks counts the verdicts that drawn verifiers gave on each peer; confirmations of a failed check are not counted.
func (a *Aggregator) Checks() map[protocol.PeerID]CheckCount {
	a.index.mu.Lock()
	defer a.index.mu.Unlock()
	counts := map[protocol.PeerID]CheckCount{}
	for k, list := range a.index.verdicts {
		c := counts[k.peer]
		for _, v := range list {
			switch {
			case v.Body.Drawer != v.Body.Verifier:
			case v.Body.Outcome == protocol.Passed:
				c.Passed++
			default:
				c.Failed++
			}
		}
		counts[k.peer] = c
	}
	return counts
}

// View returns a copy of the run's state as this aggregator has it.
func (a *Aggregator) View() aggregate.View { return a.view() }

// Model returns the parameters at the start of a round, which is their ModelRoot's.
func (a *Aggregator) Model(ctx context.Context, round uint32) ([]float32, protocol.Digest, error) {
	root, _, err := a.history.modelRoot(round)
	if err != nil {
		return nil, root, err
	}
	theta, err := a.model(ctx, round, root, a.councilPeers)
	return theta, root, err
}

// Revealed returns the peers whose contributions entered a certified round.
func (a *Aggregator) Revealed(round uint32) ([]protocol.PeerID, error) {
	set, _, err := statementOf[protocol.RevealSet](a.history, protocol.KindRevealSet, round)
	if err != nil {
		return nil, err
	}
	peers := make([]protocol.PeerID, len(set.Set))
	for i, r := range set.Set {
		peers[i] = r.Peer
	}
	return peers, nil
}

// Params returns the number of parameters of the run's model.
func (a *Aggregator) Params() int { return a.params }

// HeldOut returns how the parameters at the start of a round do on the first held-out sequences or examples, at most n.
func (a *Aggregator) HeldOut(ctx context.Context, round uint32, n int) (trainer.Score, error) {
	theta, _, err := a.Model(ctx, round)
	if err != nil {
		return trainer.Score{}, err
	}
	return a.device.Evaluate(ctx, theta, n)
}
