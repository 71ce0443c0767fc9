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
	Proof   string   `arg:"" help:"Proof file, or a file of evidence that a trainer kept of a commit left out." type:"path"`
	Run_    string   `name:"run" help:"RunID that the proof must belong to; without it the result is unpinned, since a whole forged run is consistent with itself."`
	Blobs   []string `help:"Directory with the run's blobs (an aggregator's blobs directory), for replay and merge; may be given again where shards have owners." type:"path" sep:"none"`
	Threads int      `help:"Threads for the replay." default:"0"`
	JSON    bool     `help:"Print the report as JSON."`
}

// Run audits a proof, or judges evidence. It uses no network.
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
	if verify.IsOmission(data) {
		return c.judge(t, data, run)
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

// judge reads evidence of a commit that was left out: exit code 0 if it convicts somebody.
func (c *auditCmd) judge(t *terminal, data []byte, run *protocol.Digest) error {
	o, err := verify.DecodeOmission(data)
	var r *verify.OmissionReport
	if err == nil {
		r, err = o.Judge(run)
	}
	if err != nil {
		return fmt.Errorf("evidence in %s: %w", c.Proof, err)
	}
	if c.JSON {
		return writeJSON(t.out, r)
	}
	pin := "the one asked for"
	if !r.Pinned {
		pin = "UNPINNED, as the file names it: name the run with --run to be sure"
	}
	fmt.Fprintf(t.out, "run        %s (%q), %s\n", r.Run, r.Name, pin)
	fmt.Fprintf(t.out, "left out   commit %s of %s, by the Freeze of round %d\n", r.Commit, r.Peer, r.Round)
	fmt.Fprintf(t.out, "promised   by %d receipts\n", r.Receipts)
	for _, id := range r.Convicted {
		fmt.Fprintf(t.out, "convicted  aggregator %s signed its receipt and the Freeze without the commit\n", id)
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
