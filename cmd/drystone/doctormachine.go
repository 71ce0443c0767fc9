package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pbnjay/memory"

	"drystone/internal/exact"
	"drystone/internal/speed"
	"drystone/protocol"
)

// What a machine should have.
const (
	diskBad   = 256 << 20 // bytes free: below, a round's states may not fit
	diskWarn  = 4 << 30
	syncWarn  = 50 * time.Millisecond
	syncTries = 15
	slowSpeed = 200.0    // tokens/s of the reference model
	processes = 96 << 20 // bytes beside training
)

// examineDisk measures free space and how long a write takes to be safe, where the data directory is or is to be.
func examineDisk(dir string) []finding {
	at := existing(dir)
	space, sync := finding{Name: "disk", State: well}, finding{Name: "fsync", State: well}
	if free, err := diskFree(at); err != nil {
		space.State, space.Found, space.Advice = warn, "free space of "+at+" unknown: "+err.Error(), "see that some gigabytes are free"
	} else {
		space.Found = fmt.Sprintf("%.1f GB free in %s", float64(free)/1e9, at)
		switch {
		case free < diskBad:
			space.State, space.Advice = bad, "free some space, or put the data elsewhere with --dir"
		case free < diskWarn:
			space.State, space.Advice = warn, "states and updates of several rounds are kept: free some space, or use --dir"
		}
	}
	took, err := syncTime(at)
	switch {
	case err != nil:
		sync.State, sync.Found, sync.Advice = bad, oneLine(err), "the data directory must be writable: choose another with --dir"
	default:
		sync.Found = fmt.Sprintf("%s for a write to be safe, median of %d", short(took), syncTries)
		if took > syncWarn {
			sync.State, sync.Advice = warn, "fine for training; an aggregator wants a solid-state disk, not a network share or a card"
		}
	}
	return []finding{space, sync}
}

// existing is the nearest directory above that exists.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return dir
		}
		dir = up
	}
}

// syncTime is the median time of a small write with fsync.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, ".drystone-doctor-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var all []time.Duration
	for range syncTries {
		start := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// examineSpeed trains a step of the run's model, or of the small reference model if there is no run or the run's data is
// of another kind, and looks whether memory suffices.
func examineSpeed(ctx context.Context, spec *protocol.RunSpec, threads int) (cpu, mem finding, err error) {
	model := speed.Models()[0]
	eng, err := exact.New(threads)
	if err != nil {
		return cpu, mem, unusable(err)
	}
	path := eng.Path()
	eng.Close()
	var r modelSpeed
	measured := false
	b := benchCmd{Threads: threads, Runs: 1, Quick: true}
	if spec != nil && !spec.Model.OnExamples() && spec.Data.Tokenizer == "bytes" {
		own := speed.Model{Name: "the run's model", Shape: spec.Model, Batch: int(spec.Train.Batch)}
		if r, err = b.model(ctx, own, path); err == nil {
			model, measured = own, true
		}
	}
	if !measured {
		if r, err = b.model(ctx, model, path); err != nil {
			return cpu, mem, err
		}
	}
	cpu = finding{Name: "cpu", State: well, Found: fmt.Sprintf("%s, %d threads, path %s: %.0f tokens/s with %s of %d parameters", cpuName(), threads, path, r.TokensPerSecond, model.Name, r.Parameters)}
	switch {
	case path == exact.PathRef:
		cpu.State, cpu.Advice = warn, "no vector kernels for this processor: the same bits, far more slowly; AVX2, AVX-512 or NEON would help"
	case r.TokensPerSecond < slowSpeed:
		cpu.State, cpu.Advice = warn, "slow; \"drystone bench\" shows more, and --shards trains a part where the run admits it"
	}
	need := uint64(r.Bytes) + processes
	have, total := freeMemory()
	mem = finding{Name: "memory", State: well, Found: fmt.Sprintf("%.1f of %.1f GB free; training %s takes some %.2f GB beside its data", float64(have)/1e9, float64(total)/1e9, model.Name, float64(need)/1e9)}
	switch {
	case total == 0:
		mem.State, mem.Found, mem.Advice = warn, "the system does not say how much memory there is", "the model takes some "+fmt.Sprintf("%.2f GB", float64(need)/1e9)
	case have < need:
		mem.State, mem.Advice = bad, "close programs, or train a part with --memory or --shards where the run admits it"
	case have < 2*need:
		mem.State, mem.Advice = warn, "little is left for anything else: --memory limits what training takes, where the run admits it"
	}
	return cpu, mem, nil
}

// examineArithmetic runs the self-check that join runs.
func examineArithmetic(threads int) (finding, error) {
	eng, err := exact.New(threads)
	if err != nil {
		return finding{}, unusable(err)
	}
	defer eng.Close()
	return arithmeticFinding(exact.SelfCheck(eng, 3)), nil
}

func arithmeticFinding(err error) finding {
	if err != nil {
		return finding{"arithmetic", bad, oneLine(err), "lower its clocks to the maker's, cool it, and test its memory"}
	}
	return finding{Name: "arithmetic", State: well, Found: "every kernel gives the bits that it must"}
}

// freeMemory returns what this process may take and the total, both within a container's limit; 0 if unknown.
func freeMemory() (free, total uint64) {
	free, total = memory.FreeMemory(), memory.TotalMemory()
	if text, err := os.ReadFile("/proc/meminfo"); err == nil { // free alone leaves out what caches would give back
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
				if kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 54); err == nil {
					free = kb << 10
				}
			}
		}
	}
	if limit := readNumber("/sys/fs/cgroup/memory.max"); limit > 0 && limit < total {
		total = limit
		free = min(free, limit-min(limit, readNumber("/sys/fs/cgroup/memory.current")))
	}
	return free, total
}

// readNumber reads a file that holds one number; 0 if it does not.
func readNumber(path string) uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
	if err != nil {
		return 0
	}
	return n
}
