package trainer

import (
	"context"
	"fmt"
	"math"

	"drystone/models"
)

// Score says how parameters do on held-out data.
type Score struct {
	Kind ScoreKind
	Loss float64 // mean loss: nats per byte, token or example, or the mean squared error of standardised values

	Accuracy float64 // ScoreClasses: the share of examples whose class has the largest output
	RMSE     float64 // ScoreValues: root of the mean squared error, in the unit of the data
	R2       float64 // ScoreValues: 1 - squared error / squared deviation from the held-out mean; 0 if there is no deviation
}

// ScoreKind says what a Score measures.
type ScoreKind string

// Kinds of scores.
const (
	ScoreBytes   ScoreKind = "bytes"
	ScoreTokens  ScoreKind = "tokens"
	ScoreClasses ScoreKind = "classes"
	ScoreValues  ScoreKind = "values"
)

// String is the score with its unit, for people.
func (s Score) String() string {
	switch s.Kind {
	case ScoreClasses:
		return fmt.Sprintf("%.3f nats, accuracy %.1f %%", s.Loss, 100*s.Accuracy)
	case ScoreValues:
		return fmt.Sprintf("%.4f, RMSE %.4g, R2 %.3f", s.Loss, s.RMSE, s.R2)
	case ScoreTokens:
		return fmt.Sprintf("%.3f nats per token", s.Loss)
	}
	return fmt.Sprintf("%.3f nats per byte", s.Loss)
}

func (d *Device) evaluateExamples(ctx context.Context, n int) (Score, error) {
	n = min(n, d.data.held())
	pass := d.spec.Train.Batch
	if d.spec.Train.MicroBatch > 0 {
		pass = d.spec.Train.MicroBatch
	}
	in := models.NewInputs(d.spec.Model, pass)
	features, outputs := d.spec.Model.Features(), d.spec.Model.Outputs
	t := tally{values: make([]values, d.data.set.Values)}
	losses, best := make([]float32, pass), make([]int32, pass)
	for done := 0; done < n; {
		if err := ctx.Err(); err != nil {
			return Score{}, err
		}
		rows := min(pass, n-done)
		for i := range rows {
			d.data.example(d.data.train+done+i, i, &in)
		}
		y, err := d.plan.model.Outputs(in.Features[:rows*features])
		if err != nil {
			return Score{}, err
		}
		if in.Targets != nil {
			d.engine.CrossEntropy(y, in.Targets, rows, outputs, losses[:rows], nil)
			d.engine.ArgMaxRows(best[:rows], y, rows, outputs)
			t.classes(in.Targets[:rows], best, losses)
		} else {
			t.predictions(y, in.Values, d.data.set.ValueScale)
		}
		done += rows
	}
	return t.score(in.Targets != nil, n), nil
}

// tally adds up what a Score is made of.
type tally struct {
	loss, squares float64 // squares: of the errors, in the unit of the data
	right         int
	values        []values // one per output
}

// values are sums over one output of held-out examples, standardised.
type values struct{ n, sum, squares, errors float64 }

func (t *tally) classes(targets, best []int32, losses []float32) {
	for i, c := range targets {
		t.loss += float64(losses[i])
		if best[i] == c {
			t.right++
		}
	}
}

// predictions takes in predictions y (rows, outputs) for targets of the same shape, which may be longer.
func (t *tally) predictions(y, targets, scale []float32) {
	for i, p := range y { // products are converted so that none is fused with its sum: the score is the same everywhere
		v, target := &t.values[i%len(scale)], float64(targets[i])
		e := float64(p) - target
		unit := e / float64(scale[i%len(scale)])
		t.loss += float64(e*e) / float64(len(scale))
		t.squares += float64(unit*unit) / float64(len(scale))
		v.n, v.sum, v.squares, v.errors = v.n+1, v.sum+target, v.squares+float64(target*target), v.errors+float64(e*e)
	}
}

func (t *tally) score(classes bool, n int) Score {
	mean := t.loss / float64(n)
	if classes {
		return Score{Kind: ScoreClasses, Loss: mean, Accuracy: float64(t.right) / float64(n)}
	}
	var errors, deviation float64
	for _, v := range t.values {
		errors = errors + v.errors
		// What is left of equal targets is rounding, which is no deviation to compare with.
		if d := v.squares - float64(v.sum*v.sum)/v.n; d > 1e-12*v.squares {
			deviation += d
		}
	}
	s := Score{Kind: ScoreValues, Loss: mean, RMSE: math.Sqrt(t.squares / float64(n))}
	if deviation > 0 {
		s.R2 = 1 - errors/deviation
	}
	return s
}
