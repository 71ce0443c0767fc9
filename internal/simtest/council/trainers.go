package council

import (
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// Attacks of trainers on the protocol. What they do to the model is in package attack.

// DoubleCommit signs a second commit of each round and sends the two in any order. The first in the log counts, the other
// is evidence.
func DoubleCommit(t *Trainer) {
	t.Also = func(t *Trainer, open *protocol.SignedStatement) {
		c := t.sim.train(t.Key, t.index, open, nil, func(c *contribution) { c.end.Feedback = protocol.Hash("council-second") })
		t.sim.After(time.Duration(t.index+1)*time.Second, func() { t.commit(c.commit) })
	}
}

// LateCommit commits after the deadline: it is not in the Freeze, and it has no receipt.
func LateCommit(t *Trainer) {
	t.Delay = func(uint32) time.Duration { return t.sim.Spec.Deadlines.TrainFor() + 10*time.Second }
}

// WithholdReveal commits and reveals nothing: it is in no RevealSet, and after two misses in no roster.
func WithholdReveal(t *Trainer) { t.Hide = func(*protocol.Reveal) bool { return true } }

// WithholdShard reveals all but the last shard: all or none counts.
func WithholdShard(t *Trainer) {
	t.Hide = func(r *protocol.Reveal) bool { return int(r.Shard) == t.sim.Spec.Codec.Shards(params)-1 }
}

// RevealOther reveals another payload than it committed: no aggregator attests to it.
func RevealOther(t *Trainer) {
	t.Hide = func(r *protocol.Reveal) bool {
		r.Payload = append([]byte(nil), r.Payload...)
		r.Payload[len(r.Payload)-1] ^= 1
		return false
	}
}

// StaleStart trains from another state than the round's: t attest to it, and it is not merged.
func StaleStart(t *Trainer) {
	t.Alter = func(_ *Sim, c *contribution) { c.start.Model = protocol.Hash("council-stale") }
}

// FalseWork commits to states that no training gives: it is refuted and convicted.
func FalseWork(t *Trainer) {
	t.Alter = func(_ *Sim, c *contribution) {
		for i := range c.states {
			c.states[i].Theta = protocol.Hash("council-lazy", []byte{byte(i)})
		}
	}
}

// Copy commits to the trace root of another trainer's commit, and reveals what that one revealed, under its own name. The
// salted leaves bind the payload to its author, so nobody attests to it.
func Copy(t, from *Trainer) {
	t.Also = func(t *Trainer, open *protocol.SignedStatement) {
		t.sim.After(time.Second, func() { t.copy(from, open) })
	}
	t.Delay = func(uint32) time.Duration { return time.Hour }
}

func (t *Trainer) copy(from *Trainer, open *protocol.SignedStatement) {
	if len(from.made) <= int(open.Statement.Round) {
		t.sim.After(time.Second, func() { t.copy(from, open) })
		return
	}
	c := t.sim.work[from.made[open.Statement.Round]]
	body := c.commit.Body
	body.Peer = t.ID()
	c.commit = protocol.Sign(t.Key, body)
	t.sim.work[c.commit.Digest()] = c
	t.made[len(t.made)-1] = c.commit.Digest()
	t.commit(c.commit)
}

// Flood sends Joins and Leaves in turn, each twice, and then all of them again, as an old message can be replayed by
// anyone. Only a nonce above the last counts.
func Flood(t *Trainer, times int) {
	t.Also = func(t *Trainer, open *protocol.SignedStatement) {
		var old [][]byte
		for i := range times {
			nonce := uint64(open.Statement.Round)*1000 + uint64(2*i) + 2
			leave := aggregate.LeaveRecord(protocol.Sign(t.Key, protocol.Leave{Run: t.sim.Run0, Peer: t.ID(), Nonce: nonce}))
			join := aggregate.JoinRecord(protocol.Sign(t.Key, protocol.Join{Run: t.sim.Run0, Peer: t.ID(), Payout: protocol.Address{9}, Nonce: nonce + 1}))
			old = append(old, leave, join)
		}
		for _, r := range append(old, old...) {
			t.tellAll(func(a *Aggregator) { a.order.propose(a, r) })
		}
	}
}
