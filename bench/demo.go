package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
}

// demoRuns are the demonstrations run so far, which several figures share.
type demoRuns struct {
	binary string // "" until built
	done   []demoResult
}

const demoSeed = "1"

// demos returns the results of at least n runs of the demonstration, each a process of its own. Equal seeds have to give
// equal results.
func (e *Env) demos(ctx context.Context, n int) ([]demoResult, error) {
	if e.Machine.Path == "ref" {
		return nil, skipped("the demonstration's model is too large for a processor without vector kernels; see drystone demo --tiny")
	}
	if err := e.build(ctx); err != nil {
		return nil, err
	}
	for len(e.demo.done) < n {
		e.Say("  demonstration, run %d of %d", len(e.demo.done)+1, n)
		r, err := e.demoOnce(ctx)
		if err != nil {
			return nil, err
		}
		if len(e.demo.done) > 0 {
			if first := e.demo.done[0]; r.StateDigest != first.StateDigest || r.FinalLoss != first.FinalLoss {
				return nil, fmt.Errorf("two demonstrations with seed %s ended in states %s and %s: exactness is broken", demoSeed, first.StateDigest, r.StateDigest)
			}
		}
		e.demo.done = append(e.demo.done, *r)
	}
	return e.demo.done, nil
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
	var out bytes.Buffer
	demo := exec.CommandContext(ctx, e.demo.binary, "demo", "--json", "--seed", demoSeed, "--dir", filepath.Join(dir, "run"))
	demo.Dir, demo.Stdout, demo.Stderr = e.Root, &out, e.Talk
	if err := demo.Run(); err != nil {
		return nil, fmt.Errorf("drystone demo: %w", err)
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
