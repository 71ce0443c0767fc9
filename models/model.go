package models

import (
	"errors"
	"fmt"
	"math"

	"drystone/internal/exact"
	"drystone/protocol"

	G "gorgonia.org/gorgonia"
)

var (
	// ErrTokens is wrapped when tokens or targets have the wrong count or lie outside the vocabulary.
	ErrTokens = errors.New("models: bad tokens")
	// ErrNotFinite is wrapped when a loss is NaN or infinite. The gradients are then worthless.
	ErrNotFinite = errors.New("models: loss is not finite")
)

const (
	maxRows        = 1 << 24 // bounds batch*Context
	maxActivations = 1 << 34 // bounds the elements that a step keeps, see activations, and the logits of a sequence
)

// Model is a decoder with its parameters, gradients and working memory, for one batch size. One caller at a time may
// use it, and its engine, which the caller owns and closes, must not be used by another at the same time. A Model owns
// no goroutine; drop it to free it.
type Model struct {
	spec  protocol.ModelSpec
	batch int
	opts  Options // resolved
	eng   *exact.Engine
	table ropeTable

	theta  []float32
	grad   *gradient
	train  *program
	eval   *program // built by the first Loss
	single *program // built by the first Logits: one sequence
}

// New plans the training step of spec for batch sequences of spec.Context tokens. Params is all zeros: copy a theta
// into it, as from Init. Memory is 8 bytes per parameter plus the activations.
func New(spec protocol.ModelSpec, eng *exact.Engine, batch int, opts Options) (*Model, error) {
	_, total, err := Layout(spec)
	if err != nil {
		return nil, err
	}
	if batch < 1 || batch > maxRows/spec.Context {
		return nil, fmt.Errorf("models: batch = %d with context = %d: want 1 to %d", batch, spec.Context, maxRows/spec.Context)
	}
	if opts, err = opts.resolve(spec, batch, total); err != nil {
		return nil, err
	}
	if n := activations(spec, opts.MicroBatch*spec.Context, opts.Recompute); n > maxActivations {
		return nil, fmt.Errorf("models: %d sequences at once need %d elements of working memory: want at most %d", opts.MicroBatch, n, maxActivations)
	}
	cos, sin := exact.RopeTable(spec.Context, spec.Dim/spec.Heads, spec.RopeTheta)
	m := &Model{
		spec: spec, batch: batch, opts: opts, eng: eng, table: ropeTable{cos, sin},
		theta: exact.Floats(total), grad: newGradient(opts.Trained),
	}
	m.train, err = m.program(opts.MicroBatch, forTrain)
	return m, err
}

// activations estimates, from above, the elements of memory that a step plans for passes of that many rows.
func activations(s protocol.ModelSpec, rows int, recompute bool) int {
	inside := 8*s.Dim + 3*s.FFN // what a layer keeps for the way back, its input included
	layers := s.Layers * (inside + 2*s.Heads + 2)
	if recompute {
		layers = s.Layers*(s.Dim+2*s.Heads+2) + inside
	}
	return rows*(layers+16*s.Dim+8*s.FFN) + min(rows, passRows)*s.Vocab
}

// Params returns theta, in the order of Layout. It is the memory that the model computes from: write to it between steps.
func (m *Model) Params() []float32 { return m.theta }

// Grads returns the gradient of the last Step's loss: the trained ranges one after the other, which is all of theta in
// the order of Layout if nothing else was asked for. The next Step overwrites it.
func (m *Model) Grads() []float32 { return m.grad.memory }

// Trained returns the ranges of theta that Grads holds, ascending. The caller must not change them.
func (m *Model) Trained() []Range { return m.grad.trained }

// Memory is what a training step takes, in bytes. The optimiser's moments and the engine's scratch come on top.
type Memory struct {
	Params, Grads int
	Arena         int // results on the way, which share their places
	Kept          int // what operations keep: statistics of norms and softmax, losses, a block of logits
}

// Memory returns what Step was planned to take.
func (m *Model) Memory() Memory {
	return Memory{
		Params: 4 * len(m.theta), Grads: 4 * len(m.grad.memory),
		Arena: 4 * m.train.machine.floats, Kept: 4 * m.train.run.kept,
	}
}

// Batch returns the sequences per Step.
func (m *Model) Batch() int { return m.batch }

// Spec returns the model's shape.
func (m *Model) Spec() protocol.ModelSpec { return m.spec }

// Step computes the mean loss in nats over tokens (batch, Context) against targets (batch, Context), and its gradient
// into Grads. It allocates nothing. The gradients of a finite loss may still hold infinities or NaN: the caller checks, with
// their norm for instance. The error wraps ErrTokens or ErrNotFinite, or reports a fault inside an operation.
func (m *Model) Step(tokens, targets []int32) (float32, error) {
	return m.train.lossOf(tokens, targets, m.spec.Vocab)
}

// Loss is Step without the gradient; Grads keeps its contents. The first call plans it and allocates, later ones do not.
func (m *Model) Loss(tokens, targets []int32) (float32, error) {
	if m.eval == nil {
		p, err := m.program(m.opts.MicroBatch, forLoss)
		if err != nil {
			return 0, err
		}
		m.eval = p
	}
	return m.eval.lossOf(tokens, targets, m.spec.Vocab)
}

// Logits returns the logits (len(tokens), Vocab) of one sequence of at most Context tokens. The result is valid until
// the next call. The first call plans it and allocates, later ones do not.
func (m *Model) Logits(tokens []int32) ([]float32, error) {
	if m.spec.Context > maxActivations/m.spec.Vocab {
		return nil, fmt.Errorf("models: logits of %d tokens over a vocabulary of %d are too many", m.spec.Context, m.spec.Vocab)
	}
	if m.single == nil {
		p, err := m.program(1, forLogits)
		if err != nil {
			return nil, err
		}
		m.single = p
	}
	n := len(tokens)
	if n < 1 || n > m.spec.Context {
		return nil, fmt.Errorf("%w: %d tokens: want 1 to %d", ErrTokens, n, m.spec.Context)
	}
	if err := checkIDs(tokens, n, m.spec.Vocab); err != nil {
		return nil, err
	}
	copy(m.single.tokens, tokens)
	clear(m.single.tokens[n:]) // attention is causal: what follows cannot change what is returned
	if err := m.single.machine.RunAll(); err != nil {
		return nil, err
	}
	return m.single.logits[:n*m.spec.Vocab], nil
}

// program is a machine with the memory through which it talks to the model.
type program struct {
	machine         *machine
	run             passes
	tokens, targets []int32   // of a pass
	logits          []float32 // forLogits only
	loss            []float32
}

// program plans passes of batch sequences each.
func (m *Model) program(batch int, p purpose) (*program, error) {
	graphMu.Lock()
	defer graphMu.Unlock()
	rows := batch * m.spec.Context
	prog := &program{tokens: make([]int32, rows), run: passes{of: 1}}
	if p != forLogits {
		prog.run.of = m.batch / batch
	}
	g, err := build(m.eng, m.spec, batch, &prog.run, p, m.table, m.grad)
	if err != nil {
		return nil, err
	}
	fixed := map[*G.Node]any{g.tokens: prog.tokens}
	if p == forLogits {
		prog.logits = make([]float32, rows*m.spec.Vocab)
		fixed[g.logits] = prog.logits
	} else {
		prog.targets, prog.loss = make([]int32, rows), make([]float32, 1)
		fixed[g.targets], fixed[g.loss] = prog.targets, prog.loss
	}
	for _, w := range g.weights {
		end := w.offset + w.arg.shape.TotalSize()
		fixed[w.node] = m.theta[w.offset:end:end]
	}
	prog.machine, err = compile(env{Engine: m.eng, run: &prog.run}, g, fixed, m.opts.Recompute && p == forTrain)
	return prog, err
}

func (p *program) lossOf(tokens, targets []int32, vocab int) (float32, error) {
	rows := len(p.tokens)
	if err := checkIDs(tokens, rows*p.run.of, vocab); err != nil {
		return 0, err
	}
	if err := checkIDs(targets, rows*p.run.of, vocab); err != nil {
		return 0, fmt.Errorf("targets: %w", err)
	}
	for p.run.at = 0; p.run.at < p.run.of; p.run.at++ {
		copy(p.tokens, tokens[p.run.at*rows:])
		copy(p.targets, targets[p.run.at*rows:])
		if err := p.machine.RunAll(); err != nil {
			return 0, err
		}
	}
	loss := p.loss[0]
	if math.IsNaN(float64(loss)) || math.IsInf(float64(loss), 0) {
		return loss, fmt.Errorf("%w: %v", ErrNotFinite, loss)
	}
	return loss, nil
}

// checkIDs checks that ids are want tokens of the vocabulary.
func checkIDs(ids []int32, want, vocab int) error {
	if len(ids) != want {
		return fmt.Errorf("%w: %d tokens, want %d", ErrTokens, len(ids), want)
	}
	for i, id := range ids {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("%w: token %d at %d is outside the vocabulary of %d", ErrTokens, id, i, vocab)
		}
	}
	return nil
}
