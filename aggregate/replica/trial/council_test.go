package trial

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

var long = flag.Bool("long", false, "run the long tests")

// child names the environment variable that makes the test binary a member.
const child = "DRYSTONE_TRIAL_MEMBER"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		if err := Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func start(t *testing.T, rounds uint32, change func(*Options)) (*Council, context.Context) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes; run without -short")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limit := 5 * time.Minute // on a machine that does other things
	if *long {
		limit = 2 * time.Hour
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	o := Options{Dir: t.TempDir(), Rounds: rounds, Log: func(s string) { t.Log(s) },
		Command: func() *exec.Cmd {
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), child+"=1")
			return cmd
		}}
	if change != nil {
		change(&o)
	}
	c, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestUndisturbedRun(t *testing.T) {
	c, ctx := start(t, 5, nil)
	must(t, c.Finish(ctx))
}
