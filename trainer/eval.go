package trainer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"drystone/internal/exact"
)

// Loss is the loss of Evaluate alone.
func (d *Device) Loss(ctx context.Context, theta []float32, n int) (float64, error) {
	s, err := d.Evaluate(ctx, theta, n)
	return s.Loss, err
}

// Evaluate returns how theta does on the first held-out sequences of context tokens, or examples, at most n of them: the
// same ones every time. It waits for its turn and stops between sequences or batches when ctx is done. The error wraps
// ErrDiverged if the loss is not finite.
func (d *Device) Evaluate(ctx context.Context, theta []float32, n int) (Score, error) {
	if len(theta) != d.Params() || n < 1 {
		return Score{}, fmt.Errorf("%w: %d parameters, %d sequences or examples", ErrAssignment, len(theta), n)
	}
	if err := d.begin(ctx); err != nil {
		return Score{}, err
	}
	defer d.end()
	if err := d.show(theta); err != nil {
		return Score{}, err
	}
	evaluate := d.evaluateTokens
	if d.data.set != nil {
		evaluate = d.evaluateExamples
	}
	s, err := evaluate(ctx, n)
	if err == nil && (math.IsNaN(s.Loss) || math.IsInf(s.Loss, 0)) {
		err = fmt.Errorf("%w: held-out loss is %v", ErrDiverged, s.Loss)
	}
	return s, err
}

func (d *Device) evaluateTokens(ctx context.Context, sequences int) (Score, error) {
	n := d.spec.Model.Context
	tokens, targets, losses := make([]int32, n), make([]int32, n), make([]float32, n)
	sequences = min(sequences, d.data.windows(n))
	var total float64
	for i := range sequences {
		if err := ctx.Err(); err != nil {
			return Score{}, err
		}
		d.data.window(i, n, tokens, targets)
		logits, err := d.plan.model.Logits(tokens)
		if err != nil {
			return Score{}, err
		}
		d.engine.CrossEntropy(logits, targets, n, d.spec.Model.Vocab, losses, nil)
		for _, l := range losses {
			total += float64(l)
		}
	}
	kind := ScoreTokens
	if d.data.width == 1 {
		kind = ScoreBytes
	}
	return Score{Kind: kind, Loss: total / float64(sequences*n)}, nil
}

// show makes theta the model's parameters, whatever shards it is planned for: nothing is trained.
func (d *Device) show(theta []float32) error {
	if d.plan == nil {
		if err := d.planFor(nil); err != nil {
			return err
		}
	}
	if err := d.wait(); err != nil {
		return err
	}
	copy(d.plan.model.Params(), theta)
	return nil
}

// sampleTemperature sharpens the distribution that Sample draws from.
const sampleTemperature = 0.8

// Sample returns n bytes that theta writes after prompt, drawn at temperature 0.8 from chacha8rand keyed with seed: the
// same text for the same arguments on every machine. An empty prompt counts as a line feed.
func (d *Device) Sample(ctx context.Context, theta []float32, prompt []byte, n int, seed [32]byte) ([]byte, error) {
	if d.data.width != 1 {
		return nil, fmt.Errorf("%w: this run's data are %s and no bytes of text, so there is none to sample", ErrAssignment, d.data.unit())
	}
	if len(theta) != d.Params() || n < 0 {
		return nil, fmt.Errorf("%w: %d parameters, %d bytes", ErrAssignment, len(theta), n)
	}
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	defer d.end()
	if err := d.show(theta); err != nil {
		return nil, err
	}
	if len(prompt) == 0 {
		prompt = []byte{'\n'}
	}
	var tokens []int32
	for _, b := range prompt {
		tokens = append(tokens, int32(b))
	}
	src := rand.NewChaCha8(seed)
	out := make([]byte, 0, n)
	for range n {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		seen := tokens[max(0, len(tokens)-d.spec.Model.Context):]
		logits, err := d.plan.model.Logits(seen)
		if err != nil {
			return out, err
		}
		b := sampleByte(logits[(len(seen)-1)*d.spec.Model.Vocab:][:256], src)
		out, tokens = append(out, b), append(tokens, int32(b))
	}
	return out, nil
}

// sampleByte draws from the softmax of logits at sampleTemperature.
func sampleByte(logits []float32, src *rand.ChaCha8) byte {
	top := logits[0]
	for _, l := range logits {
		top = max(top, l)
	}
	var p [256]float64
	var total float64
	for i, l := range logits {
		p[i] = float64(exact.Exp((l - top) / sampleTemperature))
		total += p[i]
	}
	at := float64(float64(src.Uint64()>>11) * 0x1p-53 * total)
	for i, w := range p {
		if at < w {
			return byte(i)
		}
		at -= w
	}
	return 255
}
