package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Run prints the registry.
func (*listCmd) Run(t *terminal) error {
	fmt.Fprintf(t.out, "run all takes at most %v\n\n", longest(figures))
	for _, f := range figures {
		fmt.Fprintf(t.out, "%s\n  %s\n  unit %s; target %s; at most %v", f.Name, f.What, f.Unit, f.Target, f.Limit)
		if f.Needs != "" {
			fmt.Fprintf(t.out, "; needs %s", f.Needs)
		}
		fmt.Fprintln(t.out)
	}
	return nil
}

// Run measures figures. It goes on after a failure, so that one fault does not hide the other figures.
func (c *runCmd) Run(ctx context.Context, t *terminal) (err error) {
	chosen, err := lookup(c.Names)
	if err != nil {
		return err
	}
	e, err := newEnv(c, t.err)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	rows, failures := measureAll(ctx, t, e, chosen, !c.JSON)
	if c.JSON {
		out := json.NewEncoder(t.out)
		out.SetIndent("", "  ")
		if err := out.Encode(rows); err != nil {
			return err
		}
	}
	if ctx.Err() == nil && (c.Publish || slices.Contains(c.Names, "all")) {
		failures = errors.Join(failures, e.publish(rows))
	}
	return failures
}

// measureAll measures figure after figure and prints each one's rows when it has them.
func measureAll(ctx context.Context, t *terminal, e *Env, chosen []Figure, show bool) (rows []Row, failures error) {
	rows = []Row{} // an array in JSON even if all fails
	if show {
		fmt.Fprintf(t.out, "machine: %s\n", e.Machine)
	}
	began := time.Now()
	for i, f := range chosen {
		e.Say("%d of %d, %v since the start: %s, at most %v", i+1, len(chosen), time.Since(began).Round(time.Second), f.Name, f.Limit)
		got, err := f.measure(ctx, e)
		if err != nil {
			e.Say("failed: %v", err)
			failures = errors.Join(failures, err)
		}
		if ctx.Err() != nil {
			break
		}
		for i := range got {
			if show {
				fmt.Fprintln(t.out, text(&got[i]))
			}
			if got[i].Skipped != "" {
				e.Say("skipped: %s %s: %s", f.Name, got[i].Case, got[i].Skipped)
			}
			if got[i].Busy > 0 {
				e.Say("disturbed: %s %s: other programs used %.0f %% of this machine: measure again before you publish", f.Name, got[i].Case, 100*got[i].Busy)
			}
		}
		rows = append(rows, got...)
	}
	return rows, failures
}

// longest is how long it takes at most to measure figures.
func longest(figures []Figure) (total time.Duration) {
	for _, f := range figures {
		total += f.Limit
	}
	return total
}
