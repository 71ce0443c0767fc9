package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"drystone/internal/exact"
	"drystone/protocol"
)

var bitParity = Figure{
	Name:   "bit-parity",
	What:   "outputs that differ in a bit from those of the reference path on one thread: every kernel over random shapes, and parameters and moments after 200 steps of training a small model, on every code path, for 1 to 8 threads and with the step divided into passes",
	Unit:   "mismatches",
	Target: Target{Of: "value", Cmp: "<=", Bound: 0},
	Needs:  "qemu-aarch64 for the NEON path on another processor",
	Limit:  20 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.parities(ctx, e.Runs(500), 200)
	},
}

// passes are ways to compute a training step that may not change a bit.
var passes = []func(*protocol.RunSpec){
	func(s *protocol.RunSpec) { s.Train.MicroBatch = s.Train.Batch / 2 },
	func(s *protocol.RunSpec) { s.Train.Recompute = true },
	func(s *protocol.RunSpec) { s.Train.MicroBatch, s.Train.Recompute = s.Train.Batch/2, true },
}

const parityThreads = 8

// tally counts comparisons.
type tally struct {
	compared, mismatches int
	first                string // mismatch
}

// add compares outputs with those of the reference.
func (t *tally) add(where string, got, want []digested) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s has %d outputs, the reference %d", where, len(got), len(want))
	}
	for i := range got {
		if got[i].Name != want[i].Name {
			return fmt.Errorf("%s has %q where the reference has %q", where, got[i].Name, want[i].Name)
		}
		t.compared++
		if got[i].Digest != want[i].Digest {
			t.mismatches++
			if t.first == "" {
				t.first = where + ": " + got[i].Name
			}
		}
	}
	return nil
}

func (t *tally) row(name string) Row {
	r := Row{Case: name, Stats: exactly(float64(t.mismatches), 1), Other: &Other{"comparisons", *exactly(float64(t.compared), 1)}}
	if t.first != "" {
		r.Note = "first mismatch: " + t.first
	}
	return r
}

// parities compares everything on the paths of this processor, and on NEON where it can be emulated.
func (e *Env) parities(ctx context.Context, draws int, steps uint32) (rows []Row, err error) {
	e.Say("  reference")
	want, err := parityOf(ctx, exact.PathRef, 1, draws, steps)
	if err != nil {
		return nil, err
	}
	for _, path := range exact.Paths() {
		got, err := e.parityRows(ctx, path, want, draws, steps)
		rows = append(rows, got...)
		if err != nil {
			return rows, err
		}
	}
	for _, path := range []string{exact.PathAVX2, exact.PathAVX512} {
		if !slices.Contains(exact.Paths(), path) {
			rows = append(rows, Row{Case: path, Skipped: "this processor lacks it"})
		}
	}
	if slices.Contains(exact.Paths(), exact.PathNEON) {
		return rows, nil
	}
	got, err := e.emulatedRows(ctx, want, draws, steps)
	return append(rows, got...), err
}

// paritySide is all that one path computes on a number of threads.
type paritySide struct {
	Kernels []digested `json:"kernels"`
	State   []digested `json:"state"` // one, or none without steps
}

func parityOf(ctx context.Context, path string, threads, draws int, steps uint32) (*paritySide, error) {
	eng, err := exact.NewPath(threads, path)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	side := &paritySide{}
	for draw := range draws {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		side.Kernels = append(side.Kernels, kernelDigests(eng, uint64(draw))...)
	}
	if steps > 0 {
		state, err := stateDigest(ctx, path, threads, steps)
		if err != nil {
			return nil, err
		}
		side.State = append(side.State, state)
	}
	return side, nil
}

// parityRows compares a path of this processor. The reference trains on two numbers of threads only, since it is slow.
func (e *Env) parityRows(ctx context.Context, path string, want *paritySide, draws int, steps uint32) ([]Row, error) {
	var kernels, states, passed tally
	for threads := 1; threads <= parityThreads; threads++ {
		where := fmt.Sprintf("%s, %d threads", path, threads)
		e.Say("  %s", where)
		train := steps
		if path == exact.PathRef && threads != 2 && threads != parityThreads {
			train = 0
		}
		got, err := parityOf(ctx, path, threads, draws, train)
		if err != nil {
			return nil, err
		}
		if err := kernels.add(where, got.Kernels, want.Kernels); err != nil {
			return nil, err
		}
		if train > 0 {
			if err := states.add(where, got.State, want.State); err != nil {
				return nil, err
			}
		}
	}
	rows := []Row{
		kernels.row(fmt.Sprintf("kernels, %s, 1 to %d threads", path, parityThreads)),
		states.row(fmt.Sprintf("training, %s, 1 to %d threads", path, parityThreads)),
	}
	if path == exact.PathRef {
		return rows, nil
	}
	for i, choose := range passes {
		state, err := stateDigest(ctx, path, e.Threads, steps, choose)
		if err != nil {
			return rows, err
		}
		if err := passed.add(fmt.Sprintf("%s, way %d", path, i), []digested{state}, want.State); err != nil {
			return rows, err
		}
	}
	return append(rows, passed.row("training in passes and with recomputation, "+path)), nil
}
