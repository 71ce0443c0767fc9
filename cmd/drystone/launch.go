package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"drystone/aggregate/replica"
	"drystone/gossip"
	"drystone/node"
	"drystone/protocol"
)

// roleFlags are what every role of a run takes.
type roleFlags struct {
	keyFlags
	Dir      string   `help:"Data directory, for this process alone." type:"path"`
	Listen   []string `help:"Multiaddr to listen on, such as /ip4/0.0.0.0/tcp/4001; default loopback only, any free port." sep:"none"`
	Announce []string `help:"Multiaddr to announce instead, such as a router's public address." sep:"none"`
	Peer     []string `help:"Multiaddr of a member known besides those of the run link, ending in /p2p/ID." sep:"none"`
	Reach    string   `help:"How others can reach this machine: public, private (behind a router: through relays and punched holes), out (not at all), or auto to find out." enum:"auto,public,private,out" default:"auto"`
	Lan      bool     `help:"Find members on the local network by multicast DNS, where --listen goes beyond loopback." default:"true" negatable:""`
	Threads  int      `help:"Threads of the compute device; default all." default:"0"`
	Metrics  string   `help:"Serve Prometheus metrics on HOST:PORT; :PORT is loopback. Default: not at all." placeholder:"ADDR"`
	Up       float64  `help:"Mbit/s to send model states and data to peers with, at most; default unlimited." default:"0" placeholder:"MBIT"`
	Down     float64  `help:"Mbit/s to fetch model states and data with, at most; default unlimited." default:"0" placeholder:"MBIT"`
}

func (f *roleFlags) config(t *terminal, defaultDir string, show *progress) (node.Config, error) {
	if f.Dir == "" {
		f.Dir = defaultDir
	}
	key, err := f.open(t, f.Dir)
	if err != nil {
		return node.Config{}, err
	}
	c := node.Config{Key: key, Dir: filepath.Join(f.Dir, "data"), Listen: f.Listen, Announce: f.Announce, Peers: f.Peer,
		Reach: gossip.Reach(f.Reach), NoLAN: !f.Lan, Threads: f.Threads, Up: f.Up, Down: f.Down, Log: t.log}
	if show != nil {
		c.OnEvent = show.event
	}
	if c.Threads == 0 {
		c.Threads = runtime.NumCPU()
	}
	return c, nil
}

// measure serves metrics if they are asked for.
func (f *roleFlags) measure(show *progress, serve func(addr string) (string, error)) error {
	if f.Metrics == "" {
		return nil
	}
	addr, err := serve(f.Metrics)
	if err != nil {
		return unusable(err)
	}
	show.line("metrics on http://%s/metrics", addr)
	return nil
}

// home is where data directories go by default.
func home(parts ...string) string {
	base, err := os.UserHomeDir()
	if err != nil {
		base = "."
	}
	return filepath.Join(append([]string{base, ".drystone"}, parts...)...)
}

type launchCmd struct {
	Spec   string   `arg:"" optional:"" help:"Run spec; with --template the name of a template: llama, tokens, mlp-classifier, mlp-regressor, convnet."`
	Data   []string `help:"Files to train on: text, tokens, a CSV table, or IDX images and labels in turn, as the run spec asks. Default: what its template says." type:"path"`
	Target string   `help:"Column of the table to predict; default the last one."`
	roleFlags
	JSON         bool `help:"Print JSON lines: the link, and the result when the run is over."`
	Local        int  `help:"For trying out: run everything in this one process, with this many trainers."`
	Template     bool `help:"Print a run spec to start from, and exit."`
	ExitWhenDone bool `help:"Exit when the run is over and paid, instead of serving claims until interrupted."`
}

// Run founds a run, or takes it up again after a restart.
func (c *launchCmd) Run(ctx context.Context, t *terminal) error {
	if c.Template {
		text, err := node.SpecTemplate(c.Spec)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		_, err = fmt.Fprint(t.out, text)
		return err
	}
	if c.Spec == "" {
		return fmt.Errorf("%w: name a run spec; \"drystone launch --template > run.toml\" makes one", errUsage)
	}
	text, err := os.ReadFile(c.Spec)
	if err != nil {
		return fmt.Errorf("%w: run spec: %w", errUsage, err)
	}
	spec, err := node.ParseSpec(c.Spec, text)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := spec.Model.Validate(); err != nil { // before data are read for it
		return fmt.Errorf("%w: %s: %w", errUsage, c.Spec, err)
	}
	named := spec.Data.Manifest
	spec, data, found, err := node.LoadData(spec, c.Data, c.Target)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if !named.IsZero() && named != spec.Data.Manifest {
		return fmt.Errorf("%w: %s names another dataset than --data gives; leave data.manifest out", errUsage, c.Spec)
	}
	if err := possible(spec); err != nil { // before a key is made for it
		return fmt.Errorf("%w: %s: %w", errUsage, c.Spec, err)
	}
	show := newProgress(t, &spec, 0)
	defer show.close()
	show.line("data: %s", found)
	if text := node.CrashOnly(spec.Quorum); text != "" {
		show.line("warning: %s", text)
	}
	cfg, err := c.config(t, home("launch"), show)
	if err != nil {
		return err
	}
	if spec.Founder != (protocol.PeerID{}) && spec.Founder != cfg.Key.ID() {
		return fmt.Errorf("%w: %s names the founder %s, but the key is %s", errUsage, c.Spec, spec.Founder, cfg.Key.ID())
	}
	spec.Founder = cfg.Key.ID()
	if err := spec.Validate(); err != nil {
		return fmt.Errorf("%w: %s: %w", errUsage, c.Spec, err)
	}
	if c.Local > 0 {
		return c.local(ctx, t, show, cfg, spec, data)
	}
	return c.found(ctx, t, show, cfg, spec, data)
}

// possible validates a spec whose founder may not be known yet.
func possible(spec protocol.RunSpec) error {
	if spec.Founder == (protocol.PeerID{}) {
		k, err := protocol.GenerateKey()
		if err != nil {
			return err
		}
		spec.Founder = k.ID()
	}
	return spec.Validate()
}

// found runs the founder's aggregator and the ledger.
func (c *launchCmd) found(ctx context.Context, t *terminal, show *progress, cfg node.Config, spec protocol.RunSpec, data []byte) error {
	run, err := spec.ID()
	if err != nil {
		return err
	}
	cfg.Data = data
	cfg.OnListen = func(l gossip.Link) {
		printLink(t, l, &spec.Quorum, c.JSON)
		show.line("the line above is the run link: give it to %d more aggregators (drystone aggregate LINK) and to trainers (drystone join LINK)", spec.Quorum.Aggregators-1)
	}
	a, err := node.OpenAggregator(ctx, cfg, gossip.Link{Run: run}, &spec)
	if err != nil {
		return err
	}
	if err = c.measure(show, a.ServeMetrics); err == nil {
		err = watch(ctx, t, show, a, c.ExitWhenDone, c.JSON)
	}
	return errors.Join(err, a.Close())
}

// local composes all roles here. Its other aggregators' keys are derived from the founder's.
func (c *launchCmd) local(ctx context.Context, t *terminal, show *progress, cfg node.Config, spec protocol.RunSpec, data []byte) error {
	show.line("all %d aggregators run in this one process: this is for trying out, nobody checks anybody else", spec.Quorum.Aggregators)
	lc := node.LocalConfig{Spec: spec, Data: data, Dir: cfg.Dir, Threads: cfg.Threads, Log: t.log, OnEvent: show.event, Aggregators: []protocol.Key{cfg.Key}}
	for i := 1; i < spec.Quorum.Aggregators; i++ {
		k, err := deriveKey(cfg.Key, fmt.Sprintf("aggregator/%d", i))
		if err != nil {
			return err
		}
		lc.Aggregators = append(lc.Aggregators, k)
	}
	for i := range c.Local {
		k, err := deriveKey(cfg.Key, fmt.Sprintf("trainer/%d", i))
		if err != nil {
			return err
		}
		lc.Trainers = append(lc.Trainers, node.LocalTrainer{Key: k})
	}
	l, err := node.StartLocal(ctx, lc)
	if err != nil {
		return err
	}
	printLink(t, l.Link, &spec.Quorum, c.JSON)
	if err = c.measure(show, l.Aggregators[0].ServeMetrics); err == nil {
		err = watch(ctx, t, show, l.Aggregators[0], c.ExitWhenDone, c.JSON)
	}
	return errors.Join(err, l.Close())
}

func deriveKey(k protocol.Key, purpose string) (protocol.Key, error) {
	b, err := k.Derive("local/"+purpose, 32)
	if err != nil {
		return protocol.Key{}, err
	}
	return protocol.NewKey([32]byte(b))
}

// watch prints rounds until the run is over, and then, unless it may exit, keeps serving until interrupted.
func watch(ctx context.Context, t *terminal, show *progress, a *node.Aggregator, exit, asJSON bool) error {
	over := a.Finished()
	for {
		select {
		case round := <-show.certified:
			n := heldOutRound
			if show.spec.Model.OnExamples() {
				n = heldOutExamples
			}
			score, err := a.HeldOut(ctx, round+1, n)
			if err != nil {
				return err
			}
			show.round(round, score.String(), "")
		case <-over:
			if len(show.certified) > 0 {
				continue
			}
			printOver(t, show, a, asJSON)
			if exit {
				return nil
			}
			show.line("serving claims, proofs and the model until interrupted")
			over = nil
		case <-a.Failed():
			return a.Err()
		case <-ctx.Done():
			return nil
		}
	}
}

// printLink prints the run link that leads here, alone on its line. Whoever launches a run also says, for programs, what its
// quorum stands.
func printLink(t *terminal, l gossip.Link, q *protocol.QuorumSpec, asJSON bool) {
	if !asJSON {
		fmt.Fprintln(t.out, l)
		return
	}
	line := map[string]any{"run_id": l.Run, "link": l.String()}
	if q != nil {
		line["aggregators"], line["threshold"] = q.Aggregators, q.Threshold
		line["liars_outvoted"], line["crash_only"] = q.Faults(), q.Faults() == 0
	}
	json.NewEncoder(t.out).Encode(line)
}

// printOver says that the run is over and with what result.
func printOver(t *terminal, show *progress, a *node.Aggregator, asJSON bool) {
	if asJSON {
		json.NewEncoder(t.out).Encode(map[string]any{"run_id": a.View().Run, "state_digest": a.View().Model})
		return
	}
	show.line("the run is over; its digest is %s", a.View().Model)
}

type aggregateCmd struct {
	Link string `arg:"" help:"Run link."`
	roleFlags
	ExitWhenDone bool `help:"Exit when the run is over, instead of serving until interrupted."`
	JSON         bool `help:"Print JSON lines: the link, the application where the run is under way without this aggregator, and the result when the run is over."`
}

// Run offers an aggregator and takes part until interrupted. Where the run is under way without it, it reads along and prints
// its application for the founder. One that the council removes has done its part.
func (c *aggregateCmd) Run(ctx context.Context, t *terminal) error {
	link, err := parseLink(c.Link)
	if err != nil {
		return err
	}
	show := newProgress(t, &protocol.RunSpec{}, 0)
	defer show.close()
	cfg, err := c.config(t, home("aggregate", link.Run.Short()), nil)
	if err != nil {
		return err
	}
	cfg.OnEvent = func(e node.Event) {
		show.notable(e)
		if e.Kind == node.EventOutside {
			printApplication(t, link.Run, e, c.JSON)
		}
	}
	cfg.OnListen = func(l gossip.Link) { printLink(t, l, nil, c.JSON) }
	a, err := node.OpenAggregator(ctx, cfg, link, nil)
	if err != nil {
		return err
	}
	if err := c.measure(show, a.ServeMetrics); err != nil {
		return errors.Join(err, a.Close())
	}
	show.line("the run is founded")
	select {
	case <-a.Finished():
		printOver(t, show, a, c.JSON)
		if !c.ExitWhenDone {
			show.line("serving proofs and the model until interrupted")
			select {
			case <-a.Failed():
			case <-ctx.Done():
			}
		}
	case <-a.Failed():
	case <-ctx.Done():
	}
	err = a.Err()
	if errors.Is(err, replica.ErrRemoved) {
		show.line("the council has removed this aggregator")
		err = nil
	}
	return errors.Join(err, a.Close())
}

// printApplication prints what the founder needs to take this aggregator in, alone on its line.
func printApplication(t *terminal, run protocol.Digest, e node.Event, asJSON bool) {
	if asJSON {
		json.NewEncoder(t.out).Encode(map[string]any{"run_id": run, "peer_id": e.Peer, "application": e.Application})
		return
	}
	fmt.Fprintln(t.out, e.Application)
}
