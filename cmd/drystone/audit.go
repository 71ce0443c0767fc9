package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"drystone/node"
	"drystone/protocol"
	"drystone/verify"
)

type auditCmd struct {
	Proof   string   `arg:"" help:"Proof file." type:"path"`
	Run_    string   `name:"run" help:"RunID that the proof must belong to; without it the result is unpinned, since a whole forged run is consistent with itself."`
	Blobs   []string `help:"Directory with the run's blobs (an aggregator's blobs directory), for replay and merge; may be given again where shards have owners." type:"path" sep:"none"`
	Threads int      `help:"Threads for the replay." default:"0"`
	JSON    bool     `help:"Print the report as JSON."`
}

// Run audits a proof. It uses no network.
func (c *auditCmd) Run(ctx context.Context, t *terminal) error {
	data, err := os.ReadFile(c.Proof)
	if err != nil {
		return fmt.Errorf("%w: proof file: %w", errUsage, err)
	}
	var run *protocol.Digest
	if c.Run_ != "" {
		d, err := protocol.ParseDigest(c.Run_)
		if err != nil {
			return fmt.Errorf("%w: --run: %w", errUsage, err)
		}
		run = &d
	}
	threads := c.Threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	report, err := node.Audit(ctx, data, run, c.Blobs, threads)
	if report != nil {
		if werr := writeReport(t, report, c.JSON); werr != nil {
			return errors.Join(err, werr)
		}
	}
	if err != nil {
		return fmt.Errorf("audit of %s: %w", c.Proof, err)
	}
	return nil
}

func writeReport(t *terminal, r *verify.Report, asJSON bool) error {
	if !asJSON {
		return r.WriteText(t.out)
	}
	data, err := r.JSON()
	if err != nil {
		return err
	}
	_, err = t.out.Write(data)
	return err
}
