package main

import (
	"errors"
	"io"
	"testing"

	"drystone/internal/speed"
	"drystone/protocol"
)

// tiny is a model that trains in milliseconds on any code path.
var tiny = speed.Model{Name: "tiny", Batch: 2, Shape: protocol.ModelSpec{Family: "llama", Dim: 64, Layers: 1, Heads: 2, KVHeads: 2, FFN: 24,
	Vocab: 256, Context: 8, NormEps: 1e-5, RopeTheta: 10000}}

// testEnv is an Env that measures once.
func testEnv(t *testing.T) *Env {
	t.Helper()
	e, err := newEnv(&runCmd{Runs: 1, Python: "python3"}, io.Discard)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestStepGorgonia(t *testing.T) {
	rows, err := testEnv(t).stepGorgonia(t.Context(), tiny)
	if err != nil || len(rows) != 1 || rows[0].Value <= 0 || rows[0].Other.Value <= 0 {
		t.Errorf("%+v, %v", rows, err)
	}
}

// Both sides of the comparison with PyTorch train the same number of parameters.
func TestStepPyTorch(t *testing.T) {
	e := testEnv(t)
	r, err := e.stepBeside(t.Context(), tiny, "eager")
	skipWithout(t, err)
	if err != nil || r.Value <= 0 || r.Other.Value <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// skipWithout skips a test whose peer is not installed.
func skipWithout(t *testing.T, err error) {
	t.Helper()
	var s skipped
	if errors.As(err, &s) {
		t.Skip(s)
	}
}

// Each side measures itself in a process of its own.
func TestStepMemory(t *testing.T) {
	e := testEnv(t)
	if got, err := e.ourMemory(t.Context(), tiny); err != nil || got.check() != nil {
		if _, missing := readMemory(); missing != nil {
			t.Skip(missing)
		}
		t.Fatalf("%+v, %v, %v", got, err, got.check())
	}
	rows, err := e.memoryBeside(t.Context(), tiny)
	skipWithout(t, err)
	if err != nil || len(rows) != 2 || rows[0].Value <= rows[1].Value || rows[0].Other.Value <= rows[1].Other.Value {
		t.Errorf("%+v, %v", rows, err)
	}
}
