// Package layout holds no code, only a test: it keeps the direction of imports, so that every package can be understood
// from those below it alone.
//
//	protocol, internal/exact, internal/delta, internal/durable, ... leaves
//	        models
//	        trainer | gossip | aggregate | verify | ledger          never one another
//	        aggregate/replica, ledger/chain
//	        node
//	        cmd/drystone
//
// A package imports packages of lower rows only. The table below is the whole program: a new directory has to be
// entered there, with a line that says what it is for.
package layout

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "drystone"

// rows, from the bottom up. A package may import any of a lower row.
const (
	leaf = iota
	model
	middle
	replicated
	composition
	command
	support // tests, benchmarks and generators: may import everything, and only their own kind imports them
)

// entry is one directory with Go files.
type entry struct {
	row  int
	what string
	also []string // packages of the same row that it may import
	only []string // packages of the middle row that it may import; nil for all below it
}

var table = map[string]entry{
	"protocol":                   {row: leaf, what: "the vocabulary: run spec, messages, canonical encoding, digests, keys"},
	"docs":                       {row: leaf, what: "the documentation, embedded"},
	"internal/exact":             {row: leaf, what: "reproducible float32 kernels"},
	"internal/exact/f64":         {row: leaf, what: "the kernels in plain float64, to measure against"},
	"internal/exact/accuracy":    {row: support, what: "how far kernels are from float64, over fixed inputs"},
	"internal/exact/asm":         {row: support, what: "generator of the assembly kernels of amd64"},
	"internal/exact/asm/neon":    {row: support, what: "generator of the assembly kernels of arm64"},
	"internal/delta":             {row: leaf, what: "pseudo-gradient codec", also: []string{"internal/exact", "protocol"}},
	"internal/delta/asm":         {row: support, what: "generator of the codec's assembly kernels of amd64"},
	"internal/durable":           {row: leaf, what: "atomic files and the blob store", also: []string{"protocol"}},
	"internal/examples":          {row: leaf, what: "datasets of labelled examples"},
	"internal/cuda":              {row: leaf, what: "the kernels on NVIDIA cards", also: []string{"internal/exact", "internal/dynlib"}},
	"internal/cuda/ptxsim":       {row: support, what: "PTX executed on a processor, to the bit"},
	"internal/dynlib":            {row: leaf, what: "C libraries opened at run time"},
	"internal/gpu":               {row: leaf, what: "GPU telemetry and pacing", also: []string{"internal/dynlib"}},
	"aggregate/replica/trial":    {row: support, what: "a council in processes of their own, and what happens to machines"},
	"internal/faultnet":          {row: support, what: "delay, loss and partitions between processes"},
	"internal/simtest":           {row: support, what: "simulated network and adversaries"},
	"internal/simtest/arena":     {row: support, what: "training among liars, in one process"},
	"internal/simtest/attack":    {row: support, what: "what lying contributors send"},
	"internal/simtest/simlink":   {row: support, what: "a network of libp2p hosts in one process, in a fake clock"},
	"internal/simtest/council":   {row: support, what: "a council that crashes and lies, in virtual time"},
	"internal/speed":             {row: replicated, what: "how fast this machine trains, against its peak", only: []string{"trainer"}},
	"internal/layout":            {row: support, what: "this test"},
	"models":                     {row: model, what: "model families over exact operations"},
	"trainer":                    {row: middle, what: "data, inner optimiser, trace and replay"},
	"gossip":                     {row: middle, what: "libp2p host, topics, calls and blob exchange"},
	"aggregate":                  {row: middle, what: "the round's state machine, merge rules, outer optimiser"},
	"aggregate/robust":           {row: leaf, what: "merge rules that bound what liars can do, over numbers alone"},
	"aggregate/internal/aggtest": {row: support, what: "a whole council in one process, for tests"},
	"verify":                     {row: middle, what: "log, draws, checks, proofs and audit"},
	"ledger":                     {row: middle, what: "work to payouts"},
	"aggregate/replica":          {row: replicated, what: "Raft around the state machine", only: []string{"aggregate"}},
	"ledger/chain":               {row: replicated, what: "embedded chain and its client", also: []string{"ledger/chain/bindings"}, only: []string{"ledger"}},
	"ledger/chain/bindings":      {row: replicated, what: "generated contract bindings", only: []string{}},
	"node":                       {row: composition, what: "joins the packages below into a peer and an aggregator"},
	"cmd/drystone":               {row: command, what: "the command line"},
	"bench":                      {row: support, what: "registry of published figures"},
}

// goFile is one source file with what it imports.
type goFile struct {
	dir, name string
	imports   []string
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

// sources parses the imports of every Go file of the module, whatever system it is for.
func sources(t *testing.T) []goFile {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	var out []goFile
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f := goFile{dir: path.Dir(filepath.ToSlash(rel)), name: name}
		for _, spec := range file.Imports {
			s, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			f.imports = append(f.imports, s)
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("no Go files found")
	}
	return out
}

// check returns what is wrong with the import of package to in a file of package from; "" if nothing is.
func check(from, to string, test bool) string {
	a, known := table[from]
	b, there := table[to]
	switch {
	case !known:
		return "is in no row of the table in internal/layout; enter it there with what it is for"
	case !there:
		return "imports " + to + ", which is in no row of the table in internal/layout"
	case from == to: // an external test package
		return ""
	case b.row == command:
		return "imports " + to + ": nothing imports a command"
	case a.row == support || test && b.row <= replicated:
		return "" // a test may join what production code keeps apart
	case b.row == support && !test:
		return "imports " + to + ", which is for tests and benchmarks only"
	case b.row == support:
		return ""
	case slices.Contains(a.also, to):
		return ""
	case b.row >= a.row:
		return "imports " + to + ", which is not below it; declare the small interface that it needs and let node join them"
	case a.only != nil && b.row == middle && !slices.Contains(a.only, to):
		return "imports " + to + ", but may build on " + strings.Join(a.only, ", ") + " only"
	}
	return ""
}

func TestImportsRunOneWay(t *testing.T) {
	for _, f := range sources(t) {
		if _, ok := table[f.dir]; !ok {
			t.Errorf("%s: directory %q %s", f.name, f.dir, check(f.dir, f.dir, false))
			continue
		}
		for _, imp := range f.imports {
			to, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			if wrong := check(f.dir, to, f.isTest()); wrong != "" {
				t.Errorf("%s/%s %s", f.dir, f.name, wrong)
			}
		}
	}
}

// A production file that imports testing would put its flags into the binary.
func TestProductionDoesNotImportTesting(t *testing.T) {
	for _, f := range sources(t) {
		if f.isTest() || table[f.dir].row == support {
			continue
		}
		for _, imp := range f.imports {
			if imp == "testing" || strings.HasPrefix(imp, "testing/") || imp == "pgregory.net/rapid" {
				t.Errorf("%s/%s imports %s", f.dir, f.name, imp)
			}
		}
	}
}

// The rules themselves: what they must allow and what they must refuse.
func TestRules(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		test, ok bool
	}{
		{"node", "trainer", false, true},
		{"node", "aggregate/replica", false, true},
		{"trainer", "models", false, true},
		{"trainer", "protocol", false, true},
		{"internal/delta", "internal/exact", false, true},
		{"internal/durable", "protocol", false, true},
		{"aggregate/replica", "aggregate", false, true},
		{"ledger/chain", "ledger/chain/bindings", false, true},
		{"bench", "node", false, true},
		{"gossip", "internal/simtest", true, true},
		{"verify", "trainer", true, true},
		{"aggregate", "aggregate", true, true},
		{"trainer", "gossip", false, false},
		{"aggregate", "verify", false, false},
		{"protocol", "internal/exact", false, false},
		{"internal/exact", "internal/delta", false, false},
		{"internal/durable", "internal/exact", false, false},
		{"models", "trainer", false, false},
		{"aggregate", "aggregate/replica", false, false},
		{"aggregate/replica", "gossip", false, false},
		{"ledger/chain", "aggregate", false, false},
		{"ledger/chain", "node", false, false},
		{"gossip", "internal/simtest", false, false},
		{"trainer", "node", true, false},
		{"node", "cmd/drystone", false, false},
		{"bench", "cmd/drystone", false, false},
		{"util", "protocol", false, false},
		{"node", "common", false, false},
	} {
		if wrong := check(tt.from, tt.to, tt.test); (wrong == "") != tt.ok {
			t.Errorf("%s -> %s (test %v): %q", tt.from, tt.to, tt.test, wrong)
		}
	}
	for dir, e := range table {
		if e.what == "" {
			t.Errorf("%s: nothing says what it is for", dir)
		}
	}
}
