package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"drystone/gossip"
	"drystone/protocol"
	"drystone/verify"
)

// A run is founded in three steps. Each aggregator offers itself to the founder; when all are there the founder deploys
// the contracts and proposes a Genesis; every aggregator computes the initial state itself, checks its own entry and
// signs. The finished Genesis carries the founder's signature and everyone's in it.

// offer describes this aggregator.
func (a *Aggregator) offer() (protocol.Aggregator, error) {
	proof, err := a.bls.Prove()
	if err != nil {
		return protocol.Aggregator{}, fmt.Errorf("prove possession of the BLS key: %w", err)
	}
	return protocol.Aggregator{ID: a.cfg.Key.ID(), BLS: a.bls.Public(), Proof: proof, Addrs: a.host.Addrs()}, nil
}

// genesisFor makes the Genesis body from the gathered aggregators.
func (a *Aggregator) genesisFor(set []protocol.Aggregator, l protocol.Ledger) protocol.Genesis {
	slices.SortFunc(set, func(x, y protocol.Aggregator) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	return protocol.Genesis{
		Founder: a.spec.Founder, Aggregators: set, Threshold: uint32(a.spec.Quorum.Threshold),
		Model: a.theta0, Outer: a.outer0, Params: uint64(a.params), Ledger: l,
	}
}

// gatherer collects offers at the founder.
type gatherer struct {
	mu     sync.Mutex
	want   int
	offers map[protocol.PeerID]protocol.Aggregator
	full   chan struct{} // closed when want offers are in
}

func newGatherer(want int, own protocol.Aggregator) *gatherer {
	g := &gatherer{want: want, offers: map[protocol.PeerID]protocol.Aggregator{}, full: make(chan struct{})}
	g.add(own)
	return g
}

// add takes an offer in. An aggregator offers itself again and again, with new addresses after a restart; fresh is true
// the first time.
func (g *gatherer) add(o protocol.Aggregator) (have int, fresh bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, known := g.offers[o.ID]
	if !known && len(g.offers) == g.want {
		return g.want, false, errors.New("the run has all its aggregators already")
	}
	g.offers[o.ID] = o
	if len(g.offers) == g.want {
		select {
		case <-g.full:
		default:
			close(g.full)
		}
	}
	return len(g.offers), !known, nil
}

func (g *gatherer) set() []protocol.Aggregator {
	g.mu.Lock()
	defer g.mu.Unlock()
	set := make([]protocol.Aggregator, 0, len(g.offers))
	for _, o := range g.offers {
		set = append(set, o)
	}
	return set
}

// serveOffers lets aggregators offer themselves to this founder.
func (a *Aggregator) serveOffers(g *gatherer) {
	a.host.Handle(callOffer, maxSmall, func(_ context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
		var o protocol.Aggregator
		if err := protocol.Decode(req, maxSmall, &o); err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		if o.ID != from || len(o.Addrs) == 0 || len(o.Addrs) > 16 {
			return nil, gossip.Errorf(gossip.CodeBad, "an offer names its sender and 1 to 16 addresses")
		}
		if err := verify.VerifyPossession(o.BLS, o.Proof); err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "BLS key: %v", err)
		}
		have, fresh, err := g.add(o)
		if err != nil {
			return nil, gossip.Errorf(gossip.CodeRefused, "%v", err)
		}
		if !fresh {
			return nil, nil
		}
		a.emit(Event{Kind: EventWaiting, Peer: o.ID, Count: uint64(have), Text: fmt.Sprintf("aggregator %d of %d: %s", have, g.want, o.ID)})
		return nil, nil
	})
}

// serveCosign signs the founder's Genesis if it is what this aggregator computes itself.
func (a *Aggregator) serveCosign() {
	a.host.Handle(callCosign, protocol.MaxMessage, func(_ context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
		s, err := protocol.DecodeStatement(req)
		if err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		if err := a.checkGenesis(from, s); err != nil {
			return nil, gossip.Errorf(gossip.CodeRefused, "%v", err)
		}
		return protocol.Encode(a.cosign(&s.Statement))
	})
}

func (a *Aggregator) checkGenesis(from protocol.PeerID, s *protocol.SignedStatement) error {
	g, err := protocol.DecodeBody[protocol.Genesis](&s.Statement)
	switch {
	case err != nil:
		return err
	case from != a.spec.Founder || g.Founder != a.spec.Founder:
		return errors.New("only the founder proposes a Genesis")
	case s.Statement.Run != a.run || g.Model != a.theta0 || g.Outer != a.outer0 || g.Params != uint64(a.params):
		return errors.New("the initial state differs from the one computed here")
	case !slices.ContainsFunc(g.Aggregators, func(x protocol.Aggregator) bool { return x.ID == a.cfg.Key.ID() && x.BLS == a.bls.Public() }):
		return errors.New("the Genesis does not list this aggregator")
	}
	for _, x := range g.Aggregators {
		if err := verify.VerifyPossession(x.BLS, x.Proof); err != nil {
			return fmt.Errorf("aggregator %s: %w", x.ID.Short(), err)
		}
	}
	return nil
}

// cosign signs a statement.
func (a *Aggregator) cosign(s *protocol.Statement) protocol.Cosignature {
	return protocol.Cosignature{Signer: a.cfg.Key.ID(), Sig: a.cfg.Key.SignDigest(s.Digest())}
}

// found gathers the council and returns once the Genesis is complete and stored. It waits as long as it takes.
func (a *Aggregator) found(ctx context.Context) error {
	own, err := a.offer()
	if err != nil {
		return err
	}
	g := newGatherer(a.spec.Quorum.Aggregators, own)
	a.serveOffers(g)
	select {
	case <-g.full:
	case <-ctx.Done():
		return fmt.Errorf("waiting for %d aggregators: %w", g.want, ctx.Err())
	}
	set := g.set()
	book, err := a.bank.deploy(ctx, a.spec, a.run, set)
	if err != nil {
		return err
	}
	st := protocol.NewStatement(a.run, 0, protocol.Digest{}, a.genesisFor(set, book))
	signed := &protocol.SignedStatement{Statement: st, Sigs: []protocol.Cosignature{a.cosign(&st)}}
	for _, x := range set {
		if x.ID == a.cfg.Key.ID() {
			continue
		}
		err := retry(ctx, time.Second, func() error {
			sig, err := a.askCosign(ctx, x, signed)
			if err == nil {
				signed.Sigs = append(signed.Sigs, sig)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("signature of aggregator %s under the Genesis: %w", x.ID.Short(), err)
		}
	}
	slices.SortFunc(signed.Sigs, func(x, y protocol.Cosignature) int { return bytes.Compare(x.Signer[:], y.Signer[:]) })
	_, err = a.history.add(signed)
	return err
}

func (a *Aggregator) askCosign(ctx context.Context, to protocol.Aggregator, s *protocol.SignedStatement) (protocol.Cosignature, error) {
	var sig protocol.Cosignature
	data, err := a.host.Call(ctx, to.ID, callCosign, s.Encode(), maxSmall)
	if err != nil {
		return sig, err
	}
	if err := protocol.Decode(data, maxSmall, &sig); err != nil {
		return sig, err
	}
	if sig.Signer != to.ID {
		return sig, fmt.Errorf("signed by %s", sig.Signer.Short())
	}
	return sig, sig.Signer.VerifyDigest(s.Statement.Digest(), sig.Sig)
}

// enlist offers this aggregator to the founder until the Genesis is there: a founder that restarts gathers anew.
func (a *Aggregator) enlist(ctx context.Context) error {
	a.serveCosign()
	own, err := a.offer()
	if err != nil {
		return err
	}
	req, err := protocol.Encode(own)
	if err != nil {
		return err
	}
	refused := ""
	return retry(ctx, time.Second, func() error {
		_, offered := a.host.Call(ctx, a.spec.Founder, callOffer, req, maxSmall)
		if err := a.catchUp(ctx, []protocol.PeerID{a.spec.Founder}); err != nil {
			return fmt.Errorf("offer to the founder %s: %w", a.spec.Founder.Short(), err)
		}
		if a.history.length() > 0 {
			return nil
		}
		var no *gossip.RemoteError
		if errors.As(offered, &no) && no.Code == gossip.CodeRefused && no.Line != refused {
			refused = no.Line
			a.emit(Event{Kind: EventWaiting, Text: "the founder refuses this aggregator: " + refused})
		}
		return errors.Join(offered, errors.New("the run has no Genesis yet"))
	})
}
