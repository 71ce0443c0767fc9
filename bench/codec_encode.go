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

var codecEncode = Figure{
	Name:   "codec-encode",
	What:   "sparse pseudo-gradient codec on one core: encoding with error feedback, and decoding into a sum with its validation",
	Unit:   "M parameters/s per core",
	Target: Target{Of: "value", Cmp: ">=", Bound: 300},
	Limit:  5 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		var rows []Row
		for _, k := range []int{64, 256} {
			got, err := codecRows(ctx, e, k)
			if err != nil {
				return nil, err
			}
			rows = append(rows, got...)
		}
		return rows, ctx.Err()
	},
}

func codecRows(ctx context.Context, e *Env, k int) ([]Row, error) {
	codec, err := delta.New(protocol.CodecSpec{Up: "sparse", TopK: k, ValueBits: 2, Decay: 0.95, ShardParams: codecParams})
	if err != nil {
		return nil, err
	}
	u, feedback, sum := speed.Normals(codecParams), make([]float32, codecParams), make([]float32, codecParams)
	var payload []byte
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
	return []Row{
		{Case: fmt.Sprintf("encode, k=%d", k), Stats: t.stats(0), Busy: t.busy},
		{Case: fmt.Sprintf("decode, k=%d", k), Stats: t.stats(1), Busy: t.busy},
	}, nil
}
