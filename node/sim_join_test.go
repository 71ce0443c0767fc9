package node

import (
	"testing"
	"time"

	"drystone/internal/simtest/simlink"
)

// A newcomer on a line of 100 Mbit/s is ready for the next Open of a run with a state of 43 MB in under 15 s: with the spec,
// the statement chain as a quorum confirms it, the data and the state, from four aggregators that send 20 Mbit/s each. What
// computing takes (hashing the state, above all) comes on top.
func TestJoinTime(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 43 MB over simulated links")
	}
	data := tinyData()
	spec := DemoSpec(22, 2, 9) // it waits for nine trainers, and only one comes
	spec.Founder = tinySpec(22, 1, 1, data).Founder
	spec.Model.Dim, spec.Model.Layers, spec.Model.Heads, spec.Model.KVHeads, spec.Model.FFN, spec.Model.Context = 384, 6, 6, 6, 1024, 256
	spec.Verify.Kind = "prefix"
	cfg := tinyConfig(t, 22, 1, 0, nil)
	cfg.Spec = WithData(spec, data)
	simulateRun(t, cfg, simlink.Steady(50*time.Millisecond), everyLine(100, 20), func(t *testing.T, r *simRun) {
		time.Sleep(30 * time.Second) // the aggregators have settled
		began := time.Now()
		var ready time.Duration
		tr, err := r.trainer(t.Context(), 22, "newcomer", func(e Event) {
			if e.Kind == EventReady {
				ready = time.Since(began)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		joined := time.Since(began)
		t.Logf("figure join-time|from join to ready, a state of %.1f MB from 4 aggregators|%.2f|in the roster after %.2f s",
			4*float64(tr.params)/1e6, ready.Seconds(), joined.Seconds())
		if ready == 0 || ready > 15*time.Second {
			t.Errorf("ready after %v, want 15 s", ready)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
}
