package trainer

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
)

// TestStateAfter200Steps: the state after 200 steps is one, to the bit, on every code path, for every number of threads
// and on every processor (docs/numerics.md, section 1); the golden file holds it. The model is small, because the test
// also runs where the processor is emulated, but its rows fill the registers of every path, with something left over.
func TestStateAfter200Steps(t *testing.T) {
	type config struct {
		path      string
		threads   int
		recompute bool
	}
	configs := []config{{exact.PathRef, 2, false}}
	for _, path := range exact.Paths()[1:] {
		for threads := 1; threads <= 8; threads++ {
			if !testing.Short() || threads == 1 || threads == 3 || threads == 8 {
				configs = append(configs, config{path, threads, threads == 3})
			}
		}
	}
	name := filepath.Join("testdata", "state200.golden")
	for _, c := range configs {
		t.Setenv(exact.EnvPath, c.path)
		got := stateAfter200(t, c.threads, c.recompute)
		if *update && c == configs[0] {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%+v: got\n%swant\n%s", c, got, want)
		}
	}
}

func stateAfter200(t *testing.T, threads int, recompute bool) string {
	const steps = 200
	b := newBench(t, threads, func(s *protocol.RunSpec) {
		s.Model.Dim, s.Model.Heads, s.Model.FFN, s.Model.Context = 64, 2, 26, 13
		s.Train.Rounds, s.Train.Steps, s.Train.Segment, s.Train.Batch = 1, steps, steps, 1
	})
	d := b.Device
	if recompute { // on the draws and from the start of the plain run
		spec := *b.spec
		spec.Train.Recompute = true
		var err error
		if d, err = NewDevice(&spec, b.run, b.data, threads); err != nil {
			t.Fatal(err)
		}
		defer d.Close()
	}
	s, err := d.Replay(ctx, b.assignment(0, steps), StartState(b.theta), steps)
	if err != nil {
		t.Fatal(err)
	}
	tr := s.Trace()
	return fmt.Sprintf("step %d\ntheta %v\nm %v\nv %v\n", tr.Step, tr.Theta, tr.M, tr.V)
}
