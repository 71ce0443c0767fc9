package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"drystone/internal/exact"
)

// emulator runs programs for Linux on arm64, the processor of the NEON path, with the system calls of this machine.
const emulator = "qemu-aarch64"

// emulatedRows builds this program for arm64 and compares what it computes under emulation, on one thread and on
// several.
func (e *Env) emulatedRows(ctx context.Context, want *paritySide, draws int, steps uint32) ([]Row, error) {
	qemu, err := exec.LookPath(emulator)
	if err != nil || runtime.GOOS != "linux" {
		return []Row{{Case: exact.PathNEON, Skipped: "this processor lacks it, and there is no " + emulator + " to emulate one that has it"}}, nil
	}
	e.Say("  building for arm64")
	binary := filepath.Join(e.tmp, "bench-arm64")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./bench")
	build.Dir = e.Root
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build for arm64: %w\n%s", err, out)
	}
	var kernels, states tally
	for _, threads := range []int{1, 3} {
		where := fmt.Sprintf("%s under %s, %d threads", exact.PathNEON, emulator, threads)
		e.Say("  %s", where)
		got, err := emulate(ctx, qemu, binary, exact.PathNEON, threads, draws, steps)
		if err != nil {
			return nil, err
		}
		if err := kernels.add(where, got.Kernels, want.Kernels); err != nil {
			return nil, err
		}
		if err := states.add(where, got.State, want.State); err != nil {
			return nil, err
		}
	}
	return []Row{
		kernels.row("kernels, neon under " + emulator + ", 1 and 3 threads"),
		states.row("training, neon under " + emulator + ", 1 and 3 threads"),
	}, nil
}

func emulate(ctx context.Context, qemu, binary, path string, threads, draws int, steps uint32) (*paritySide, error) {
	var talk strings.Builder
	cmd := exec.CommandContext(ctx, qemu, binary, "parity-side", path, fmt.Sprint(threads), fmt.Sprint(draws), fmt.Sprint(steps))
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", emulator, err, talk.String())
	}
	var side paritySide
	return &side, json.Unmarshal(out, &side)
}

// paritySideCmd prints what a path computes here.
type paritySideCmd struct {
	Path    string `arg:""`
	Threads int    `arg:""`
	Draws   int    `arg:""`
	Steps   uint32 `arg:""`
}

// Run prints a paritySide in JSON.
func (c *paritySideCmd) Run(ctx context.Context, t *terminal) error {
	side, err := parityOf(ctx, c.Path, c.Threads, c.Draws, c.Steps)
	if err != nil {
		return err
	}
	return json.NewEncoder(t.out).Encode(side)
}
