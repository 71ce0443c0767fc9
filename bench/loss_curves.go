package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"drystone/internal/speed"
	"drystone/models"
	"drystone/node"
	"drystone/trainer"
)

//go:embed py/curves.py
var curvesScript string

var lossCurves = Figure{
	Name:   "loss-curves",
	What:   "how far the training loss of llama-1m over 200 steps of AdamW lies from a float64 run of PyTorch, against how far PyTorch's float32 run lies from it; all three from the same weights, on the same batches, see docs/loss-curves.md",
	Unit:   "nats per token",
	Target: Target{Of: "ratio", Cmp: "<=", Bound: 1},
	Needs:  "a Python with torch (--python)",
	Limit:  25 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.lossCurves(ctx, speed.Models()[0], 200, e.Runs(3))
	},
}

const curvesRate = 1e-3 // learning rate of every step

// curves are the training losses of each step.
type curves struct {
	ours, single, double []float64 // this engine; PyTorch in float32, in float64
}

// distances returns how far a curve lies from the float64 one: the mean over all steps, and the last step.
func (c *curves) distances(x []float64) (mean, last float64) {
	for i, y := range c.double {
		last = math.Abs(x[i] - y)
		mean += last / float64(len(c.double))
	}
	return mean, last
}

// lossCurves trains once per seed, which chooses weights and batches.
func (e *Env) lossCurves(ctx context.Context, m speed.Model, steps uint32, seeds int) (rows []Row, err error) {
	p, err := e.startPeer(ctx, decoderScript+curvesScript, shapeArgs(m)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	var mean, last [2][]float64
	var failed error
	for seed := range seeds {
		c, err := e.curvesOf(ctx, p, m, steps, uint64(seed+1))
		if err != nil {
			failed = err
			break
		}
		if seed == 0 {
			e.pages["loss-curves.md"] = c.page(m, p.hello.Version)
		}
		for i, x := range [][]float64{c.ours, c.single} {
			a, b := c.distances(x)
			mean[i], last[i] = append(mean[i], a), append(last[i], b)
		}
	}
	if len(mean[0]) == 0 {
		return nil, failed
	}
	row := func(what string, x [2][]float64) Row {
		return Row{Case: m.Name + ", " + what, Stats: summary(x[0]), Other: &Other{"PyTorch float32", *summary(x[1])}}
	}
	rows = []Row{row("mean of all steps", mean), row("last step", last)}
	rows[0].Note = fmt.Sprintf("runs are seeds of weights and batches; %d steps of %d tokens, learning rate %g; the other side is %s, eager", steps, m.Rows(), curvesRate, p.hello.Version)
	return rows, failed
}

// curvesOf trains the three runs of a seed.
func (e *Env) curvesOf(ctx context.Context, p *peer, m speed.Model, steps uint32, seed uint64) (*curves, error) {
	spec := node.DefaultSpec()
	spec.Name, spec.Seed, spec.Model, spec.Train.Batch = "loss-curves", seed, m.Shape, m.Batch
	spec.Train.Rounds, spec.Train.Steps, spec.Train.Segment, spec.Train.Warmup = 1, steps, steps, 0
	spec.Train.LR, spec.Train.MinLR = curvesRate, curvesRate
	d, err := newDevice(spec, e.Machine.Path, e.Threads)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if p.hello.Params != d.Params() {
		return nil, fmt.Errorf("the PyTorch model has %d parameters, ours %d", p.hello.Params, d.Params())
	}
	c := &curves{}
	e.Say("  seed %d: this engine", seed)
	if _, err := d.Train(ctx, d.assignment(), d.theta, trainer.TrainOptions{
		Peer:   d.spec.Founder,
		Salt:   func(uint32) (salt [16]byte, err error) { return salt, nil },
		OnStep: func(_ uint32, loss float32) { c.ours = append(c.ours, float64(loss)) },
	}); err != nil {
		return nil, err
	}
	job, err := e.curveFiles(d)
	if err != nil {
		return nil, err
	}
	for precision, to := range map[string]*[]float64{"float32": &c.single, "float64": &c.double} {
		e.Say("  seed %d: PyTorch %s", seed, precision)
		job.Precision = precision
		if *to, err = job.run(p, int(steps)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// curveJob is a line that curves.py understands.
type curveJob struct {
	Theta     string  `json:"theta"`
	Batches   string  `json:"batches"`
	LR        float64 `json:"lr"`
	Precision string  `json:"precision"`
}

// curveFiles writes the initial parameters and the batches that the device draws.
func (e *Env) curveFiles(d *device) (job curveJob, err error) {
	job = curveJob{Theta: filepath.Join(e.tmp, "theta.f32"), Batches: filepath.Join(e.tmp, "batches.i32"), LR: curvesRate}
	var batches bytes.Buffer
	in := models.NewInputs(d.spec.Model, d.spec.Train.Batch)
	for step := range d.spec.Train.Steps {
		d.data.Draw(d.assignment(), step, d.spec.Model.Context, &in)
		for _, x := range [][]int32{in.Tokens, in.Targets} {
			if err := binary.Write(&batches, binary.NativeEndian, x); err != nil {
				return job, err
			}
		}
	}
	var theta bytes.Buffer
	if err := binary.Write(&theta, binary.NativeEndian, d.theta); err != nil {
		return job, err
	}
	return job, errors.Join(os.WriteFile(job.Theta, theta.Bytes(), 0o600), os.WriteFile(job.Batches, batches.Bytes(), 0o600))
}

func (j *curveJob) run(p *peer, steps int) ([]float64, error) {
	line, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Losses []float64 `json:"losses"`
	}
	if err := p.exchange(string(line), &answer); err != nil {
		return nil, err
	}
	if len(answer.Losses) != steps {
		return nil, fmt.Errorf("peer: %d losses, want %d", len(answer.Losses), steps)
	}
	return answer.Losses, nil
}

// page is docs/loss-curves.md.
func (c *curves) page(m speed.Model, version string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Loss curves

Training loss, in nats per token, of %s on the default text: %d tokens per step, AdamW at a rate of %g, from the same weights
on the same batches. PyTorch is %s, eager. The last two columns are the distances from PyTorch's float64 run.
`+"`go run ./bench run loss-curves --publish`"+` writes this page.

| step | this engine, float32 | PyTorch float32 | PyTorch float64 | this engine, off by | PyTorch float32, off by |
|---|---|---|---|---|---|
`, m.Name, m.Rows(), curvesRate, version)
	for i := 0; i < len(c.double); i = nextStep(i, len(c.double)) {
		fmt.Fprintf(&b, "| %d | %.7f | %.7f | %.7f | %.1e | %.1e |\n", i+1, c.ours[i], c.single[i], c.double[i],
			math.Abs(c.ours[i]-c.double[i]), math.Abs(c.single[i]-c.double[i]))
	}
	return b.Bytes()
}

// nextStep walks over the first step, every tenth and the last, counted from 0.
func nextStep(i, n int) int {
	if next := (i+1)/10*10 + 9; next < n {
		return next
	}
	return max(n-1, i+1)
}
