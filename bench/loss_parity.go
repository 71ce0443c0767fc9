package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"drystone/internal/speed"
	"drystone/protocol"
)

var lossParity = Figure{
	Name:   "loss-parity",
	What:   "held-out loss of llama-1m after 20 tokens per parameter with pseudo-gradients sparse on their way up and the merged update compressed on its way down, 30 steps a round, against dense pseudo-gradients and everything else the same; curves in docs/loss-parity.md",
	Unit:   "nats per byte",
	Target: Target{Of: "ratio", Cmp: "<=", Bound: 1.01},
	Needs:  "hours of training, kept in --state DIR",
	Limit:  12 * time.Hour,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.lossParity(ctx, compressedArms(), denseArm())
	},
}

var lossOneWorker = Figure{
	Name:   "loss-one-worker",
	What:   "held-out loss of the runs of loss-parity against one worker that trains on as many tokens, with the batches of all workers together, by AdamW alone",
	Unit:   "nats per byte",
	Target: Target{Of: "ratio", Cmp: "<=", Bound: 1.03},
	Needs:  "hours of training, kept in --state DIR",
	Limit:  4 * time.Hour,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.lossParity(ctx, append(compressedArms(), denseArm()), aloneArm())
	},
}

var lossChoices = Figure{
	Name:  "loss-choices",
	What:  "held-out loss of the first seed of loss-parity with one thing chosen otherwise, against the run without that choice",
	Unit:  "nats per byte",
	Needs: "hours of training, kept in --state DIR",
	Limit: 8 * time.Hour,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.lossChoices(ctx)
	},
}

// lossTrial is what all arms of a comparison have in common.
type lossTrial struct {
	corpus  *corpus
	data    protocol.DataSpec // of the corpus
	model   speed.Model
	batch   int    // sequences of one worker's step
	workers int    // of every arm but those with one alone
	steps   uint32 // of each of them
	points  uint32 // of a curve
	scored  int    // held-out sequences behind a point and, points times as many, behind the last
}

// parityTrial is the trial that is published: 4 workers at 256 tokens a step, 20.06 tokens per parameter in 600 rounds.
func (e *Env) parityTrial(ctx context.Context) (*lossTrial, error) {
	if e.State == "" {
		return nil, skipped("trains for hours: name a directory with --state, where it goes on when it is started again")
	}
	c, err := goSource(ctx)
	if err != nil {
		return nil, err
	}
	return &lossTrial{corpus: c, data: c.spec(), model: speed.Models()[0], batch: 2, workers: 4, steps: 18000, points: 30, scored: 128}, nil
}

// tokens is how many the workers train on together.
func (t *lossTrial) tokens() uint64 {
	return uint64(t.workers) * uint64(t.steps) * uint64(t.batch*t.model.Shape.Context)
}

// lossParity trains arms and the one they are compared with, seed by seed.
func (e *Env) lossParity(ctx context.Context, arms []arm, other arm) ([]Row, error) {
	t, err := e.parityTrial(ctx)
	if err != nil {
		return nil, err
	}
	all := append([]arm{other}, arms...)
	results, err := e.trainArms(ctx, t, all, e.Runs(3))
	if results == nil {
		return nil, err
	}
	rows := compare(t, all, results)
	e.parityPages(t, all, results)
	return rows, err
}

// trainArms returns the results of the seeds that all arms have finished, by seed and arm. Beside an error they are what
// there is until then, nil for nothing.
func (e *Env) trainArms(ctx context.Context, t *lossTrial, arms []arm, seeds int) (results [][]*result, err error) {
	for seed := range seeds {
		var of []*result
		for _, a := range arms {
			r, err := e.trainArm(ctx, t, &a, uint64(seed+1))
			if err != nil {
				return results, fmt.Errorf("%s, seed %d: %w", a.Name, seed+1, err)
			}
			of = append(of, r)
		}
		results = append(results, of)
	}
	return results, nil
}

// compare returns a row for every arm but the first, which is the other side.
func compare(t *lossTrial, arms []arm, results [][]*result) (rows []Row) {
	column := func(i int) (losses []float64) {
		for _, of := range results {
			losses = append(losses, of[i].Loss)
		}
		return losses
	}
	base := column(0)
	for i := 1; i < len(arms); i++ {
		losses := column(i)
		var ratios []float64
		for s := range losses {
			ratios = append(ratios, losses[s]/base[s])
		}
		r := results[0][i]
		note := fmt.Sprintf("%s; %s; %d tokens a run on %s", arms[i].What, interval(ratios), t.tokens(), t.corpus.what)
		if r.Up > 0 {
			note += "; " + r.traffic()
		}
		rows = append(rows, Row{Case: fmt.Sprintf("%s, %s", t.model.Name, arms[i].Name), Stats: summary(losses),
			Other: &Other{arms[0].Name, *summary(base)}, Note: note})
	}
	return rows
}

// student are the 97.5 % points of Student's distribution, by degrees of freedom from 1.
var student = []float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262}

// interval says what ratios of runs with the same seed are, and the 95 % interval of their mean.
func interval(ratios []float64) string {
	var mean, squares float64
	for _, r := range ratios {
		mean += r / float64(len(ratios))
	}
	for _, r := range ratios {
		squares += (r - mean) * (r - mean)
	}
	text := fmt.Sprintf("ratios by seed %.4f, mean %.4f", ratios, mean)
	n := len(ratios)
	if n < 2 || n-2 >= len(student) {
		return text
	}
	return text + fmt.Sprintf(" within %.4f at 95 %%", student[n-2]*math.Sqrt(squares/float64(n-1)/float64(n)))
}

// lossChoices trains the first seed of every choice.
func (e *Env) lossChoices(ctx context.Context) (rows []Row, err error) {
	t, err := e.parityTrial(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range choices() {
		results, err := e.trainArms(ctx, t, []arm{c.base, c.arm}, 1)
		if err != nil {
			return rows, errors.Join(err, ctx.Err())
		}
		rows = append(rows, compare(t, []arm{c.base, c.arm}, results)...)
	}
	return rows, nil
}

// peers of a trial.
func (t *lossTrial) peers() []protocol.PeerID { return somePeers(t.workers) }
