package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/ledger/chain"
	"drystone/protocol"
)

// What a run that is over has not earned goes back to its sponsor: t aggregators declare that no epoch follows the last one
// (EIP-712 Finish, package chain), and the ledger host hands that in once the last epoch stands on the chain. An aggregator
// declares it as soon as its own log says that no round follows, and tells the host until the host says that the escrow is
// closed. The contract takes it after that epoch alone, so nothing that is owed can be cut off.

const (
	// refundPatience is how long an aggregator that has seen the run finish waits for the refund before it says that it is
	// done. It goes on trying while it serves.
	refundPatience = 20 * time.Second
	declareMost    = time.Minute // between two attempts to tell the host
)

// declaration is one aggregator's signature that no epoch follows.
type declaration struct {
	_     struct{} `cbor:",toarray"`
	Epoch uint64   // the last of the run; 0 for a run without a round
	Sig   protocol.EVMSignature
}

// declared answers a declaration.
type declared struct {
	_      struct{} `cbor:",toarray"`
	Closed bool     // the rest went back to the sponsor
}

// refund is what an aggregator knows of the end of its run's money.
type refund struct {
	once sync.Once
	done chan struct{} // closed when the escrow is closed, as the chain or the ledger host says

	mu   sync.Mutex
	sigs map[protocol.PeerID][]byte // ledger host: declarations of the last epoch
}

func newRefund() *refund {
	return &refund{done: make(chan struct{}), sigs: map[protocol.PeerID][]byte{}}
}

func (r *refund) close() { r.once.Do(func() { close(r.done) }) }

func (r *refund) closed() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// lastEpoch waits until no round follows any more.
func (a *Aggregator) lastEpoch(ctx context.Context) (epoch uint64, err error) {
	for {
		changed, over := a.replica.Changed(), false
		a.replica.Read(func(m *aggregate.Machine) { epoch, over = m.LastEpoch() })
		if over {
			return epoch, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// declareOver signs that the run is over and tells the ledger host until the escrow is closed.
func (a *Aggregator) declareOver(ctx context.Context) {
	epoch, err := a.lastEpoch(ctx)
	if err != nil {
		return
	}
	council, genesis := a.history.rules()
	if _, ok := council.Member(a.cfg.Key.ID()); !ok {
		return
	}
	sig, err := a.signOver(epoch, genesis)
	if err != nil {
		a.warn(0, err)
		return
	}
	if a.bank != nil {
		a.refund.add(a.cfg.Key.ID(), sig)
		a.refundRest(ctx, epoch)
		return
	}
	req, err := protocol.Encode(declaration{Epoch: epoch, Sig: protocol.EVMSignature(sig)})
	for wait := time.Second; err == nil && !a.refund.closed(); wait = min(2*wait, declareMost) {
		if err := a.tellOver(ctx, genesis.Ledger.Host, req); err != nil {
			a.cfg.Log.Debug("declare the run over", "err", err)
		}
		if !a.refund.closed() && !waitFor(ctx, wait) {
			return
		}
	}
}

func (a *Aggregator) signOver(epoch uint64, genesis *protocol.Genesis) ([]byte, error) {
	key, err := evmKey(a.cfg.Key)
	if err != nil {
		return nil, err
	}
	d := deploymentOf(a.run, genesis.Ledger)
	return chain.Sign(chain.FinishDigest(d.ChainID, d.Distributor, d.RunID, epoch), key)
}

func (a *Aggregator) tellOver(ctx context.Context, host protocol.PeerID, req []byte) error {
	data, err := a.callFor(ctx, 20*time.Second, host, callOver, req, maxSmall)
	if err != nil {
		return err
	}
	var d declared
	if err := protocol.Decode(data, maxSmall, &d); err != nil {
		return err
	}
	if d.Closed {
		a.refund.close()
	}
	return nil
}

// serveOver takes declarations at the ledger host.
func (a *Aggregator) serveOver() {
	if a.bank == nil {
		return
	}
	a.host.Handle(callOver, maxSmall, func(_ context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
		var d declaration
		if err := protocol.Decode(req, maxSmall, &d); err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		if err := a.checkDeclaration(from, &d); err != nil {
			return nil, err
		}
		a.refund.add(from, d.Sig[:])
		return protocol.Encode(declared{Closed: a.refund.closed()})
	})
}

func (a *Aggregator) checkDeclaration(from protocol.PeerID, d *declaration) error {
	council, genesis := a.history.rules()
	if _, ok := council.Member(from); !ok {
		return gossip.Errorf(gossip.CodeRefused, "only aggregators of the run declare it over")
	}
	epoch, over := uint64(0), false
	a.replica.Read(func(m *aggregate.Machine) { epoch, over = m.LastEpoch() })
	if !over {
		return gossip.Errorf(gossip.CodeBusy, "the run is not over here yet")
	}
	if d.Epoch != epoch {
		return gossip.Errorf(gossip.CodeRefused, "the run is over after epoch %d, not %d", epoch, d.Epoch)
	}
	want, err := from.Address()
	if err != nil {
		return err
	}
	dep := deploymentOf(a.run, genesis.Ledger)
	got, err := chain.Recover(chain.FinishDigest(dep.ChainID, dep.Distributor, dep.RunID, epoch), d.Sig[:])
	if err != nil || got != common.Address(want) {
		return gossip.Errorf(gossip.CodeBad, "the declaration is not signed by %s", from.Short())
	}
	return nil
}

func (r *refund) add(id protocol.PeerID, sig []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sigs[id] = slices.Clone(sig)
}

// of returns the declarations of a council's members.
func (r *refund) of(c *protocol.Council) (sigs [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.sigs {
		if _, ok := c.Member(id); ok {
			sigs = append(sigs, s)
		}
	}
	return sigs
}

// refundRest closes the escrow once all that is owed stands on the chain and t aggregators declared the run over.
func (a *Aggregator) refundRest(ctx context.Context, epoch uint64) {
	said := ""
	err := retry(ctx, time.Second, func() error {
		rest, err := a.closeEscrow(ctx, epoch)
		if err != nil {
			if said != err.Error() && !errors.Is(err, errNotYet) && ctx.Err() == nil {
				said = err.Error()
				a.warn(0, fmt.Errorf("the rest of the budget stays in escrow: %w", err))
			}
			return err
		}
		if rest != nil {
			a.emit(Event{Kind: EventRefunded, Count: epoch, Text: fmt.Sprintf("the run is over: what it did not earn, %s %s, is back at the sponsor's account %s",
				wholeTokens(rest), a.spec.Payout.Symbol, a.bank.deployment.Sponsor)})
		}
		a.refund.close()
		return nil
	})
	if err != nil && ctx.Err() == nil {
		a.warn(0, err)
	}
}

// closeEscrow returns what went back to the sponsor, nil if it did earlier.
func (a *Aggregator) closeEscrow(ctx context.Context, epoch uint64) (*big.Int, error) {
	state, err := a.bank.at.Escrow(ctx, a.bank.deployment)
	if err != nil || state.Closed {
		return nil, err
	}
	phase, settled := aggregate.PhaseNew, uint64(0)
	a.replica.Read(func(m *aggregate.Machine) {
		if phase = m.Phase(); m.LastSettled() != nil {
			settled = m.LastSettled().Settlement.Epoch
		}
	})
	if phase != aggregate.PhaseFinished || settled != epoch {
		return nil, fmt.Errorf("%w: epoch %d of %d is settled", errNotYet, settled, epoch)
	}
	if stands, err := a.bank.settled(ctx); err != nil || stands != epoch {
		return nil, errors.Join(err, fmt.Errorf("%w: epoch %d of %d stands on the chain", errNotYet, stands, epoch))
	}
	council, _ := a.history.rules()
	sigs := a.refund.of(council)
	if len(sigs) < council.Threshold {
		return nil, fmt.Errorf("%w: %d of %d aggregators declared the run over", errNotYet, len(sigs), council.Threshold)
	}
	if err := a.rotateOnChain(ctx, epoch+1); err != nil {
		return nil, err
	}
	return state.Available, a.bank.finish(ctx, epoch, sigs)
}

// finish hands in the declarations that the run is over.
func (b *bank) finish(ctx context.Context, epoch uint64, sigs [][]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.at.Finish(ctx, b.key, b.deployment, epoch, sigs); err != nil {
		return fmt.Errorf("close the escrow after epoch %d: %w", epoch, err)
	}
	return nil
}

// awaitRefund waits for the end of the money, but not for ever: aggregators that are gone may keep it in escrow.
func (a *Aggregator) awaitRefund(ctx context.Context) {
	patience := time.NewTimer(refundPatience)
	defer patience.Stop()
	select {
	case <-a.refund.done:
	case <-ctx.Done():
	case <-patience.C:
		if a.bank != nil {
			a.warn(0, fmt.Errorf("too few aggregators have declared the run over: the rest of the budget stays in escrow until they do, or until the sponsor may reclaim it %d days after the last settlement",
				int(idleRefund.Hours()/24)))
		}
	}
}

// wholeTokens renders smallest units as tokens.
func wholeTokens(units *big.Int) string {
	return new(big.Rat).SetFrac(units, tokens(1)).FloatString(4)
}
