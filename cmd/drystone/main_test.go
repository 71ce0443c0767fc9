package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// long runs what takes minutes: go test ./cmd/drystone -long
var long = flag.Bool("long", false, "run the long tests")

// asMain makes the test binary behave as drystone, for tests that start processes.
const asMain = "DRYSTONE_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"drystone": main})
}

// The scripts in testdata/script use the command as a person does. Every error is one line on standard error that says
// what, where and what to do, with exit code 2 for unusable input and 1 for failures.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("USERPROFILE", filepath.Join(e.WorkDir, "home"))
			golden, err := filepath.Abs(filepath.Join("..", "..", "verify", "testdata"))
			e.Setenv("GOLDEN", golden)
			return err
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "long":
				return *long, nil
			case "root":
				return runtime.GOOS == "linux" && os.Getuid() == 0, nil
			}
			return false, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"fails": fails, "tmpfs": tmpfs, "jsonfields": jsonFields},
	})
}

// fails CODE [REGEXP...] -- ARGS runs drystone and wants this exit code, one line on standard error after what it
// reported on the way, and each expression in that line.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	cut := 0
	for cut < len(args) && args[cut] != "--" {
		cut++
	}
	if neg || cut < 1 || cut == len(args) {
		ts.Fatalf("usage: fails CODE TEXT... -- ARGS")
	}
	exe, err := os.Executable()
	ts.Check(err)
	cmd := exec.Command(exe, args[cut+1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), asMain+"=1", "HOME="+ts.Getenv("HOME"))
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	ts.Logf("drystone %q\n%s%s", args[cut+1:], out.String(), errOut.String())
	if got := cmd.ProcessState.ExitCode(); err == nil || args[0] != itoa(got) {
		ts.Fatalf("exit code %d, want %s: %v", got, args[0], err)
	}
	lines := strings.Split(strings.TrimSpace(errOut.String()), "\n")
	last := lines[len(lines)-1]
	said := 0
	for _, l := range lines {
		if strings.HasPrefix(l, "drystone:") {
			said++
		}
		if strings.Contains(l, "goroutine ") || strings.HasPrefix(l, "panic:") {
			ts.Fatalf("a panic trace")
		}
	}
	if said != 1 || !strings.HasPrefix(last, "drystone:") {
		ts.Fatalf("want one line of error, the last one")
	}
	for _, want := range args[1:cut] {
		if !strings.Contains(last, want) {
			ts.Fatalf("the error does not say %q", want)
		}
	}
}

func itoa(n int) string {
	if n < 0 || n > 9 {
		return "?"
	}
	return string(rune('0' + n))
}

// jsonFields FILE NAME... wants an object with all these fields in the file.
func jsonFields(ts *testscript.TestScript, neg bool, args []string) {
	object := parseObject(ts, ts.ReadFile(args[0]))
	for _, name := range args[1:] {
		name, want, compare := strings.Cut(name, "=")
		got, ok := object[name]
		if !ok {
			ts.Fatalf("%s: no field %s", args[0], name)
		}
		if compare && string(got) != want {
			ts.Fatalf("%s: %s is %s, want %s", args[0], name, got, want)
		}
	}
}

// Amounts of memory as people write them.
func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"2GB": 2e9, "2 GiB": 2 << 30, "1.5gib": 3 << 29, "512MiB": 512 << 20, "640kB": 640e3, "1b": 1, "4096": 4096, "1TB": 1e12,
		"": 0, "0": 0, "-1GB": 0, "lots": 0, "GB": 0, "2 GB more": 0, "NaN": 0, "inf": 0, "1e30": 0,
	} {
		got, err := parseBytes(text)
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %d (%v), want %d", text, got, err, want)
		}
	}
}
