package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drystone/node"
	"drystone/protocol"
)

// founderFlags find the key that signs orders to a run.
type founderFlags struct {
	Dir          string `help:"The founder's data directory, whose key.json signs. Default: that of launch." type:"path"`
	Key          string `help:"The founder's key file." type:"path"`
	PasswordFile string `help:"File whose first line is the key's passphrase." type:"path"`
}

func (f *founderFlags) read(t *terminal) (protocol.Key, error) {
	path := f.Key
	if path == "" {
		dir := f.Dir
		if dir == "" {
			dir = home("launch")
		}
		path = filepath.Join(dir, "key.json")
	}
	k := keyFlags{PasswordFile: f.PasswordFile}
	return k.read(t, path)
}

// order is one order of the founder.
type order struct {
	action protocol.Action
	in     []protocol.Signed[protocol.Accept]
	out    []protocol.PeerID
	effect string // what follows, for people
}

// give has an order logged.
func (f *founderFlags) give(ctx context.Context, t *terminal, link string, o order) error {
	if _, err := parseLink(link); err != nil {
		return err
	}
	key, err := f.read(t)
	if err != nil {
		return err
	}
	client, err := dial(ctx, t, link)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Control(ctx, key, o.action, o.in, o.out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s is logged: %s\n", o.action, o.effect)
	return err
}

type pauseCmd struct {
	Link string `arg:"" help:"Run link."`
	founderFlags
}

// Run pauses a run.
func (c *pauseCmd) Run(ctx context.Context, t *terminal) error {
	return c.give(ctx, t, c.Link, order{action: protocol.ActionPause, effect: "the round under way is finished, then none opens until \"drystone resume\""})
}

type resumeCmd struct {
	Link string `arg:"" help:"Run link."`
	founderFlags
}

// Run resumes a paused run.
func (c *resumeCmd) Run(ctx context.Context, t *terminal) error {
	return c.give(ctx, t, c.Link, order{action: protocol.ActionResume, effect: "the next round opens as soon as its peers are there"})
}

type stopCmd struct {
	Link string `arg:"" help:"Run link."`
	Yes  bool   `help:"Do not ask." short:"y"`
	founderFlags
}

// Run ends a run for good.
func (c *stopCmd) Run(ctx context.Context, t *terminal) error {
	if _, err := parseLink(c.Link); err != nil {
		return err
	}
	if !c.Yes {
		if err := confirm(t, "End the run for good after the round under way? Type yes: "); err != nil {
			return err
		}
	}
	return c.give(ctx, t, c.Link, order{action: protocol.ActionStop, effect: "the round under way is the last; what it owes is checked and settled, and the model can be exported"})
}

// confirm asks a person, and refuses where there is none.
func confirm(t *terminal, question string) error {
	if t.in == nil || !isTerminal(t.in) {
		return fmt.Errorf("%w: this cannot be undone and nobody is here to ask; confirm with --yes", errUsage)
	}
	fmt.Fprint(t.err, question)
	text, _ := bufio.NewReader(t.in).ReadString('\n') // what is cut off is no yes
	if strings.TrimSpace(text) != "yes" {
		return fmt.Errorf("%w: not confirmed, nothing is changed", errUsage)
	}
	return nil
}

type aggregatorsCmd struct {
	List    aggregatorsListCmd    `cmd:"" help:"Show the aggregators."`
	Add     aggregatorsAddCmd     `cmd:"" help:"Take an aggregator in."`
	Remove  aggregatorsRemoveCmd  `cmd:"" help:"Take an aggregator out."`
	Replace aggregatorsReplaceCmd `cmd:"" help:"Take one aggregator out and another in, in one step."`
}

type aggregatorsListCmd struct {
	Link string `arg:"" help:"Run link."`
	JSON bool   `help:"Print one JSON object."`
}

// Run lists the aggregators as the verified statement chain has them.
func (c *aggregatorsListCmd) Run(ctx context.Context, t *terminal) error {
	client, err := dial(ctx, t, c.Link)
	if err != nil {
		return err
	}
	defer client.Close()
	council := client.Council()
	if c.JSON {
		var ids []protocol.PeerID
		for _, a := range council.Members {
			ids = append(ids, a.ID)
		}
		return writeJSON(t.out, map[string]any{"run_id": client.Run(), "threshold": council.Threshold, "aggregators": ids})
	}
	fmt.Fprintf(t.out, "%d of %d sign\n", council.Threshold, len(council.Members))
	for _, a := range council.Members {
		fmt.Fprintf(t.out, "%s  %s\n", a.ID, printable([]byte(strings.Join(a.Addrs, " "))))
	}
	return nil
}

const changeEffect = "it takes effect between two rounds, once earlier rounds are checked and settled; watch \"drystone aggregators list\""

type aggregatorsRemoveCmd struct {
	Link string `arg:"" help:"Run link."`
	Peer string `arg:"" help:"Aggregator that goes out."`
	founderFlags
}

// Run takes an aggregator out.
func (c *aggregatorsRemoveCmd) Run(ctx context.Context, t *terminal) error {
	out, err := named(c.Peer)
	if err != nil {
		return err
	}
	return c.give(ctx, t, c.Link, order{action: protocol.ActionRemove, out: []protocol.PeerID{out}, effect: changeEffect})
}

type aggregatorsAddCmd struct {
	Link        string `arg:"" help:"Run link."`
	Application string `arg:"" help:"What the newcomer's \"drystone aggregate\" printed, or a file with it."`
	founderFlags
}

// Run takes an aggregator in.
func (c *aggregatorsAddCmd) Run(ctx context.Context, t *terminal) error {
	in, err := readApplication(c.Application)
	if err != nil {
		return err
	}
	return c.give(ctx, t, c.Link, order{action: protocol.ActionAdd, in: in, effect: changeEffect})
}

type aggregatorsReplaceCmd struct {
	Link        string `arg:"" help:"Run link."`
	Peer        string `arg:"" help:"Aggregator that goes out."`
	Application string `arg:"" help:"What the newcomer's \"drystone aggregate\" printed, or a file with it."`
	founderFlags
}

// Run replaces an aggregator.
func (c *aggregatorsReplaceCmd) Run(ctx context.Context, t *terminal) error {
	out, err := named(c.Peer)
	if err != nil {
		return err
	}
	in, err := readApplication(c.Application)
	if err != nil {
		return err
	}
	return c.give(ctx, t, c.Link, order{action: protocol.ActionReplace, in: in, out: []protocol.PeerID{out}, effect: changeEffect})
}

// readApplication reads a newcomer's signed application, in hex, from the argument or the file that it names.
func readApplication(arg string) ([]protocol.Signed[protocol.Accept], error) {
	text := arg
	if data, err := os.ReadFile(arg); err == nil {
		text = string(data)
	}
	data, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), node.ApplicationPrefix))
	if err != nil {
		return nil, fmt.Errorf("%w: application: want the line that the newcomer's \"drystone aggregate\" printed, or a file with it", errUsage)
	}
	s, err := protocol.DecodeSigned[protocol.Accept](data)
	if err == nil {
		err = s.Verify()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: application: %w", errUsage, err)
	}
	return []protocol.Signed[protocol.Accept]{s}, nil
}
