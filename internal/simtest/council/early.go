package council

import "time"

// FalseTime makes an aggregator lead its log with a clock that runs ahead of time, further each second, and sign whatever the log asks for.
//
// The others sign no Freeze and no RevealSet while something is missing before their own deadline, so no phase ends
// early, and what has a receipt is in. The commits that come after the false time are not logged any more: those trainers
// lose the round, without a receipt, and nothing is held against them but the miss.
func (s *Sim) FalseTime(liar *Aggregator, ahead time.Duration) {
	o, asked := liar.order, time.Duration(0)
	liar.Liar, o.leader = true, liar
	o.clock = func() time.Time {
		asked++
		liar.Skew = asked * ahead
		return liar.clock()
	}
}
