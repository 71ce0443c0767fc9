package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/ledger/chain"
	"drystone/protocol"
)

// Client looks at a run from outside: it verifies the statement chain from the RunID on and asks aggregators the rest. It
// keeps nothing and needs no key.
type Client struct {
	member
	dir string
}

// Dial connects to a run. The run's Genesis must exist.
func Dial(ctx context.Context, link gossip.Link, log *slog.Logger) (*Client, error) {
	return DialFrom(ctx, link, Config{Log: log})
}

// DialFrom is Dial by a host that listens and is reached as cfg says; its key and directory are made for the occasion.
func DialFrom(ctx context.Context, link gossip.Link, cfg Config) (*Client, error) {
	key, err := protocol.GenerateKey()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "drystone-client-")
	if err != nil {
		return nil, fmt.Errorf("temporary directory: %w", err)
	}
	c := &Client{dir: dir}
	cfg.Key, cfg.Dir = key, dir
	err = c.open(ctx, cfg, link, nil)
	if err == nil {
		err = c.enter(ctx, link)
	}
	if err == nil {
		err = c.catchUp(ctx, c.entrances(link))
	}
	if err == nil && c.history.length() == 0 {
		err = fmt.Errorf("run %s is still gathering its aggregators; try again when it is founded", link.Run.Short())
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	council, _ := c.history.rules()
	c.dialMissing(ctx, council)
	return c, nil
}

// Close disconnects.
func (c *Client) Close() error {
	return errors.Join(c.member.close(), os.RemoveAll(c.dir))
}

// Spec returns the run's spec.
func (c *Client) Spec() *protocol.RunSpec { return c.spec }

// Genesis returns the run's verified Genesis.
func (c *Client) Genesis() *protocol.Genesis {
	_, g := c.history.rules()
	return g
}

// Rounds returns the number of rounds certified when the client connected.
func (c *Client) Rounds() uint32 { return c.history.rounds() }

// ask calls aggregators, one after the other, until one answers.
func (c *Client) ask(ctx context.Context, name string, req []byte, limit int) ([]byte, error) {
	last := errors.New("no aggregator is known")
	for _, p := range c.councilPeers() {
		data, err := c.callFor(ctx, time.Minute, p, name, req, limit)
		if err == nil {
			return data, nil
		}
		last = err
	}
	return nil, fmt.Errorf("%s: %w", name, last)
}

// Proof fetches the proof file of a contribution. It is not audited here.
func (c *Client) Proof(ctx context.Context, round uint32, peer protocol.PeerID) ([]byte, error) {
	req, err := protocol.Encode(proofRequest{Round: round, Peer: peer})
	if err != nil {
		return nil, err
	}
	return c.ask(ctx, callProof, req, maxProofFile)
}

// Model fetches the parameters at the start of a round, verified against the statement chain.
func (c *Client) Model(ctx context.Context, round uint32) ([]float32, error) {
	root, _, err := c.history.modelRoot(round)
	if err != nil {
		return nil, fmt.Errorf("round %d is not certified; the run has %d certified rounds: %w", round, c.history.rounds(), err)
	}
	return c.model(ctx, round, root, c.councilPeers)
}

// Account asks what the run owes an account.
func (c *Client) Account(ctx context.Context, a protocol.Address) (*Account, error) {
	data, err := c.ask(ctx, callAccount, a[:], maxSmall)
	if err != nil {
		return nil, err
	}
	var acc Account
	if err := json.Unmarshal(data, &acc); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	return &acc, nil
}

// Claim has the ledger host pay an account what it is owed. The host pays the gas; the money can go nowhere else.
func (c *Client) Claim(ctx context.Context, a protocol.Address) (*Claim, error) {
	data, err := c.host.Call(ctx, c.Genesis().Ledger.Host, callClaim, a[:], maxSmall)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	var claim Claim
	if err := json.Unmarshal(data, &claim); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return &claim, nil
}

// Balance reads an account's token balance from the chain, through the ledger host.
func (c *Client) Balance(ctx context.Context, a protocol.Address) (*big.Int, error) {
	rpc, err := chain.DialFunc(func(ctx context.Context, req []byte) ([]byte, error) {
		return c.host.Call(ctx, c.Genesis().Ledger.Host, callChain, req, chain.MaxResponseBytes)
	})
	if err != nil {
		return nil, err
	}
	defer rpc.Close()
	return chain.NewClient(rpc).BalanceOf(ctx, common.Address(c.Genesis().Ledger.Token), common.Address(a))
}

// VerifyContracts checks on the chain that the run's contracts are the ones whose terms the RunSpec gives.
func (c *Client) VerifyContracts(ctx context.Context) error {
	rpc, err := chain.DialFunc(func(ctx context.Context, req []byte) ([]byte, error) {
		return c.host.Call(ctx, c.Genesis().Ledger.Host, callChain, req, chain.MaxResponseBytes)
	})
	if err != nil {
		return err
	}
	defer rpc.Close()
	params, err := deployParams(c.spec, c.run, c.Genesis().Aggregators)
	if err != nil {
		return err
	}
	return chain.NewClient(rpc).Verify(ctx, deploymentOf(c.run, c.Genesis().Ledger), params)
}

// Run returns the RunID.
func (c *Client) Run() protocol.Digest { return c.run }

// AwaitFinished asks until the run is over: every check ended, every epoch settled.
func (c *Client) AwaitFinished(ctx context.Context) error {
	return retry(ctx, time.Second, func() error {
		s, err := c.Status(ctx)
		if err == nil && s.View.Phase != aggregate.PhaseFinished {
			err = fmt.Errorf("the run is in phase %s", s.View.Phase)
		}
		return err
	})
}
