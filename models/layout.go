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

// Layout lists the parameters of spec in their fixed order, without gaps, and the length of theta. The files of the
// families say what the order is: llama.go, mlp.go, convnet.go. The error wraps ErrBadSpec; one reason for it is a length
// above MaxParams.
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
