package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"drystone/internal/exact"
	"drystone/node"
	"drystone/protocol"
)

// cheatFrom is the round in which the demonstration's cheat begins to fabricate.
const cheatFrom = 4

// heldOut is the number of held-out sequences that the first and the last loss are taken over; rounds in between use
// fewer. Of examples, which are shorter, there are more.
const (
	heldOut         = 512
	heldOutRound    = 32
	heldOutExamples = 4096
)

type demoCmd struct {
	Data    []string `help:"Text to train on; default: Newton's Opticks from the Go installation." type:"path"`
	Rounds  uint32   `help:"Rounds." default:"12"`
	Peers   int      `help:"Trainers, of which the last one cheats from round 4 on." default:"4"`
	Seed    uint64   `help:"Everything random follows from it, keys too." default:"1"`
	Dir     string   `help:"Directory to keep the run in; it must be empty or absent. Default: a new one." type:"path"`
	Threads int      `help:"Threads of the compute device; results do not depend on it." default:"0"`
	Metrics string   `help:"Serve the first aggregator's Prometheus metrics on HOST:PORT; :PORT is loopback. Default: not at all." placeholder:"ADDR"`
	Tiny    bool     `help:"Train a far smaller model: for machines without AVX2, and for tests."`
	JSON    bool     `help:"Print one JSON object at the end."`
}

// demoResult is what --json prints.
type demoResult struct {
	RunID          protocol.Digest   `json:"run_id"`
	Rounds         uint32            `json:"rounds"`
	Peers          int               `json:"peers"`
	Params         int               `json:"params"`
	Corpus         string            `json:"corpus"`
	InitialLoss    float64           `json:"initial_loss"` // nats per byte on held-out text
	FinalLoss      float64           `json:"final_loss"`
	BigramLoss     float64           `json:"bigram_loss"`
	BytesUp        uint64            `json:"bytes_up_per_peer_round"`
	DenseBytes     uint64            `json:"dense_bytes_per_peer_round"`
	SpotChecks     int               `json:"spot_checks"`
	Accused        []protocol.PeerID `json:"accused"`
	HonestAccused  int               `json:"honest_accused"`
	Payouts        []demoPayout      `json:"payouts"`
	ProofsDir      string            `json:"proofs_dir"`
	WallSeconds    float64           `json:"wall_seconds"`
	TokensPerSec   float64           `json:"tokens_per_second"`
	StateDigest    protocol.Digest   `json:"state_digest"`
	AuditCommand   string            `json:"audit_command"`
	SampleBefore   string            `json:"sample_before"`
	SampleAfter    string            `json:"sample_after"`
	trained        uint64
	cheat          protocol.PeerID
	checks         map[protocol.PeerID]node.CheckCount
	trainedByPeers map[protocol.PeerID]uint64
}

type demoPayout struct {
	Peer    protocol.PeerID  `json:"peer"`
	Address protocol.Address `json:"address"`
	Tokens  string           `json:"tokens"`          // earned, in whole tokens of the ledger
	Balance string           `json:"onchain_balance"` // smallest units, read from the chain
}

// Run plays the whole path in one process: four aggregators and the trainers over real sockets, the embedded chain.
func (c *demoCmd) Run(ctx context.Context, t *terminal) error {
	if c.Peers < 2 || c.Peers > 64 || c.Rounds < 1 || c.Rounds > 10000 {
		return fmt.Errorf("%w: --peers wants 2 to 64, --rounds 1 to 10000", errUsage)
	}
	data, found, err := node.LoadCorpus(c.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	slow := len(exact.Paths()) == 1 // the portable kernels alone
	c.Tiny = c.Tiny || slow
	cfg := c.config(data)
	if err := cfg.Spec.Validate(); err != nil {
		return fmt.Errorf("%w: %s: %w", errUsage, found, err)
	}
	if err := c.directory(); err != nil {
		return err
	}
	cfg.Dir = c.Dir
	show := newProgress(t, &cfg.Spec, c.Peers)
	defer show.close()
	show.line("corpus: %s", found)
	switch {
	case slow:
		show.line("this processor has no vector kernels here: a far smaller model instead of the demonstration's own")
	case c.Tiny:
		show.line("a far smaller model than the demonstration's own, as asked")
	}
	cfg.OnEvent, cfg.Log = show.event, t.log
	start := time.Now()
	l, err := node.StartLocal(ctx, cfg)
	if err != nil {
		return err
	}
	r := &demoResult{Rounds: c.Rounds, Peers: c.Peers, Corpus: found, RunID: l.Run, cheat: cfg.Trainers[c.Peers-1].Key.ID()}
	flags := roleFlags{Metrics: c.Metrics}
	if err = flags.measure(show, l.Aggregators[0].ServeMetrics); err == nil {
		err = c.follow(ctx, l, show, r)
	}
	if err == nil {
		r.WallSeconds = time.Since(start).Seconds()
		r.TokensPerSec = float64(r.trained) / r.WallSeconds
		show.close()
		err = c.report(t, r)
	}
	return errors.Join(err, l.Close())
}

// directory makes sure that the run gets a directory of its own.
func (c *demoCmd) directory() (err error) {
	if c.Dir == "" {
		c.Dir, err = os.MkdirTemp("", "drystone-demo-")
		return err
	}
	entries, err := os.ReadDir(c.Dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%w: directory %s is not empty; name another with --dir", errUsage, c.Dir)
	}
	return os.MkdirAll(c.Dir, 0o700)
}

func (c *demoCmd) config(data []byte) node.LocalConfig {
	spec := node.DemoSpec(c.Seed, c.Rounds, uint32(c.Peers))
	if c.Tiny {
		spec = node.TinySpec(c.Seed, c.Rounds, uint32(c.Peers))
	}
	cfg := node.LocalConfig{Data: data, Threads: c.Threads}
	if cfg.Threads == 0 {
		cfg.Threads = runtime.NumCPU()
	}
	for i := range spec.Quorum.Aggregators {
		cfg.Aggregators = append(cfg.Aggregators, protocol.DeriveKey(c.Seed, fmt.Sprintf("demo/aggregator/%d", i)))
	}
	spec.Founder = cfg.Aggregators[0].ID()
	cfg.Spec = node.WithData(spec, data)
	for i := range c.Peers {
		lt := node.LocalTrainer{Key: protocol.DeriveKey(c.Seed, fmt.Sprintf("demo/trainer/%d", i))}
		if i == 0 { // the first one is paid to a cold wallet instead of its peer key's account
			cold := protocol.DeriveKey(c.Seed, "demo/cold-wallet").ID()
			lt.Payout, _ = cold.Address()
		}
		if i == c.Peers-1 {
			lt.Cheat = func(round uint32) bool { return round >= cheatFrom }
		}
		cfg.Trainers = append(cfg.Trainers, lt)
	}
	return cfg
}

// follow watches the run to its end and collects the result.
func (c *demoCmd) follow(ctx context.Context, l *node.Local, show *progress, r *demoResult) (err error) {
	founder := l.Aggregators[0]
	r.Params = founder.Params()
	r.DenseBytes = 4 * uint64(r.Params)
	show.line("run %s: %d parameters, %d aggregators, %d trainers, %d rounds of %d steps", r.RunID, r.Params, len(l.Aggregators), c.Peers, c.Rounds, l.Spec().Train.Steps)
	if c.Rounds > cheatFrom {
		show.line("trainer %s will cheat from round %d on: it fabricates its contribution instead of training", r.cheat.Short(), cheatFrom)
	}
	r.BigramLoss = l.Dataset.Bigram()
	theta, _, err := founder.Model(ctx, 0)
	if err != nil {
		return err
	}
	if r.InitialLoss, err = l.Device.Loss(ctx, theta, heldOut); err != nil {
		return err
	}
	prompt := []byte("The rays of light ")
	before, err := l.Device.Sample(ctx, theta, prompt, 120, protocol.Hash("sample"))
	if err != nil {
		return err
	}
	show.line("held-out loss before training %.3f nats per byte; a byte bigram model reaches %.3f", r.InitialLoss, r.BigramLoss)
	if err := c.rounds(ctx, l, show); err != nil {
		return err
	}
	if theta, r.StateDigest, err = founder.Model(ctx, c.Rounds); err != nil {
		return err
	}
	if r.FinalLoss, err = l.Device.Loss(ctx, theta, heldOut); err != nil {
		return err
	}
	after, err := l.Device.Sample(ctx, theta, prompt, 120, protocol.Hash("sample"))
	if err != nil {
		return err
	}
	r.SampleBefore, r.SampleAfter = printable(append(slices.Clone(prompt), before...)), printable(append(slices.Clone(prompt), after...))
	r.BytesUp, r.trained = show.sentPerPeerRound(), show.trained()
	if err := c.judge(ctx, l, r); err != nil {
		return err
	}
	return c.proofs(ctx, l, show, r)
}

// rounds shows the held-out loss after every round and waits for the end.
func (c *demoCmd) rounds(ctx context.Context, l *node.Local, show *progress) error {
	for {
		select {
		case round := <-show.certified:
			theta, _, err := l.Aggregators[0].Model(ctx, round+1)
			if err != nil {
				return err
			}
			loss, err := l.Device.Loss(ctx, theta, heldOutRound)
			if err != nil {
				return err
			}
			show.round(round, fmt.Sprintf("%.3f", loss), fmt.Sprintf("  %d checks  %s earned", checksOf(l.Aggregators[0]), earnedSoFar(l.Aggregators[0])))
		case <-l.Aggregators[0].Finished():
			if len(show.certified) == 0 {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// judge has everyone paid and reads from the run and from the chain who was accused and who holds what.
func (c *demoCmd) judge(ctx context.Context, l *node.Local, r *demoResult) error {
	client, err := node.Dial(ctx, l.Link, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.VerifyContracts(ctx); err != nil {
		return err
	}
	r.Accused = []protocol.PeerID{}
	r.checks, r.trainedByPeers = l.Aggregators[0].Checks(), map[protocol.PeerID]uint64{}
	for _, n := range r.checks {
		r.SpotChecks += n.Passed + n.Failed
	}
	for _, p := range l.Aggregators[0].View().Peers {
		r.trainedByPeers[p.ID] = p.Tokens
		if !p.Convicted {
			continue
		}
		r.Accused = append(r.Accused, p.ID)
		if p.ID != r.cheat {
			r.HonestAccused++
		}
	}
	for _, tr := range l.Trainers {
		p := demoPayout{Peer: tr.ID(), Address: tr.Payout(), Tokens: "0"}
		owed, err := client.Account(ctx, p.Address)
		if err != nil {
			return err
		}
		if earned := decimal(owed.Earned); earned.Sign() > 0 {
			if _, err := client.Claim(ctx, p.Address); err != nil {
				return err
			}
			p.Tokens = tokens(earned)
		}
		balance, err := client.Balance(ctx, p.Address)
		if err != nil {
			return err
		}
		p.Balance = balance.String()
		r.Payouts = append(r.Payouts, p)
	}
	return nil
}

// proofs writes the proof of every contribution and the audit command to try.
func (c *demoCmd) proofs(ctx context.Context, l *node.Local, show *progress, r *demoResult) error {
	r.ProofsDir = filepath.Join(c.Dir, "proofs")
	if err := os.MkdirAll(r.ProofsDir, 0o755); err != nil {
		return err
	}
	var try string
	for round := range c.Rounds {
		peers, err := l.Aggregators[0].Revealed(round)
		if err != nil {
			return err
		}
		show.status("writing proofs, round %d of %d", round+1, c.Rounds)
		for _, p := range peers {
			data, err := l.Aggregators[0].Proof(ctx, round, p)
			if err != nil {
				return fmt.Errorf("proof of %s in round %d: %w", p.Short(), round, err)
			}
			file := filepath.Join(r.ProofsDir, fmt.Sprintf("round-%03d-%s.proof", round, p.Short()))
			if err := os.WriteFile(file, data, 0o644); err != nil {
				return err
			}
			if try == "" || p == r.cheat && round == cheatFrom {
				try = file
			}
		}
	}
	r.AuditCommand = fmt.Sprintf("go run ./cmd/drystone audit %s --run %s --blobs %s", try, r.RunID, filepath.Join(c.Dir, "aggregator-0", "blobs"))
	return nil
}

// report prints the result.
func (c *demoCmd) report(t *terminal, r *demoResult) error {
	if c.JSON {
		return writeJSON(t.out, r)
	}
	w := t.out
	fmt.Fprintf(w, "\n%-8s %10s %14s  %-12s %12s %14s\n", "trainer", "tokens", "checks passed", "verdict", "earned", "on-chain")
	for _, p := range r.Payouts {
		verdict, n := "honest", r.checks[p.Peer]
		if slices.Contains(r.Accused, p.Peer) {
			verdict = "CHEAT"
		}
		balance, _ := new(big.Int).SetString(p.Balance, 10)
		fmt.Fprintf(w, "%-8s %10d %7d of %-4d  %-12s %12s %14s\n", p.Peer.Short(), r.trainedByPeers[p.Peer], n.Passed, n.Passed+n.Failed, verdict, p.Tokens, tokens(balance))
	}
	fmt.Fprintf(w, "\nheld-out loss   %.3f -> %.3f nats per byte (byte bigram: %.3f)\n", r.InitialLoss, r.FinalLoss, r.BigramLoss)
	fmt.Fprintf(w, "sent            %d bytes per trainer and round, %.1f times less than dense fp32 (%d)\n", r.BytesUp, float64(r.DenseBytes)/float64(max(r.BytesUp, 1)), r.DenseBytes)
	fmt.Fprintf(w, "speed           %.0f tokens/s, checks included; %.0f s in all\n", r.TokensPerSec, r.WallSeconds)
	fmt.Fprintf(w, "state digest    %s\n", r.StateDigest)
	fmt.Fprintf(w, "\nbefore          %s\nafter           %s\n", r.SampleBefore, r.SampleAfter)
	fmt.Fprintf(w, "\nproofs          %s\nTry:            %s\n", r.ProofsDir, r.AuditCommand)
	return nil
}

// checksOf counts all drawn checks so far.
func checksOf(a *node.Aggregator) (n int) {
	for _, c := range a.Checks() {
		n += c.Passed + c.Failed
	}
	return n
}

// earnedSoFar is what the settled epochs owe all trainers together.
func earnedSoFar(a *node.Aggregator) string {
	e := a.View().LastSettled
	if e == nil {
		return tokens(new(big.Int))
	}
	return tokens(e.Settlement.Total.Big())
}
