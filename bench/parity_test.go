package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"drystone/internal/exact"
)

func TestBitParity(t *testing.T) {
	e := testEnv(t)
	want, err := parityOf(t.Context(), exact.PathRef, 1, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range exact.Paths()[1:] {
		rows, err := e.parityRows(t.Context(), path, want, 1, 2)
		if err != nil || len(rows) != 3 {
			t.Fatalf("%s: %+v, %v", path, rows, err)
		}
		for i, compared := range []int{parityThreads * len(want.Kernels), parityThreads, len(passes)} {
			if r := rows[i]; r.Value != 0 || r.Other.Value != float64(compared) {
				t.Errorf("%s, %s: %v mismatches of %v, want 0 of %d: %s", path, r.Case, r.Value, r.Other.Value, compared, r.Note)
			}
		}
	}
}

// What another processor prints is what this one computes.
func TestParitySide(t *testing.T) {
	want, err := parityOf(t.Context(), exact.PathRef, 2, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	var out, talk bytes.Buffer
	if code := run([]string{"parity-side", exact.PathRef, "2", "1", "1"}, &out, &talk); code != 0 {
		t.Fatalf("exit code %d: %s", code, &talk)
	}
	var got paritySide
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// A difference in one bit is counted, and named; NaNs are equal whatever their bits.
func TestTally(t *testing.T) {
	a, b := []float32{1, 2}, []float32{1, 2.0000002}
	var c tally
	want := []digested{{"x", digest(a)}, {"y", digest(a)}}
	if err := c.add("here", []digested{{"x", digest(a)}, {"y", digest(b)}}, want); err != nil {
		t.Fatal(err)
	}
	if r := c.row("case"); r.Value != 1 || r.Other.Value != 2 || r.Note != "first mismatch: here: y" {
		t.Errorf("%+v, %s", r, fmt.Sprint(r.Other))
	}
	if c.add("here", want[:1], want) == nil || c.add("here", []digested{want[1], want[0]}, want) == nil {
		t.Error("other outputs pass")
	}
	nan := float32(0)
	nan /= nan
	if digest([]float32{nan}) != digest([]float32{-nan}) || digest([]float32{0}) == digest([]float32{negativeZero}) {
		t.Error("digests of NaN or of zeros")
	}
}
