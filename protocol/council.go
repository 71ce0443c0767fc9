package protocol

import (
	"bytes"
	"fmt"
	"slices"
)

// Council is the aggregator set that judges statements: the one that the Genesis lists, until a Council statement
// replaces it. It is immutable.
type Council struct {
	Run       Digest
	Threshold int
	Members   []Aggregator // ascending by ID
}

// Member returns the aggregator with the given ID.
func (c *Council) Member(id PeerID) (Aggregator, bool) {
	i, ok := slices.BinarySearchFunc(c.Members, id, func(a Aggregator, id PeerID) int { return bytes.Compare(a.ID[:], id[:]) })
	if !ok {
		return Aggregator{}, false
	}
	return c.Members[i], true
}

// Verify checks that t distinct members signed the statement of this run.
func (c *Council) Verify(s *SignedStatement) error {
	if s.Statement.Run != c.Run {
		return fmt.Errorf("%s of run %s, want run %s: %w", s.Statement.Kind, s.Statement.Run.Short(), c.Run.Short(), ErrChain)
	}
	return countSigs(&s.Statement, s.Sigs, c.Threshold, func(id PeerID) bool { _, ok := c.Member(id); return ok })
}

// Of returns the threshold of a council of n members in a run of this quorum:
//
//	f  = min(2t-n-1, n-t)                     liars that the spec's quorum outvotes (Faults)
//	f' = min(f, (n'-1)/3)                     those that n' members can outvote, rounded down
//	t' = ceil((n'+f'+1)/2) + surplus          at most n'
//
// The surplus is what the spec's t has above ceil((n+f+1)/2), 0 for most; so a council of the spec's n has the spec's t.
// It returns 0 for n below 1.
func (q QuorumSpec) Of(n int) int {
	if n < 1 {
		return 0
	}
	f := q.Faults()
	need := func(n int) int { f := min(f, (n-1)/3); return (n + f + 2) / 2 } // ceil((n+f+1)/2)
	return min(n, need(n)+q.Threshold-need(q.Aggregators))
}

// Quorum returns the council's size and threshold.
func (c *Council) Quorum() QuorumSpec {
	return QuorumSpec{Aggregators: len(c.Members), Threshold: c.Threshold}
}

// After returns the council that judges the statements after s: c itself, or the one that s installs. s must have passed
// Verify and Follows; what is checked here is the change that it makes.
func (c *Council) After(spec *RunSpec, s *Statement) (*Council, error) {
	if s.Kind != KindCouncil {
		return c, nil
	}
	b, err := DecodeBody[NewCouncil](s)
	if err != nil {
		return nil, err
	}
	if err := ascending(b.Aggregators); err != nil {
		return nil, fmt.Errorf("Council before round %d: %w", s.Round, err)
	}
	next := &Council{Run: c.Run, Threshold: int(b.Threshold), Members: b.Aggregators}
	in, out := len(next.without(c)), len(c.without(next))
	switch want := spec.Quorum.Of(len(b.Aggregators)); {
	case len(b.Aggregators) < 1 || len(b.Aggregators) > MaxSigners:
		return nil, fmt.Errorf("Council before round %d of %d aggregators, want 1 to %d: %w", s.Round, len(b.Aggregators), MaxSigners, ErrChain)
	case in > 1 || out > 1 || in+out == 0:
		return nil, fmt.Errorf("Council before round %d takes %d aggregators in and %d out, want one at a time: %w", s.Round, in, out, ErrChain)
	case next.Threshold != want:
		return nil, fmt.Errorf("Council before round %d of threshold %d, the rule gives %d of %d: %w", s.Round, next.Threshold, want, len(b.Aggregators), ErrChain)
	}
	for _, a := range b.Aggregators {
		if old, ok := c.Member(a.ID); ok && !old.equal(&a) {
			return nil, fmt.Errorf("Council before round %d changes the entry of aggregator %s: %w", s.Round, a.ID.Short(), ErrChain)
		}
	}
	return next, nil
}

// without returns the members of c that are not in other.
func (c *Council) without(other *Council) []Aggregator {
	return slices.DeleteFunc(slices.Clone(c.Members), func(a Aggregator) bool { _, ok := other.Member(a.ID); return ok })
}

func (a *Aggregator) equal(b *Aggregator) bool {
	return a.ID == b.ID && a.BLS == b.BLS && a.Proof == b.Proof && slices.Equal(a.Addrs, b.Addrs)
}

// maxAddrs bounds the addresses of an aggregator.
const maxAddrs = 32

// ascending checks the form of a list of aggregators.
func ascending(list []Aggregator) error {
	for i, a := range list {
		if i > 0 && bytes.Compare(list[i-1].ID[:], a.ID[:]) >= 0 {
			return fmt.Errorf("aggregators not in ascending order: %w", ErrChain)
		}
		if len(a.Addrs) > maxAddrs {
			return fmt.Errorf("aggregator %s lists %d addresses, limit %d: %w", a.ID.Short(), len(a.Addrs), maxAddrs, ErrTooLarge)
		}
	}
	return nil
}

// OpenGenesis verifies a Genesis for the given spec: the founder's signature and that of every aggregator listed. It
// returns the body and the council that judges the statements after it.
func OpenGenesis(spec *RunSpec, run Digest, s *SignedStatement) (*Genesis, *Council, error) {
	g, err := DecodeBody[Genesis](&s.Statement)
	if err != nil {
		return nil, nil, err
	}
	st := &s.Statement
	switch {
	case st.Run != run || st.Round != 0 || !st.Prev.IsZero():
		return nil, nil, fmt.Errorf("Genesis of run %s, round %d: want run %s, round 0, no statement before: %w", st.Run.Short(), st.Round, run.Short(), ErrChain)
	case g.Founder != spec.Founder:
		return nil, nil, fmt.Errorf("Genesis names founder %s, the run spec %s: %w", g.Founder.Short(), spec.Founder.Short(), ErrChain)
	case len(g.Aggregators) != spec.Quorum.Aggregators || int(g.Threshold) != spec.Quorum.Threshold:
		return nil, nil, fmt.Errorf("Genesis has %d of %d aggregators, the run spec %d of %d: %w", g.Threshold, len(g.Aggregators), spec.Quorum.Threshold, spec.Quorum.Aggregators, ErrChain)
	}
	if err := ascending(g.Aggregators); err != nil {
		return nil, nil, fmt.Errorf("Genesis: %w", err)
	}
	must := map[PeerID]bool{g.Founder: true}
	for _, a := range g.Aggregators {
		must[a.ID] = true
	}
	if err := countSigs(st, s.Sigs, len(must), func(id PeerID) bool { return must[id] }); err != nil {
		return nil, nil, err
	}
	return g, &Council{Run: run, Threshold: int(g.Threshold), Members: g.Aggregators}, nil
}
