package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// demoResult is the part of `drystone demo --json` that figures use.
type demoResult struct {
	Rounds       uint32  `json:"rounds"`
	Peers        uint32  `json:"peers"`
	Params       int     `json:"params"`
	FinalLoss    float64 `json:"final_loss"`
	BigramLoss   float64 `json:"bigram_loss"`
	BytesUp      uint64  `json:"bytes_up_per_peer_round"`
	DenseBytes   uint64  `json:"dense_bytes_per_peer_round"`
	SpotChecks   int     `json:"spot_checks"`
	WallSeconds  float64 `json:"wall_seconds"`
	TokensPerSec float64 `json:"tokens_per_second"`
	StateDigest  string  `json:"state_digest"`

	busy float64 // share of the machine that other programs used meanwhile
}

// demoRuns are the demonstrations run so far, which several figures share.
type demoRuns struct {
	binary string   // "" until built
	args   []string // beyond the ones that every run gets
	done   []demoResult
}

const demoSeed = "1"

// demos returns the results of at least n runs of the demonstration, each a process of its own. Equal seeds have to give
// equal results.
func (e *Env) demos(ctx context.Context, n int) ([]demoResult, error) {
	if e.Machine.Path == "ref" {
		return nil, skipped("the demonstration's model is too large for a processor without vector kernels; see drystone demo --tiny")
	}
	for len(e.demo.done) < n {
		if err := e.build(ctx); err != nil {
			return nil, err
		}
		e.Say("  demonstration, run %d of %d", len(e.demo.done)+1, n)
		before := e.load()
		r, err := e.demoOnce(ctx)
		if err != nil {
			return nil, err
		}
		r.busy = foreign(before, e.load())
		if err := e.demo.add(r); err != nil {
			return nil, err
		}
	}
	return e.demo.done, nil
}

// add keeps a result if it agrees with those before.
func (d *demoRuns) add(r *demoResult) error {
	if len(d.done) > 0 {
		if first := d.done[0]; r.StateDigest != first.StateDigest || r.FinalLoss != first.FinalLoss {
			return fmt.Errorf("two demonstrations with seed %s ended in states %s and %s", demoSeed, first.StateDigest, r.StateDigest)
		}
	}
	d.done = append(d.done, *r)
	return nil
}

// build builds the command once.
func (e *Env) build(ctx context.Context) error {
	if e.demo.binary != "" {
		return nil
	}
	binary := filepath.Join(e.tmp, "drystone")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/drystone")
	build.Dir = e.Root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build of cmd/drystone: %w\n%s", err, out)
	}
	e.demo.binary = binary
	return nil
}

func (e *Env) demoOnce(ctx context.Context) (*demoResult, error) {
	dir, err := os.MkdirTemp(e.tmp, "demo-")
	if err != nil {
		return nil, err
	}
	var out, talk bytes.Buffer
	args := append([]string{"demo", "--json", "--seed", demoSeed, "--dir", filepath.Join(dir, "run")}, e.demo.args...)
	demo := exec.CommandContext(ctx, e.demo.binary, args...)
	demo.Dir, demo.Stdout, demo.Stderr = e.Root, &out, io.MultiWriter(e.Talk, &talk)
	if err := demo.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(talk.String()), "\n")
		return nil, fmt.Errorf("drystone demo: %w: %s", err, lines[len(lines)-1])
	}
	r, err := parseDemo(out.Bytes())
	if err != nil {
		return nil, err
	}
	return r, os.RemoveAll(dir)
}

// parseDemo reads the demonstration's output and refuses one that lacks what the figures stand on.
func parseDemo(out []byte) (*demoResult, error) {
	var r demoResult
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, fmt.Errorf("output of drystone demo --json: %w", err)
	}
	if r.FinalLoss <= 0 || r.BigramLoss <= 0 || r.BytesUp == 0 || r.DenseBytes == 0 || r.WallSeconds <= 0 || r.TokensPerSec <= 0 || r.StateDigest == "" {
		return nil, fmt.Errorf("output of drystone demo --json lacks a value: %s", out)
	}
	return &r, nil
}
