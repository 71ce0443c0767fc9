package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Run prints the registry.
func (*listCmd) Run(t *terminal) error {
	for _, f := range figures {
		fmt.Fprintf(t.out, "%-18s %s\n%-18s unit %s; target %s", f.Name, f.What, "", f.Unit, f.Target)
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
	if failures != nil || !slices.Contains(c.Names, "all") {
		return failures
	}
	path := filepath.Join(e.Root, "docs", "figures.md")
	if err := os.WriteFile(path, page(e.Machine, rows), 0o644); err != nil {
		return err
	}
	e.Say("wrote docs/figures.md")
	return nil
}

// measureAll measures figure after figure and prints each one's rows when it has them.
func measureAll(ctx context.Context, t *terminal, e *Env, chosen []Figure, show bool) (rows []Row, failures error) {
	rows = []Row{} // an array in JSON even if all fails
	if show {
		fmt.Fprintf(t.out, "machine: %s\n", e.Machine)
	}
	for _, f := range chosen {
		e.Say("measuring %s: %s", f.Name, f.What)
		got, err := f.measure(ctx, e)
		if err != nil {
			e.Say("failed: %v", err)
			failures = errors.Join(failures, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		for i := range got {
			if show {
				fmt.Fprintln(t.out, text(&got[i]))
			} else if got[i].Skipped != "" {
				e.Say("skipped: %s", got[i].Skipped)
			}
		}
		if got[0].Busy > 0 {
			e.Say("other programs used %.0f %% of this machine meanwhile: measure again before you publish", 100*got[0].Busy)
		}
		rows = append(rows, got...)
	}
	return rows, failures
}
