package trainer

import (
	"bytes"
	"context"
	"flag"
	"testing"

	"drystone/internal/delta"
	"drystone/internal/examples"
	"drystone/protocol"
)

var update = flag.Bool("update", false, "write golden files")

// testText is a corpus from integers alone: words of a small vocabulary in an order with some structure.
func testText(n int) []byte {
	words := []string{"stone ", "wall ", "hand ", "without ", "mortar ", "the ", "holds ", "fits ", "push\n", "by "}
	var text []byte
	for x := uint32(1); len(text) < n; {
		x = x*1664525 + 1013904223
		text = append(text, words[(x>>16)%uint32(len(words))]...)
	}
	return text[:n]
}

// testSpec is a tiny run: a model of a few thousand parameters in two shards, 3 segments of 2 steps and a shorter one.
func testSpec(edit func(*protocol.RunSpec)) *protocol.RunSpec {
	s := &protocol.RunSpec{
		Name: "test", Seed: 1, Engine: "exact-f32/2", Founder: protocol.DeriveKey(1, "founder").ID(),
		Model:     protocol.ModelSpec{Family: "llama", Dim: 16, Layers: 1, Heads: 2, KVHeads: 1, FFN: 24, Vocab: 256, Context: 16, NormEps: 1e-5, RopeTheta: 10000, Tied: true},
		Data:      protocol.DataSpec{Tokenizer: "bytes", Tokens: 6000, Holdout: 600},
		Train:     protocol.TrainSpec{Rounds: 4, Steps: 8, Segment: 2, Batch: 2, LR: 3e-3, MinLR: 3e-4, Warmup: 4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1},
		Outer:     protocol.OuterSpec{Optimiser: "sgd", LR: 1},
		Codec:     protocol.CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 4096},
		Aggregate: protocol.AggregateSpec{Rule: "mean", MinPeers: 1},
		Verify:    protocol.VerifySpec{Kind: "segment", Checks: 1, Chunks: 2, Window: 2},
		Payout:    protocol.PayoutSpec{Symbol: "DRY", EpochRounds: 1},
		Quorum:    protocol.QuorumSpec{Aggregators: 1, Threshold: 1},
		Deadlines: protocol.DeadlineSpec{Train: 60, Reveal: 60, Check: 60},
	}
	if edit != nil {
		edit(s)
	}
	return s
}

// testData returns data of the kind and length that spec says.
func testData(t testing.TB, spec *protocol.RunSpec) []byte {
	n, m := int(spec.Data.Tokens), &spec.Model
	text := testText(n)
	switch width := spec.Data.TokenBytes(); {
	case width == 1:
		return text
	case width > 1:
		data := make([]byte, width*n)
		for i, b := range text {
			data[width*i], data[width*i+1] = b, b%2 // ids of up to 511
		}
		return data
	case m.Loss == "squared-error":
		return encode(t, examples.Friedman(n), n-int(spec.Data.Holdout))
	}
	return encode(t, examples.Digits(n), n-int(spec.Data.Holdout))
}

func encode(t testing.TB, r *examples.Raw, train int) []byte {
	t.Helper()
	b, err := r.Encode(train)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// familySpecs change testSpec into runs of the other families and kinds of data.
var familySpecs = map[string]func(s *protocol.RunSpec){
	"u16le": func(s *protocol.RunSpec) { s.Data.Tokenizer, s.Model.Vocab = "u16le", 512 },
	"u32le": func(s *protocol.RunSpec) { s.Data.Tokenizer, s.Model.Vocab, s.Model.Tied = "u32le", 600, false },
	"mlp classifier": func(s *protocol.RunSpec) {
		s.Model = protocol.ModelSpec{Family: "mlp", Dim: 32, Layers: 2, Inputs: 144, Outputs: 10, Loss: "cross-entropy"}
		s.Data, s.Train.Batch = protocol.DataSpec{Kind: protocol.Examples, Tokens: 1200, Holdout: 100}, 16
	},
	"mlp regressor": func(s *protocol.RunSpec) {
		s.Model = protocol.ModelSpec{Family: "mlp", Dim: 32, Layers: 2, Inputs: 10, Outputs: 1, Loss: "squared-error"}
		s.Data, s.Train.Batch = protocol.DataSpec{Kind: protocol.Examples, Tokens: 1200, Holdout: 100}, 16
		s.Codec = protocol.CodecSpec{Up: "dense", ShardParams: 4096}
	},
	"convnet": func(s *protocol.RunSpec) {
		s.Model = protocol.ModelSpec{Family: "convnet", Dim: 8, Layers: 2, Height: 12, Width: 12, Channels: 1, Outputs: 10, Loss: "cross-entropy"}
		s.Data, s.Train.Batch = protocol.DataSpec{Kind: protocol.Examples, Tokens: 1200, Holdout: 100}, 16
	},
}

type bench struct {
	*Device
	spec  *protocol.RunSpec
	run   protocol.Digest
	key   protocol.Key
	theta []float32
}

func newBench(t testing.TB, threads int, edit func(*protocol.RunSpec)) *bench {
	t.Helper()
	spec := testSpec(edit)
	run, err := spec.ID()
	if err != nil {
		t.Fatal(err)
	}
	data, err := OpenDataset(spec.Data, testData(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDevice(spec, run, data, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	theta, err := d.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	return &bench{d, spec, run, protocol.DeriveKey(1, "trainer"), theta}
}

func (b *bench) assignment(round, steps uint32) protocol.Assignment {
	return protocol.Assignment{Run: b.run, Round: round, Index: 1, Steps: steps}
}

func (b *bench) options(round uint32) TrainOptions {
	return TrainOptions{Peer: b.key.ID(), Salt: KeySalt(b.key, b.run, round)}
}

func (b *bench) train(t testing.TB, a protocol.Assignment, opt TrainOptions) *Contribution {
	t.Helper()
	c, err := b.Train(context.Background(), a, b.theta, opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// frozen returns the root and the path of a Freeze that holds only this commit.
func frozen(t testing.TB, c protocol.Commit, key protocol.Key) (protocol.Digest, protocol.Path) {
	t.Helper()
	signed := protocol.Sign(key, c)
	leaves := []protocol.Digest{protocol.FrozenLeaf(signed.Digest())}
	return protocol.RootOf(leaves), protocol.PathTo(leaves, 0)
}

// checkStructure does every check of a contribution but replay: reveals, openings, paths, chunks. It returns the opening
// of each segment.
func checkStructure(t testing.TB, b *bench, c *Contribution) []*protocol.Opening {
	t.Helper()
	commit := c.Commit(protocol.Hash("open"))
	root, path := frozen(t, commit, b.key)
	for i := range c.Payloads {
		shard := protocol.ShardAt(c.Assignment.Shards, i)
		r, err := c.Reveal(uint32(shard), path)
		if err != nil {
			t.Fatal(err)
		}
		if r, err = protocol.DecodeReveal(r.Encode()); err != nil {
			t.Fatal(err)
		}
		if err := r.Check(b.spec, b.Params(), c.Assignment.Shards, &commit, root); err != nil {
			t.Fatal(err)
		}
		lo, hi := b.spec.Codec.Shard(b.Params(), shard)
		if err := b.codec.Round(b.run, c.Assignment.Round).Shard(shard).Validate(r.Payload, hi-lo); err != nil {
			t.Fatal(err)
		}
	}
	var all []*protocol.Opening
	total := uint32(chunksOf(b.Params()))
	for seg := range b.spec.Segments(c.Assignment.Steps) {
		req := protocol.OpenRequest{Run: b.run, Round: c.Assignment.Round, Segment: seg}
		for i := range total {
			req.Chunks = append(req.Chunks, i)
		}
		o, err := c.Open(req)
		if err != nil {
			t.Fatal(err)
		}
		data := o.Encode()
		if limit := protocol.MaxOpening(b.Params(), total); len(data) > limit {
			t.Fatalf("opening of %d bytes, limit %d", len(data), limit)
		}
		if o, err = protocol.DecodeOpening(data, protocol.MaxOpening(b.Params(), total)); err != nil {
			t.Fatal(err)
		}
		checkOpening(t, b, c, commit.Trace, seg, o)
		all = append(all, o)
	}
	return all
}

func checkOpening(t testing.TB, b *bench, c *Contribution, trace protocol.Digest, seg uint32, o *protocol.Opening) {
	t.Helper()
	under := func(what string, p protocol.Path, index uint64, leaf, root protocol.Digest) {
		t.Helper()
		if p.Index != index {
			t.Fatalf("segment %d: %s at %d, want %d", seg, what, p.Index, index)
		}
		if err := p.Check(leaf, root); err != nil {
			t.Fatalf("segment %d: %s: %v", seg, what, err)
		}
	}
	if seg > 0 {
		under("from", o.FromPath, uint64(seg), o.From.Leaf(), trace)
	}
	under("to", o.ToPath, uint64(seg)+1, o.To.Leaf(), trace)
	under("final", o.FinalPath, uint64(len(c.States)), o.Final.Leaf(), trace)
	if seg > 0 && b.spec.Verify.Kind == "segment" {
		s, err := OpenedState(o, b.Params(), b.spec.Codec.Trained(b.Params(), c.Assignment.Shards))
		if err != nil {
			t.Fatal(err)
		}
		if s.Trace() != o.From {
			t.Fatalf("segment %d: opened state is not the committed one", seg)
		}
	}
	for i := range o.Chunks {
		k := &o.Chunks[i]
		under("theta chunk", k.ThetaPath, uint64(k.Index), protocol.LeafHash(k.Theta), o.Final.Theta)
		if !c.Start.Feedback.IsZero() {
			under("before chunk", k.BeforePath, uint64(k.Index), protocol.LeafHash(k.Before), c.Start.Feedback)
		}
		if !c.End.Feedback.IsZero() {
			under("after chunk", k.AfterPath, uint64(k.Index), protocol.LeafHash(k.After), c.End.Feedback)
		}
		if place, own := protocol.PlaceOf(c.Assignment.Shards, b.ShardOf(k.Index)); own {
			if err := b.CheckChunk(c.Assignment.Round, b.theta, k, c.Payloads[place]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		lo := int(k.Index) * delta.ChunkParams
		if !bytes.Equal(k.Theta, floatBytes(b.theta[lo:min(lo+delta.ChunkParams, b.Params())])) {
			t.Fatalf("chunk %d, which is not assigned, changed theta", k.Index)
		}
		if before := k.Before; b.codec.HasFeedback() && !bytes.Equal(append(before, make([]byte, len(k.After)-len(before))...), k.After) {
			t.Fatalf("chunk %d, which is not assigned, changed its error feedback", k.Index)
		}
	}
}
