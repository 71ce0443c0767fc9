package council

import (
	"drystone/aggregate"
	"drystone/protocol"
)

// Bias certifies another state than the merge gives: the model that all such liars agree on.
//
// With fewer than t of them there is no quorum for it, and with up to n-t the true Certificate finds its own. t liars
// certify what they like; Judge must notice.
func Bias(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	duty, ok := d.(aggregate.DutyMerge)
	if !ok || honest == nil {
		return honest
	}
	return [][]byte{a.cosign(a.biased(duty))}
}

// biased is the Certificate that leaves the model as it was and says otherwise of the weights.
func (a *Aggregator) biased(d aggregate.DutyMerge) protocol.Statement {
	body := protocol.Certificate{Model: d.Open.Model, Outer: d.Open.Outer, Merge: []protocol.Merged{}}
	for _, r := range d.RevealSet.Set {
		body.Merge = append(body.Merge, protocol.Merged{Peer: r.Peer})
	}
	return protocol.NewStatement(a.sim.Run0, d.Round, d.Prev, body)
}
