package models

import (
	"errors"
	"fmt"

	"drystone/protocol"
)

// ErrBadSpec is wrapped by every error about a ModelSpec that cannot be built.
var ErrBadSpec = errors.New("models: bad model spec")

// MaxParams bounds the length of theta, 64 GiB of float32, so that a spec from outside cannot ask for absurd memory.
const MaxParams = 1 << 34

// Param is one named tensor inside the flat parameter vector theta: elements theta[Offset : Offset+Len], row-major.
type Param struct {
	Name   string // as Hugging Face's Llama names it, e.g. "model.layers.0.self_attn.q_proj.weight"
	Shape  []int  // {out, in} for a projection, {vocab, dim} for the embedding, {dim} for a norm gain
	Offset int    // first element in theta
	Len    int    // product of Shape
}

// Layout lists the parameters of spec in their fixed order, without gaps, and the length of theta. The order is
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
//
// with hd = Dim/Heads, for a Llama; mlp.go and convnet.go list theirs. The error wraps ErrBadSpec; one reason for it is a
// length above MaxParams.
func Layout(spec protocol.ModelSpec) ([]Param, int, error) {
	f, err := familyOf(spec)
	if err != nil {
		return nil, 0, err
	}
	if err := f.validate(spec); err != nil {
		return nil, 0, err
	}
	var params []Param
	total := 0
	add := func(name string, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		params = append(params, Param{Name: name, Shape: shape, Offset: total, Len: n})
		total += n
	}
	f.layout(spec, add)
	if total > MaxParams {
		return nil, 0, fmt.Errorf("%w: %d parameters: want at most %d", ErrBadSpec, total, MaxParams)
	}
	return params, total, nil
}

func layoutLlama(spec protocol.ModelSpec, add func(name string, shape ...int)) {
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

// validate checks what the graph of a Llama relies on. The bounds also keep every product of dimensions within an int64.
func validate(s protocol.ModelSpec) error {
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
