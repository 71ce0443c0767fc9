package node

import (
	"context"
	"fmt"
	"slices"

	"drystone/aggregate"
	"drystone/protocol"
)

// gathers reports whether this aggregator is one of the present council, and among the first owners of a shard or all own
// everything. What falls to it because others are late it fetches, like any reveal that gossip did not bring.
func (a *Aggregator) gathers(shard int) bool {
	council, _ := a.history.rules()
	if _, ok := council.Member(a.cfg.Key.ID()); !ok {
		return false
	}
	if a.cfg.undivided {
		return true
	}
	ids := a.certifiedCouncil()
	n := a.spec.Owners(council.Quorum(), a.params, 1)
	return n == len(ids) || slices.Contains(protocol.OwnerOrder(a.run, uint32(shard), ids)[:n], a.cfg.Key.ID())
}

// places are the places, among the contributor's shards, of those that a duty asks for.
func (a *Aggregator) places(d aggregate.DutyGather) []int {
	var places []int
	for i := range a.spec.Codec.Owed(a.params, d.Shards) {
		if d.Own == nil || slices.Contains(d.Own, uint32(protocol.ShardAt(d.Shards, i))) {
			places = append(places, i)
		}
	}
	return places
}

// partly is what an Attest names of the gathered shards: none if they are all that the contributor was assigned.
func (a *Aggregator) partly(d aggregate.DutyGather) []uint32 {
	if len(d.Own) == a.spec.Codec.Owed(a.params, d.Shards) {
		return nil
	}
	return d.Own
}

// sums logs what a shard adds to the inner products of the round's contributions.
func (a *Aggregator) sums(ctx context.Context, d aggregate.DutySums) error {
	in, err := a.shardPayloads(ctx, &d.DutyMerge, d.Shard)
	if err != nil {
		return err
	}
	sums, err := aggregate.ShardSums(ctx, a.spec, a.params, int(d.Shard), in)
	if err != nil {
		return err
	}
	p := protocol.Partial{Run: a.run, RevealSet: d.Prev, Shard: d.Shard, Sums: protocol.MerkleRoot(sums), Aggregator: a.cfg.Key.ID()}
	if slices.Contains(d.Known, p.Sums) {
		sums = []byte{}
	}
	return a.propose(ctx, aggregate.PartialRecord(aggregate.Partial{Message: protocol.Sign(a.cfg.Key, p), Sums: sums}))
}

// mergeShard merges a shard, keeps the result for the others and logs its roots.
func (a *Aggregator) mergeShard(ctx context.Context, d aggregate.DutyShard) error {
	in, err := a.shardPayloads(ctx, &d.DutyMerge, d.Shard)
	if err != nil {
		return err
	}
	whole, err := a.model(ctx, d.Round, d.Open.Model, a.councilPeers)
	if err != nil {
		return err
	}
	outer, err := a.outer(ctx, d.Open.Outer)
	if err != nil {
		return err
	}
	lo, hi := a.spec.Codec.Shard(a.params, int(d.Shard))
	theta := whole[lo:hi]
	lo, hi = a.spec.OuterShard(a.params, int(d.Shard))
	outer = outer[lo:hi]
	payload, finite, err := aggregate.MergeShard(ctx, a.spec, a.params, int(d.Shard), theta, outer, in, d.Record)
	if err != nil {
		return fmt.Errorf("merge of round %d: %w", d.Round, err)
	}
	c := protocol.ShardCertificate{Run: a.run, RevealSet: d.Prev, Shard: d.Shard, Merge: protocol.MergeDigest(d.Record), Finite: finite, Aggregator: a.cfg.Key.ID()}
	if finite {
		c.Update = protocol.UpdateOf(payload)
		if err := a.putUpdates(payload); err != nil {
			return err
		}
		if c.Model, err = a.blobs.Put(floatBytes(theta)); err != nil {
			return err
		}
		if c.Outer, err = a.blobs.Put(floatBytes(outer)); err != nil {
			return err
		}
	}
	return a.propose(ctx, aggregate.ShardRecord(protocol.Sign(a.cfg.Key, c)))
}

// shardPayloads returns a round's contributions, with the payload of one shard each where they trained it.
func (a *Aggregator) shardPayloads(ctx context.Context, d *aggregate.DutyMerge, shard uint32) ([]aggregate.Contribution, error) {
	frozen, commits, err := a.roundParts(d.Round)
	if err != nil {
		return nil, err
	}
	var in []aggregate.Contribution
	for _, r := range d.RevealSet.Set {
		commit, ok := commits[r.Peer]
		if !ok {
			return nil, fmt.Errorf("%w: commit of %s in round %d is not here", errNotYet, r.Peer.Short(), d.Round)
		}
		own := d.Open.Shards(&a.spec.Codec, a.params, d.Round, rosterIndex(&d.Open, r.Peer))
		c := aggregate.Contribution{Peer: r.Peer, Round: d.Round, Steps: r.Steps, Shards: own}
		if place, trained := protocol.PlaceOf(own, int(shard)); trained {
			s := source{frozen, &commit, own}
			if err := a.fetchReveal(ctx, s, place, append(a.councilPeers(), r.Peer)); err != nil {
				return nil, err
			}
			v, err := a.reveal(s, place)
			if err != nil || v == nil {
				return nil, fmt.Errorf("shard %d of %s in round %d vanished from disk: %w", shard, r.Peer.Short(), d.Round, errNotYet)
			}
			if err := inSet(v, &r); err != nil {
				return nil, err
			}
			if _, err := a.blobs.Put(v.Payload); err != nil { // for whoever recomputes the merge
				return nil, err
			}
			c.Payloads = [][]byte{v.Payload}
		}
		in = append(in, c)
	}
	return in, nil
}

// assemble puts the state that a Certificate names together from the shards, which their owners serve, before this
// aggregator signs: so whoever signed can serve it to trainers.
func (a *Aggregator) assemble(ctx context.Context, s *protocol.Statement, shards []aggregate.ShardRoots) error {
	cert, err := protocol.DecodeBody[protocol.Certificate](s)
	if err != nil {
		return err
	}
	var theta, outer []byte
	stateful := a.spec.OuterState(a.params) > 0
	var before []float32
	if len(cert.Updates) > 0 {
		start, _, err := a.history.modelRoot(s.Round)
		if err != nil {
			return fmt.Errorf("%w: %w", errNotYet, err)
		}
		if before, err = a.model(ctx, s.Round, start, a.councilPeers); err != nil {
			return err
		}
	}
	for k, root := range shards {
		part, err := a.shardModel(ctx, cert, k, before, root.Model)
		if err != nil {
			return fmt.Errorf("shard %d of the model: %w", k, err)
		}
		theta = append(theta, part...)
		if stateful {
			lo, hi := a.spec.OuterShard(a.params, k)
			size := int64(4 * (hi - lo))
			if part, err = a.get(ctx, root.Outer, size, size, a.councilPeers); err != nil {
				return fmt.Errorf("shard %d of the outer state: %w", k, err)
			}
			outer = append(outer, part...)
		}
	}
	model, err := a.blobs.Put(theta)
	if err != nil {
		return err
	}
	if model != cert.Model {
		return fmt.Errorf("the shards of round %d make model %s, the certificate names %s", s.Round, model.Short(), cert.Model.Short())
	}
	if !stateful {
		return nil
	}
	if root, err := a.blobs.Put(outer); err != nil || root != cert.Outer {
		return fmt.Errorf("the shards of round %d make outer state %s, the certificate names %s: %w", s.Round, root.Short(), cert.Outer.Short(), err)
	}
	return nil
}
