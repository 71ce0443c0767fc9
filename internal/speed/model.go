package speed

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"drystone/protocol"
	"drystone/trainer"
)

// Model is a decoder whose training speed is published.
type Model struct {
	Name  string
	Shape protocol.ModelSpec
	Batch int // sequences per step
}

// Models returns the reference models: Llamas of 0.92 M and 10.8 M parameters on bytes.
func Models() []Model {
	llama := func(dim, layers, heads, ffn, context int) protocol.ModelSpec {
		return protocol.ModelSpec{Family: "llama", Dim: dim, Layers: layers, Heads: heads, KVHeads: heads, FFN: ffn,
			Vocab: 256, Context: context, NormEps: 1e-5, RopeTheta: 10000}
	}
	return []Model{
		{"llama-1m", llama(128, 4, 4, 384, 128), 16},
		{"llama-11m", llama(384, 6, 6, 1024, 256), 8},
	}
}

// Rows returns the tokens of a step.
func (m Model) Rows() int { return m.Batch * m.Shape.Context }

// FLOP returns the operations per token of a training step that no implementation can do without: two for each weight of
// each matrix product and each element of attention's two, forward, and twice that backward. Norms, activations, the optimiser
// and what is computed again on the way back are not counted.
func (m Model) FLOP() float64 {
	s := m.Shape
	hd := s.Dim / s.Heads
	layer := s.Dim*(2*s.Heads+2*s.KVHeads)*hd + 3*s.Dim*s.FFN
	attention := s.Heads * hd * (s.Context + 1) // two products over half of the positions on average
	return 6 * float64(s.Layers*(layer+attention)+s.Dim*s.Vocab)
}

// Stepper repeats the training step of a model as a peer does: draw of the batch, forward, backward, norm and AdamW.
type Stepper struct {
	device *trainer.Device
	model  Model
	at     protocol.Assignment
	theta  []float32
}

// NewStepper plans the step on the given number of threads. base supplies all that a run says beyond model and batch. The
// text is random bytes. Close frees the threads.
func NewStepper(base protocol.RunSpec, m Model, threads int) (*Stepper, error) {
	text := make([]byte, 1<<18)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(text); i += 8 {
		binary.LittleEndian.PutUint64(text[i:], rng.Uint64())
	}
	manifest := protocol.NewManifest(text)
	base.Name, base.Model, base.Train.Batch = m.Name, m.Shape, m.Batch
	base.Founder = protocol.DeriveKey(1, "speed/founder").ID()
	base.Verify.Kind = "prefix" // as models above some 5 M parameters must
	base.Data = protocol.DataSpec{Manifest: protocol.MerkleRoot(manifest.Encode()), Tokenizer: "bytes",
		Tokens: uint64(len(text)), Holdout: uint64(len(text) / 10)}
	run, err := base.ID()
	if err != nil {
		return nil, fmt.Errorf("speed: %s: %w", m.Name, err)
	}
	data, err := trainer.NewDataset(text, base.Data.Holdout)
	if err != nil {
		return nil, err
	}
	d, err := trainer.NewDevice(&base, run, data, threads)
	if err != nil {
		return nil, fmt.Errorf("speed: %s: %w", m.Name, err)
	}
	theta, err := d.Genesis()
	if err != nil {
		d.Close()
		return nil, err
	}
	return &Stepper{d, m, protocol.Assignment{Run: run, Steps: base.Train.Steps}, theta}, nil
}

// Close frees the threads.
func (s *Stepper) Close() { s.device.Close() }

// TokensPerSecond runs that many steps, at most those of the base's round, and returns the tokens trained per second.
func (s *Stepper) TokensPerSecond(ctx context.Context, steps int) (float64, error) {
	steps = min(steps, int(s.at.Steps))
	start := time.Now()
	if err := s.device.Rehearse(ctx, s.at, s.theta, uint32(steps)); err != nil {
		return 0, err
	}
	return float64(steps*s.model.Rows()) / time.Since(start).Seconds(), nil
}

// Params returns the number of parameters.
func (s *Stepper) Params() int { return s.device.Params() }
