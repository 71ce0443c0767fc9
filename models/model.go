package models

import (
	"errors"
	"fmt"
	"math"

	"drystone/internal/exact"
	"drystone/protocol"
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

// Model is a network with its parameters, gradients and working memory, for one batch size. One caller at a time may
// use it, and its engine, which the caller owns and closes, must not be used by another at the same time. A Model owns
// no goroutine; drop it to free it.
type Model struct {
	spec  protocol.ModelSpec
	batch int
	opts  Options // resolved
	eng   exact.Kernels
	table ropeTable

	theta  []float32
	grad   *gradient
	train  *program
	eval   *program // built by the first Loss
	single *program // built by the first Logits: one sequence; or by the first Outputs: a pass of examples
}

// New plans the training step of spec for batch sequences of spec.Context tokens, or batch examples. Params is all zeros: copy a theta
// into it, as from Init. Memory is 4 bytes per parameter and 4 per trained one, plus the activations.
func New(spec protocol.ModelSpec, eng exact.Kernels, batch int, opts Options) (*Model, error) {
	_, total, err := Layout(spec)
	if err != nil {
		return nil, err
	}
	f, err := familyOf(spec)
	if err != nil {
		return nil, err
	}
	if most := maxRows / max(spec.Context, 1); batch < 1 || batch > most {
		return nil, fmt.Errorf("models: batch = %d with context = %d: want 1 to %d", batch, spec.Context, most)
	}
	if opts, err = opts.resolve(spec, batch, total); err != nil {
		return nil, err
	}
	if n := f.activations(spec, opts.MicroBatch, opts.Recompute); n > maxActivations {
		return nil, fmt.Errorf("models: %d sequences or examples at once need %d elements of working memory: want at most %d", opts.MicroBatch, n, maxActivations)
	}
	m := &Model{spec: spec, batch: batch, opts: opts, eng: eng}
	err = exact.Attempt(func() error {
		m.table = f.tables(spec).on(eng)
		m.theta, m.grad = eng.Floats(total), newGradient(opts.Trained, eng.Floats)
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.train, err = m.program(opts.MicroBatch, forTrain)
	return m, err
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

// Batch returns the sequences or examples per Step.
func (m *Model) Batch() int { return m.batch }

// Spec returns the model's shape.
func (m *Model) Spec() protocol.ModelSpec { return m.spec }

// Step computes the mean loss of a batch, in nats or as the mean squared error, and its gradient into Grads. It allocates
// nothing. The gradients of a finite loss may still hold infinities or NaN: the caller checks, with their norm for instance.
// The error wraps ErrTokens, ErrInputs or ErrNotFinite, or reports a fault inside an operation.
func (m *Model) Step(in Inputs) (float32, error) {
	return m.train.lossOf(in, &m.spec)
}

// Loss is Step without the gradient; Grads keeps its contents. The first call plans it and allocates, later ones do not.
func (m *Model) Loss(in Inputs) (float32, error) {
	if m.eval == nil {
		p, err := m.program(m.opts.MicroBatch, forLoss)
		if err != nil {
			return 0, err
		}
		m.eval = p
	}
	return m.eval.lossOf(in, &m.spec)
}

// Logits returns the logits (len(tokens), Vocab) of one sequence of at most Context tokens. The result is valid until
// the next call. The first call plans it and allocates, later ones do not.
func (m *Model) Logits(tokens []int32) ([]float32, error) {
	if m.spec.OnExamples() {
		return nil, fmt.Errorf("%w: family %s reads no tokens", ErrTokens, m.spec.Family)
	}
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
	if err := m.eng.Wait(); err != nil {
		return nil, err
	}
	copy(m.single.in.Tokens, tokens)
	clear(m.single.in.Tokens[n:]) // attention is causal: what follows cannot change what is returned
	if err := m.single.machine.finish(); err != nil {
		return nil, err
	}
	return m.single.logits[:n*m.spec.Vocab], nil
}

// program is a machine with the memory through which it talks to the model.
type program struct {
	machine *machine
	run     passes
	in      Inputs    // of a pass
	logits  []float32 // forLogits only
	loss    []float32
}

// program plans passes of batch sequences or examples each.
func (m *Model) program(batch int, p purpose) (prog *program, err error) {
	graphMu.Lock()
	defer graphMu.Unlock()
	err = exact.Attempt(func() error {
		prog, err = m.plan(batch, p)
		return err
	})
	return prog, err
}

func (m *Model) plan(batch int, p purpose) (*program, error) {
	prog := &program{in: newInputs(m.spec, batch, m.eng.Floats, m.eng.Ints), run: passes{of: 1}}
	if p != forLogits {
		prog.run.of = m.batch / batch
	}
	g, err := build(m.eng, m.spec, batch, &prog.run, p, m.table, m.grad)
	if err != nil {
		return nil, err
	}
	fixed := prog.in.bind(g)
	if p == forLogits {
		prog.logits = m.eng.Floats(g.logits.Shape().TotalSize())
		fixed[g.logits] = prog.logits
	} else {
		prog.loss = m.eng.Floats(1)
		fixed[g.loss] = prog.loss
	}
	for _, w := range g.weights {
		end := w.offset + w.arg.shape.TotalSize()
		fixed[w.node] = m.theta[w.offset:end:end]
	}
	prog.machine, err = compile(env{Kernels: m.eng, run: &prog.run}, g, fixed, m.opts.Recompute && p == forTrain)
	return prog, err
}

func (p *program) lossOf(in Inputs, spec *protocol.ModelSpec) (float32, error) {
	if err := p.in.check(in, p.run.of, spec); err != nil {
		return 0, err
	}
	for p.run.at = 0; p.run.at < p.run.of; p.run.at++ {
		if err := p.machine.device.Wait(); err != nil { // the pass before reads its inputs
			return 0, err
		}
		p.in.fill(in, p.run.at)
		if err := p.machine.RunAll(); err != nil {
			return 0, err
		}
	}
	if err := p.machine.device.Wait(); err != nil {
		return 0, err
	}
	loss := p.loss[0]
	if math.IsNaN(float64(loss)) || math.IsInf(float64(loss), 0) {
		return loss, fmt.Errorf("%w: %v", ErrNotFinite, loss)
	}
	return loss, nil
}
