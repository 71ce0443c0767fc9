package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"drystone/internal/exact"
	"drystone/internal/speed"
	"drystone/node"
	"drystone/protocol"
	"drystone/trainer"
)

// digested is an output of a kernel, or a state of training, with the digest of its bits.
type digested struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// kernelDigests calls every kernel on the shapes and inputs of one draw.
func kernelDigests(eng *exact.Engine, draw uint64) []digested {
	src := newSource(draw)
	src.special = draw%4 == 3
	var out []digested
	for _, p := range append(drawnProbes(eng, src), plainProbes(eng, src)...) {
		for _, a := range p.Out {
			out = append(out, digested{fmt.Sprintf("draw %d, %s, %s", draw, p.Name, a.Name), digest(a.data.([]float32))})
		}
	}
	return out
}

// digest is the SHA-256 of bits, where a NaN is a NaN: its payload and sign are not defined.
func digest(x []float32) string {
	h := sha256.New()
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		bits := math.Float32bits(v)
		if v != v {
			bits = 0x7fc00000
		}
		b = binary.LittleEndian.AppendUint32(b, bits)
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// drawnProbes calls the kernels that kernel-accuracy measures, at random sizes.
func drawnProbes(eng *exact.Engine, src *source) []*probe {
	product := speed.Product{TransA: src.IntN(2) == 0, TransB: src.IntN(2) == 0, M: src.size(40, 140), N: src.size(70, 200), K: src.size(60, 1600)}
	kernel := 1 + src.IntN(3)
	images := exact.ConvShape{Batch: 1 + src.IntN(2), Height: 3 + src.IntN(9), Width: 3 + src.IntN(9), Channels: 1 + src.IntN(20),
		KernelH: kernel, KernelW: 1 + src.IntN(3), Stride: 1 + src.IntN(2)}
	images.Pad = src.IntN(min(images.KernelH, images.KernelW))
	return append([]*probe{
		gemmProbe(eng, src, product),
		rmsnormProbe(eng, src, src.size(20, 1100), src.size(80, 300)),
		layernormProbe(eng, src, src.size(20, 1100), src.size(80, 300)),
		swigluProbe(eng, src, src.size(200, 9000)),
		geluProbe(eng, src, src.size(200, 9000)),
		convProbe(eng, src, images, 1+src.IntN(20)),
		attentionProbe(eng, src, 1+src.IntN(2), src.size(40, 150), 1+src.IntN(3), 2*src.size(20, 32)),
		crossEntropyProbe(eng, src, src.size(20, 100), src.size(100, 600)),
		embeddingProbe(eng, src, src.size(60, 1500), src.size(10, 300), src.size(40, 130)),
		adamwProbe(eng, src, src.size(200, 9000)),
		poolProbe(eng, src, images),
	}, functionProbes(src, src.size(200, 2000))...)
}

// plainProbes calls the kernels whose error needs no measurement, because they round once or not at all, and the folds.
func plainProbes(eng *exact.Engine, src *source) []*probe {
	n, rows, dim := src.size(200, 9000), src.size(30, 700), src.size(60, 300)
	p := &probe{Name: "elements"}
	a, b, s := src.normals(n), src.normals(n), src.normals(1)[0]
	eng.Add(p.out("add", n), a, b)
	eng.Sub(p.out("sub", n), a, b)
	eng.Scale(p.out("scale", n), a, s)
	fma := p.out("fma", n)
	copy(fma, b)
	eng.FMA(fma, s, a)
	eng.ReLU(p.out("relu", n), a)
	eng.ReLUBackward(p.out("relu dx", n), b, a)
	sums := p.out("sums", 2)
	sums[0], sums[1] = eng.Sum(a), eng.SumSquares(a)

	r := &probe{Name: "rows"}
	x, y, ids := src.normals(rows*dim), src.normals(rows*dim), src.below(rows, rows)
	eng.Gather(r.out("gather", rows, dim), x, ids, dim)
	eng.AddBias(r.out("add bias", rows, dim), x, src.normals(dim), rows, dim)
	eng.BiasBackward(r.out("dbias", dim), x, rows, dim, false)
	eng.SquaredError(x, y, rows, dim, r.out("squared error", rows), r.out("dpred", rows, dim), rows)
	index, largest := make([]int32, rows), r.out("largest", rows)
	eng.ArgMaxRows(index, x, rows, dim)
	for i, at := range index {
		largest[i] = float32(at)
	}

	seq, heads, hd := src.size(20, 70), 1+src.IntN(4), 2*src.size(16, 32)
	rope := &probe{Name: "rope"}
	cos, sin := exact.RopeTable(seq, hd, 10000)
	q := src.normals(seq * heads * hd)
	eng.Rope(rope.out("y", len(q)), q, cos, sin, 1, seq, heads, hd, false)
	eng.Rope(rope.out("dx", len(q)), q, cos, sin, 1, seq, heads, hd, true)
	return []*probe{p, r, rope}
}

// poolProbe is pooling of images, and its gradients.
func poolProbe(eng *exact.Engine, src *source, s exact.ConvShape) *probe {
	p := &probe{Name: "pool"}
	in, out := s.Batch*s.Height*s.Width*s.Channels, s.Rows()*s.Channels
	x, dy, index := src.normals(in), src.normals(out), make([]int32, out)
	eng.MaxPool(p.out("max", out), index, x, s)
	eng.MaxPoolBackward(p.out("max dx", in), dy, index, s)
	eng.AvgPool(p.out("mean", out), x, s)
	eng.AvgPoolBackward(p.out("mean dx", in), dy, s)
	return p
}

// parityModel is a model that an emulated processor trains in a minute. Its rows fill the registers of every path with
// something left over, and a step divides into passes.
var parityModel = protocol.ModelSpec{Family: "llama", Dim: 40, Layers: 1, Heads: 2, KVHeads: 1, FFN: 26, Vocab: 256, Context: 32, NormEps: 1e-5, RopeTheta: 10000}

// stateDigest trains parityModel for so many steps and returns the digest of parameters and moments.
func stateDigest(ctx context.Context, path string, threads int, steps uint32, choices ...func(*protocol.RunSpec)) (digested, error) {
	spec := node.DefaultSpec()
	spec.Name, spec.Model = "bit-parity", parityModel
	spec.Train.Rounds, spec.Train.Steps, spec.Train.Segment, spec.Train.Warmup, spec.Train.Batch = 1, steps, steps, 0, 32
	d, err := newDevice(spec, path, threads, choices...)
	if err != nil {
		return digested{}, err
	}
	defer d.Close()
	state, err := d.Replay(ctx, d.assignment(), trainer.StartState(d.theta), steps)
	if err != nil {
		return digested{}, err
	}
	return digested{fmt.Sprintf("state after %d steps", steps), state.Trace().Leaf().String()}, nil
}
