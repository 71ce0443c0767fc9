package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"drystone/aggregate"
	"drystone/ledger/chain"
	"drystone/protocol"
	"drystone/verify"
)

// retryDuty is the pause before a duty that failed is tried again.
const retryDuty = time.Second

// doAgain is how long a duty that is done may still be named before it is done again: the leader may have said so and lied.
const doAgain = 20 * time.Second

// maxDuties bounds the duties under way at once; checks queue for the compute device besides.
const maxDuties = 64

// work does what the state machine says this aggregator owes, until the member closes. Duties follow from the state, so
// nothing is lost by a crash: what was not logged is owed again.
func (a *Aggregator) work(ctx context.Context) {
	done := make(chan struct{}, 1)
	for ctx.Err() == nil {
		changed := a.replica.Changed()
		var duties []aggregate.Duty
		var phase aggregate.Phase
		var latest *aggregate.SettledEpoch
		a.replica.Read(func(m *aggregate.Machine) {
			duties, phase, latest = m.Duties(a.cfg.Key.ID()), m.Phase(), m.LastSettled()
		})
		a.forget(duties)
		if a.bank != nil && !a.onChain(latest) {
			a.begin(fmt.Sprintf("chain/%d", latest.Settlement.Epoch), done, func(ctx context.Context) error { return a.settleOnChain(ctx, latest) })
		}
		for _, d := range duties {
			a.begin(d.Key(), done, func(ctx context.Context) error { return a.do(ctx, d) })
		}
		if phase == aggregate.PhaseFinished && (a.bank == nil || a.onChain(latest)) {
			a.finishOnce.Do(func() {
				a.spawn(func(ctx context.Context) {
					if a.awaitRefund(ctx); ctx.Err() != nil {
						return
					}
					a.emit(Event{Kind: EventFinished, Round: a.view().Total, Text: "the run is finished"})
					close(a.finished)
				})
			})
		}
		select {
		case <-changed:
		case <-done:
		case <-ctx.Done():
		}
	}
}

// forget drops the marks of duties that the state machine no longer names.
func (a *Aggregator) forget(duties []aggregate.Duty) {
	owed := make(map[string]bool, len(duties))
	for _, d := range duties {
		owed[d.Key()] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.done, func(key string, at time.Time) bool { return !owed[key] || time.Since(at) > doAgain })
}

// begin starts a duty unless it is under way or done: its record may stand in the log before this aggregator has applied
// it. A failed one is tried again after a pause, and done wakes work.
func (a *Aggregator) begin(key string, done chan<- struct{}, fn func(context.Context) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[key] || !a.done[key].IsZero() || len(a.busy) >= maxDuties {
		return
	}
	a.busy[key] = true
	a.spawn(func(ctx context.Context) {
		began := time.Now()
		err := fn(ctx)
		a.duties.add(dutyName(key, err), time.Since(began).Seconds())
		if err != nil && ctx.Err() == nil {
			if !errors.Is(err, errNotYet) && !errors.Is(err, aggregate.ErrRefused) {
				a.warn(0, fmt.Errorf("%s: %w", key, err))
			}
			waitFor(ctx, retryDuty)
		}
		a.mu.Lock()
		delete(a.busy, key)
		if err == nil {
			a.done[key] = time.Now()
		}
		a.mu.Unlock()
		select {
		case done <- struct{}{}:
		default:
		}
	})
}

// dutyName names an ended duty for the metrics: its kind, as its key begins, and its result.
func dutyName(key string, err error) string {
	kind, _, _ := strings.Cut(key, "/")
	switch {
	case err == nil:
		return kind + "/done"
	case errors.Is(err, errNotYet), errors.Is(err, aggregate.ErrRefused), errors.Is(err, context.Canceled):
		return kind + "/again"
	}
	return kind + "/failed"
}

// errNotYet means that a duty has to wait; it is tried again.
var errNotYet = errors.New("not yet")

func (a *Aggregator) do(ctx context.Context, d aggregate.Duty) error {
	switch d := d.(type) {
	case aggregate.DutySign:
		return a.sign(ctx, d)
	case aggregate.DutyGather:
		return a.gather(ctx, d)
	case aggregate.DutyMerge:
		return a.merge(ctx, d)
	case aggregate.DutySums:
		return a.sums(ctx, d)
	case aggregate.DutyShard:
		return a.mergeShard(ctx, d)
	case aggregate.DutyDraw:
		return a.draw(ctx, d)
	case aggregate.DutyCheck:
		return a.check(ctx, d)
	case aggregate.DutySettle:
		return a.settle(ctx, d)
	case aggregate.DutyRotate:
		return a.rotate(ctx, d)
	case aggregate.DutyCheckpoint:
		return a.checkpoint(ctx, d)
	}
	return fmt.Errorf("unknown duty %T", d)
}

// sign cosigns a statement that every aggregator derives, unless this one knows better: of a commit that it gave a
// receipt for, or that its own clock has not reached the deadline.
func (a *Aggregator) sign(ctx context.Context, d aggregate.DutySign) error {
	s := d.Statement
	a.mu.Lock()
	since := a.since
	a.mu.Unlock()
	receipts := a.promises.Receipts(s.Round)
	var refused error
	a.replica.Read(func(m *aggregate.Machine) { refused = m.MaySign(&s, time.Now(), since, receipts) })
	if refused != nil {
		return fmt.Errorf("%w: %w", errNotYet, refused)
	}
	if len(d.Shards) > 0 {
		if err := a.assemble(ctx, &s, d.Shards); err != nil {
			return err
		}
	}
	sig, err := a.promised(&s)
	if err != nil {
		return err
	}
	return a.propose(ctx, aggregate.CosignRecord(s, sig))
}

func (a *Aggregator) draw(ctx context.Context, d aggregate.DutyDraw) error {
	sig, err := a.bls.Sign(d.Message)
	if err != nil {
		return err
	}
	return a.propose(ctx, aggregate.DrawRecord(protocol.Sign(a.cfg.Key, protocol.Draw{Run: a.run, Round: d.Round, Verifier: a.cfg.Key.ID(), BLS: sig})))
}

// settle proposes an epoch's payouts. Every aggregator computes and signs the same.
func (a *Aggregator) settle(ctx context.Context, d aggregate.DutySettle) error {
	_, genesis := a.history.rules()
	dep := deploymentOf(a.run, genesis.Ledger)
	s, payouts, err := proposeSettlement(a.spec, a.run, dep, d)
	if err != nil {
		return err
	}
	key, err := evmKey(a.cfg.Key)
	if err != nil {
		return err
	}
	digest := chain.SettlementDigest(dep.ChainID, dep.Distributor, settlementStatement(s))
	if err := a.promise(aggregate.NumberedPromise(aggregate.PromiseSettlement, d.Epoch, protocol.Digest(digest))); err != nil {
		return err
	}
	sig, err := chain.Sign(digest, key)
	if err != nil {
		return err
	}
	return a.propose(ctx, aggregate.SettleRecord(aggregate.Settle{Settlement: s, Payouts: payouts, Signer: a.cfg.Key.ID(), Sig: protocol.EVMSignature(sig)}))
}

// checkpoint cosigns the transparency log as this aggregator holds it.
func (a *Aggregator) checkpoint(ctx context.Context, d aggregate.DutyCheckpoint) error {
	root, err := a.tlog.Root(d.Size)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotYet, err)
	}
	if root != d.Root {
		return fmt.Errorf("the log on this disk has root %s at size %d, the group's is %s", root.Short(), d.Size, d.Root.Short())
	}
	if err := a.promise(aggregate.NumberedPromise(aggregate.PromiseCheckpoint, d.Size, d.Root)); err != nil {
		return err
	}
	note, err := verify.SignCheckpoint(a.cfg.Key, a.run, d.Size, d.Root)
	if err != nil {
		return err
	}
	return a.propose(ctx, aggregate.CheckpointRecord(aggregate.Checkpoint{Size: d.Size, Signer: a.cfg.Key.ID(), Note: note}))
}

// settleOnChain hands in the settled epochs up to e that the chain lacks, in order: each stays within the contract's cap
// per epoch, while the sum of several may not. Only the ledger host does.
func (a *Aggregator) settleOnChain(ctx context.Context, e *aggregate.SettledEpoch) error {
	if a.onChain(e) {
		return nil
	}
	last, err := a.bank.settled(ctx)
	if err != nil {
		return err
	}
	for n := last + 1; n <= e.Settlement.Epoch; n++ {
		missing, err := a.settledEpoch(n)
		if err != nil {
			return err
		}
		if err := a.rotateOnChain(ctx, n); err != nil {
			return err
		}
		fresh, err := a.bank.settle(ctx, missing)
		if err != nil {
			return err
		}
		if !fresh {
			continue
		}
		a.emit(Event{Kind: EventPaid, Count: n, Text: fmt.Sprintf("epoch %d stands on the chain", n)})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paid = max(a.paid, e.Settlement.Epoch)
	return nil
}

// settledEpoch reads a settled epoch from the transparency log.
func (a *Aggregator) settledEpoch(epoch uint64) (*aggregate.SettledEpoch, error) {
	a.index.mu.Lock()
	leaves := a.index.settled
	a.index.mu.Unlock()
	if epoch < 1 || epoch > uint64(len(leaves)) {
		return nil, fmt.Errorf("%w: epoch %d is not in the transparency log here", errNotYet, epoch)
	}
	leaf, err := a.tlog.Leaf(leaves[epoch-1])
	if err != nil {
		return nil, err
	}
	_, v, err := aggregate.DecodeRecord(leaf)
	if err != nil {
		return nil, err
	}
	e, ok := v.(*aggregate.SettledEpoch)
	if !ok || e.Settlement.Epoch != epoch {
		return nil, fmt.Errorf("leaf %d of the transparency log is not the settlement of epoch %d", leaves[epoch-1], epoch)
	}
	return e, nil
}

// onChain reports whether this process has seen the epoch on the chain.
func (a *Aggregator) onChain(e *aggregate.SettledEpoch) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return e == nil || a.paid >= e.Settlement.Epoch
}
