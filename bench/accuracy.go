package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"drystone/internal/exact"
)

//go:embed py/accuracy.py
var accuracyScript string

var kernelAccuracy = Figure{
	Name:   "kernel-accuracy",
	What:   "float32 error of every kernel against float64 in units of 2^-24 of the output's root mean square (of each element for elementary functions), root mean square and largest, against PyTorch's float32 error on the same inputs",
	Unit:   "2^-24",
	Target: Target{Of: "ratio", Cmp: "<=", Bound: 1},
	Needs:  "a Python with torch (--python)",
	Limit:  10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.accuracies(ctx, kernelProbes, e.Runs(5))
	},
}

// probe is one call of a kernel: what goes in, and what the engine makes of it. The arrays named "our ..." are outputs.
type probe struct {
	Name     string         `json:"-"`
	Kernel   string         `json:"kernel"` // function of accuracy.py
	Args     map[string]any `json:"args"`
	Relative bool           `json:"relative"` // error of each element relative to that element
	In       []array        `json:"in"`
	Out      []array        `json:"out"`
	File     string         `json:"file"`
}

// array is a tensor in a probe's file.
type array struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
	Type  string `json:"type"` // f4 or i4
	data  any
}

// floats adds an input.
func (p *probe) floats(name string, x []float32, shape ...int) []float32 {
	p.In = append(p.In, array{name, shape, "f4", x})
	return x
}

func (p *probe) ints(name string, x []int32) []int32 {
	p.In = append(p.In, array{name, []int{len(x)}, "i4", x})
	return x
}

// out adds an output of zeros for the engine to fill.
func (p *probe) out(name string, shape ...int) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	x := make([]float32, n)
	p.Out = append(p.Out, array{"our " + name, shape, "f4", x})
	return x
}

// errorPair is what accuracy.py answers for an output: root mean square and largest.
type errorPair struct {
	Name   string     `json:"name"`
	Ours   [2]float64 `json:"ours"`
	Theirs [2]float64 `json:"theirs"`
}

// accuracies measures the probes that make returns, once per seed.
func (e *Env) accuracies(ctx context.Context, make func(*exact.Engine, *source) []*probe, seeds int) (rows []Row, err error) {
	p, err := e.startPeer(ctx, accuracyScript)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	eng, err := exact.NewPath(e.Threads, e.Machine.Path)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	var order []string
	samples := map[string]*[2][]float64{}
	for seed := range seeds {
		for _, x := range make(eng, newSource(uint64(seed))) {
			errs, err := e.errorsOf(p, x)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", x.Name, err)
			}
			for _, pair := range errs {
				for i, kind := range []string{"rms", "max"} {
					name := fmt.Sprintf("%s %s, %s", x.Name, pair.Name, kind)
					if samples[name] == nil {
						order, samples[name] = append(order, name), new([2][]float64)
					}
					s := samples[name]
					s[0], s[1] = append(s[0], pair.Ours[i]), append(s[1], pair.Theirs[i])
				}
			}
		}
	}
	for _, name := range order {
		s := samples[name]
		rows = append(rows, Row{Case: name, Stats: summary(s[0]), Other: &Other{p.hello.What, *summary(s[1])}})
	}
	rows[0].Note = fmt.Sprintf("runs are draws of the inputs; path %s, whose bits are those of every path; the other side is %s", eng.Path(), p.hello.Version)
	return rows, nil
}

// errorsOf has the peer judge a probe.
func (e *Env) errorsOf(p *peer, x *probe) ([]errorPair, error) {
	x.File = filepath.Join(e.tmp, "probe.bin")
	var b bytes.Buffer
	for _, a := range append(x.In, x.Out...) {
		if err := binary.Write(&b, binary.NativeEndian, a.data); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(x.File, b.Bytes(), 0o600); err != nil {
		return nil, err
	}
	line, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Errors []errorPair `json:"errors"`
	}
	if err := p.exchange(string(line), &answer); err != nil {
		return nil, err
	}
	if len(answer.Errors) != len(x.Out) {
		return nil, fmt.Errorf("peer: judged %d of %d outputs", len(answer.Errors), len(x.Out))
	}
	return answer.Errors, nil
}
