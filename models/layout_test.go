package models

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"drystone/protocol"

	"pgregory.net/rapid"
)

func TestLayoutOfSmallModel(t *testing.T) {
	params, total, err := Layout(small)
	if err != nil {
		t.Fatal(err)
	}
	// 2*256*128 + 4*(4*128*128 + 3*128*384 + 2*128) + 128
	if total != 918656 || len(params) != 2+1+4*9 {
		t.Errorf("%d parameters in %d tensors", total, len(params))
	}
	if p := params[2]; p.Name != "model.layers.0.self_attn.q_proj.weight" || p.Offset != 256*128+128 || p.Len != 128*128 {
		t.Errorf("third tensor is %+v", p)
	}
	tied := small
	tied.Tied = true
	if _, n, _ := Layout(tied); n != total-256*128 {
		t.Errorf("tied: %d parameters", n)
	}
}

func drawSpec(t *rapid.T) protocol.ModelSpec {
	kv := rapid.IntRange(1, 3).Draw(t, "kv")
	heads := kv * rapid.IntRange(1, 3).Draw(t, "groups")
	return protocol.ModelSpec{
		Family: "llama", Heads: heads, KVHeads: kv, Dim: heads * 2 * rapid.IntRange(1, 4).Draw(t, "hd/2"),
		Layers: rapid.IntRange(1, 3).Draw(t, "layers"), FFN: rapid.IntRange(1, 20).Draw(t, "ffn"),
		Vocab: rapid.IntRange(2, 20).Draw(t, "vocab"), Context: rapid.IntRange(1, 6).Draw(t, "context"),
		NormEps: 1e-5, RopeTheta: 10000, Tied: rapid.Bool().Draw(t, "tied"),
	}
}

// TestLayoutTiles: parameters follow each other without gaps under distinct names, and the graph's weights cover the
// same range in the same order.
func TestLayoutTiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		params, total, err := Layout(drawSpec(t))
		if err != nil {
			t.Fatal(err)
		}
		at, names := 0, make(map[string]bool)
		for _, p := range params {
			n := 1
			for _, d := range p.Shape {
				n *= d
			}
			if p.Offset != at || p.Len != n || names[p.Name] {
				t.Fatalf("%+v at %d", p, at)
			}
			names[p.Name] = true
			at += p.Len
		}
		if at != total {
			t.Fatalf("tensors end at %d of %d", at, total)
		}
		at = 0
		for _, w := range group(params) {
			if w.offset != at {
				t.Fatalf("weight %s starts at %d, want %d", w.name, w.offset, at)
			}
			at += w.arg.shape.TotalSize()
		}
		if at != total {
			t.Fatalf("weights end at %d of %d", at, total)
		}
	})
}

// TestAnyShapeAgainstFloat64 draws shapes and compares logits and loss with the float64 decoder.
func TestAnyShapeAgainstFloat64(t *testing.T) {
	eng := engine(t, 2, bestPath())
	rapid.Check(t, func(r *rapid.T) {
		spec, batch := drawSpec(r), rapid.IntRange(1, 3).Draw(r, "batch")
		m, err := New(spec, eng, batch, Options{})
		if err != nil {
			r.Fatal(err)
		}
		theta, err := Init(spec, [32]byte{byte(batch)})
		if err != nil {
			r.Fatal(err)
		}
		copy(m.Params(), theta)
		enlarge(m.Params())
		tokens, targets := text(1, batch*spec.Context, spec.Vocab)
		loss, err := m.Step(Inputs{Tokens: tokens, Targets: targets})
		if err != nil {
			r.Fatal(err)
		}
		want := refCrossEntropy(refLogits(spec, widen(m.Params()), tokens, batch), targets, spec.Vocab)
		if d := math.Abs(float64(loss) - want); d > 1e-5*max(1, want) {
			r.Fatalf("loss %v, want %v", loss, want)
		}
	})
}

func TestBadSpecs(t *testing.T) {
	for name, change := range map[string]func(*protocol.ModelSpec){
		"family": func(s *protocol.ModelSpec) { s.Family = "gpt2" }, "no dim": func(s *protocol.ModelSpec) { s.Dim = 0 },
		"huge dim": func(s *protocol.ModelSpec) { s.Dim = 1 << 30 }, "layers": func(s *protocol.ModelSpec) { s.Layers = -1 },
		"heads": func(s *protocol.ModelSpec) { s.Heads = 0 }, "odd head": func(s *protocol.ModelSpec) { s.Dim, s.Heads, s.KVHeads = 6, 2, 2 },
		"uneven": func(s *protocol.ModelSpec) { s.Dim = 10; s.Heads = 4 }, "kv": func(s *protocol.ModelSpec) { s.KVHeads = 0 },
		"kv > heads": func(s *protocol.ModelSpec) { s.KVHeads = 2 * s.Heads }, "ffn": func(s *protocol.ModelSpec) { s.FFN = 0 },
		"vocab": func(s *protocol.ModelSpec) { s.Vocab = 1 }, "context": func(s *protocol.ModelSpec) { s.Context = 0 },
		"eps": func(s *protocol.ModelSpec) { s.NormEps = math.NaN() }, "theta": func(s *protocol.ModelSpec) { s.RopeTheta = math.Inf(1) },
		"too many": func(s *protocol.ModelSpec) { s.Layers, s.Dim, s.FFN = 1024, 1<<16, 1<<18 },
		"zero":     func(s *protocol.ModelSpec) { *s = protocol.ModelSpec{} },
	} {
		spec := specs["plain"]
		change(&spec)
		if _, _, err := Layout(spec); !errors.Is(err, ErrBadSpec) {
			t.Errorf("%s: Layout says %v", name, err)
		}
		if _, err := Init(spec, [32]byte{}); !errors.Is(err, ErrBadSpec) {
			t.Errorf("%s: Init says %v", name, err)
		}
		if _, err := New(spec, nil, 1, Options{}); !errors.Is(err, ErrBadSpec) {
			t.Errorf("%s: New says %v", name, err)
		}
	}
}

func TestInitIsExact(t *testing.T) {
	got := make(map[string]string)
	for name, spec := range map[string]protocol.ModelSpec{"small": small, "tied": specs["tied"]} {
		for _, seed := range []byte{0, 7} {
			theta, err := Init(spec, [32]byte{31: seed})
			if err != nil {
				t.Fatal(err)
			}
			got[name+"/"+strconv.Itoa(int(seed))] = digest(theta)
		}
	}
	golden(t, "init.json", got)
}

// TestInitMoments checks mean, deviation and kurtosis of each matrix (Irwin-Hall of 12: excess kurtosis -0.1).
func TestInitMoments(t *testing.T) {
	theta, err := Init(small, [32]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	params, _, _ := Layout(small)
	for _, p := range params {
		w := theta[p.Offset:][:p.Len]
		if len(p.Shape) == 1 {
			for _, v := range w {
				if v != 1 {
					t.Fatalf("%s holds %v", p.Name, v)
				}
			}
			continue
		}
		std := 0.02
		if strings.Contains(p.Name, ".o_proj.") || strings.Contains(p.Name, ".down_proj.") {
			std = 0.02 / math.Sqrt(8)
		}
		var m1, m2, m4 float64
		for _, v := range w {
			z := float64(v) / std
			m1, m2, m4 = m1+z, m2+z*z, m4+z*z*z*z
		}
		n := float64(p.Len)
		m1, m2, m4 = m1/n, m2/n, m4/n
		if math.Abs(m1) > 5/math.Sqrt(n) || math.Abs(m2-1) > 7/math.Sqrt(n) || math.Abs(m4-2.9) > 50/math.Sqrt(n) {
			t.Errorf("%s: moments %v %v %v", p.Name, m1, m2, m4)
		}
	}
}

func TestConfigJSON(t *testing.T) {
	var got map[string]any
	if err := json.Unmarshal(ConfigJSON(specs["tied"]), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{
		"model_type": "llama", "hidden_size": 8.0, "intermediate_size": 9.0, "num_hidden_layers": 2.0, "num_attention_heads": 2.0,
		"num_key_value_heads": 1.0, "head_dim": 4.0, "vocab_size": 10.0, "max_position_embeddings": 5.0, "rms_norm_eps": 1e-5,
		"rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu", "attention_bias": false, "mlp_bias": false,
	} {
		if got[k] != want {
			t.Errorf("%s = %v, want %v", k, got[k], want)
		}
	}
}
