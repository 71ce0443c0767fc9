package node

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"drystone/aggregate"
	"drystone/ledger/chain"
	"drystone/protocol"
)

// rotationStatement is a rotation as the contract's client takes it.
func rotationStatement(r protocol.Rotation) chain.Rotation {
	x := chain.Rotation{RunID: r.Run, Sequence: r.Sequence, Threshold: r.Threshold}
	for _, s := range r.Signers {
		x.Signers = append(x.Signers, common.Address(s))
	}
	return x
}

// verifyRotation is what the state machine asks of a signature under a rotation: that it is the aggregator's.
func verifyRotation(d chain.Deployment) func(protocol.Rotation, protocol.PeerID, protocol.EVMSignature) error {
	return func(r protocol.Rotation, signer protocol.PeerID, sig protocol.EVMSignature) error {
		want, err := signer.Address()
		if err != nil {
			return err
		}
		got, err := chain.Recover(chain.RotationDigest(d.ChainID, d.Distributor, rotationStatement(r)), sig[:])
		if err != nil {
			return err
		}
		if got != common.Address(want) {
			return fmt.Errorf("rotation %d: signed by %s, not by %s", r.Sequence, got, want)
		}
		return nil
	}
}

// rotate signs the hand-over of the contract to the next set of aggregators.
func (a *Aggregator) rotate(ctx context.Context, d aggregate.DutyRotate) error {
	_, genesis := a.history.rules()
	dep := deploymentOf(a.run, genesis.Ledger)
	key, err := evmKey(a.cfg.Key)
	if err != nil {
		return err
	}
	digest := chain.RotationDigest(dep.ChainID, dep.Distributor, rotationStatement(d.Rotation))
	if err := a.promise(aggregate.NumberedPromise(aggregate.PromiseRotation, d.Rotation.Sequence, protocol.Digest(digest))); err != nil {
		return err
	}
	sig, err := chain.Sign(digest, key)
	if err != nil {
		return err
	}
	return a.propose(ctx, aggregate.RotateRecord(aggregate.Rotate{Rotation: d.Rotation, Signer: a.cfg.Key.ID(), Sig: protocol.EVMSignature(sig)}))
}

// rotated returns how often the chain's signers were replaced.
func (b *bank) rotated(ctx context.Context) (uint64, error) { return b.at.Rotations(ctx, b.deployment) }

// rotate hands in a rotation. It gives false for one that the chain has already.
func (b *bank) rotate(ctx context.Context, r *aggregate.Rotated) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if done, err := b.rotated(ctx); err != nil || done >= r.Rotation.Sequence {
		return false, err
	}
	sigs := make([][]byte, len(r.Sigs))
	for i := range r.Sigs {
		sigs[i] = r.Sigs[i].Sig[:]
	}
	if _, err := b.at.Rotate(ctx, b.key, b.deployment, rotationStatement(r.Rotation), sigs); err != nil {
		return false, fmt.Errorf("hand the contract over to aggregator set %d: %w", r.Rotation.Sequence, err)
	}
	return true, nil
}

// rotateOnChain hands in the rotations that the chain lacks, up to those that came before epoch was settled: its
// signatures are the set's of then.
func (a *Aggregator) rotateOnChain(ctx context.Context, epoch uint64) error {
	var due []aggregate.Rotated
	a.replica.Read(func(m *aggregate.Machine) {
		for _, r := range m.Rotations() {
			if r.Epoch < epoch {
				due = append(due, r)
			}
		}
	})
	for i := range due {
		fresh, err := a.bank.rotate(ctx, &due[i])
		if err != nil {
			return err
		}
		if fresh {
			n := due[i].Rotation.Sequence
			a.emit(Event{Kind: EventCouncil, Count: n, Text: fmt.Sprintf("the contract is handed over to aggregator set %d", n)})
		}
	}
	return nil
}
