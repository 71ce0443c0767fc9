package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"drystone/internal/delta"
	"drystone/internal/speed"
	"drystone/models"
	"drystone/node"
	"drystone/protocol"
	"drystone/trainer"
)

var shardMemory = Figure{
	Name:  "shard-memory",
	What:  "peak resident memory of a fresh process that trains a part of llama-11m, above the process with everything loaded and no model made, against one that trains all of it",
	Unit:  "MB",
	Needs: "Linux",
	Limit: 15 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.partMemory(ctx, speed.Models()[1], shares)
	},
}

var shardStep = Figure{
	Name:  "shard-step",
	What:  "time of a training step of a part of llama-11m, against one of all of it; the steps take turns, each part in a process of its own",
	Unit:  "ms",
	Needs: "Linux",
	Limit: 15 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.partStep(ctx, speed.Models()[1], shares)
	},
}

// share is a part of a model: Own of Whole equal shards, the first ones, whose gradients need the whole way back, or the
// last ones, which need least of it.
type share struct {
	Own, Whole int
	Last       bool
}

var shares = []share{{8, 8, false}, {4, 8, false}, {4, 8, true}, {2, 8, false}, {2, 8, true}, {1, 8, false}, {1, 8, true}}

// String names the share.
func (s share) String() string {
	switch {
	case s.Own == s.Whole:
		return "all shards"
	case s.Last:
		return fmt.Sprintf("last %d of %d shards", s.Own, s.Whole)
	}
	return fmt.Sprintf("first %d of %d shards", s.Own, s.Whole)
}

// shards is the share as an assignment names it.
func (s share) shards() []uint32 {
	first := 0
	if s.Last {
		first = s.Whole - s.Own
	}
	if s.Own == s.Whole {
		return nil
	}
	var own []uint32
	for i := range s.Own {
		own = append(own, uint32(first+i))
	}
	return own
}

// partDevice is a device for a run that admits parts of a model, and the assignment to one.
func partDevice(path string, m speed.Model, s share, threads int) (*device, protocol.Assignment, error) {
	spec := node.DefaultSpec()
	spec.Name, spec.Model, spec.Train.Batch, spec.Train.MinShards = m.Name, m.Shape, m.Batch, 1
	spec.Verify.Kind = "prefix"
	if err := cutInto(&spec, s.Whole); err != nil {
		return nil, protocol.Assignment{}, err
	}
	d, err := newDevice(spec, path, threads)
	if err != nil {
		return nil, protocol.Assignment{}, err
	}
	a := d.assignment()
	a.Shards = s.shards()
	return d, a, nil
}

// cutInto sets the size of shards such that the model has so many, the last of them perhaps shorter.
func cutInto(spec *protocol.RunSpec, shards int) error {
	_, params, err := models.Layout(spec.Model)
	if err != nil {
		return err
	}
	chunks := (params + delta.ChunkParams - 1) / delta.ChunkParams
	spec.Codec.ShardParams = (chunks + shards - 1) / shards * delta.ChunkParams
	if got := spec.Codec.Shards(params); got != shards {
		return fmt.Errorf("%d parameters cannot be cut into %d shards, only into %d", params, shards, got)
	}
	return nil
}

// partRun is what a process says of itself that trained a part of a model.
type partRun struct {
	memory
	Plan trainer.Footprint `json:"plan"`
	Step float64           `json:"step"` // seconds
}

// trainPartCmd trains a part of a model and prints a partRun.
type trainPartCmd struct {
	Model   string `arg:""` // speed.Model in JSON
	Share   string `arg:""` // share in JSON
	Path    string `arg:""`
	Threads int    `arg:""`
}

// Run prints one line of JSON.
func (c *trainPartCmd) Run(ctx context.Context, t *terminal) error {
	var m speed.Model
	var s share
	if err := errors.Join(json.Unmarshal([]byte(c.Model), &m), json.Unmarshal([]byte(c.Share), &s)); err != nil {
		return err
	}
	before, err := readMemory()
	if err != nil {
		return err
	}
	d, a, err := partDevice(c.Path, m, s, c.Threads)
	if err != nil {
		return err
	}
	defer d.Close()
	got := partRun{}
	if got.Plan, err = d.Footprint(ctx, a.Shards); err != nil {
		return err
	}
	if err := d.Rehearse(ctx, a, d.theta, 1); err != nil {
		return err
	}
	const steps = memorySteps - 1
	start := time.Now()
	if err := d.Rehearse(ctx, a, d.theta, steps); err != nil {
		return err
	}
	got.Step = since(start) / steps
	after, err := readMemory()
	if err != nil {
		return err
	}
	got.memory = memory{before.Idle, after.Peak}
	return json.NewEncoder(t.out).Encode(got)
}

// trainPart runs this program again as trainPartCmd.
func (e *Env) trainPart(ctx context.Context, m speed.Model, s share) (got partRun, err error) {
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	model, err1 := json.Marshal(m)
	part, err2 := json.Marshal(s)
	if err := errors.Join(err1, err2); err != nil {
		return got, err
	}
	out, err := exec.CommandContext(ctx, self, "train-part", string(model), string(part), e.Machine.Path, fmt.Sprint(e.Threads)).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return got, fmt.Errorf("%s: %w: %s", s, err, exit.Stderr)
		}
		return got, fmt.Errorf("%s: %w", s, err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return got, err
	}
	return got, got.check()
}

// onLinux returns a skipped error where resident memory cannot be read.
func onLinux() error {
	if _, err := readMemory(); err != nil {
		return skipped("needs Linux, whose /proc/self/status shows resident memory")
	}
	return nil
}

// partMemory compares each share's memory with that of the first.
func (e *Env) partMemory(ctx context.Context, m speed.Model, all []share) ([]Row, error) {
	if err := onLinux(); err != nil {
		return nil, err
	}
	samples := make([][]float64, len(all))
	plans := make([]trainer.Footprint, len(all))
	for range e.Runs(3) {
		for i, s := range all {
			got, err := e.trainPart(ctx, m, s)
			if err != nil {
				return nil, err
			}
			samples[i], plans[i] = append(samples[i], float64(got.Peak-got.Idle)/1e6), got.Plan
		}
	}
	var rows []Row
	for i, s := range all {
		r := Row{Case: fmt.Sprintf("%s, %s", m.Name, s), Stats: summary(samples[i])}
		if i > 0 {
			r.Other = &Other{all[0].String(), *summary(samples[0])}
		}
		p := plans[i]
		r.Note = fmt.Sprintf("planned: %.1f MB of gradient and moments, %.1f MB of activations", float64(p.Trained)/1e6, float64(p.Activations)/1e6)
		rows = append(rows, r)
	}
	return rows, nil
}

// partStep compares each share's step with that of the first.
func (e *Env) partStep(ctx context.Context, m speed.Model, all []share) ([]Row, error) {
	if err := onLinux(); err != nil {
		return nil, err
	}
	sides := make([]side, len(all))
	for i, s := range all {
		sides[i] = func() (float64, error) {
			got, err := e.trainPart(ctx, m, s)
			return 1e3 * got.Step, err
		}
	}
	t, err := e.takeTurns(ctx, 0, e.Runs(3), sides...)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for i, s := range all {
		r := Row{Case: fmt.Sprintf("%s, %s", m.Name, s), Stats: t.stats(i), Busy: t.busy}
		if i > 0 {
			r.Other = &Other{all[0].String(), *t.stats(0)}
		}
		rows = append(rows, r)
	}
	return rows, nil
}
