package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"

	"drystone/internal/delta"
	"drystone/internal/exact"
	"drystone/models"
	"drystone/protocol"
)

// Device trains and replays for one run on this machine. See the package comment for concurrency.
type Device struct {
	spec   *protocol.RunSpec
	run    protocol.Digest
	data   *Dataset
	layout []models.Param
	params int
	codec  delta.Codec

	turn chan struct{} // holds one element while a job runs; the job owns everything below

	closed bool
	pace   func(context.Context) error // nil if nothing holds steps up
	engine *exact.Engine               // the processor
	on     exact.Kernels               // what steps run on: engine or a card
	plan   *plan                       // the last one; the Params of its model are the theta of the running job
	in     models.Inputs               // the batch of a step
}

// NewDevice validates spec, which it keeps, and plans its training step on the given number of threads; results do not
// depend on that number. run is the spec's RunID. Memory is 4 bytes per parameter, 12 bytes per trained parameter, and
// activations. In a run that admits partial peers the first job plans the step, since it says what is trained.
func NewDevice(spec *protocol.RunSpec, run protocol.Digest, data *Dataset, threads int) (*Device, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if data.Tokens() != spec.Data.Tokens || data.Holdout() != spec.Data.Holdout {
		return nil, fmt.Errorf("%w: %d %s with %d held out, the run spec says %d and %d",
			ErrData, data.Tokens(), data.unit(), data.Holdout(), spec.Data.Tokens, spec.Data.Holdout)
	}
	if err := data.Fits(&spec.Model); err != nil {
		return nil, err
	}
	codec, err := delta.New(spec.Codec)
	if err != nil {
		return nil, err
	}
	layout, total, err := models.Layout(spec.Model)
	if err != nil {
		return nil, err
	}
	engine, err := exact.New(threads)
	if err != nil {
		return nil, err
	}
	d := &Device{
		spec: spec, run: run, data: data, layout: layout, params: total, codec: codec,
		turn: make(chan struct{}, 1), engine: engine, on: engine,
		in: models.NewInputs(spec.Model, spec.Train.Batch),
	}
	if spec.Train.MinShards == 0 {
		if err := d.planFor(nil); err != nil {
			engine.Close()
			return nil, err
		}
	}
	return d, nil
}

// Params returns the number of parameters of the model.
func (d *Device) Params() int { return d.params }

// Close waits for the running job and frees the threads. Later calls of any method but Close return ErrClosed.
func (d *Device) Close() {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	if !d.closed {
		d.closed = true
		d.leave()
		d.engine.Close()
	}
}

// Pace makes every job wait for the function before each of its steps, nil for no wait. It must not change anything: what
// comes of a job does not depend on when its steps run. Its error, which should be that of its context, ends the job.
func (d *Device) Pace(wait func(context.Context) error) {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	d.pace = wait
}

// Path names what steps run on, such as avx2 or cuda:0.
func (d *Device) Path() string {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	return d.on.Path()
}

// To makes later jobs run their steps on the given kernels, such as a card's, to the same bits. The Device closes them, also if
// To fails, with ErrClosed. Evaluation and encoding stay on the processor. A job on kernels whose device has no room for the
// run, or does not work, fails with ErrDevice.
func (d *Device) To(kernels exact.Kernels) error {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	if d.closed {
		kernels.Close()
		return ErrClosed
	}
	d.leave()
	d.plan, d.on = nil, kernels
	return nil
}

// ToProcessor makes later jobs run on the processor, after an ErrDevice for instance. It does nothing if they do already.
func (d *Device) ToProcessor() {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	if !d.closed {
		d.leave()
	}
}

// SelfCheck runs exact.SelfCheck on what steps run on. It returns an error that wraps exact.ErrWrong, ErrDevice or ErrClosed,
// or is ctx's.
func (d *Device) SelfCheck(ctx context.Context, rounds int) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	d.plan = nil // its memory is let go; the next job plans again
	return deviceError(exact.SelfCheck(d.on, rounds))
}

// leave lets go of the card, if steps run on one.
func (d *Device) leave() {
	if d.on != exact.Kernels(d.engine) {
		d.plan = nil
		d.on.Close()
		d.on = d.engine
	}
}

// wait returns when the kernels have run, so that their memory can be read and written.
func (d *Device) wait() error { return deviceError(d.on.Wait()) }

// deviceError marks the error of a device as one.
func deviceError(err error) error {
	var device *exact.DeviceError
	if errors.As(err, &device) {
		return fmt.Errorf("%w: %w", ErrDevice, err)
	}
	return err
}

// begin waits for the device. If it returns nil the caller owns it until it calls end.
func (d *Device) begin(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if d.closed {
		d.end()
		return ErrClosed
	}
	return nil
}

func (d *Device) end() { <-d.turn }

// Genesis returns theta_0: models.Init keyed with protocol.Hash("genesis", RunID).
func (d *Device) Genesis() ([]float32, error) { return Genesis(d.spec, d.run) }

// Genesis is Device.Genesis for those who do not train.
func Genesis(spec *protocol.RunSpec, run protocol.Digest) ([]float32, error) {
	return models.Init(spec.Model, protocol.Hash("genesis", run[:]))
}

// fits checks an assignment and the length of a vector of parameters.
func (d *Device) fits(a protocol.Assignment, theta []float32) error {
	t := &d.spec.Train
	switch {
	case a.Run != d.run:
		return fmt.Errorf("%w: run %s, this device has %s", ErrAssignment, a.Run.Short(), d.run.Short())
	case a.Round >= t.Rounds:
		return fmt.Errorf("%w: round %d of %d", ErrAssignment, a.Round, t.Rounds)
	case a.Steps < 1 || a.Steps > t.Steps:
		return fmt.Errorf("%w: %d steps, want 1 to %d", ErrAssignment, a.Steps, t.Steps)
	case len(theta) != d.Params():
		return fmt.Errorf("%w: %d parameters, the model has %d", ErrAssignment, len(theta), d.Params())
	}
	return checkShards(&d.spec.Codec, d.params, a.Shards)
}

// load plans the shards of an assignment and makes s, which fits it, the state of the device.
func (d *Device) load(a protocol.Assignment, s State) error {
	if err := d.planFor(a.Shards); err != nil {
		return err
	}
	if err := d.wait(); err != nil {
		return err
	}
	copy(d.plan.model.Params(), s.Theta)
	if s.Step == 0 && len(s.M) == 0 && len(s.V) == 0 {
		clear(d.plan.m)
		clear(d.plan.v)
		return nil
	}
	copy(d.plan.m, s.M)
	copy(d.plan.v, s.V)
	return nil
}

// state is the device's own memory as a State.
func (d *Device) state(step uint32) State {
	return State{step, d.plan.model.Params(), d.plan.m, d.plan.v}
}

// advance runs steps from to to-1 of the assignment and checks the state that they lead to. onStep may be nil.
func (d *Device) advance(ctx context.Context, a protocol.Assignment, from, to uint32, onStep func(uint32, float32)) error {
	for s := from; s < to; s++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.pace != nil {
			if err := d.pace(ctx); err != nil {
				return err
			}
		}
		loss, err := d.step(a, s)
		if err != nil {
			return fmt.Errorf("round %d, step %d: %w", a.Round, s, err)
		}
		if onStep != nil {
			onStep(s, loss)
		}
	}
	if err := d.wait(); err != nil {
		return err
	}
	return d.state(to).check()
}

// step runs inner step s, from 0, as the package comment defines it.
func (d *Device) step(a protocol.Assignment, s uint32) (float32, error) {
	t := &d.spec.Train
	d.data.Draw(a, s, d.spec.Model.Context, &d.in)
	p := d.plan
	loss, err := p.model.Step(d.in)
	if errors.Is(err, models.ErrNotFinite) {
		return loss, fmt.Errorf("%w: %w", ErrDiverged, err)
	}
	if err != nil {
		return loss, deviceError(err)
	}
	if err := d.clip(float32(t.Clip)); err != nil {
		return loss, err
	}
	h := exact.AdamWParams{
		LR:    learningRate(t, a.Round, s),
		Beta1: float32(t.Beta1), Beta2: float32(t.Beta2), Eps: float32(t.Eps),
		Step: int(s) + 1,
	}
	theta, grads := p.model.Params(), p.model.Grads()
	for _, c := range p.pieces {
		h.WeightDecay = 0
		if c.matrix {
			h.WeightDecay = float32(t.WeightDecay)
		}
		to := c.at + c.hi - c.lo
		d.on.AdamWStep(theta[c.lo:c.hi], grads[c.at:to], p.m[c.at:to], p.v[c.at:to], h)
	}
	return loss, nil
}

// clip scales the gradient down to the norm limit, if that is above 0. The norm is always computed: it shows a gradient
// that is not finite.
func (d *Device) clip(limit float32) error {
	grads := d.plan.model.Grads()
	for i, c := range d.plan.pieces {
		d.on.SumSquaresTo(d.plan.squares[i:], grads[c.at:c.at+c.hi-c.lo])
	}
	if err := d.wait(); err != nil {
		return err
	}
	var total float32
	for _, s := range d.plan.squares {
		total += s
	}
	norm := float32(math.Sqrt(float64(total)))
	if math.IsNaN(float64(norm)) || math.IsInf(float64(norm), 0) {
		return fmt.Errorf("%w: gradient norm is %v", ErrDiverged, norm)
	}
	if limit > 0 && norm > limit {
		d.on.Scale(grads, grads, limit/norm)
	}
	return nil
}
