package models

import (
	"math"
	"strings"

	"drystone/internal/exact"
	"drystone/protocol"
)

// llama is the decoder of the package comment. Its layout and validation are in layout.go, its graph in graph.go.
type llama struct{}

func (llama) validate(s protocol.ModelSpec) error { return validate(s) }

func (llama) layout(s protocol.ModelSpec, add func(name string, shape ...int)) { layoutLlama(s, add) }

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
	return activations(s, batch*s.Context, recompute)
}

// activations is llama.activations for passes of that many rows.
func activations(s protocol.ModelSpec, rows int, recompute bool) int {
	inside := 8*s.Dim + 3*s.FFN // what a layer keeps for the way back, its input included
	layers := s.Layers * (inside + 2*s.Heads + 2)
	if recompute {
		layers = s.Layers*(s.Dim+2*s.Heads+2) + inside
	}
	return rows*(layers+16*s.Dim+8*s.FFN) + min(rows, passRows)*s.Vocab
}

func (llama) assemble(b *builder, e env, s protocol.ModelSpec, batch int, p purpose, table ropeTable) {
	b.decoder(e, s, p, heads{batch, s.Context, s.Heads, s.KVHeads, s.Dim / s.Heads}, table)
}

func (llama) tables(s protocol.ModelSpec) ropeTable {
	cos, sin := exact.RopeTable(s.Context, s.Dim/s.Heads, s.RopeTheta)
	return ropeTable{cos, sin}
}

func (llama) config(s protocol.ModelSpec) any { return configLlama(s) }
