package council

import (
	"drystone/aggregate"
	"drystone/protocol"
)

// Equivocate signs two Certificates of each round, the true one first.
//
// The first counts, so the run goes on, and the second is evidence that every replica holds.
func Equivocate(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	if duty, ok := d.(aggregate.DutyMerge); ok && honest != nil {
		return append(honest, a.cosign(a.biased(duty)))
	}
	return honest
}

// EquivocateDerived signs two of each statement that the log derives, the true one first.
func EquivocateDerived(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	duty, ok := d.(aggregate.DutySign)
	if !ok || honest == nil {
		return honest
	}
	return append(honest, a.cosign(a.other(duty.Statement)))
}

// other is a statement for the same place of the chain that the log does not give.
func (a *Aggregator) other(s protocol.Statement) protocol.Statement {
	switch s.Kind {
	case protocol.KindOpen:
		o := *must(protocol.DecodeBody[protocol.Open](&s))
		o.Roster = o.Roster[1:]
		return protocol.NewStatement(s.Run, s.Round, s.Prev, o)
	case protocol.KindFreeze:
		return protocol.NewStatement(s.Run, s.Round, s.Prev, protocol.Freeze{Root: protocol.RootOf(nil), Commits: []protocol.Frozen{}})
	case protocol.KindRevealSet:
		return protocol.NewStatement(s.Run, s.Round, s.Prev, protocol.RevealSet{Set: []protocol.Revealed{}})
	}
	return s
}
