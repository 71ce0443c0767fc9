package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/internal/durable"
	"drystone/protocol"
	"drystone/verify"
)

// logIndex finds leaves of the transparency log by what they are about. It is rebuilt from the log at start.
type logIndex struct {
	mu       sync.Mutex
	joins    map[protocol.PeerID][]protocol.Signed[protocol.Join] // in log order
	draws    map[uint32][]protocol.Signed[protocol.Draw]          // by round
	verdicts map[contributionKey][]protocol.Signed[protocol.Verdict]
	commits  map[contributionKey]protocol.Signed[protocol.Commit]
	settled  []uint64 // leaf of each settled epoch, epoch 1 first
}

type contributionKey struct {
	round uint32
	peer  protocol.PeerID
}

func newLogIndex(log *verify.Log) (*logIndex, error) {
	x := &logIndex{
		joins: map[protocol.PeerID][]protocol.Signed[protocol.Join]{}, draws: map[uint32][]protocol.Signed[protocol.Draw]{},
		verdicts: map[contributionKey][]protocol.Signed[protocol.Verdict]{}, commits: map[contributionKey]protocol.Signed[protocol.Commit]{},
	}
	for i := range log.Size() {
		leaf, err := log.Leaf(i)
		if err != nil {
			return nil, fmt.Errorf("transparency log: %w", err)
		}
		x.add(i, leaf)
	}
	return x, nil
}

// add indexes leaf n, which the state machine accepted.
func (x *logIndex) add(n uint64, leaf []byte) {
	_, v, err := aggregate.DecodeRecord(leaf)
	if err != nil {
		return // not a kind that a proof needs
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch v := v.(type) {
	case *protocol.Signed[protocol.Join]:
		x.joins[v.Body.Peer] = append(x.joins[v.Body.Peer], *v)
	case *protocol.Signed[protocol.Draw]:
		x.draws[v.Body.Round] = append(x.draws[v.Body.Round], *v)
	case *protocol.Signed[protocol.Verdict]:
		k := contributionKey{v.Body.Round, v.Body.Peer}
		x.verdicts[k] = append(x.verdicts[k], *v)
	case *protocol.Signed[protocol.Commit]:
		x.commits[contributionKey{v.Body.Round, v.Body.Peer}] = *v
	case *aggregate.SettledEpoch:
		x.settled = append(x.settled, n)
	}
}

func (a *Aggregator) openingPath(round uint32, peer, drawer protocol.PeerID) string {
	return a.path("openings", fmt.Sprintf("%08d", round), fmt.Sprintf("%x-%x.cbor", peer[1:], drawer[1:]))
}

// keepOpening keeps what a contributor opened for a check, without the states, for the proof.
func (a *Aggregator) keepOpening(round uint32, peer, drawer protocol.PeerID, o *protocol.Opening) {
	if o == nil {
		return
	}
	small := *o
	small.Theta, small.M, small.V = []byte{}, []byte{}, []byte{}
	path := a.openingPath(round, peer, drawer)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = durable.WriteFile(path, small.Encode(), 0o600)
	}
	if err != nil {
		a.warn(round, fmt.Errorf("keep opening of %s: %w", peer.Short(), err))
	}
}

// serveOpenings gives other aggregators the openings that this one keeps.
func (a *Aggregator) serveOpenings() {
	a.host.Handle(callOpening, maxSmall, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		var r openingRequest
		if err := protocol.Decode(req, maxSmall, &r); err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		data, err := os.ReadFile(a.openingPath(r.Round, r.Peer, r.Drawer))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, gossip.Errorf(gossip.CodeNotFound, "no such opening here")
		}
		return data, err
	})
}

// opening finds what was opened for a drawer's check: here, or at the drawer.
func (a *Aggregator) opening(ctx context.Context, round uint32, peer, drawer protocol.PeerID) []protocol.Opening {
	limit := int(a.spec.Verify.Chunks+1) * 8 * protocol.LeafSize
	data, err := os.ReadFile(a.openingPath(round, peer, drawer))
	if err != nil && drawer != a.cfg.Key.ID() {
		req, _ := protocol.Encode(openingRequest{Round: round, Peer: peer, Drawer: drawer})
		data, err = a.callFor(ctx, 10*time.Second, drawer, callOpening, req, limit)
	}
	if err != nil {
		return nil // the proof does without, and says so
	}
	o, err := protocol.DecodeOpening(data, limit)
	if err != nil {
		return nil
	}
	return []protocol.Opening{*o}
}

// Proof builds the proof file of a contribution to a certified round.
func (a *Aggregator) Proof(ctx context.Context, round uint32, peer protocol.PeerID) ([]byte, error) {
	p, err := a.proofStatements(round)
	if err != nil {
		return nil, err
	}
	v := a.view()
	if v.Checkpoint == nil {
		return nil, errors.New("the log has no cosigned checkpoint yet; try again shortly")
	}
	notes := make([][]byte, len(v.Checkpoint.Notes))
	for i, n := range v.Checkpoint.Notes {
		notes[i] = n.Note
	}
	p.Councils = a.history.councilChanges()
	if err := p.TakeCheckpoint(a.spec, notes...); err != nil {
		return nil, err
	}
	if err := a.proofContribution(ctx, p, round, peer); err != nil {
		return nil, err
	}
	if err := a.proofPayout(p, v.LastSettled); err != nil {
		return nil, err
	}
	built, err := verify.Build(ctx, *p, a.tlog)
	if err != nil {
		return nil, err
	}
	return built.Encode()
}

// proofStatements starts a proof with the spec and the statements of the round.
func (a *Aggregator) proofStatements(round uint32) (*verify.Proof, error) {
	spec, err := protocol.Encode(a.spec)
	if err != nil {
		return nil, err
	}
	if round >= a.history.rounds() {
		return nil, fmt.Errorf("round %d is not certified yet", round)
	}
	of := func(k protocol.Kind, round uint32) protocol.SignedStatement { return *a.history.find(k, round) }
	p := &verify.Proof{Spec: spec, Genesis: *a.history.at(0), Open: of(protocol.KindOpen, round), Freeze: of(protocol.KindFreeze, round),
		RevealSet: of(protocol.KindRevealSet, round), Certificate: of(protocol.KindCertificate, round)}
	if round > 0 {
		p.Previous = []protocol.SignedStatement{of(protocol.KindRevealSet, round-1), of(protocol.KindCertificate, round-1)}
	}
	return p, nil
}

// proofContribution fills in what concerns the peer: its Join and Commit, its trace, the payloads, the checks.
func (a *Aggregator) proofContribution(ctx context.Context, p *verify.Proof, round uint32, peer protocol.PeerID) error {
	set, _, err := statementOf[protocol.RevealSet](a.history, protocol.KindRevealSet, round)
	if err != nil {
		return err
	}
	freeze, _, err := statementOf[protocol.Freeze](a.history, protocol.KindFreeze, round)
	if err != nil {
		return err
	}
	a.index.mu.Lock()
	joins := a.index.joins[peer]
	draws := a.index.draws[round]
	verdicts := a.index.verdicts[contributionKey{round, peer}]
	commits := map[protocol.PeerID]protocol.Signed[protocol.Commit]{}
	for _, r := range set.Set {
		commits[r.Peer] = a.index.commits[contributionKey{round, r.Peer}]
	}
	a.index.mu.Unlock()
	if len(joins) == 0 {
		return fmt.Errorf("peer %s never joined", peer.Short())
	}
	p.Join = joins[len(joins)-1]
	found := false
	for _, r := range set.Set {
		commit := commits[r.Peer]
		own, err := a.history.shards(round, a.params, r.Peer)
		if err != nil {
			return err
		}
		reveals, err := a.shardsOf(ctx, source{freeze.Root, &commit, own})
		if err != nil {
			return err
		}
		var shards []verify.Shard
		for _, v := range reveals {
			shards = append(shards, verify.Shard{Payload: v.Payload, Salt: v.Salt})
		}
		p.Payloads = append(p.Payloads, verify.Refs(shards))
		if r.Peer == peer {
			p.Commit, found = commit, true
			p.TakeTrace(reveals[0])
		}
	}
	if !found {
		return fmt.Errorf("the RevealSet of round %d holds no contribution of %s", round, peer.Short())
	}
	for _, d := range draws {
		check := verify.CheckRecord{Draw: d}
		for _, v := range verdicts {
			if v.Body.Drawer == d.Body.Verifier {
				check.Verdicts = append(check.Verdicts, verify.VerdictRecord{Verdict: v})
			}
		}
		if len(check.Verdicts) == 0 {
			continue // this draw did not fall on the peer
		}
		check.Opening = a.opening(ctx, round, peer, d.Body.Verifier)
		p.Checks = append(p.Checks, check)
	}
	return nil
}

// proofPayout adds what the latest settlement pays the contributor's account, if it pays anything.
func (a *Aggregator) proofPayout(p *verify.Proof, e *aggregate.SettledEpoch) error {
	if e == nil {
		return nil
	}
	_, genesis := a.history.rules()
	claim, err := payoutProof(a.run, deploymentOf(a.run, genesis.Ledger), e, p.Join.Body.Payout)
	if errors.Is(err, errNothingEarned) {
		return nil
	}
	if err != nil {
		return err
	}
	r := verify.SettlementRecord{Settlement: e.Settlement, Payout: protocol.Payout{Account: p.Join.Body.Payout, Cumulative: protocol.AmountOf(claim.Cumulative)}}
	for _, s := range e.Sigs {
		r.Sigs = append(r.Sigs, s.Sig)
	}
	for _, h := range claim.Proof {
		r.Path = append(r.Path, protocol.Digest(h))
	}
	p.Settlement = []verify.SettlementRecord{r}
	return nil
}
