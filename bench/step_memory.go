package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"drystone/internal/speed"
)

var stepMemory = Figure{
	Name:   "step-memory",
	What:   "peak resident memory of a fresh process that does training steps, against PyTorch eager that does the same: all of it, and what is above the process with everything loaded and no model made",
	Unit:   "MB",
	Target: Target{Of: "ratio", Cmp: "<=", Bound: 0.8},
	Needs:  "Linux and a Python with torch (--python)",
	Limit:  10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		var rows []Row
		for _, m := range speed.Models() {
			got, err := e.memoryBeside(ctx, m)
			rows = append(rows, got...)
			if err != nil {
				return rows, err
			}
		}
		return rows, nil
	},
}

// memorySteps is how many steps each process does: the working memory of both sides has reached its size after two.
const memorySteps = 4

// memory is what a process says of its resident memory, in bytes.
type memory struct {
	Idle uint64 `json:"idle"` // before the model is made
	Peak uint64 `json:"peak"` // most so far
}

func (m memory) check() error {
	if m.Idle == 0 || m.Peak <= m.Idle {
		return fmt.Errorf("memory: %d bytes before the model and %d with it", m.Idle, m.Peak)
	}
	return nil
}

func (e *Env) memoryBeside(ctx context.Context, m speed.Model) ([]Row, error) {
	if _, err := readMemory(); err != nil {
		return nil, skipped("needs Linux, whose /proc/self/status shows resident memory")
	}
	sides := []func() (memory, error){
		func() (memory, error) { return e.ourMemory(ctx, m) },
		func() (memory, error) { return e.theirMemory(ctx, m) },
	}
	var whole, above [2][]float64
	for range e.Runs(5) {
		for i, f := range sides {
			got, err := f()
			if err == nil {
				err = got.check()
			}
			if err != nil {
				return nil, err
			}
			whole[i] = append(whole[i], float64(got.Peak)/1e6)
			above[i] = append(above[i], float64(got.Peak-got.Idle)/1e6)
		}
	}
	row := func(what string, x [2][]float64) Row {
		return Row{Case: m.Name + ", " + what, Stats: summary(x[0]), Other: &Other{"PyTorch eager", *summary(x[1])}}
	}
	return []Row{row("whole process", whole), row("above idle", above)}, nil
}

// ourMemory runs this program again as trainStepsCmd.
func (e *Env) ourMemory(ctx context.Context, m speed.Model) (got memory, err error) {
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	model, err := json.Marshal(m)
	if err != nil {
		return got, err
	}
	cmd := exec.CommandContext(ctx, self, "train-steps", string(model), e.Machine.Path, fmt.Sprint(e.Threads))
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return got, fmt.Errorf("memory: %w: %s", err, exit.Stderr)
		}
		return got, err
	}
	return got, json.Unmarshal(out, &got)
}

func (e *Env) theirMemory(ctx context.Context, m speed.Model) (got memory, err error) {
	p, err := e.startPeer(ctx, decoderScript+stepScript, stepArgs(m, "eager")...)
	if err != nil {
		return got, err
	}
	err = p.exchange(fmt.Sprint(memorySteps), &got)
	return got, errors.Join(err, p.close())
}

// trainStepsCmd does training steps and prints the memory of its process.
type trainStepsCmd struct {
	Model   string `arg:""` // speed.Model in JSON
	Path    string `arg:""`
	Threads int    `arg:""`
}

// Run prints one line of JSON.
func (c *trainStepsCmd) Run(ctx context.Context, t *terminal) error {
	var m speed.Model
	if err := json.Unmarshal([]byte(c.Model), &m); err != nil {
		return err
	}
	before, err := readMemory()
	if err != nil {
		return err
	}
	s, err := newStepper(c.Path, m, c.Threads)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.TokensPerSecond(ctx, memorySteps); err != nil {
		return err
	}
	after, err := readMemory()
	if err != nil {
		return err
	}
	return json.NewEncoder(t.out).Encode(memory{before.Idle, after.Peak})
}

// readMemory returns the resident memory of this process now and at most so far.
func readMemory() (m memory, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return m, err
	}
	for _, f := range []struct {
		key string
		to  *uint64
	}{{"VmRSS:", &m.Idle}, {"VmHWM:", &m.Peak}} {
		_, rest, _ := strings.Cut(string(status), "\n"+f.key)
		fields := strings.Fields(rest) // 1234 kB
		if len(fields) < 2 || fields[1] != "kB" {
			return m, fmt.Errorf("memory: no %s in /proc/self/status", f.key)
		}
		n, err := strconv.ParseUint(fields[0], 10, 54)
		if err != nil {
			return m, err
		}
		*f.to = n << 10
	}
	return m, nil
}
