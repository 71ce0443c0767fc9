package main

import (
	"context"
	"fmt"
	"time"

	"drystone/internal/delta"
	"drystone/internal/speed"
	"drystone/protocol"
)

// codecParams is the vector that is encoded: a million parameters, more than fits in caches near a core.
const codecParams = 1 << 20

var codecThroughput = Figure{
	Name: "codec-throughput",
	What: "pseudo-gradient codec on one core, each form: encoding with error feedback, and decoding into a sum with its " +
		"validation; the note says how small payloads are",
	Unit:   "M parameters/s per core",
	Target: Target{Of: "value", Cmp: ">=", Bound: 300},
	Limit:  5 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		var rows []Row
		for _, form := range []protocol.CodecSpec{
			{Up: "dense"},
			{Up: "int8"},
			{Up: "sparse", TopK: 64, ValueBits: 2},
			{Up: "sparse", TopK: 256, ValueBits: 2},
			{Up: "rice", TopK: 64, ValueBits: 2},
			{Up: "rice", TopK: 64, ValueBits: 4},
			{Up: "rice", TopK: 256, ValueBits: 2},
			{Up: "masked", TopK: 64},
		} {
			form.Decay, form.ShardParams = 0.95, codecParams
			got, err := codecRows(ctx, e, form)
			if err != nil {
				return nil, err
			}
			rows = append(rows, got...)
		}
		return rows, ctx.Err()
	},
}

func codecRows(ctx context.Context, e *Env, form protocol.CodecSpec) ([]Row, error) {
	codec, err := delta.New(form)
	if err != nil {
		return nil, err
	}
	codec = codec.WithMask(1, 0)
	u, feedback, sum := speed.Normals(codecParams), make([]float32, codecParams), make([]float32, codecParams)
	payload := make([]byte, 0, codec.Size(codecParams))
	encode := func() (float64, error) {
		var err error
		s := speed.PerCall(func() {
			if err == nil {
				payload, err = codec.Encode(payload[:0], u, feedback)
			}
		})
		return codecParams / s / 1e6, err
	}
	decode := func() (float64, error) {
		var err error
		s := speed.PerCall(func() {
			if err == nil {
				err = codec.Validate(payload, codecParams)
			}
			if err == nil {
				err = codec.AddTo(sum, 0.25, payload)
			}
		})
		return codecParams / s / 1e6, err
	}
	t, err := e.takeTurns(ctx, 1, e.Runs(9), encode, decode) // the first encoding also fills the error feedback
	if err != nil {
		return nil, err
	}
	name, size := codecName(form), float64(len(payload))/codecParams
	note := fmt.Sprintf("%.4f bytes per parameter, %.1f times less than float32", size, 4/size)
	return []Row{
		{Case: "encode, " + name, Stats: t.stats(0), Busy: t.busy, Note: note},
		{Case: "decode, " + name, Stats: t.stats(1), Busy: t.busy},
	}, nil
}

func codecName(form protocol.CodecSpec) string {
	name := form.Up
	if form.TopK > 0 {
		name += fmt.Sprintf(", k=%d", form.TopK)
	}
	if form.ValueBits > 0 {
		name += fmt.Sprintf(", %d-bit", form.ValueBits)
	}
	return name
}
