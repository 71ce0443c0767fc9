// Command bench is the registry of published figures: no figure stands in the documentation that it does not print.
//
//	go run ./bench list               every figure with its unit, its target and what it needs
//	go run ./bench run NAME...        measures figures here and prints them; --json for programs
//	go run ./bench run all            measures all of them and writes docs/figures.md
//	go run ./bench run NAME --publish measures figures and enters them in that page, beside the others
//
// A figure is one file in this directory and one entry of the table in figures.go. Measuring it gives one row per case,
// such as a code path and a size; a row has the median, least and greatest of its runs, and in a comparison the same for
// the other side and the ratio of the medians. Sides of a comparison take turns, so that a slow minute strikes both.
//
// Figures that train for hours need --state DIR: there they keep what is done, so that they can be stopped at any time
// and go on with the same command. Their results do not depend on how busy the machine is.
//
// What cannot be measured here is skipped aloud, with the reason. A missed target is shown and is no failure; a
// measurement that goes wrong is, after which the others are measured all the same. Every figure has a limit of time, at
// which it is stopped with the rows that it has, so that run all ends: list says when.
//
// A round of a contest during which other programs used the machine is measured again, --patience times a row. If they
// stay, the row is marked as busy and not published.
//
// Data goes to standard output, talk to standard error. Exit codes: 0 done, also with skipped figures and missed targets;
// 1 a measurement failed; 2 the command line is unusable, or names a figure that does not exist; 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// errUnknown is returned for a name that no figure has.
var errUnknown = errors.New("unknown figure")

type commands struct {
	List listCmd `cmd:"" help:"Name every figure."`
	Run  runCmd  `cmd:"" help:"Measure figures on this machine."`

	ReplicaMember replicaMemberCmd `cmd:"" hidden:"" help:"One aggregator of failover, in a process of its own."`
	ParitySide    paritySideCmd    `cmd:"" hidden:"" help:"One side of bit-parity, for another processor."`
	TrainSteps    trainStepsCmd    `cmd:"" hidden:"" help:"One side of step-memory, in a process of its own."`
	TrainPart     trainPartCmd     `cmd:"" hidden:"" help:"One share of shard-memory and shard-step, in a process of its own."`
}

type listCmd struct{}

type runCmd struct {
	Names    []string `arg:"" help:"Figures to measure, or all."`
	JSON     bool     `help:"Print a JSON array of rows."`
	Publish  bool     `help:"Write the rows into docs/figures.md, beside those of other figures; run all implies it."`
	Runs     int      `help:"Runs of each measurement; default: what each figure says."`
	Patience int      `help:"How often a row repeats a round that other programs disturbed." default:"10"`
	State    string   `help:"Directory in which figures that train for hours keep what they have, and go on after a stop." placeholder:"DIR"`
	Python   string   `help:"Python that has the peers installed, for comparisons with them." default:"python3"`
}

// Validate is called by the parser.
func (c *runCmd) Validate() error {
	if c.Runs < 0 {
		return fmt.Errorf("--runs %d: want 1 or more", c.Runs)
	}
	if c.Patience < 0 || c.Patience > 1000 {
		return fmt.Errorf("--patience %d: want 0 to 1000", c.Patience)
	}
	return nil
}

// terminal is where a command talks.
type terminal struct{ out, err io.Writer }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	var c commands
	code := -1
	parser, err := kong.New(&c, kong.Name("bench"), kong.Writers(out, errOut), kong.Exit(func(n int) { code = n }),
		kong.Description("Measure Drystone's published figures on this machine."))
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if code >= 0 {
		return code // --help
	}
	if err != nil {
		fmt.Fprintf(errOut, "bench: %v; see bench --help\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(&terminal{out, errOut})
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "bench: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(errOut, "bench:", err)
	if errors.Is(err, errUnknown) {
		return exitUsage
	}
	return exitFailed
}
