package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"drystone/gossip"
	"drystone/internal/exact"
	"drystone/protocol"
)

// errUnwell means that the doctor found something that keeps a machine from taking part.
var errUnwell = errors.New("something keeps this machine from taking part, see the lines marked bad")

type doctorCmd struct {
	Link     string   `arg:"" optional:"" help:"Run link; without it only the machine is examined."`
	Dir      string   `help:"Where the data directory is to be." type:"path"`
	Listen   []string `help:"Multiaddr to listen on, as for join; default loopback only." sep:"none"`
	Announce []string `help:"Multiaddr to announce instead, as for join." sep:"none"`
	Peer     []string `help:"Multiaddr of a member known besides those of the run link." sep:"none"`
	Threads  int      `help:"Threads to estimate the speed with; default all." default:"0"`
	JSON     bool     `help:"Print one JSON object."`
}

// Verdicts of a finding. Bad keeps a machine from taking part; warn makes it slow, lonely or short of something.
const (
	well = "ok"
	warn = "warn"
	bad  = "bad"
)

// finding is one line of the doctor's.
type finding struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do about it
}

type diagnosis struct {
	OK       bool      `json:"ok"` // nothing is bad
	Findings []finding `json:"findings"`
}

// Run examines the machine and the way to a run. The exit code is 1 if something is bad.
func (c *doctorCmd) Run(ctx context.Context, t *terminal) error {
	var link gossip.Link
	if c.Link != "" {
		var err error
		if link, err = parseLink(c.Link); err != nil {
			return err
		}
	}
	if c.Threads < 0 || c.Threads > exact.MaxThreads {
		return unusable(fmt.Errorf("--threads %d: want 1 to %d, or 0 for one per processor", c.Threads, exact.MaxThreads))
	}
	if c.Threads == 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if c.Dir == "" {
		c.Dir = home()
	}
	say := newLiveLine(t)
	defer say.close()
	d := diagnosis{OK: true}
	add := func(f ...finding) {
		for _, f := range f {
			d.OK = d.OK && f.State != bad
			d.Findings = append(d.Findings, f)
		}
	}
	say.status("listening")
	add(examineListen(c.Listen, c.Announce))
	var spec *protocol.RunSpec
	if c.Link != "" {
		say.status("looking at the run")
		found, s := c.examineRun(ctx, t, link)
		add(found...)
		spec = s
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	say.status("disk")
	add(examineDisk(c.Dir)...)
	say.status("training a little")
	speed, memory, err := examineSpeed(ctx, spec, c.Threads)
	if err != nil {
		return err
	}
	check, err := examineArithmetic(c.Threads)
	if err != nil {
		return err
	}
	add(speed, memory, check)
	add(examineCards()...)
	say.close()
	if err := c.report(t, &d); err != nil {
		return err
	}
	if !d.OK {
		return errUnwell
	}
	return nil
}

func (c *doctorCmd) report(t *terminal, d *diagnosis) error {
	if c.JSON {
		return writeJSON(t.out, d)
	}
	var b strings.Builder
	for _, f := range d.Findings {
		fmt.Fprintf(&b, "%-4s  %-10s %s\n", f.State, f.Name, f.Found)
		if f.Advice != "" {
			fmt.Fprintf(&b, "      %-10s -> %s\n", "", f.Advice)
		}
	}
	_, err := fmt.Fprint(t.out, b.String())
	return err
}
