package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
)

const (
	blockGasLimit = 60_000_000
	callGasLimit  = 30_000_000 // of one eth_call or eth_estimateGas
	callTimeout   = 2 * time.Second
	minTip        = params.GWei / 1000 // wei per gas that a block asks for beyond the base fee
)

// Chain is an embedded EVM chain in a directory. It may be used concurrently.
type Chain struct {
	chainID uint64
	stack   *node.Node
	inner   *rpc.Client // straight into the library: all methods, no sealing
	client  *rpc.Client // through handler: what callers get
	handler *RPCHandler
	sealer  *sealer
	http    *httpServer // nil when off

	closing sync.Once
	closed  error
}

// Open starts the chain in cfg.Dir and makes it if there is none. It returns ErrLocked when the directory is in use and
// ErrOtherChain when it holds a chain of another id or gas payer. Close the Chain when done. ctx bounds the opening
// only.
func Open(ctx context.Context, cfg Config) (*Chain, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("chain: open %s: %w", cfg.Dir, err)
	}
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	stack, err := newStack(cfg.Dir, logger)
	if err != nil {
		return nil, err
	}
	c := &Chain{chainID: cfg.ChainID, stack: stack}
	if err := c.start(cfg, logger); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// newStack takes the directory's lock. The node has no IPC, no listener, no discovery and no peers.
func newStack(dir string, logger *slog.Logger) (*node.Node, error) {
	// Without a key of our own the library writes one to the directory; nobody ever sees it.
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("chain: make node key: %w", err)
	}
	stack, err := node.New(&node.Config{
		Name:    "chain",
		DataDir: dir,
		P2P:     p2p.Config{PrivateKey: key, NoDiscovery: true, NoDial: true},
		Logger:  log.NewLogger(&errorsOnly{logger.Handler()}),
	})
	if errors.Is(err, node.ErrDatadirUsed) {
		return nil, fmt.Errorf("%w: %s; stop it, or choose another directory", ErrLocked, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("chain: open %s: %w", dir, err)
	}
	return stack, nil
}

func (c *Chain) start(cfg Config, logger *slog.Logger) error {
	genesis, err := storedGenesis(c.stack, cfg)
	if err != nil {
		return err
	}
	conf := libraryConfig()
	conf.Genesis = genesis
	backend, err := eth.New(c.stack, &conf)
	if err != nil {
		return fmt.Errorf("chain: open blocks in %s: %w", cfg.Dir, err)
	}
	c.stack.RegisterAPIs([]rpc.API{{
		Namespace: "eth",
		Service:   filters.NewFilterAPI(filters.NewFilterSystem(backend.APIBackend, filters.Config{})),
	}})
	if err := c.stack.Start(); err != nil {
		return fmt.Errorf("chain: start in %s: %w", cfg.Dir, err)
	}
	beacon, err := catalyst.NewSimulatedBeacon(0, common.Address{}, backend)
	if err != nil {
		return fmt.Errorf("chain: start block production: %w", err)
	}
	if err := backend.ChainDb().SyncKeyValue(); err != nil {
		return fmt.Errorf("chain: write genesis through: %w", err)
	}
	c.sealer = startSealer(backend, beacon, logger)
	c.inner = c.stack.Attach()
	c.handler = NewRPCHandler(c.inner, logger)
	c.handler.sent = c.sealer.seal
	if c.client, err = DialFunc(c.handler.Serve); err != nil {
		return err
	}
	if cfg.HTTPAddr != "" {
		if c.http, err = listen(cfg.HTTPAddr, c.handler); err != nil {
			return err
		}
	}
	return nil
}

// libraryConfig keeps every state on disk by hash, in small caches: the default layout loses recent blocks when the
// process is killed, this one loses nothing that was synced.
func libraryConfig() ethconfig.Config {
	conf := ethconfig.Defaults
	conf.SyncMode = ethconfig.FullSync
	conf.StateScheme = rawdb.HashScheme
	conf.NoPruning = true
	conf.SnapshotCache = 0
	conf.DatabaseCache = 16
	conf.DatabaseHandles = 64
	conf.TrieCleanCache = 16
	conf.TrieDirtyCache = 16
	conf.TransactionHistory = 0 // index all transactions: deployments are verified by theirs
	conf.LogNoHistory = true    // no log index: searches are bounded instead
	conf.TxPool.NoLocals = true
	conf.TxPool.Journal = ""
	conf.BlobPool.Datadir = ""
	conf.Miner.GasCeil = blockGasLimit
	conf.Miner.GasPrice = big.NewInt(minTip)
	conf.RPCGasCap = callGasLimit
	conf.RPCEVMTimeout = callTimeout
	return conf
}

// ID is the chain's id.
func (c *Chain) ID() *big.Int { return new(big.Int).SetUint64(c.chainID) }

// RPC is a client in this process, with the methods and the durability of Handler. It ends with the Chain; do not
// close it.
func (c *Chain) RPC() *rpc.Client { return c.client }

// Handler serves the chain to others; see RPCHandler.Serve.
func (c *Chain) Handler() *RPCHandler { return c.handler }

// HTTPAddr is where the loopback listener is, "" when it is off.
func (c *Chain) HTTPAddr() string {
	if c.http == nil {
		return ""
	}
	return c.http.addr.String()
}

// Close stops the listener, the sealer and the chain, and frees the directory. Calls in flight fail. Later calls
// return what the first returned.
func (c *Chain) Close() error {
	c.closing.Do(func() {
		var errs []error
		if c.http != nil {
			errs = append(errs, c.http.close())
		}
		if c.sealer != nil {
			c.sealer.stop()
		}
		if c.client != nil {
			c.client.Close()
		}
		if c.inner != nil {
			c.inner.Close()
		}
		if err := c.stack.Close(); err != nil {
			errs = append(errs, fmt.Errorf("chain: close: %w", err))
		}
		c.closed = errors.Join(errs...)
	})
	return c.closed
}

// errorsOnly passes on the library's errors: its warnings are about peers, which this chain has none of on purpose.
type errorsOnly struct{ slog.Handler }

func (h *errorsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

func (h *errorsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &errorsOnly{h.Handler.WithAttrs(attrs)}
}

func (h *errorsOnly) WithGroup(name string) slog.Handler {
	return &errorsOnly{h.Handler.WithGroup(name)}
}
