package main

import (
	"errors"
	"fmt"
	"math"

	"drystone/internal/exact"
)

// load makes theta, in the order of models.Layout, the parameters.
func (s *stock) load(theta []float32) {
	for _, p := range s.params {
		copy(p.value, theta[p.Offset:p.Offset+p.Len])
		if p.transposed() {
			out, in := p.Shape[0], p.Shape[1]
			for i := range p.value {
				p.value[i] = theta[p.Offset+i%out*in+i/out]
			}
		}
	}
}

// transposed says whether the parameter lies the other way round than in theta.
func (p *stockParam) transposed() bool {
	return len(p.Shape) == 2 && p.Name != "model.embed_tokens.weight"
}

// step does one training step, as trainer defines it: forward, backward, clipping to norm limit and AdamW. It
// returns the mean loss before the step. h.Step counts from 1.
func (s *stock) step(tokens, targets []int32, limit float32, h exact.AdamWParams) (loss float32, err error) {
	defer func() { // kernels panic, for instance on a token outside the vocabulary
		if r := recover(); r != nil {
			loss, err = 0, fmt.Errorf("gorgonia: %v", r)
		}
	}()
	clear(s.onehot)
	for i, t := range tokens {
		s.ids[i] = int(t)
		s.onehot[i*s.spec.Vocab+int(targets[i])] = 1
	}
	defer s.vm.Reset()
	if err := s.vm.RunAll(); err != nil {
		return 0, fmt.Errorf("gorgonia: %w", err)
	}
	loss, ok := s.loss.Value().Data().(float32)
	if !ok {
		return 0, fmt.Errorf("gorgonia: loss is a %T", s.loss.Value().Data())
	}
	return loss, s.update(limit, h)
}

// update clips the gradients and applies AdamW, which Gorgonia lacks, in a plain loop.
func (s *stock) update(limit float32, h exact.AdamWParams) error {
	var sum float64
	grads := make([][]float32, len(s.params))
	for i, p := range s.params {
		g, ok := p.grad.Value().Data().([]float32)
		if !ok || len(g) != p.Len {
			return errors.New("gorgonia: a gradient does not have the size of its parameter")
		}
		for _, x := range g {
			sum += float64(x) * float64(x)
		}
		grads[i] = g
	}
	scale := float32(1)
	if norm := float32(math.Sqrt(sum)); norm > limit {
		scale = limit / norm
	}
	c1, c2 := exact.OneMinusPow(h.Beta1, h.Step), exact.OneMinusPow(h.Beta2, h.Step)
	for i, p := range s.params {
		decay := h.LR * h.WeightDecay
		if len(p.Shape) == 1 {
			decay = 0
		}
		for j, g := range grads[i] {
			g *= scale
			p.m[j] = h.Beta1*p.m[j] + (1-h.Beta1)*g
			p.v[j] = h.Beta2*p.v[j] + (1-h.Beta2)*g*g
			root := float32(math.Sqrt(float64(p.v[j] / c2)))
			p.value[j] -= decay*p.value[j] + h.LR*(p.m[j]/c1)/(root+h.Eps)
		}
	}
	return nil
}

func (s *stock) close() error { return s.vm.Close() }
