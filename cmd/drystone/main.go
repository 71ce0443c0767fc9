// Command drystone trains a model with peers that nobody has to trust: see the README.
//
// Data goes to standard output, talk to standard error. Exit codes: 0 done; 1 it failed, or an audit found something
// wrong; 2 the command line or its input is unusable; 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// errUsage marks input that cannot be used: exit code 2.
var errUsage = errors.New("unusable input")

type commands struct {
	Demo        demoCmd        `cmd:"" help:"Train a model with scattered peers on this machine, catch a cheat, pay the others."`
	Launch      launchCmd      `cmd:"" help:"Found a run and host its ledger; prints the run link."`
	Aggregate   aggregateCmd   `cmd:"" help:"Offer this machine as an aggregator of a run."`
	Join        joinCmd        `cmd:"" help:"Train for a run and be paid for it."`
	Status      statusCmd      `cmd:"" help:"Show how a run stands."`
	Pause       pauseCmd       `cmd:"" help:"Founder: open no further round until resumed."`
	Resume      resumeCmd      `cmd:"" help:"Founder: go on with a paused run."`
	Stop        stopCmd        `cmd:"" help:"Founder: end a run before its last round."`
	Aggregators aggregatorsCmd `cmd:"" help:"Show or change who aggregates."`
	Proof       proofCmd       `cmd:"" help:"Fetch the proof of a contribution."`
	Audit       auditCmd       `cmd:"" help:"Check a proof, offline."`
	Claim       claimCmd       `cmd:"" help:"Have earnings paid out on the chain."`
	Doctor      doctorCmd      `cmd:"" help:"Examine this machine and its way to a run: ports, NAT, clock, bandwidth, disk, memory, processor."`
	Bench       benchCmd       `cmd:"" help:"Measure how fast this machine trains."`
	Export      exportCmd      `cmd:"" help:"Write the model as safetensors."`
	Key         keyCmd         `cmd:"" help:"Make and show keys."`
	Version     versionCmd     `cmd:"" help:"Show the version."`

	Verbose bool `short:"v" help:"Log details to standard error."`
}

// terminal is where a command talks.
type terminal struct {
	out io.Writer // data
	err io.Writer // talk
	in  *os.File
	log *slog.Logger
}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in *os.File, out, errOut io.Writer) int {
	var c commands
	code := -1
	parser, err := kong.New(&c, kong.Name("drystone"), kong.UsageOnError(), kong.Writers(out, errOut), kong.Exit(func(n int) { code = n }),
		kong.Description("Train AI models with machines that strangers own: exact arithmetic, contributions that anyone can check, pay for what stands."))
	if err != nil {
		fmt.Fprintln(errOut, "drystone:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if code >= 0 {
		return code // --help
	}
	if err != nil {
		fmt.Fprintf(errOut, "drystone: %v; see drystone --help\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t := &terminal{out: out, err: errOut, in: in, log: slog.New(slog.DiscardHandler)}
	if !c.Verbose {
		// Libp2p and its DHT write to standard error by themselves, such as that a listener was closed as it should be.
		gologshim.SetDefaultHandler(slog.DiscardHandler)
		golog.SetupLogging(golog.Config{Level: golog.LevelFatal, Stderr: true})
	}
	if c.Verbose {
		t.log = slog.New(slog.NewTextHandler(errOut, nil))
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return exitCode(ctx, t, parsed.Run(t))
}

// exitCode reports an error in one line and says what the process exits with.
func exitCode(ctx context.Context, t *terminal, err error) int {
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(t.err, "drystone: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(t.err, "drystone:", oneLine(err))
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}
