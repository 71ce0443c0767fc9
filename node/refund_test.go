package node

import (
	"context"
	"errors"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/ledger/chain"
	"drystone/protocol"
)

// wantRefunded checks where the money of a run that is over is: what was settled at the distributor, or claimed from it, and
// all else at the sponsor's account; the escrow is closed and empty.
func wantRefunded(t *testing.T, ctx context.Context, host *Aggregator, earned *big.Int) {
	t.Helper()
	d := host.bank.deployment
	state, err := host.bank.at.Escrow(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	balance := func(who common.Address) *big.Int {
		b, err := host.bank.at.BalanceOf(ctx, d.Token, who)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rest := new(big.Int).Sub(tokens(host.spec.Payout.Budget), earned)
	if !state.Closed || state.Available.Sign() != 0 || balance(d.Sponsor).Cmp(rest) != 0 || balance(d.Distributor).Cmp(earned) != 0 {
		t.Errorf("escrow closed %v with %s; sponsor has %s, want %s; distributor %s, want %s", state.Closed, state.Available, balance(d.Sponsor), rest,
			balance(d.Distributor), earned)
	}
}

// A run that the founder stops before its first round has earned nothing: the whole budget goes back. Who is no aggregator
// cannot declare a run over, and one that signs another epoch neither (docs/economics.md, The end).
func TestRefundWithoutARound(t *testing.T) {
	cfg := tinyConfig(t, 23, 4, 1, nil)
	cfg.Spec.Aggregate.StartPeers = 2 // the second never comes
	var rec recorder
	cfg.OnEvent = rec.event
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
	host, other := l.Aggregators[0], l.Aggregators[1]
	early, err := protocol.Encode(declaration{})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, from *member, req []byte, code gossip.Code) {
		t.Helper()
		var no *gossip.RemoteError
		if _, err := from.host.Call(ctx, host.cfg.Key.ID(), callOver, req, maxSmall); !errors.As(err, &no) || no.Code != code {
			t.Errorf("%s: %v, want code %v", what, err, code)
		}
	}
	refused("before the end", &other.member, early, gossip.CodeBusy)
	stop := protocol.Control{Run: l.Run, Founder: cfg.Aggregators[0].ID(), Action: protocol.ActionStop, Nonce: 1,
		Add: []protocol.Signed[protocol.Accept]{}, Remove: []protocol.PeerID{}}
	if err := host.propose(ctx, aggregate.ControlRecord(protocol.Sign(cfg.Aggregators[0], stop))); err != nil {
		t.Fatal(err)
	}
	awaitFinished(t, ctx, host)
	wantRefunded(t, ctx, host, new(big.Int))
	if said := rec.of(EventRefunded); len(said) != 1 {
		t.Errorf("said of the refund: %+v", said)
	}

	signed := func(key protocol.Key, epoch uint64) []byte {
		k, err := evmKey(key)
		if err != nil {
			t.Fatal(err)
		}
		d := host.bank.deployment
		sig, err := chain.Sign(chain.FinishDigest(d.ChainID, d.Distributor, d.RunID, epoch), k)
		if err != nil {
			t.Fatal(err)
		}
		req, err := protocol.Encode(declaration{Epoch: epoch, Sig: protocol.EVMSignature(sig)})
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	refused("a trainer", &l.Trainers[0].member, signed(l.Trainers[0].cfg.Key, 0), gossip.CodeRefused)
	refused("another epoch", &other.member, signed(other.cfg.Key, 1), gossip.CodeRefused)
	refused("another's signature", &other.member, signed(host.cfg.Key, 0), gossip.CodeBad)
	refused("no signature", &other.member, early, gossip.CodeBad)
}
