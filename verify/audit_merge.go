package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"drystone/protocol"
)

// merge is L3: the round's result computed again from the payloads.
func (a *audit) merge(ctx context.Context) error {
	if a.o.Merger == nil {
		a.r.skip(L3, "merge: no engine at hand")
		return nil
	}
	theta, outer, contributions, err := a.mergeInput(ctx)
	if errors.Is(err, ErrMissing) {
		a.r.skip(L3, "merge: %v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: merge: %w", err)
	}
	next, err := a.o.Merger(a.spec, theta, outer, contributions)
	if err != nil {
		return fmt.Errorf("audit: merge: %w", err)
	}
	switch {
	case !slices.Equal(next.Record, a.cert.Merge):
		err = errors.New("merging the payloads gives other weights or norms")
	case protocol.MerkleRoot(floatBytes(next.Theta)) != a.cert.Model:
		err = errors.New("merging the payloads gives other parameters")
	case protocol.MerkleRoot(floatBytes(next.Outer)) != a.cert.Outer:
		err = errors.New("merging the payloads gives another outer state")
	case !slices.Equal(next.Updates, a.cert.Updates):
		err = errors.New("merging the payloads gives other updates on the way down")
	}
	if err != nil {
		return &Failure{L3, "Certificate", err}
	}
	a.r.Levels[L3].Status = StatusPassed
	a.r.note(L3, "%d contributions merged again: parameters %s and outer state %s as certified", len(contributions), a.cert.Model.Short(), a.cert.Outer.Short())
	return nil
}

func (a *audit) mergeInput(ctx context.Context) (theta, outer []float32, contributions []Contribution, err error) {
	if theta, err = a.theta(ctx, a.open.Model); err != nil {
		return nil, nil, nil, err
	}
	state := a.spec.OuterState(a.params)
	b, err := a.blob(ctx, "outer state", a.open.Outer, 4*int64(state))
	if errors.Is(err, ErrMissing) {
		// The state before the first round is zero, and nobody needs to keep that.
		if zeros := make([]byte, 4*state); protocol.MerkleRoot(zeros) == a.open.Outer {
			b, err = zeros, nil
		}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if len(b)%4 != 0 {
		return nil, nil, nil, &Failure{L3, "Open", fmt.Errorf("outer state of %d bytes is no float32 vector", len(b))}
	}
	outer = bytesFloat(b)
	for i, r := range a.revealSet.Set {
		payloads, err := a.payloads(ctx, i)
		if err != nil {
			return nil, nil, nil, err
		}
		contributions = append(contributions, Contribution{Peer: r.Peer, Round: a.p.Open.Statement.Round, Steps: r.Steps, Payloads: payloads,
			Shards: shardsOf(a.spec, a.params, a.open, a.p.Open.Statement.Round, r.Peer)})
	}
	return theta, outer, contributions, nil
}

// payout is L4: the settlement compared with the ledger.
func (a *audit) payout(ctx context.Context) error {
	switch {
	case len(a.p.Settlement) == 0:
		a.r.skip(L4, "payout: the proof holds no settlement")
		return nil
	case a.o.Payout == nil:
		a.r.skip(L4, "payout: no ledger at hand")
		return nil
	}
	checked, err := a.o.Payout.CheckPayout(ctx, a.genesis, &a.p.Settlement[0])
	a.r.Levels[L4].Notes = append(a.r.Levels[L4].Notes, checked...)
	switch {
	case errors.Is(err, ErrPayout):
		return &Failure{L4, "settlement", err}
	case errors.Is(err, ErrMissing):
		a.r.skip(L4, "payout: %v", err)
		if len(checked) > 0 {
			a.r.Levels[L4].Status = StatusPartly
		}
		return nil
	case err != nil:
		return fmt.Errorf("audit: payout: %w", err)
	}
	a.r.Levels[L4].Status = StatusPassed
	return nil
}
