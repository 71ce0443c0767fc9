package council

import (
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// Halves are the views of a split council of n: the aggregators below a see the first log, those from b on the second, and
// those between are liars with a face on each. It is for Setup.Views.
func Halves(a, b int) func(int) []int {
	return func(i int) []int {
		switch {
		case i < a:
			return []int{0}
		case i < b:
			return []int{0, 1}
		}
		return []int{1}
	}
}

// Split lets the liars lead each log and keep the commits of one trainer from the second.
//
// With one liar of four at most one log finds t signatures, so no place of the chain is taken twice, and its Freeze and
// the other's, both signed by the liar, are evidence against it. With two of four both logs do: Judge must notice.
func (s *Sim) Split(victim protocol.PeerID) {
	faces := map[protocol.PeerID]int{}
	for _, a := range s.Aggs {
		faces[a.ID()]++
	}
	for _, a := range s.Aggs {
		if faces[a.ID()] > 1 {
			a.Liar = true
			if a.order == s.orders[1] {
				s.Omit(a, victim, false)
			} else {
				a.order.leader = a
			}
			s.carry(a)
		}
	}
}

// carry takes the signatures under the statements that a face has seen to the other logs, again and again, so that what is
// the same on both is signed on both, and what is not comes to light.
func (s *Sim) carry(face *Aggregator) {
	for _, st := range face.Chain[min(1, len(face.Chain)):] {
		for _, sig := range st.Sigs {
			for _, o := range s.orders {
				if o != face.order && o.leader != nil {
					o.propose(o.leader, aggregate.CosignRecord(st.Statement, sig))
				}
			}
		}
	}
	s.After(5*time.Second, func() { s.carry(face) })
}
