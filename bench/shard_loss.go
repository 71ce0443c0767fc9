package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/node"
	"drystone/protocol"
	"drystone/trainer"
)

var shardLoss = Figure{
	Name:  "shard-loss",
	What:  "held-out loss of the demonstration's model, data and rounds with four honest peers of which two train half the shards, against a run where all train all; and of the two that train all alone, to see what the others add",
	Unit:  "nats per byte",
	Needs: "minutes of training",
	Limit: 30 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.shardLoss(ctx, node.DemoSpec(1, 12, 4), 64)
	},
}

// rounds is a run without its network: the same training, encoding and merge, round by round, which decide every bit of
// the model.
type rounds struct {
	*device
	peers    []protocol.PeerID // ascending
	feedback [][]float32       // of each peer
	theta    []float32
	before   []float32 // theta of the round before, which a delayed round trains from; nil in the first
	outer    []float32
	trained  uint64 // tokens, by share
}

func newRounds(d *device, peers int) *rounds {
	r := &rounds{device: d, peers: somePeers(peers), feedback: make([][]float32, peers), theta: d.theta}
	r.outer = make([]float32, d.spec.OuterState(len(d.theta)))
	return r
}

// somePeers returns so many peers, ascending.
func somePeers(n int) (ids []protocol.PeerID) {
	for i := range n {
		ids = append(ids, protocol.DeriveKey(1, fmt.Sprintf("bench/peer/%d", i)).ID())
	}
	slices.SortFunc(ids, func(a, b protocol.PeerID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// play trains and merges one round. capacity is that of an Open.
func (r *rounds) play(ctx context.Context, round uint32, capacity []uint32) error {
	var in []aggregate.Contribution
	start := r.theta
	if r.spec.Train.Delay > 0 && r.before != nil {
		start = r.before
	}
	for i, id := range r.peers {
		a := protocol.Assignment{Run: r.run, Round: round, Index: uint32(i), Steps: r.spec.Train.Steps,
			Shards: protocol.AssignShards(r.spec.Codec.Shards(len(r.theta)), round, capacity, i)}
		c, err := r.Train(ctx, a, start, trainer.TrainOptions{Peer: id, Feedback: r.feedback[i],
			Salt: func(shard uint32) ([16]byte, error) { return [16]byte{byte(shard)}, nil }})
		if err != nil {
			return err
		}
		r.feedback[i] = c.After
		r.trained += c.Tokens()
		in = append(in, aggregate.Contribution{Peer: id, Round: round, Steps: a.Steps, Shards: a.Shards, Payloads: c.Payloads})
	}
	theta, outer, _, err := aggregate.Merge(&r.spec, r.theta, r.outer, in)
	if err != nil {
		return err
	}
	r.theta, r.before, r.outer = theta, r.theta, outer
	return nil
}

// shardLoss plays three runs of the spec, in four shards, and takes their loss on so many held-out sequences.
func (e *Env) shardLoss(ctx context.Context, spec protocol.RunSpec, sequences int) ([]Row, error) {
	spec.Train.MinShards = 1
	if err := cutInto(&spec, 4); err != nil {
		return nil, err
	}
	d, err := newDevice(spec, e.Machine.Path, e.Threads)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	loss := map[string]float64{}
	trained := map[string]uint64{}
	for _, x := range []struct {
		name     string
		peers    int
		capacity []uint32
	}{{"all", 4, nil}, {"half", 4, []uint32{0, 2, 0, 2}}, {"two", 2, nil}} {
		e.Say("  %d rounds of %d peers, capacities %v", d.spec.Train.Rounds, x.peers, x.capacity)
		r := newRounds(d, x.peers)
		for round := range d.spec.Train.Rounds {
			if err := r.play(ctx, round, x.capacity); err != nil {
				return nil, fmt.Errorf("round %d: %w", round, err)
			}
		}
		if loss[x.name], err = d.Loss(ctx, r.theta, sequences); err != nil {
			return nil, err
		}
		trained[x.name] = r.trained
	}
	all := &Other{"four peers that train all", *exactly(loss["all"], 1)}
	note := func(name string) string {
		return fmt.Sprintf("%d rounds of %d steps; %d tokens by share of parameters trained, against %d; a byte bigram gets %.3f",
			d.spec.Train.Rounds, d.spec.Train.Steps, trained[name], trained["all"], d.data.Bigram())
	}
	return []Row{
		{Case: "two of four peers train half", Stats: exactly(loss["half"], 1), Other: all, Note: note("half")},
		{Case: "two peers that train all, alone", Stats: exactly(loss["two"], 1), Other: all, Note: note("two")},
	}, nil
}
