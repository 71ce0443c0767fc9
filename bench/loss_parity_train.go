package main

import (
	"context"
	"fmt"
	"time"

	"drystone/aggregate"
	"drystone/internal/delta"
	"drystone/node"
	"drystone/protocol"
	"drystone/trainer"
)

// course is where an arm stands between two rounds: all that the next one depends on.
type course struct {
	Step     uint32 // that each worker has done
	Theta    []float32
	Outer    []float32   // with the error feedback of the way down
	Feedback [][]float32 // of each worker
	M, V     [][]float32 // likewise, if the arm keeps them
	Curve    []point
	Rounds   uint32
	Up, Dn   uint64 // payload bytes of one worker, and to it
	Seconds  float64
}

// point is a held-out loss on the way.
type point struct {
	Tokens uint64  `json:"tokens"`
	Loss   float64 `json:"loss"`
}

// roundSteps is H, unless an arm says otherwise.
const roundSteps = 30

// spec is the run of an arm, of which nothing but the seed chooses weights and batches.
func (t *lossTrial) spec(a *arm, seed uint64) protocol.RunSpec {
	s := node.DefaultSpec()
	s.Name, s.Seed, s.Model = "loss-parity", seed, t.model.Shape
	s.Train.Batch, s.Train.Rounds, s.Train.Steps, s.Train.Segment, s.Train.Warmup = t.batch, t.steps/roundSteps, roundSteps, roundSteps, t.steps/45
	s.Train.LR, s.Train.MinLR = 1e-3, 1e-4 // small steps want a lower rate than the template's of 1024 tokens
	s.Aggregate = protocol.AggregateSpec{Rule: "mean", MinPeers: 2}
	s.Data = t.data
	return s
}

// choose changes a spec into that of a phase.
func (t *lossTrial) choose(a *arm, phase int) func(*protocol.RunSpec) {
	if a.Keep {
		return func(s *protocol.RunSpec) {
			a.Phases[phase](s)
			s.Train.Rounds, s.Train.Steps, s.Train.Segment = 1, t.steps, t.steps // of which a round is a part
		}
	}
	if a.Alone == 0 {
		return a.Phases[phase]
	}
	return func(s *protocol.RunSpec) {
		longer := uint32(t.workers / a.Alone)
		s.Train.Batch *= a.Alone
		if t.batch*t.model.Shape.Context%128 == 0 {
			s.Train.MicroBatch = t.batch // as much memory as the others, and faster
		}
		s.Train.Rounds, s.Train.Steps, s.Train.Segment, s.Train.Warmup = 1, longer*t.steps, longer*t.steps, longer*s.Train.Warmup
	}
}

// length is the number of steps of each worker of an arm.
func (t *lossTrial) length(a *arm) uint32 {
	if a.Alone > 0 {
		return t.steps * uint32(t.workers/a.Alone)
	}
	return t.steps
}

// device makes the device of a phase. Each phase draws batches of its own: all have the same numbers of rounds.
func (e *Env) parityDevice(t *lossTrial, a *arm, seed uint64, phase int) (*device, error) {
	return newDeviceOn(t.corpus.text, t.spec(a, seed+1000*uint64(phase)), e.Machine.Path, e.Threads, t.choose(a, phase))
}

// trainArm returns the result of an arm with a seed: from the state directory, or by training on from what is there.
func (e *Env) trainArm(ctx context.Context, t *lossTrial, a *arm, seed uint64) (*result, error) {
	file, err := e.stateFile(t, a, seed)
	if err != nil {
		return nil, err
	}
	if r, err := file.result(); r != nil || err != nil {
		return r, err
	}
	c, err := file.course()
	if err != nil {
		return nil, err
	}
	total, parts := t.length(a), uint32(max(len(a.Phases), 1))
	e.Say("  %s, seed %d: from step %d of %d", a.Name, seed, c.Step, total)
	for c.Step < total {
		phase := c.Step * parts / total
		if err := e.trainPhase(ctx, t, a, seed, int(phase), (phase+1)*total/parts, c, file); err != nil {
			return nil, err
		}
	}
	return file.finish(c, a, seed)
}

// trainPhase trains up to a step, and keeps what there is at every point of the curve.
func (e *Env) trainPhase(ctx context.Context, t *lossTrial, a *arm, seed uint64, phase int, end uint32, c *course, file *stateFile) error {
	d, err := e.parityDevice(t, a, seed, phase)
	if err != nil {
		return err
	}
	defer d.Close()
	if c.Step == 0 {
		c.Theta = d.theta
	}
	if want := d.spec.OuterState(len(c.Theta)); a.Alone == 0 && len(c.Outer) != want {
		c.Outer = make([]float32, want)
	}
	total := t.length(a)
	for c.Step < end {
		before, start := c.Step*t.points/total, time.Now()
		if a.Alone > 0 {
			err = c.alone(ctx, d, min(roundSteps, end-c.Step))
		} else {
			err = c.round(ctx, d, t, a)
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", c.Step, err)
		}
		c.Seconds += since(start)
		if c.Step*t.points/total == before {
			continue
		}
		if err := e.score(ctx, d, t, total, c); err != nil {
			return err
		}
		if err := file.keep(c); err != nil {
			return err
		}
	}
	return nil
}

// score enters a point into the curve; the last one is the result, on more held-out sequences.
func (e *Env) score(ctx context.Context, d *device, t *lossTrial, total uint32, c *course) error {
	n := t.scored
	if c.Step == total {
		n *= int(t.points)
	}
	loss, err := d.Loss(ctx, c.Theta, n)
	if err != nil {
		return err
	}
	tokens := uint64(float64(t.tokens()) * float64(c.Step) / float64(total))
	c.Curve = append(c.Curve, point{tokens, loss})
	e.Say("    step %d of %d: %.4f nats per byte held out, %.0f tokens/s", c.Step, total, loss, float64(tokens)/c.Seconds)
	return nil
}

// alone does steps of AdamW.
func (c *course) alone(ctx context.Context, d *device, steps uint32) error {
	from := trainer.State{Step: c.Step, Theta: c.Theta}
	if c.Step > 0 {
		from.M, from.V = c.M[0], c.V[0]
	}
	got, err := d.Replay(ctx, protocol.Assignment{Run: d.run, Steps: d.spec.Train.Steps}, from, c.Step+steps)
	if err != nil {
		return err
	}
	c.Step, c.Theta, c.M, c.V = got.Step, got.Theta, [][]float32{got.M}, [][]float32{got.V}
	return nil
}

// round trains, encodes, merges and applies one round.
func (c *course) round(ctx context.Context, d *device, t *lossTrial, a *arm) error {
	h := d.spec.Train.Steps
	if a.Keep {
		h = roundSteps
	}
	if c.Feedback == nil {
		c.Feedback, c.M, c.V = make([][]float32, t.workers), make([][]float32, t.workers), make([][]float32, t.workers)
	}
	var in []aggregate.Contribution
	for i, id := range t.peers() {
		payloads, err := c.contribute(ctx, d, a, i, id, h)
		if err != nil {
			return err
		}
		if i == 0 {
			c.Up += bytesOf(payloads)
		}
		in = append(in, aggregate.Contribution{Peer: id, Steps: h, Payloads: payloads})
	}
	merged, err := aggregate.MergeContext(ctx, &d.spec, c.Theta, c.Outer, in)
	if err != nil {
		return err
	}
	for _, m := range merged.Record {
		if m.Weight == 0 && d.spec.Aggregate.Rule == "mean" {
			return fmt.Errorf("the merge left out %s", m.Peer.Short())
		}
	}
	if d.spec.Codec.Down == "" {
		c.Dn += 4 * uint64(len(c.Theta)) // the state
	}
	c.Dn += bytesOf(merged.Down)
	c.Rounds, c.Step, c.Theta, c.Outer = c.Rounds+1, c.Step+h, merged.Theta, merged.Outer
	return nil
}

// contribute is the round of one worker: a production contribution, or one that goes on with the moments of the round
// before.
func (c *course) contribute(ctx context.Context, d *device, a *arm, worker int, id protocol.PeerID, h uint32) ([][]byte, error) {
	if a.Keep {
		return c.goOn(ctx, d, worker, h)
	}
	got, err := d.Train(ctx, protocol.Assignment{Run: d.run, Round: c.Step / h, Index: uint32(worker), Steps: h}, c.Theta, trainer.TrainOptions{
		Peer: id, Feedback: c.Feedback[worker], Salt: func(uint32) (salt [16]byte, err error) { return salt, nil }})
	if err != nil {
		return nil, err
	}
	c.Feedback[worker] = got.After
	return got.Payloads, nil
}

// goOn trains a round from theta and the worker's own moments, and encodes it as a contribution is.
func (c *course) goOn(ctx context.Context, d *device, worker int, h uint32) (payloads [][]byte, err error) {
	from := trainer.State{Step: c.Step, Theta: c.Theta, M: c.M[worker], V: c.V[worker]}
	got, err := d.Replay(ctx, protocol.Assignment{Run: d.run, Index: uint32(worker), Steps: d.spec.Train.Steps}, from, c.Step+h)
	if err != nil {
		return nil, err
	}
	c.M[worker], c.V[worker] = got.M, got.V
	codec, err := delta.New(d.spec.Codec)
	if err != nil {
		return nil, err
	}
	if c.Feedback[worker] == nil {
		c.Feedback[worker] = make([]float32, len(c.Theta))
	}
	update := make([]float32, len(c.Theta))
	for j, x := range got.Theta {
		update[j] = c.Theta[j] - x
	}
	for k := range d.spec.Codec.Shards(len(update)) {
		lo, hi := d.spec.Codec.Shard(len(update), k)
		payload, err := codec.Encode(nil, update[lo:hi], c.Feedback[worker][lo:hi])
		if err != nil {
			return nil, fmt.Errorf("encode shard %d: %w", k, err)
		}
		payloads = append(payloads, payload)
	}
	return payloads, nil
}

func bytesOf(payloads [][]byte) (n uint64) {
	for _, p := range payloads {
		n += uint64(len(p))
	}
	return n
}
