package aggregate_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/internal/delta"
	"drystone/protocol"
)

// withDown draws a way down for a spec.
func withDown(t *rapid.T, spec *protocol.RunSpec) {
	c := &spec.Codec
	c.Down = rapid.SampledFrom([]string{"sparse", "rice", "int8"}).Draw(t, "down")
	c.DownDecay = rapid.SampledFrom([]float64{0, 0.9, 1}).Draw(t, "down decay")
	if c.Down != "int8" {
		c.DownTopK, c.DownValueBits = rapid.SampledFrom([]int{16, 256}).Draw(t, "down k"), 2*rapid.IntRange(1, 2).Draw(t, "down bits")
	}
}

// downWorld is a run with a way down, and contributions to one round of it.
type downWorld struct {
	spec         protocol.RunSpec
	theta, outer []float32
	rng          *rand.Rand
}

func newDownWorld(t *rapid.T, optimisers ...protocol.OuterSpec) *downWorld {
	w := &downWorld{spec: aggtest.New(nil).Spec, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))}
	w.spec.Aggregate = protocol.AggregateSpec{Rule: "mean"}
	w.spec.Outer = rapid.SampledFrom(optimisers).Draw(t, "outer")
	withDown(t, &w.spec)
	params := 2*4096 + rapid.IntRange(1, 300).Draw(t, "rest")
	w.theta, w.outer = w.vector(params, 1), make([]float32, w.spec.OuterState(params))
	return w
}

func (w *downWorld) vector(n int, scale float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(scale * w.rng.NormFloat64())
	}
	return v
}

// contributions are of all shards, or of the given ones alone.
func (w *downWorld) contributions(t *rapid.T, peers int, shards ...uint32) (in []aggregate.Contribution) {
	codec, err := delta.New(w.spec.Codec)
	if err != nil {
		t.Fatal(err)
	}
	for i := range peers {
		c := aggregate.Contribution{Peer: protocol.PeerID{2, byte(i)}, Steps: uint32(1 + w.rng.IntN(8)), Shards: shards}
		for k := range w.spec.Codec.Owed(len(w.theta), shards) {
			lo, hi := w.spec.Codec.Shard(len(w.theta), protocol.ShardAt(shards, k))
			payload, err := codec.Encode(nil, w.vector(hi-lo, 0.01), make([]float32, hi-lo))
			if err != nil {
				t.Fatal(err)
			}
			c.Payloads = append(c.Payloads, payload)
		}
		in = append(in, c)
	}
	return in
}

var downOptimisers = []protocol.OuterSpec{
	{Optimiser: "sgd", LR: 1}, {Optimiser: "nesterov", LR: 0.7, Momentum: 0.9}, {Optimiser: "fedadam", LR: 0.01, Momentum: 0.9, Beta2: 0.99, Tau: 1e-3},
}

// merge merges one round into the world, after checks that hold of any: who has theta_r gets theta_{r+1} from the payloads,
// and the owners of the shards get the same payloads.
func (w *downWorld) merge(t *rapid.T, in []aggregate.Contribution) *aggregate.Result {
	r, err := aggregate.MergeContext(t.Context(), &w.spec, w.theta, w.outer, in)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := aggregate.MergePartsResult(&w.spec, w.theta, w.outer, in)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(parts.Updates(&w.spec), r.Updates(&w.spec)) || !slices.Equal(bits(parts.Outer), bits(r.Outer)) {
		t.Fatal("a merge in parts has other updates or another outer state")
	}
	cert := protocol.Certificate{Updates: r.Updates(&w.spec)}
	if err := cert.CheckUpdates(&w.spec.Codec, len(w.theta)); err != nil {
		t.Fatal(err)
	}
	trainer := slices.Clone(w.theta)
	for k, payload := range r.Down {
		lo, hi := w.spec.Codec.Shard(len(trainer), k)
		if err := aggregate.ApplyDown(&w.spec, trainer[lo:hi], payload); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(bits(trainer), bits(r.Theta)) {
		t.Fatal("a trainer's theta is not that of the aggregators")
	}
	w.theta, w.outer = r.Theta, r.Outer
	return r
}

// feedback returns the error feedback of the way down, and the optimiser's state of every shard.
func (w *downWorld) split() (optimiser, feedback []float32) {
	for k := range w.spec.Codec.Shards(len(w.theta)) {
		lo, hi := w.spec.OuterShard(len(w.theta), k)
		shardLo, shardHi := w.spec.Codec.Shard(len(w.theta), k)
		cut := hi - (shardHi - shardLo)
		optimiser, feedback = append(optimiser, w.outer[lo:cut]...), append(feedback, w.outer[cut:hi]...)
	}
	return optimiser, feedback
}

// docs/protocol.md, "The way down", step by step for sgd with rate 1 and for nesterov: what is encoded is fma(decay, e, s), the
// optimiser's state is that of a run that sends whole states, and e' is what the payload leaves.
func TestWayDownByHand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newDownWorld(t, downOptimisers[:2]...)
		whole := *w
		whole.spec.Codec = protocol.CodecSpec{Up: w.spec.Codec.Up, ShardParams: w.spec.Codec.ShardParams}
		whole.outer = make([]float32, whole.spec.OuterState(len(w.theta)))
		lr, mu, decay := float32(w.spec.Outer.LR), float32(w.spec.Outer.Momentum), float32(w.spec.Codec.DownDecay)
		down, err := delta.New(w.spec.Codec.Downward())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			in := w.contributions(t, 3)
			before, m := slices.Clone(w.theta), slices.Clone(whole.outer)
			_, e := w.split()
			zero := make([]float32, len(w.theta)) // theta of zeros and no momentum: the update itself, negated
			sgd := whole.spec
			sgd.Outer = protocol.OuterSpec{Optimiser: "sgd", LR: 1}
			negated, _, _, err := aggregate.Merge(&sgd, zero, nil, in)
			if err != nil {
				t.Fatal(err)
			}
			if _, whole.outer, _, err = aggregate.Merge(&whole.spec, whole.theta, whole.outer, in); err != nil {
				t.Fatal(err)
			}
			r := w.merge(t, in)
			m2, e2 := w.split()
			if !slices.Equal(bits(m2), bits(whole.outer)) {
				t.Fatal("the optimiser's state depends on the way down")
			}
			for k, payload := range r.Down {
				lo, hi := w.spec.Codec.Shard(len(before), k)
				value := make([]float32, hi-lo)
				if err := down.Decode(value, payload); err != nil {
					t.Fatal(err)
				}
				for j := lo; j < hi; j++ {
					u := 0 - negated[j]
					s := float32(lr * u)
					if len(m) > 0 {
						v := float32(mu*m[j]) + u
						s = float32(lr * float32(u+float32(mu*v)))
					}
					a := fma32(decay, e[j], s)
					left := a - value[j-lo]
					if math.Abs(float64(left)) < 0x1p-126 {
						left = 0
					}
					if math.Float32bits(e2[j]) != math.Float32bits(left) {
						t.Fatalf("parameter %d: e' = %v, want %v - %v", j, e2[j], a, value[j-lo])
					}
					if want := before[j] - value[j-lo]; math.Float32bits(w.theta[j]) != math.Float32bits(want) {
						t.Fatalf("parameter %d: theta = %v, want %v - %v", j, w.theta[j], before[j], value[j-lo])
					}
				}
			}
		}
	})
}

// docs/protocol.md: with decay 1 the decoded payloads of all rounds and the last e add up to the sum of the steps, which is how far
// a run with whole states would have come; what is left is rounding.
func TestDownFeedbackTelescopes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newDownWorld(t, downOptimisers...)
		w.spec.Codec.DownDecay = 1
		whole := *w
		whole.spec.Codec.Down, whole.spec.Codec.DownTopK, whole.spec.Codec.DownValueBits, whole.spec.Codec.DownDecay = "", 0, 0, 0
		whole.outer = make([]float32, whole.spec.OuterState(len(w.theta)))
		start := slices.Clone(w.theta)
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			in := w.contributions(t, 2)
			w.merge(t, in)
			var err error
			if whole.theta, whole.outer, _, err = aggregate.Merge(&whole.spec, whole.theta, whole.outer, in); err != nil {
				t.Fatal(err)
			}
		}
		_, e := w.split()
		for j := range start {
			if got, want := float64(w.theta[j])-float64(e[j]), float64(whole.theta[j]); math.Abs(got-want) > 1e-5*(1+math.Abs(float64(start[j]))) {
				t.Fatalf("parameter %d: %v with what is owed, %v with whole states", j, got, want)
			}
		}
	})
}

// A shard that nobody trained, and every shard if a result is not finite, keeps theta and all outer state.
func TestDownCarriesOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newDownWorld(t, downOptimisers...)
		w.merge(t, w.contributions(t, 2))
		theta, outer := w.theta, w.outer
		r := w.merge(t, w.contributions(t, 2, 0, 2))
		lo, hi := w.spec.Codec.Shard(len(theta), 1)
		outerLo, outerHi := w.spec.OuterShard(len(theta), 1)
		switch {
		case len(r.Down[1]) != 0 || len(r.Down[0]) == 0 || r.Updates(&w.spec)[1] != (protocol.ShardUpdate{}):
			t.Fatalf("payloads of %d, %d and %d bytes", len(r.Down[0]), len(r.Down[1]), len(r.Down[2]))
		case !slices.Equal(bits(r.Theta[lo:hi]), bits(theta[lo:hi])) || !slices.Equal(bits(r.Outer[outerLo:outerHi]), bits(outer[outerLo:outerHi])):
			t.Fatal("a shard that nobody trained changed")
		case slices.Equal(bits(r.Theta[:lo]), bits(theta[:lo])):
			t.Fatal("a shard that was trained did not change")
		}
		theta, outer = w.theta, w.outer
		w.spec.Outer.LR = 1e39 // of steps that are not finite
		r = w.merge(t, w.contributions(t, 2))
		if !slices.Equal(bits(r.Theta), bits(theta)) || !slices.Equal(bits(r.Outer), bits(outer)) || r.Record[0].Weight != 0 {
			t.Fatal("a step that is not finite changed the state")
		}
		if slices.ContainsFunc(r.Down, func(p []byte) bool { return len(p) > 0 }) {
			t.Fatal("payloads of a round that changes nothing")
		}
	})
}

// A payload from a peer that is not canonical, or of another shard, is refused before it changes anything.
func TestApplyDownRefuses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newDownWorld(t, downOptimisers[0])
		start := slices.Clone(w.theta[:4096])
		payload := w.merge(t, w.contributions(t, 1)).Down[0]
		bad := slices.Clone(payload)
		switch rapid.IntRange(0, 2).Draw(t, "damage") {
		case 0:
			bad = bad[:len(bad)-1]
		case 1:
			bad = append(bad, 0)
		case 2:
			bad[rapid.IntRange(0, len(bad)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		theta := slices.Clone(start)
		err := aggregate.ApplyDown(&w.spec, theta, bad)
		if err == nil { // the one encoding of other values
			return
		}
		if !errors.Is(err, aggregate.ErrDown) || !slices.Equal(bits(theta), bits(start)) {
			t.Fatalf("%v, and theta changed: %v", err, !slices.Equal(bits(theta), bits(start)))
		}
		if bytes.Equal(bad, payload) {
			t.Fatal("the payload itself is refused")
		}
	})
}

// riceDown is a run of two rounds with a way down.
func riceDown(s *protocol.RunSpec) {
	twoRounds(s)
	s.Codec.Down, s.Codec.DownTopK, s.Codec.DownValueBits, s.Codec.DownDecay = "rice", 320, 2, 1
}

// A run with a way down is certified to its end, and a Certificate whose updates no merge gives is refused before it counts.
func TestCertificateNeedsUpdates(t *testing.T) {
	p := newPlay(t, riceDown)
	toMerge(p)
	good := p.w.Certify(duty[aggregate.DutyMerge](p, 0))
	for name, change := range map[string]func(*protocol.Certificate){
		"none":      func(c *protocol.Certificate) { c.Updates = nil },
		"one more":  func(c *protocol.Certificate) { c.Updates = append(c.Updates, protocol.ShardUpdate{}) },
		"too large": func(c *protocol.Certificate) { c.Updates[0].Size = 1 << 24 },
		"no root":   func(c *protocol.Certificate) { c.Updates[0].Root = protocol.Digest{} },
	} {
		c, err := protocol.DecodeBody[protocol.Certificate](&good)
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		_, err = p.m.Apply(p.w.Cosign(p.w.Aggs[0], protocol.NewStatement(good.Run, good.Round, good.Prev, *c)))
		if !errors.Is(err, aggregate.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	q := newPlay(t, riceDown)
	q.join(0, 1, 2)
	q.work()
	for i := range 3 {
		q.must(q.w.CommitOn(q.m.View(), i, "stale", protocol.Hash("another model"), protocol.Digest{}))
	}
	q.rounds(1, 0, 1, 2) // nothing stands: the Certificate is derived, and nothing changes
	all := certificates(t, q)
	if len(all) != 1 || !slices.Equal(all[0].Updates, q.w.Spec.Codec.NoUpdates(q.w.Params)) || len(all[0].Updates) == 0 {
		t.Errorf("certificate of a round without contributions: %+v", all)
	}
}

// certificates returns those of a run in order.
func certificates(t *testing.T, p *play) (all []*protocol.Certificate) {
	t.Helper()
	for i := range p.final {
		if p.final[i].Statement.Kind != protocol.KindCertificate {
			continue
		}
		c, err := protocol.DecodeBody[protocol.Certificate](&p.final[i].Statement)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// Where shards have owners the Certificate lists what they say of each, and a machine that is restored within the merge goes on
// to the same statement.
func TestOwnersCertifyUpdates(t *testing.T) {
	p := newOwnedPlay(t, func(s *protocol.RunSpec) { riceDown(s); fewOwners(s) })
	p.join(0, 1, 2)
	p.rounds(1, 0, 1, 2)
	restored, err := aggregate.New(p.w.Config())
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range p.records {
		if _, err := restored.Apply(record); err != nil && !errors.Is(err, aggregate.ErrRefused) {
			t.Fatal(err)
		}
		snapshot, err := restored.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		again, err := aggregate.New(p.w.Config())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		restored = again
	}
	want, err := p.m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := restored.Snapshot(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the state after restarts differs: %v", err)
	}
	for _, c := range certificates(t, p) {
		if len(c.Updates) != ownedShards || slices.ContainsFunc(c.Updates, func(u protocol.ShardUpdate) bool { return u.Size != 32 }) { // as aggtest makes them
			t.Errorf("updates %+v", c.Updates)
		}
	}
}
