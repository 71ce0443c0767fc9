package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drystone/node"
	"drystone/protocol"
)

// founderFlags name a run and the key of its founder.
type founderFlags struct {
	Link         string `arg:"" help:"Run link."`
	Dir          string `help:"The founder's data directory, whose key.json signs. Default: that of launch." type:"path"`
	Key          string `help:"Key file of the founder, instead." type:"path"`
	PasswordFile string `help:"File whose first line is the key's passphrase." type:"path"`
	JSON         bool   `help:"Print one JSON object."`
}

// order signs an order and says that it is logged.
func (f *founderFlags) order(ctx context.Context, t *terminal, a protocol.Action, add *protocol.Signed[protocol.Accept], remove protocol.PeerID, then string) error {
	if _, err := parseLink(f.Link); err != nil {
		return err
	}
	path := f.Key
	if path == "" {
		dir := f.Dir
		if dir == "" {
			dir = home("launch")
		}
		path = filepath.Join(dir, "key.json")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no key in %s; name the founder's --key or --dir", errUsage, path)
	}
	keys := keyFlags{PasswordFile: f.PasswordFile}
	key, err := keys.read(t, path)
	if err != nil {
		return err
	}
	client, err := dial(ctx, t, f.Link)
	if err != nil {
		return err
	}
	defer client.Close()
	c, err := client.Order(ctx, key, a, add, remove)
	if errors.Is(err, node.ErrNotFounder) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err != nil {
		return err
	}
	if f.JSON {
		return writeJSON(t.out, map[string]any{"run_id": c.Run, "action": c.Action.String(), "nonce": c.Nonce})
	}
	_, err = fmt.Fprintf(t.out, "%s is logged; %s\n", c.Action, then)
	return err
}

type pauseCmd struct{ founderFlags }

// Run pauses.
func (c *pauseCmd) Run(ctx context.Context, t *terminal) error {
	return c.order(ctx, t, protocol.ActionPause, nil, protocol.PeerID{}, "a round under way is finished, then none opens until \"drystone resume\"")
}

type resumeCmd struct{ founderFlags }

// Run resumes.
func (c *resumeCmd) Run(ctx context.Context, t *terminal) error {
	return c.order(ctx, t, protocol.ActionResume, nil, protocol.PeerID{}, "the next round opens")
}

type stopCmd struct {
	founderFlags
	Yes bool `short:"y" help:"Do not ask."`
}

// Run stops for good, so it asks.
func (c *stopCmd) Run(ctx context.Context, t *terminal) error {
	if !c.Yes {
		if err := confirm(t, "Stop the run for good? Its work so far is settled and paid, no further round opens, what is left of the budget goes back to you. Type yes"); err != nil {
			return err
		}
	}
	return c.order(ctx, t, protocol.ActionStop, nil, protocol.PeerID{}, "a round under way is finished, then checks and pay, what was not earned goes back to the founder, and the run is over")
}

// confirm asks for a yes on the terminal.
func confirm(t *terminal, question string) error {
	if !isTerminal(t.in) {
		return fmt.Errorf("%w: no terminal to ask for a confirmation; say --yes", errUsage)
	}
	fmt.Fprintf(t.err, "%s: ", question)
	line, err := bufio.NewReader(t.in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("confirmation: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		return errors.New("not confirmed, nothing was done")
	}
	return nil
}

type aggregatorsCmd struct {
	List    aggregatorsListCmd    `cmd:"" help:"Show who signs for a run."`
	Add     aggregatorsAddCmd     `cmd:"" help:"Founder: take an aggregator in."`
	Remove  aggregatorsRemoveCmd  `cmd:"" help:"Founder: let an aggregator go."`
	Replace aggregatorsReplaceCmd `cmd:"" help:"Founder: let one go and take another in, in one step."`
}

type aggregatorsListCmd struct {
	Link string `arg:"" help:"Run link."`
	JSON bool   `help:"Print one JSON object."`
}

// listed is an aggregator as list shows it.
type listed struct {
	ID     protocol.PeerID `json:"peer_id"`
	Addrs  []string        `json:"addresses"`
	Leader bool            `json:"leader"`
	Away   bool            `json:"away"`
	Checks uint32          `json:"checks"`
	Faults uint32          `json:"faults"`
}

// Run lists the council by the verified statement chain; what each does is one aggregator's word.
func (c *aggregatorsListCmd) Run(ctx context.Context, t *terminal) error {
	client, err := dial(ctx, t, c.Link)
	if err != nil {
		return err
	}
	defer client.Close()
	council := client.Council()
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	var all []listed
	for _, m := range council.Members {
		l := listed{ID: m.ID, Addrs: m.Addrs, Leader: s.Leader != nil && *s.Leader == m.ID}
		for _, v := range s.View.Aggregators {
			if v.ID == m.ID {
				l.Away, l.Checks, l.Faults = v.Away, v.Checks, v.Faults
			}
		}
		all = append(all, l)
	}
	pending := ""
	if s.View.Change != nil {
		pending = s.View.Change.Body.Action.String()
	}
	if c.JSON {
		return writeJSON(t.out, map[string]any{"run_id": client.Run(), "threshold": council.Threshold, "pending": pending, "aggregators": all})
	}
	fmt.Fprintf(t.out, "%d of %d sign\n", council.Threshold, len(all))
	for _, l := range all {
		notes := fmt.Sprintf("%d checks, %d faults", l.Checks, l.Faults)
		if l.Leader {
			notes += ", leads"
		}
		if l.Away {
			notes += ", away"
		}
		fmt.Fprintf(t.out, "  %s  %s\n", l.ID, notes)
		for _, a := range l.Addrs {
			fmt.Fprintf(t.out, "      %s\n", a)
		}
	}
	if pending != "" {
		fmt.Fprintf(t.out, "pending: %s, when the checks and payments of earlier rounds have ended\n", pending)
	}
	return nil
}

const changeFollows = "it takes effect between two rounds, when the checks and payments of earlier ones have ended: see \"drystone aggregators list\""

type aggregatorsAddCmd struct {
	founderFlags
	Application string `arg:"" help:"What the newcomer's \"drystone aggregate\" printed, or a file with it."`
}

// Run takes a newcomer in.
func (c *aggregatorsAddCmd) Run(ctx context.Context, t *terminal) error {
	in, err := readApplication(c.Application)
	if err != nil {
		return err
	}
	return c.order(ctx, t, protocol.ActionAdd, in, protocol.PeerID{}, changeFollows)
}

type aggregatorsRemoveCmd struct {
	founderFlags
	Peer string `arg:"" help:"Peer ID of the aggregator that goes."`
}

// Run lets one go.
func (c *aggregatorsRemoveCmd) Run(ctx context.Context, t *terminal) error {
	out, err := parsePeer(c.Peer)
	if err != nil {
		return err
	}
	return c.order(ctx, t, protocol.ActionRemove, nil, out, changeFollows)
}

type aggregatorsReplaceCmd struct {
	founderFlags
	Peer        string `arg:"" help:"Peer ID of the aggregator that goes."`
	Application string `arg:"" help:"What the newcomer's \"drystone aggregate\" printed, or a file with it."`
}

// Run lets one go and takes another in.
func (c *aggregatorsReplaceCmd) Run(ctx context.Context, t *terminal) error {
	out, err := parsePeer(c.Peer)
	if err != nil {
		return err
	}
	in, err := readApplication(c.Application)
	if err != nil {
		return err
	}
	return c.order(ctx, t, protocol.ActionReplace, in, out, changeFollows)
}

func parsePeer(text string) (protocol.PeerID, error) {
	id, err := protocol.ParsePeerID(text)
	if err != nil {
		return id, fmt.Errorf("%w: peer ID: %w", errUsage, err)
	}
	return id, nil
}

// readApplication takes an application, or the name of a file that holds one.
func readApplication(arg string) (*protocol.Signed[protocol.Accept], error) {
	text := arg
	if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() && info.Size() <= 1<<16 {
		data, err := os.ReadFile(arg)
		if err != nil {
			return nil, fmt.Errorf("%w: application: %w", errUsage, err)
		}
		text = string(data)
	}
	s, err := node.ParseApplication(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return s, nil
}
