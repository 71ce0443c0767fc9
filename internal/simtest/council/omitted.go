package council

import (
	"drystone/aggregate"
	"drystone/protocol"
)

// Omit makes an aggregator lead its log and hold back the commits of one trainer. With lie it also answers each of them
// with a receipt.
//
// Without a receipt the trainer knows that it has no promise. A receipt of an honest aggregator cannot be had, for the
// commit is not in the log; the liar's own, with its signature under the Freeze, convicts it (protocol.BrokenReceipt).
func (s *Sim) Omit(liar *Aggregator, victim protocol.PeerID, lie bool) {
	o := liar.order
	liar.Liar, o.leader = true, liar
	o.admit = func(record []byte) bool {
		_, msg, err := aggregate.DecodeRecord(record)
		c, ok := msg.(*protocol.Signed[protocol.Commit])
		if err != nil || !ok || c.Body.Peer != victim {
			return true
		}
		if lie {
			liar.giveReceipt(victim, *c)
		}
		return false
	}
}
