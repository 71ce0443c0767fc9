package node

import (
	"fmt"

	"drystone/protocol"
)

// CrashOnly says, for a quorum that outvotes no lying aggregator, what it does not protect from; it is empty for one that
// outvotes at least one, t >= ceil((n+f+1)/2) with f above 0.
func CrashOnly(q protocol.QuorumSpec) string {
	if q.Faults() > 0 {
		return ""
	}
	crashes := "survives no crash"
	if n := q.Aggregators - q.Threshold; n > 0 {
		crashes = fmt.Sprintf("survives crashes of %d", n)
	}
	return fmt.Sprintf("a quorum of %d of %d aggregators is crash-only: it %s and outvotes no liar; 3 of 4 outvotes one",
		q.Threshold, q.Aggregators, crashes)
}

// sayCouncil tells of a change of the aggregators, and aloud if the new set outvotes no liar.
func (a *Aggregator) sayCouncil(s *protocol.Statement) {
	b, err := protocol.DecodeBody[protocol.NewCouncil](s)
	if err != nil {
		return // the machine made it
	}
	q := protocol.QuorumSpec{Aggregators: len(b.Aggregators), Threshold: int(b.Threshold)}
	a.emit(Event{Kind: EventCouncil, Round: s.Round, Count: uint64(q.Aggregators),
		Text: fmt.Sprintf("from round %d on %d of %d aggregators sign", s.Round, q.Threshold, q.Aggregators)})
	if text := CrashOnly(q); text != "" {
		a.emit(Event{Kind: EventWarning, Round: s.Round, Text: text})
	}
}
