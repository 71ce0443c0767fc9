package aggregate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"drystone/internal/delta"
	"drystone/protocol"
)

// ErrMergeInput means that Merge was called with something that no round hands it.
var ErrMergeInput = errors.New("aggregate: impossible merge")

// Contribution is one revealed update: its payloads, one per assigned shard in shard order, as they were committed.
type Contribution struct {
	Peer     protocol.PeerID
	Round    uint32   // the same of all, for codecs whose masks or turns it decides
	Steps    uint32   // 1 to H
	Shards   []uint32 // that it was assigned, ascending; empty for all
	Payloads [][]byte
}

// Result is that of a merge.
type Result struct {
	Theta  []float32         // theta_{r+1}
	Outer  []float32         // the outer state after the round, empty for sgd without a way down
	Record []protocol.Merged // the merge record
	// Down are the payloads of the way down, one per shard, empty for a shard that does not change; nil in runs without.
	Down [][]byte
}

// Updates names the payloads of the way down, for the Certificate.
func (r *Result) Updates(spec *protocol.RunSpec) []protocol.ShardUpdate {
	return updates(spec, len(r.Theta), r.Down)
}

// Merge computes theta_{r+1}, the outer state after the round (empty for sgd), and the merge record. theta has N
// values, outer has spec.OuterState(N), and neither is changed. Contributions are strictly ascending by peer,
// those of the RevealSet. Every bit of the result is defined: the operations, in float32 unless stated, each rounded to
// nearest even, are, with n_i the parameters in the shards of contribution i,
//
//	norm_i  = sqrt(sum over its shards ascending of SumSquares)              float64, if it has all shards
//	norm_i  = sqrt((sum over its shards ascending of SumSquares) * (N/n_i))  float64, if it has some
//	w_ik    = float32(steps_i) / float32(sum of steps of those who trained shard k)
//	norm-clip, if norm_i > cap = NormCap * median(norms):
//	w_ik    = float32(float64(w_ik) * (cap / norm_i))                        inside float64
//
// and in each shard k that somebody trained, for each of its parameters j
//
//	u       = 0; for each i ascending that trained k: u[j] = fma(w_ik, value_i[j], u[j])
//	sgd:      theta'[j] = theta[j] - (lr * u[j])
//	nesterov: m'[j] = (mu * m[j]) + u[j];  theta'[j] = theta[j] - (lr * (u[j] + (mu * m'[j])))
//
// with lr and mu rounded to float32 first and a bracket for each rounding; Nesterov is in the form of Sutskever et al.
// (2013) that PyTorch uses. The median of an even count is the lower of the two in the middle. An m' below 2^-126 in
// magnitude becomes +0. In a shard that nobody trained, theta and the outer state carry over unchanged. vectorWeights says
// how vector rules set w_ik, mergeUpdate how coordinate rules set u, and adaptiveStep what fedadam and fedyogi do. With a way
// down what is subtracted from theta is encoded first: see ApplyDown.
//
// The record holds of each contribution its norm and w_i, which is w_ik with the steps of all contributions below the line:
// with everyone training all shards that is the weight. Where shares differ, w_ik follows from the norms, the steps in the
// RevealSet, and the shards that the Open assigns, and for a vector rule from the payloads.
//
// A contribution whose payload does not decode, or whose norm is not finite, is left out: its weight is 0, its steps do
// not count, and its recorded norm is NaN if there is none. If nobody is left, or the result is not finite, the state
// carries over unchanged and every weight is 0.
//
// It uses all processors; how many shows in no bit. Beside its arguments and results it holds one shard of float32 values,
// of a chunk those of all contributions for vector and coordinate rules, and inner products of 16 bytes for any two
// contributions. Vector rules take time quadratic in their number: see delta.Codec.Products.
func Merge(spec *protocol.RunSpec, theta, outer []float32, contributions []Contribution) (nextTheta, nextOuter []float32, record []protocol.Merged, err error) {
	r, err := MergeContext(context.Background(), spec, theta, outer, contributions)
	if err != nil {
		return nil, nil, nil, err
	}
	return r.Theta, r.Outer, r.Record, nil
}

// MergeContext is Merge with the payloads of the way down. It ends with the error of ctx when ctx does.
func MergeContext(ctx context.Context, spec *protocol.RunSpec, theta, outer []float32, contributions []Contribution) (*Result, error) {
	codec, err := codecOf(spec, contributions)
	if err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	if len(outer) != spec.OuterState(len(theta)) {
		return nil, fmt.Errorf("%w: outer state of %d values for %d parameters and %s", ErrMergeInput, len(outer), len(theta), spec.Outer.Optimiser)
	}
	if err := checkContributions(spec, len(theta), contributions); err != nil {
		return nil, err
	}
	norms, err := eachNorm(ctx, spec, codec, len(theta), contributions)
	if err != nil {
		return nil, err
	}
	clips := clip(spec, norms)
	whole, err := wholeWeights(ctx, spec, codec, len(theta), contributions, clips)
	if err != nil {
		return nil, err
	}
	weights := recordWeights(spec, contributions, clips, whole)
	shards := spec.Codec.Shards(len(theta))
	r := &Result{Theta: slices.Clone(theta), Outer: slices.Clone(outer)}
	if spec.Codec.Down != "" {
		r.Down = make([][]byte, shards)
	}
	finite := true
	for k := range shards {
		payload, ok, err := mergeShard(ctx, spec, codec, k, r, contributions, clips, whole)
		if err != nil {
			return nil, err
		}
		if finite = finite && ok; r.Down != nil {
			r.Down[k] = payload
		}
	}
	if !finite {
		copy(r.Theta, theta)
		copy(r.Outer, outer)
		clear(r.Down)
		clear(weights)
	}
	r.Record = make([]protocol.Merged, len(contributions))
	for i, c := range contributions {
		r.Record[i] = protocol.Merged{Peer: c.Peer, Weight: math.Float32bits(weights[i]), Norm: math.Float64bits(norms[i])}
	}
	return r, nil
}

// mergeShard merges shard k of those who trained it into theta and the outer state of r, and returns what applyUpdate does.
// whole is what wholeWeights returned.
func mergeShard(ctx context.Context, spec *protocol.RunSpec, codec delta.Codec, k int, r *Result, contributions []Contribution, clips []float64, whole []float32) ([]byte, bool, error) {
	lo, hi := spec.Codec.Shard(len(r.Theta), k)
	var in []Contribution // with this shard alone
	var inClips []float64
	for i, c := range contributions {
		if place, own := protocol.PlaceOf(c.Shards, k); own {
			c.Payloads = c.Payloads[place : place+1]
			in, inClips = append(in, c), append(inClips, clips[i])
		}
	}
	weights := whole
	if whole == nil {
		var err error
		if weights, err = shardWeights(ctx, spec, codec.Shard(k), hi-lo, in, inClips); err != nil {
			return nil, false, err
		}
	}
	return mergeInto(ctx, spec, codec.Shard(k), k, stateOf(spec, r.Theta, r.Outer, lo, hi), in, weights)
}

// mergeInto merges the contributions that have a weight into a shard's state, which is as it was if there is none, or if it is
// not the shard's turn. codec is the shard's.
func mergeInto(ctx context.Context, spec *protocol.RunSpec, codec delta.Codec, k int, s shardState, in []Contribution, weights []float32) ([]byte, bool, error) {
	if codec.Silent() || !slices.ContainsFunc(weights, func(w float32) bool { return w != 0 }) {
		return nil, true, nil
	}
	update := make([]float32, len(s.theta))
	if err := mergeUpdate(ctx, spec, codec, update, in, weights); err != nil {
		return nil, false, fmt.Errorf("merge shard %d: %w", k, err)
	}
	payload, ok := applyUpdate(spec, s, update)
	return payload, ok, nil
}

func checkContributions(spec *protocol.RunSpec, params int, contributions []Contribution) error {
	shards := spec.Codec.Shards(params)
	for i, c := range contributions {
		switch {
		case i > 0 && bytes.Compare(contributions[i-1].Peer[:], c.Peer[:]) >= 0:
			return fmt.Errorf("%w: contributions not ascending by peer", ErrMergeInput)
		case len(c.Payloads) != spec.Codec.Owed(params, c.Shards):
			return fmt.Errorf("%w: %d payloads of %s, want %d", ErrMergeInput, len(c.Payloads), c.Peer.Short(), spec.Codec.Owed(params, c.Shards))
		case c.Steps < 1 || c.Steps > spec.Train.Steps:
			return fmt.Errorf("%w: %d steps of %s, want 1 to %d", ErrMergeInput, c.Steps, c.Peer.Short(), spec.Train.Steps)
		}
		if c.Round != contributions[0].Round {
			return fmt.Errorf("%w: contributions to rounds %d and %d", ErrMergeInput, contributions[0].Round, c.Round)
		}
		for j, s := range c.Shards {
			if int64(s) >= int64(shards) || j > 0 && s <= c.Shards[j-1] {
				return fmt.Errorf("%w: shards %v of %s, want ascending ones of %d", ErrMergeInput, c.Shards, c.Peer.Short(), shards)
			}
		}
	}
	return nil
}

// eachNorm returns the norms of all contributions.
func eachNorm(ctx context.Context, spec *protocol.RunSpec, codec delta.Codec, params int, contributions []Contribution) ([]float64, error) {
	norms := make([]float64, len(contributions))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(threads())
	for i, c := range contributions {
		g.Go(func() error {
			norms[i] = norm(spec, codec, params, c)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("norms: %w", err)
	}
	return norms, nil
}

// norm returns the Euclidean norm of a decoded update, that of an update of a part as if the rest had the same root mean
// square; NaN if a payload does not decode.
func norm(spec *protocol.RunSpec, codec delta.Codec, params int, c Contribution) float64 {
	sum := 0.0
	for i, payload := range c.Payloads {
		lo, hi := spec.Codec.Shard(params, protocol.ShardAt(c.Shards, i))
		s, err := codec.Shard(protocol.ShardAt(c.Shards, i)).SumSquares(payload, hi-lo)
		if err != nil {
			return math.NaN()
		}
		sum += s
	}
	if n := spec.Codec.Trained(params, c.Shards); n < params {
		sum = float64(sum * float64(float64(params)/float64(n)))
	}
	return math.Sqrt(sum)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// clip returns the factor by which the rule scales each contribution: 1 for one that it leaves as it is, cap/norm for one
// that is too long, NaN for one that is left out.
func clip(spec *protocol.RunSpec, norms []float64) []float64 {
	clips := make([]float64, len(norms))
	var in []float64
	for _, n := range norms {
		if finite(n) {
			in = append(in, n)
		}
	}
	slices.Sort(in)
	limit := math.Inf(1)
	if spec.Aggregate.Rule == "norm-clip" && len(in) > 0 {
		limit = float64(spec.Aggregate.NormCap * in[(len(in)-1)/2])
	}
	for i, n := range norms {
		switch {
		case !finite(n):
			clips[i] = math.NaN()
		case n > limit:
			clips[i] = float64(limit / n)
		default:
			clips[i] = 1
		}
	}
	return clips
}

// weigh returns the weight of each of some contributions among them: its share of their steps times its factor.
func weigh(contributions []Contribution, clips []float64) []float32 {
	weights := make([]float32, len(contributions))
	var total uint64
	for i, c := range contributions {
		if !math.IsNaN(clips[i]) {
			total += uint64(c.Steps)
		}
	}
	for i, c := range contributions {
		if math.IsNaN(clips[i]) {
			continue
		}
		weights[i] = float32(c.Steps) / float32(total)
		if clips[i] != 1 {
			weights[i] = float32(float64(weights[i]) * clips[i])
		}
	}
	return weights
}

// VectorRoot is protocol.MerkleRoot of a vector's little-endian float32 bytes, without a copy of them: the ModelRoot of
// theta, the OuterRoot of the outer momentum.
func VectorRoot(v []float32) protocol.Digest {
	leaves := make([]protocol.Digest, 0, (len(v)+codecChunk-1)/codecChunk)
	buf := make([]byte, 1, 1+protocol.LeafSize) // 0x00, then the leaf (RFC 6962, section 2.1)
	for len(v) > 0 {
		n := min(codecChunk, len(v))
		buf = buf[:1]
		for _, x := range v[:n] {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
		leaves = append(leaves, sha256.Sum256(buf))
		v = v[n:]
	}
	return protocol.RootOf(leaves)
}
