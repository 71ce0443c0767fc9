package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"drystone/aggregate/replica/trial"
)

var failover = Figure{
	Name: "failover",
	What: "from the death of the leading aggregator (kill -9, in each phase of a round in turn) to the next logged record; 4 processes," +
		" default timeouts, any two of them so far apart",
	Unit:   "s",
	Target: Target{Of: "value", Cmp: "<", Bound: 2},
	Needs:  "30 kills per distance, minutes",
	Limit:  20 * time.Minute,
	Measure: func(ctx context.Context, e *Env) (rows []Row, err error) {
		for _, rtt := range []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond} {
			took, err := killLeaders(ctx, rtt, e.Runs(30))
			if len(took) > 0 {
				rows = append(rows, failoverRow(rtt, took))
			}
			if err != nil {
				return rows, err
			}
		}
		return rows, nil
	},
}

// killLeaders measures in processes of this program.
func killLeaders(ctx context.Context, rtt time.Duration, kills int) ([]float64, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	took, err := trial.Failover(ctx, trial.FailoverOptions{Dir: dir, RTT: rtt, Kills: kills,
		Command: func() *exec.Cmd { return exec.Command(exe, "replica-member") }})
	var seconds []float64
	for _, d := range took {
		seconds = append(seconds, d.Seconds())
	}
	return seconds, err
}

// failoverRow shows the distribution.
func failoverRow(rtt time.Duration, seconds []float64) Row {
	s := slices.Sorted(slices.Values(seconds))
	at := func(share float64) float64 { return s[min(int(share*float64(len(s))), len(s)-1)] }
	return Row{Case: fmt.Sprintf("%d ms there and back", rtt.Milliseconds()), Stats: summary(s),
		Note: fmt.Sprintf("10%% within %s s, 25%% %s s, 75%% %s s, 90%% %s s", number(at(0.1)), number(at(0.25)), number(at(0.75)), number(at(0.9)))}
}

// replicaMemberCmd is one aggregator of failover.
type replicaMemberCmd struct{}

func (replicaMemberCmd) Run() error { return trial.Main(os.Stdin, os.Stdout) }
