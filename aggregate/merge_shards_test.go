package aggregate_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

// part is one contribution to a merge of parts: an update of all parameters, of which those in its shards count.
type part struct {
	steps  uint32
	shards []uint32
	update []float32
}

func (p *part) has(k int) bool {
	return len(p.shards) == 0 || slices.Contains(p.shards, uint32(k))
}

// referenceParts is the merge of parts as the documentation of Merge gives it, parameter by parameter, in arbitrary
// precision with every rounding explicit.
func referenceParts(spec *protocol.RunSpec, theta, outer []float32, parts []part) (t, m []float32, norms []float64) {
	n := len(theta)
	for _, p := range parts {
		sum, trained := 0.0, 0
		for lo := 0; lo < n; lo += 4096 { // a shard is one codec chunk here
			if !p.has(lo / 4096) {
				continue
			}
			shard := 0.0
			for _, x := range p.update[lo:min(lo+4096, n)] {
				sq := float64(x) * float64(x)
				shard += sq
			}
			sum += shard
			trained += min(lo+4096, n) - lo
		}
		if trained < n {
			ratio := float64(n) / float64(trained)
			sum *= ratio
		}
		norms = append(norms, math.Sqrt(sum))
	}
	sorted := slices.Clone(norms)
	slices.Sort(sorted)
	limit := spec.Aggregate.NormCap * sorted[(len(sorted)-1)/2]
	lr, mu := float32(spec.Outer.LR), float32(spec.Outer.Momentum)
	t, m = slices.Clone(theta), slices.Clone(outer)
	for j := range t {
		total := uint64(0)
		for i := range parts {
			if parts[i].has(j / 4096) {
				total += uint64(parts[i].steps)
			}
		}
		if total == 0 {
			continue // nobody trained the shard
		}
		u, merged := float32(0), false
		for i := range parts {
			if !parts[i].has(j / 4096) {
				continue
			}
			w := float32(parts[i].steps) / float32(total)
			if norms[i] > limit {
				scale := limit / norms[i]
				w = float32(float64(w) * scale)
			}
			if w != 0 {
				u, merged = fma32(w, parts[i].update[j], u), true
			}
		}
		if !merged {
			continue
		}
		m[j] = add32(mul32(mu, m[j]), u)
		if math.Abs(float64(m[j])) < 0x1p-126 {
			m[j] = 0
		}
		t[j] = add32(t[j], -mul32(lr, add32(u, mul32(mu, m[j]))))
	}
	return t, m, norms
}

// Merge of partial contributions equals its documentation bit for bit, shard by shard, and what the record says of a
// contribution is the same whoever trained the shard.
func TestMergeOfParts(t *testing.T) {
	w := aggtest.New(nil)
	spec := w.Spec
	const n, shards = 3*4096 + 100, 4
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		vec := func(scale float32) []float32 {
			v := make([]float32, n)
			for i := range v {
				seed = seed*6364136223846793005 + 1442695040888963407
				v[i] = scale * (float32(int32(seed>>33)) / (1 << 30))
			}
			return v
		}
		theta, outer := vec(1), vec(0.1)
		var parts []part
		var cs []aggregate.Contribution
		for i := range rapid.IntRange(1, 4).Draw(t, "peers") {
			p := part{steps: rapid.Uint32Range(1, 8).Draw(t, "steps"), update: vec(rapid.SampledFrom([]float32{0, 0.01, 0.1, 10}).Draw(t, "scale"))}
			for k := range uint32(shards) {
				if rapid.Bool().Draw(t, "has") {
					p.shards = append(p.shards, k)
				}
			}
			all := dense(t, &spec, p.update)
			c := aggregate.Contribution{Peer: w.Peers[i].ID(), Steps: p.steps, Shards: p.shards}
			for k, payload := range all {
				if p.has(k) {
					c.Payloads = append(c.Payloads, payload)
				}
			}
			parts, cs = append(parts, p), append(cs, c)
		}
		gotT, gotM, record, err := aggregate.Merge(&spec, theta, outer, cs)
		if err != nil {
			t.Fatal(err)
		}
		wantT, wantM, norms := referenceParts(&spec, theta, outer, parts)
		if !slices.Equal(bits(gotT), bits(wantT)) || !slices.Equal(bits(gotM), bits(wantM)) {
			t.Fatal("other bits than the definition gives")
		}
		for i, r := range record {
			if r.Peer != cs[i].Peer || r.Norm != math.Float64bits(norms[i]) {
				t.Fatalf("record %d: %+v, want norm %v", i, r, norms[i])
			}
		}
		for k := range shards {
			lo, hi := spec.Codec.Shard(n, k)
			if trained := slices.ContainsFunc(parts, func(p part) bool { return p.has(k) }); !trained &&
				(!slices.Equal(bits(gotT[lo:hi]), bits(theta[lo:hi])) || !slices.Equal(bits(gotM[lo:hi]), bits(outer[lo:hi]))) {
				t.Fatalf("shard %d, which nobody trained, changed", k)
			}
		}
	})
}

// A part with the same root mean square as the whole has the same norm, so norm-clip treats both alike; and naming all
// shards is the same as naming none.
func TestMergeComparesParts(t *testing.T) {
	w := aggtest.New(nil)
	spec := w.Spec
	const n = 2 * 4096
	u := make([]float32, n)
	for i := range u {
		u[i] = 0.5
	}
	all := dense(t, &spec, u)
	theta, outer := make([]float32, n), make([]float32, n)
	merge := func(in ...aggregate.Contribution) []protocol.Merged {
		t.Helper()
		_, _, record, err := aggregate.Merge(&spec, theta, outer, in)
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	a, b := w.Peers[0].ID(), w.Peers[1].ID()
	r := merge(aggregate.Contribution{Peer: a, Steps: 2, Payloads: all}, aggregate.Contribution{Peer: b, Steps: 6, Shards: []uint32{1}, Payloads: all[1:]})
	if r[0].Norm != r[1].Norm || !slices.Equal(weights(r), []float32{0.25, 0.75}) {
		t.Errorf("record %+v", r)
	}
	named := merge(aggregate.Contribution{Peer: a, Steps: 2, Shards: []uint32{0, 1}, Payloads: all})
	if plain := merge(aggregate.Contribution{Peer: a, Steps: 2, Payloads: all}); !slices.Equal(named, plain) {
		t.Errorf("all shards named: %+v, want %+v", named, plain)
	}
	for name, c := range map[string]aggregate.Contribution{
		"payloads of more": {Shards: []uint32{1}, Payloads: all}, "beyond": {Shards: []uint32{2}, Payloads: all[:1]},
		"twice": {Shards: []uint32{1, 1}, Payloads: all}, "descending": {Shards: []uint32{1, 0}, Payloads: all},
	} {
		c.Peer, c.Steps = a, 1
		if _, _, _, err := aggregate.Merge(&spec, theta, outer, []aggregate.Contribution{c}); !errors.Is(err, aggregate.ErrMergeInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
