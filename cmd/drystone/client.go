package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"drystone/node"
	"drystone/protocol"
)

// dialTimeout bounds how long a command that only asks waits for the run.
const dialTimeout = 60 * time.Second

func dial(ctx context.Context, t *terminal, link string) (*node.Client, error) {
	l, err := parseLink(link)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return node.Dial(ctx, l, t.log)
}

type proofCmd struct {
	Link  string `arg:"" help:"Run link."`
	Peer  string `required:"" help:"Peer ID of the contributor."`
	Round uint32 `required:"" help:"Round of the contribution."`
	Out   string `short:"o" help:"File to write; default: standard output." type:"path"`
	JSON  bool   `help:"Print one JSON object about the file; wants --out."`
}

// Run fetches a proof.
func (c *proofCmd) Run(ctx context.Context, t *terminal) error {
	peer, err := protocol.ParsePeerID(c.Peer)
	if err != nil {
		return fmt.Errorf("%w: --peer: %w", errUsage, err)
	}
	client, err := dial(ctx, t, c.Link)
	if err != nil {
		return err
	}
	defer client.Close()
	data, err := client.Proof(ctx, c.Round, peer)
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = t.out.Write(data)
		return err
	}
	if err := os.WriteFile(c.Out, data, 0o644); err != nil || !c.JSON {
		return err
	}
	return writeJSON(t.out, map[string]any{"run_id": client.Run(), "peer": peer, "round": c.Round, "file": c.Out, "bytes": len(data)})
}

type claimCmd struct {
	Link    string `arg:"" help:"Run link."`
	Account string `help:"Account to be paid, 0x...; default: that of the key file." xor:"who"`
	Key     string `help:"Key file whose account is to be paid." type:"path" xor:"who"`
	keyless
	JSON bool `help:"Print one JSON object."`
}

// keyless adds the passphrase flag alone.
type keyless struct {
	PasswordFile string `help:"File whose first line is the key's passphrase." type:"path"`
}

// Run claims. Anyone may claim for an account: the money can only go there, and the ledger host pays the gas.
func (c *claimCmd) Run(ctx context.Context, t *terminal) error {
	account, err := c.account(t)
	if err != nil {
		return err
	}
	client, err := dial(ctx, t, c.Link)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.VerifyContracts(ctx); err != nil {
		return fmt.Errorf("the run's contracts are not what its spec says, do not rely on them: %w", err)
	}
	claim, err := client.Claim(ctx, account)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, claim)
	}
	_, err = fmt.Fprintf(t.out, "paid %s to %s, which now holds %s; gas was paid by the ledger host %s\n",
		tokens(decimal(claim.Paid)), account, tokens(decimal(claim.Balance)), claim.GasBy.Short())
	return err
}

func (c *claimCmd) account(t *terminal) (protocol.Address, error) {
	if c.Key != "" {
		f := keyFlags{PasswordFile: c.PasswordFile}
		k, err := f.read(t, c.Key)
		if err != nil {
			return protocol.Address{}, err
		}
		return k.ID().Address()
	}
	if c.Account == "" {
		return protocol.Address{}, fmt.Errorf("%w: name --account or --key", errUsage)
	}
	a, err := protocol.ParseAddress(c.Account)
	if err != nil {
		return a, fmt.Errorf("%w: --account: %w", errUsage, err)
	}
	return a, nil
}

type exportCmd struct {
	Source string `arg:"" help:"Run link, or an aggregator's data directory."`
	Round  int64  `help:"Round at whose start the model is taken; default the newest." default:"-1"`
	Out    string `short:"o" help:"Directory to write." default:"model" type:"path"`
	JSON   bool   `help:"Print one JSON object."`
}

// Run writes model.safetensors, config.json and for a model on examples preprocessor_config.json.
func (c *exportCmd) Run(ctx context.Context, t *terminal) error {
	m, err := c.load(ctx, t)
	if err != nil {
		return err
	}
	if err := node.Export(c.Out, m); err != nil {
		return err
	}
	if m.Spec.Model.OnExamples() && m.Data == nil {
		fmt.Fprintf(t.err, "%s does not hold the run's data, so there is no preprocessor_config.json: export from the founder's or over the run link\n", c.Source)
	}
	file := filepath.Join(c.Out, "model.safetensors")
	if c.JSON {
		return writeJSON(t.out, map[string]any{"run_id": m.Run, "round": m.Round, "params": len(m.Theta), "file": file})
	}
	_, err = fmt.Fprintf(t.out, "%s: %d parameters after %d rounds of run %s\n", file, len(m.Theta), m.Round, m.Run.Short())
	return err
}

func (c *exportCmd) load(ctx context.Context, t *terminal) (*node.Snapshot, error) {
	if info, err := os.Stat(c.Source); err == nil && info.IsDir() {
		return node.OpenModel(ctx, c.Source, c.Round)
	}
	client, err := dial(ctx, t, c.Source)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	round := uint32(max(c.Round, 0))
	if c.Round < 0 {
		round = client.Rounds()
	}
	return client.Snapshot(ctx, round)
}
