package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"drystone/internal/exact"
	"drystone/internal/speed"
	"drystone/node"

	"github.com/klauspost/cpuid/v2"
)

type benchCmd struct {
	Threads int  `help:"Workers; default: one per processor." default:"0"`
	Runs    int  `help:"Runs of each measurement; the median is shown." default:"5"`
	Quick   bool `help:"The small model and a few matrix products, one run each."`
	JSON    bool `help:"Print one JSON object."`
}

// machineSpeed is what the command prints.
type machineSpeed struct {
	CPU     string                `json:"cpu"`
	Threads int                   `json:"threads"`
	Path    string                `json:"path"`             // code path of the kernels
	Peak    float64               `json:"peak_gflop_per_s"` // 0 where it cannot be measured
	Models  map[string]modelSpeed `json:"models"`
	Gemm    []gemmSpeed           `json:"gemm"`
}

type modelSpeed struct {
	Parameters      int     `json:"parameters"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	GFLOPPerSec     float64 `json:"gflop_per_s"` // of the operations that the model needs, see speed.Model.FLOP
	Share           float64 `json:"share_of_peak,omitempty"`
	Bytes           uint64  `json:"bytes"` // memory that planning the step took
}

type gemmSpeed struct {
	Name        string  `json:"name"`
	M           int     `json:"m"`
	N           int     `json:"n"`
	K           int     `json:"k"`
	GFLOPPerSec float64 `json:"gflop_per_s"`
	Share       float64 `json:"share_of_peak,omitempty"`
}

// Run measures this machine.
func (c *benchCmd) Run(ctx context.Context, t *terminal) error {
	if c.Threads < 0 || c.Threads > exact.MaxThreads {
		return unusable(fmt.Errorf("--threads %d: want 1 to %d, or 0 for one per processor", c.Threads, exact.MaxThreads))
	}
	if c.Runs < 1 || c.Runs > 1000 {
		return unusable(fmt.Errorf("--runs %d: want 1 to 1000", c.Runs))
	}
	if c.Threads == 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if c.Quick {
		c.Runs = 1
	}
	eng, err := exact.New(c.Threads)
	if err != nil {
		return unusable(err)
	}
	defer eng.Close()
	s := machineSpeed{CPU: cpuName(), Threads: c.Threads, Path: eng.Path(), Models: map[string]modelSpeed{}}
	say := newLiveLine(t)
	defer say.close()
	products := speed.Squares(256, 512, 1024, 2048)
	for i, m := range speed.Models() {
		if c.Quick && i > 0 {
			break
		}
		say.status("training %s", m.Name)
		if s.Models[m.Name], err = c.model(ctx, m, eng.Path()); err != nil {
			return err
		}
		products = append(products, m.Products()...)
	}
	if c.Quick {
		products = products[:1]
	}
	// The reference does some 10⁸ operations a second: it gets small products only.
	if eng.Path() == exact.PathRef {
		products = speed.Squares(128)
	}
	for _, p := range products {
		if err := ctx.Err(); err != nil {
			return err
		}
		say.status("product %s", p.Name)
		var got, peak []float64
		run := p.Speed(eng)
		for range c.Runs {
			got = append(got, run())
			if speed.HasPeak(eng.Path()) {
				peak = append(peak, speed.Peak(eng.Path(), c.Threads))
			}
		}
		g := gemmSpeed{Name: p.Name, M: p.M, N: p.N, K: p.K, GFLOPPerSec: median(got)}
		if len(peak) > 0 {
			s.Peak = max(s.Peak, median(peak))
			g.Share = g.GFLOPPerSec / median(peak)
		}
		s.Gemm = append(s.Gemm, g)
	}
	if c.JSON {
		return writeJSON(t.out, s)
	}
	_, err = fmt.Fprint(t.out, s.table())
	return err
}

// model measures the training step of m.
func (c *benchCmd) model(ctx context.Context, m speed.Model, path string) (modelSpeed, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, err := speed.NewStepper(node.DefaultSpec(), m, c.Threads)
	if err != nil {
		return modelSpeed{}, err
	}
	defer s.Close()
	steps := 2
	if c.Quick {
		steps = 1
	} else if _, err := s.TokensPerSecond(ctx, 1); err != nil { // warm up
		return modelSpeed{}, err
	}
	var got, peak []float64
	for range c.Runs {
		x, err := s.TokensPerSecond(ctx, steps)
		if err != nil {
			return modelSpeed{}, err
		}
		got = append(got, x)
		if speed.HasPeak(path) {
			peak = append(peak, speed.Peak(path, c.Threads))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	r := modelSpeed{Parameters: s.Params(), TokensPerSecond: median(got), Bytes: after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)}
	r.GFLOPPerSec = r.TokensPerSecond * m.FLOP() / 1e9
	if len(peak) > 0 {
		r.Share = r.GFLOPPerSec / median(peak)
	}
	return r, nil
}

func (s *machineSpeed) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d threads, path %s", s.CPU, s.Threads, s.Path)
	if s.Peak > 0 {
		fmt.Fprintf(&b, ", peak %.1f GFLOP/s", s.Peak)
	}
	b.WriteString("\n\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "training step\tparameters\ttokens/s\tGFLOP/s\tof peak\tmemory\t\n")
	for _, m := range speed.Models() {
		if x, ok := s.Models[m.Name]; ok {
			fmt.Fprintf(w, "%s\t%d\t%.0f\t%.1f\t%s\t%.1f MB\t\n", m.Name, x.Parameters, x.TokensPerSecond, x.GFLOPPerSec, percent(x.Share), float64(x.Bytes)/1e6)
		}
	}
	fmt.Fprint(w, "\t\t\t\t\t\t\nmatrix product\tm x n x k\tGFLOP/s\tof peak\t\n")
	for _, g := range s.Gemm {
		fmt.Fprintf(w, "%s\t%d x %d x %d\t%.1f\t%s\t\n", g.Name, g.M, g.N, g.K, g.GFLOPPerSec, percent(g.Share))
	}
	w.Flush()
	return b.String()
}

// percent writes a share, "-" if it is not known.
func percent(share float64) string {
	if share == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

func cpuName() string {
	if name := strings.Join(strings.Fields(cpuid.CPU.BrandName), " "); name != "" {
		return name
	}
	return runtime.GOARCH + " processor"
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
