package models

import (
	"fmt"
	"math"
	"strings"

	"drystone/internal/exact"
	"drystone/protocol"
)

// llama is a decoder of the Llama family. Names in brackets are inputs; R = batch*context, packed as in linear.
//
//	[tokens] -> embed -> x (R, Dim)
//	per layer:  x -> rmsnorm -> linear q|k|v -> rope -> attention -> residual(x, o_proj) -> x
//	            x -> rmsnorm -> linear gate|up -> swiglu          -> residual(x, down_proj) -> x
//	x -> rmsnorm -> head [targets] -> loss, or for logits
//	x -> rmsnorm -> linear -> logits (R, Vocab)
//
// Its parameters, with hd = Dim/Heads:
//
//	model.embed_tokens.weight                              (Vocab, Dim)
//	for every layer i, prefixed "model.layers.i.":
//	    input_layernorm.weight                             (Dim)
//	    self_attn.{q,k,v}_proj.weight                      (Heads*hd, Dim), (KVHeads*hd, Dim), (KVHeads*hd, Dim)
//	    self_attn.o_proj.weight                            (Dim, Heads*hd)
//	    post_attention_layernorm.weight                    (Dim)
//	    mlp.{gate,up}_proj.weight                          (FFN, Dim), (FFN, Dim)
//	    mlp.down_proj.weight                               (Dim, FFN)
//	model.norm.weight                                      (Dim)
//	lm_head.weight, unless Tied                            (Vocab, Dim)
type llama struct{}

// validate checks what the graph relies on. The bounds also keep every product of dimensions within an int64.
func (llama) validate(s protocol.ModelSpec) error {
	for _, f := range []struct {
		name       string
		value, max int
	}{
		{"dim", s.Dim, 1 << 16}, {"layers", s.Layers, 1024}, {"heads", s.Heads, 1024}, {"kv_heads", s.KVHeads, 1024},
		{"ffn", s.FFN, 1 << 18}, {"vocab", s.Vocab, 1 << 20}, {"context", s.Context, 1 << 17},
	} {
		if f.value < 1 || f.value > f.max {
			return fmt.Errorf("%w: %s = %d: want 1 to %d", ErrBadSpec, f.name, f.value, f.max)
		}
	}
	switch {
	case s.Vocab < 2:
		return fmt.Errorf("%w: vocab = %d: want at least 2", ErrBadSpec, s.Vocab)
	case s.Dim%s.Heads != 0 || s.Dim/s.Heads%2 != 0:
		return fmt.Errorf("%w: dim = %d with heads = %d: the head size must be a whole even number", ErrBadSpec, s.Dim, s.Heads)
	case s.Heads%s.KVHeads != 0:
		return fmt.Errorf("%w: kv_heads = %d does not divide heads = %d", ErrBadSpec, s.KVHeads, s.Heads)
	case !(s.NormEps >= 1e-12 && s.NormEps <= 1):
		return fmt.Errorf("%w: norm_eps = %v: want 1e-12 to 1", ErrBadSpec, s.NormEps)
	case !(s.RopeTheta >= 1 && s.RopeTheta <= 1e9):
		return fmt.Errorf("%w: rope_theta = %v: want 1 to 1e9", ErrBadSpec, s.RopeTheta)
	}
	return nil
}

func (llama) layout(spec protocol.ModelSpec, add func(name string, shape ...int)) {
	d, hd := spec.Dim, spec.Dim/spec.Heads
	q, kv := spec.Heads*hd, spec.KVHeads*hd
	add("model.embed_tokens.weight", spec.Vocab, d)
	for i := range spec.Layers {
		p := fmt.Sprintf("model.layers.%d.", i)
		add(p+"input_layernorm.weight", d)
		add(p+"self_attn.q_proj.weight", q, d)
		add(p+"self_attn.k_proj.weight", kv, d)
		add(p+"self_attn.v_proj.weight", kv, d)
		add(p+"self_attn.o_proj.weight", d, q)
		add(p+"post_attention_layernorm.weight", d)
		add(p+"mlp.gate_proj.weight", spec.FFN, d)
		add(p+"mlp.up_proj.weight", spec.FFN, d)
		add(p+"mlp.down_proj.weight", d, spec.FFN)
	}
	add("model.norm.weight", d)
	if !spec.Tied {
		add("lm_head.weight", spec.Vocab, d)
	}
}

// start gives norm gains 1 and all else the deviation 0.02 (Radford et al. 2019, GPT-2; also the default of Llama), less
// for the projections that add to the residual stream.
func (llama) start(s protocol.ModelSpec, p Param) (std, fill float64) {
	const initStd = 0.02
	switch {
	case len(p.Shape) == 1:
		return 0, 1
	case strings.HasSuffix(p.Name, ".o_proj.weight") || strings.HasSuffix(p.Name, ".down_proj.weight"):
		return initStd / math.Sqrt(float64(2*s.Layers)), 0
	}
	return initStd, 0
}

func (llama) activations(s protocol.ModelSpec, batch int, recompute bool) int {
	rows := batch * s.Context
	inside := 8*s.Dim + 3*s.FFN // what a layer keeps for the way back, its input included
	layers := s.Layers * (inside + 2*s.Heads + 2)
	if recompute {
		layers = s.Layers*(s.Dim+2*s.Heads+2) + inside
	}
	return rows*(layers+16*s.Dim+8*s.FFN) + min(rows, headRows)*s.Vocab
}

func (llama) assemble(b *builder, e env, spec protocol.ModelSpec, batch int, p purpose, table ropeTable) {
	h := heads{batch, spec.Context, spec.Heads, spec.KVHeads, spec.Dim / spec.Heads}
	rows, dim, ffn, eps := h.rows(), spec.Dim, spec.FFN, float32(spec.NormEps)
	w := b.weightNodes()
	b.tokens = tokens(rows).node(b.ExprGraph, e.label("tokens"))
	table0 := w()
	x := b.apply(e.embed("embed", rows, spec.Vocab, dim), table0, b.tokens)
	for i := range spec.Layers {
		b.segment, b.layers = i+1, spec.Layers
		at := func(s string) string { return fmt.Sprintf("%d.%s", i, s) }
		n := b.apply(e.rmsnorm(at("attn_norm"), rows, dim, eps), x, w())
		qkv := b.apply(e.linear(at("qkv"), rows, dim, h.widths()...), n, w())
		qkv = b.apply(e.rope(at("rope"), h, table, false), qkv)
		a := b.apply(e.attention(at("attention"), h), qkv)
		x = b.apply(e.residual(at("o"), rows, h.query*h.hd, dim), x, a, w())

		n = b.apply(e.rmsnorm(at("mlp_norm"), rows, dim, eps), x, w())
		gu := b.apply(e.linear(at("gate_up"), rows, dim, ffn, ffn), n, w())
		s := b.apply(e.swiglu(at("swiglu"), rows, ffn), gu)
		x = b.apply(e.residual(at("down"), rows, ffn, dim), x, s, w())
	}
	b.segment = 0
	n := b.apply(e.rmsnorm("norm", rows, dim, eps), x, w())
	out := b.weights[0] // if tied
	if !spec.Tied {
		out = b.weights[len(b.weights)-1]
	}
	if p == forLogits {
		b.logits = b.apply(e.linear("head", rows, dim, spec.Vocab), n, out.node)
		return
	}
	b.targets = tokens(rows).node(b.ExprGraph, e.label("targets"))
	hd := e.newHead(rows, dim, spec.Vocab)
	hd.train, hd.dx, hd.dw = p == forTrain, b.trained[n], out.parts
	b.loss = b.apply(hd.mean("loss"), b.apply(hd.op("head"), n, out.node, b.targets))
}

func (llama) tables(s protocol.ModelSpec) ropeTable {
	cos, sin := exact.RopeTable(s.Context, s.Dim/s.Heads, s.RopeTheta)
	return ropeTable{cos, sin}
}

// hfConfig holds the fields of Hugging Face's LlamaConfig that determine the computation.
type hfConfig struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`
	HiddenSize    int      `json:"hidden_size"`
	Intermediate  int      `json:"intermediate_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       int      `json:"num_key_value_heads"`
	HeadDim       int      `json:"head_dim"`
	Vocab         int      `json:"vocab_size"`
	MaxPositions  int      `json:"max_position_embeddings"`
	NormEps       float64  `json:"rms_norm_eps"`
	RopeTheta     float64  `json:"rope_theta"`
	Tied          bool     `json:"tie_word_embeddings"`
	Activation    string   `json:"hidden_act"`
	AttentionBias bool     `json:"attention_bias"`
	MLPBias       bool     `json:"mlp_bias"`
	DType         string   `json:"torch_dtype"`
}

func (llama) config(spec protocol.ModelSpec) any {
	return hfConfig{
		Architectures: []string{"LlamaForCausalLM"},
		ModelType:     "llama",
		HiddenSize:    spec.Dim,
		Intermediate:  spec.FFN,
		Layers:        spec.Layers,
		Heads:         spec.Heads,
		KVHeads:       spec.KVHeads,
		HeadDim:       spec.Dim / max(spec.Heads, 1),
		Vocab:         spec.Vocab,
		MaxPositions:  spec.Context,
		NormEps:       spec.NormEps,
		RopeTheta:     spec.RopeTheta,
		Tied:          spec.Tied,
		Activation:    "silu",
		DType:         "float32",
	}
}
