// Package arena trains a small model among liars: real training by package trainer, real payloads, the production merge,
// and the attacks of package attack in place of some contributors. Spot checks are off, so it shows what a merge rule does
// alone. Nothing is on a network, and no round is lost.
//
//	a, err := arena.New(arena.Spec(seed), text, threads)
//	defer a.Close()
//	r, err := a.Play(ctx, arena.Game{Rule: rule, Outer: outer, Contributors: 20, Liars: 6, Attack: attack.All[0]})
//
// The same seed gives every game the same first parameters and the same data in the same order, whatever its rule, so a
// difference between games comes from rules and lies alone. One game is played at a time.
package arena

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"drystone/internal/delta"
	"drystone/internal/simtest/attack"
	"drystone/protocol"
	"drystone/trainer"
)

// Arena holds what games share. It is not safe for concurrent use.
type Arena struct {
	spec    *protocol.RunSpec // of the training; games have rules and outer optimisers of their own
	run     protocol.Digest
	codec   delta.Codec
	text    []byte
	threads int
	peers   []protocol.PeerID // ascending
	devices map[attack.Data][]*trainer.Device
}

// New makes an arena for runs of spec on text, whose data section it fills in. threads is how many contributors train at
// once, each on one core; it changes no result.
func New(spec protocol.RunSpec, text []byte, threads int) (*Arena, error) {
	manifest := protocol.NewManifest(text)
	spec.Data = protocol.DataSpec{
		Manifest: protocol.MerkleRoot(manifest.Encode()), Tokenizer: "bytes",
		Tokens: uint64(len(text)), Holdout: uint64(len(text) / 10),
	}
	run, err := spec.ID()
	if err != nil {
		return nil, err
	}
	codec, err := delta.New(spec.Codec)
	if err != nil {
		return nil, err
	}
	a := &Arena{spec: &spec, run: run, codec: codec, text: text, threads: max(threads, 1), devices: map[attack.Data][]*trainer.Device{}}
	if _, err := a.devicesFor(attack.Assigned); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Close frees the devices.
func (a *Arena) Close() {
	for _, pool := range a.devices {
		for _, d := range pool {
			d.Close()
		}
	}
}

// Params returns the number of parameters.
func (a *Arena) Params() int { return a.devices[attack.Assigned][0].Params() }

// devicesFor returns the devices that hold a kind of data, one per thread.
func (a *Arena) devicesFor(kind attack.Data) ([]*trainer.Device, error) {
	for len(a.devices[kind]) < a.threads {
		set, err := trainer.NewDataset(spoil(kind, a.text), a.spec.Data.Holdout)
		if err != nil {
			return nil, err
		}
		d, err := trainer.NewDevice(a.spec, a.run, set, 1)
		if err != nil {
			return nil, err
		}
		a.devices[kind] = append(a.devices[kind], d)
	}
	return a.devices[kind], nil
}

// names returns the IDs of n contributors, ascending.
func (a *Arena) names(n int) []protocol.PeerID {
	if len(a.peers) != n {
		a.peers = nil
		for i := range n {
			a.peers = append(a.peers, protocol.DeriveKey(1, fmt.Sprintf("arena/%d", i)).ID())
		}
		slices.SortFunc(a.peers, func(x, y protocol.PeerID) int { return slices.Compare(x[:], y[:]) })
	}
	return a.peers
}

// work is one contributor's training of a round.
type work struct {
	index    int // place in the roster
	round    uint32
	steps    uint32
	start    []float32
	feedback []float32
	data     attack.Data
}

// train does several contributors' work, some at once. If one diverges, the error wraps trainer.ErrDiverged.
func (a *Arena) train(ctx context.Context, all []work) ([]*trainer.Contribution, error) {
	out, errs := make([]*trainer.Contribution, len(all)), make([]error, len(all))
	pools := map[attack.Data][]*trainer.Device{}
	for _, w := range all {
		pool, err := a.devicesFor(w.data)
		if err != nil {
			return nil, err
		}
		pools[w.data] = pool
	}
	var group sync.WaitGroup
	for thread := range a.threads {
		group.Go(func() {
			for i := thread; i < len(all); i += a.threads {
				w := all[i]
				out[i], errs[i] = pools[w.data][thread].Train(ctx,
					protocol.Assignment{Run: a.run, Round: w.round, Index: uint32(w.index), Steps: w.steps}, w.start,
					trainer.TrainOptions{Peer: a.peers[w.index], Salt: noSalt, Feedback: w.feedback})
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err // of the first contributor that failed: others say the same
		}
	}
	return out, nil
}

// noSalt stands for salts: nothing is hidden here.
func noSalt(uint32) (salt [16]byte, err error) { return salt, nil }
