package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"

	"drystone/internal/exact"
)

// Machine says where a figure was measured.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Path    string `json:"path"`    // fastest code path of internal/exact
	Threads int    `json:"threads"` // of either side of a comparison
	Go      string `json:"go"`
	OS      string `json:"os"`
}

// String is one line for people.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, path %s, %d threads, %s, %s", m.CPU, m.Cores, m.Path, m.Threads, m.Go, m.OS)
}

func thisMachine() Machine {
	cpu := cpuid.CPU.BrandName
	if cpu == "" {
		cpu = "unnamed processor"
	}
	paths := exact.Paths()
	return Machine{CPU: strings.Join(strings.Fields(cpu), " "), Cores: runtime.NumCPU(), Path: paths[len(paths)-1],
		Threads: min(2, runtime.NumCPU()), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH}
}

// Env is what measurements share in one invocation. One measurement at a time uses it.
type Env struct {
	Machine Machine
	Root    string // directory of the module
	Threads int    // of either side of a comparison: 2, or 1 on a machine with one core
	Python  string
	Talk    io.Writer

	State    string // directory of figures that go on where they were stopped; "" without --state
	Patience int    // rounds of a contest that are measured again if other programs disturb

	runs  int // --runs; 0 for each figure's own
	tmp   string
	demo  demoRuns
	pages map[string][]byte // by name, of docs, beside the page of figures; written when they are published
	load  func() load
	pause time.Duration // after a disturbed round
	rest  time.Duration // before each side of a round
}

// newEnv makes an Env with a temporary directory, which close removes.
func newEnv(c *runCmd, talk io.Writer) (*Env, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	mod := strings.TrimSpace(string(out))
	if err != nil || filepath.Base(mod) != "go.mod" {
		return nil, fmt.Errorf("no go.mod found (%v): run this inside the source tree, with go installed", err)
	}
	tmp, err := os.MkdirTemp("", "drystone-bench-")
	if err != nil {
		return nil, err
	}
	m := thisMachine()
	return &Env{Machine: m, Root: filepath.Dir(mod), Threads: m.Threads, Python: c.Python, Talk: talk,
		State: c.State, Patience: c.Patience, runs: c.Runs, tmp: tmp, pages: map[string][]byte{}, load: readLoad, pause: time.Second, rest: 100 * time.Millisecond}, nil
}

// moduleVersion returns the version of a module that this program is built with.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "of unknown version"
}

func (e *Env) close() error { return os.RemoveAll(e.tmp) }

// Runs returns how often to measure: what the command line says, else n.
func (e *Env) Runs(n int) int {
	if e.runs > 0 {
		return e.runs
	}
	return n
}

// Say tells people how a measurement goes.
func (e *Env) Say(format string, args ...any) { fmt.Fprintf(e.Talk, format+"\n", args...) }

// vectorPaths lists the code paths worth timing, the fastest last: all but the reference, unless there is no other.
func vectorPaths() []string {
	if paths := exact.Paths(); len(paths) > 1 {
		return paths[1:]
	}
	return exact.Paths()
}
