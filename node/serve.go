package node

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/protocol"
)

// serve answers peers' calls.
func (a *Aggregator) serve() {
	a.host.Handle(callJoin, maxSmall, func(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		s, err := protocol.DecodeSigned[protocol.Join](req)
		if err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		return nil, logged(a.propose(ctx, aggregate.JoinRecord(s)))
	})
	a.host.Handle(callLeave, maxSmall, func(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		s, err := protocol.DecodeSigned[protocol.Leave](req)
		if err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		return nil, logged(a.propose(ctx, aggregate.LeaveRecord(s)))
	})
	a.host.Handle(callCommit, maxSmall, a.takeCommit)
	a.host.Handle(callReveal, maxSmall, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		return serveReveal(a.reveals, req)
	})
	a.host.Handle(callStatus, 0, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return a.status() })
	a.host.Handle(callAccount, maxSmall, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		if len(req) != 20 {
			return nil, gossip.Errorf(gossip.CodeBad, "an account has 20 bytes")
		}
		return json.Marshal(a.account(protocol.Address(req)))
	})
	a.host.Handle(callProof, maxSmall, func(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		var r proofRequest
		if err := protocol.Decode(req, maxSmall, &r); err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		p, err := a.Proof(ctx, r.Round, r.Peer)
		if err != nil {
			return nil, gossip.Errorf(gossip.CodeNotFound, "%v", err)
		}
		return p, nil
	})
	if a.bank != nil {
		a.bank.serve(&a.member, func(ctx context.Context) (*aggregate.SettledEpoch, error) {
			e := a.view().LastSettled
			if e == nil {
				return nil, nil
			}
			return e, a.settleOnChain(ctx, e)
		})
	}
}

// logged turns a refusal into an answer for the caller: try again later if it came too early.
func logged(err error) error {
	if errors.Is(err, aggregate.ErrEarly) {
		return gossip.Errorf(gossip.CodeBusy, "%v", err)
	}
	if errors.Is(err, aggregate.ErrRefused) {
		return gossip.Errorf(gossip.CodeRefused, "%v", err)
	}
	return err
}

// takeCommit logs a commit and answers with a receipt: from then on this aggregator signs no Freeze without it.
func (a *Aggregator) takeCommit(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
	c, err := protocol.DecodeSigned[protocol.Commit](req)
	if err == nil {
		err = c.Verify()
	}
	if err != nil {
		return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
	}
	if err := a.propose(ctx, aggregate.CommitRecord(c)); err != nil {
		return nil, logged(err)
	}
	if err := a.counted(ctx, &c); err != nil {
		return nil, err
	}
	if err := a.promise(aggregate.ReceiptPromise(c.Body.Round, c.Digest())); err != nil {
		return nil, logged(err)
	}
	r := protocol.Sign(a.cfg.Key, protocol.Receipt{Run: a.run, Round: c.Body.Round, Commit: c.Digest(), Aggregator: a.cfg.Key.ID()})
	return r.Encode(), nil
}

// counted waits until this aggregator's own log has the commit as the one that counts. The leader's word is not enough for a
// receipt, nor is that a commit was logged: a peer's second one is, as evidence.
func (a *Aggregator) counted(ctx context.Context, c *protocol.Signed[protocol.Commit]) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	want := c.Digest()
	for {
		changed := a.replica.Changed()
		other, mine := false, false
		a.replica.Read(func(m *aggregate.Machine) {
			for _, x := range m.Commits(c.Body.Round) {
				if x.Body.Peer == c.Body.Peer {
					mine = x.Digest() == want
					other = !mine
				}
			}
		})
		switch {
		case mine:
			return nil
		case other:
			return gossip.Errorf(gossip.CodeRefused, "another commit of %s counts in round %d", c.Body.Peer.Short(), c.Body.Round)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return gossip.Errorf(gossip.CodeBusy, "the commit is not in this aggregator's log; ask again, or another aggregator")
		}
	}
}

// serveReveal answers with a kept reveal.
func serveReveal(r *reveals, req []byte) ([]byte, error) {
	var q revealRequest
	if err := protocol.Decode(req, maxSmall, &q); err != nil {
		return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
	}
	data, err := r.get(q.Round, q.Peer, q.Shard)
	if err == nil && data == nil {
		return nil, gossip.Errorf(gossip.CodeNotFound, "shard %d of %s in round %d is not here", q.Shard, q.Peer.Short(), q.Round)
	}
	return data, err
}

// Account is what the run owes an account by its latest settled epoch.
type Account struct {
	Address protocol.Address `json:"address"`
	Epoch   uint64           `json:"epoch"`  // latest settled; 0 for none
	Earned  string           `json:"earned"` // smallest units since the run began, decimal
}

func (a *Aggregator) account(addr protocol.Address) Account {
	acc := Account{Address: addr, Earned: "0"}
	e := a.view().LastSettled
	if e == nil {
		return acc
	}
	acc.Epoch = e.Settlement.Epoch
	for _, p := range e.Payouts {
		if p.Account == addr {
			acc.Earned = new(big.Int).SetBytes(p.Cumulative[:]).String()
		}
	}
	return acc
}
