package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// side measures once.
type side func() (float64, error)

// sure makes a side from a measurement that cannot fail.
func sure(f func() float64) side { return func() (float64, error) { return f(), nil } }

// turns are the rounds of a contest: one sample of every side each.
type turns struct {
	rounds []round
	busy   float64 // largest share of the machine that other programs used during one of the rounds
}

type round struct {
	samples []float64
	busy    float64
}

// takeTurns runs the sides one after the other, first to warm them up and then in rounds. A round during which other
// programs used the machine is measured again, at most e.Patience times in all; the calmest rounds count.
func (e *Env) takeTurns(ctx context.Context, warmUps, runs int, sides ...side) (*turns, error) {
	for range warmUps {
		if _, err := e.once(ctx, sides); err != nil {
			return nil, err
		}
	}
	var rounds []round
	for calm, again := 0, 0; calm < runs; {
		before := e.load()
		samples, err := e.once(ctx, sides)
		if err != nil {
			return nil, err
		}
		r := round{samples, foreign(before, e.load())}
		rounds = append(rounds, r)
		switch {
		case r.busy == 0 || again >= e.Patience:
			calm++
		default:
			again++
			e.Say("  other programs used %.0f %% of the machine: once more", 100*r.busy)
			if err := wait(ctx, e.pause); err != nil {
				return nil, err
			}
		}
	}
	return calmest(rounds, runs), nil
}

// calmest keeps so many rounds, those that were disturbed least.
func calmest(rounds []round, keep int) *turns {
	slices.SortStableFunc(rounds, func(a, b round) int { return cmp.Compare(a.busy, b.busy) })
	return &turns{rounds[:keep], rounds[keep-1].busy}
}

// once runs each side once, after a rest: the threads of OpenBLAS, and of OpenMP, look out for more work for some 30 ms
// after the last, which would be taken from the next side.
func (e *Env) once(ctx context.Context, sides []side) ([]float64, error) {
	var samples []float64
	for _, f := range sides {
		if err := wait(ctx, e.rest); err != nil {
			return nil, err
		}
		x, err := f()
		if err != nil {
			return nil, err
		}
		samples = append(samples, x)
	}
	return samples, nil
}

// stats sums up what one side measured.
func (t *turns) stats(i int) *Stats {
	var x []float64
	for _, r := range t.rounds {
		x = append(x, r.samples[i])
	}
	return summary(x)
}

// row is the row of a contest: of its first side or, if other is not empty, of its first against its second.
func (t *turns) row(name, other string) Row {
	r := Row{Case: name, Stats: t.stats(0), Busy: t.busy}
	if other != "" {
		r.Other = &Other{other, *t.stats(1)}
	}
	return r
}

// wait waits, or returns the error of a context that is done.
func wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil { // both cases of the select may be ready
		return fmt.Errorf("waiting: %w", err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting: %w", ctx.Err())
	case <-time.After(d):
		return nil
	}
}
