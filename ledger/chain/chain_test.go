package chain

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// TestReopen: a chain closed in order comes back as it was, with its contracts, any number of times in one process.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	target := common.Address{0xaa}
	for i := range 4 {
		c := must[*Chain](t)(Open(t.Context(), testConfig(dir)))
		client := NewClient(c.RPC())
		if got := must[*big.Int](t)(client.GasBalance(t.Context(), target)); got.Int64() != int64(i) {
			t.Fatalf("open %d: balance %v", i, got)
		}
		if h := must[uint64](t)(client.Height(t.Context())); h != uint64(i) {
			t.Fatalf("open %d: height %d", i, h)
		}
		if _, err := client.Transfer(t.Context(), testKey("gas"), target, big.NewInt(1)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Fatalf("close %d: %v", i, err)
			}
		}
		if _, err := client.Height(t.Context()); err == nil {
			t.Error("a closed chain still answers")
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	c := must[*Chain](t)(Open(t.Context(), cfg))
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v, want ErrLocked", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"chain id":  func(c *Config) { c.ChainID++ },
		"gas payer": func(c *Config) { c.GasPayer[0]++ },
		"gas payer that the library put there": func(c *Config) {
			c.GasPayer = common.HexToAddress("0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02")
		},
	} {
		other := cfg
		change(&other)
		if c, err := Open(t.Context(), other); !errors.Is(err, ErrOtherChain) {
			t.Errorf("%s changed: %v, want ErrOtherChain", name, err)
			_ = c.Close()
		}
	}
	c = must[*Chain](t)(Open(t.Context(), cfg)) // the refusals changed and kept nothing
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no dir":        func(c *Config) { c.Dir = "" },
		"no chain id":   func(c *Config) { c.ChainID = 0 },
		"huge chain id": func(c *Config) { c.ChainID = 1<<53 + 1 },
		"no gas payer":  func(c *Config) { c.GasPayer = common.Address{} },
		"public HTTP":   func(c *Config) { c.HTTPAddr = "0.0.0.0:0" },
		"all HTTP":      func(c *Config) { c.HTTPAddr = ":0" },
		"bad HTTP":      func(c *Config) { c.HTTPAddr = "127.0.0.1" },
	} {
		bad := cfg
		change(&bad)
		if c, err := Open(t.Context(), bad); err == nil {
			t.Errorf("%s: opened", name)
			_ = c.Close()
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ended, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("opened under an ended context: %v", err)
	}
}

// TestConcurrentSenders: many senders at once all get their receipts, in far fewer blocks than transactions.
func TestConcurrentSenders(t *testing.T) {
	c := openChain(t)
	gas := NewClient(c.RPC())
	const senders, each = 12, 5
	for i := range senders {
		if _, err := gas.Transfer(t.Context(), testKey("gas"), addressOf(testKey(fmt.Sprint(i))), big.NewInt(1e18)); err != nil {
			t.Fatal(err)
		}
	}
	before := must[uint64](t)(gas.Height(t.Context()))
	target := common.Address{0xdd}
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			client := NewClient(c.RPC())
			for range each {
				if _, err := client.Transfer(t.Context(), testKey(fmt.Sprint(i)), target, big.NewInt(1)); err != nil {
					t.Errorf("sender %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := must[*big.Int](t)(gas.GasBalance(t.Context(), target)); got.Int64() != senders*each {
		t.Errorf("%v arrived, want %d", got, senders*each)
	}
	blocks := must[uint64](t)(gas.Height(t.Context())) - before
	if blocks > senders*each {
		t.Errorf("%d blocks for %d transactions", blocks, senders*each)
	}
	t.Logf("%d transactions in %d blocks", senders*each, blocks)
}

// TestOneClientManyCallers: one client may be used by many callers for one key.
func TestOneClientManyCallers(t *testing.T) {
	client := NewClient(openChain(t).RPC())
	target := common.Address{0xdd}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := client.Transfer(t.Context(), testKey("gas"), target, big.NewInt(1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := must[*big.Int](t)(client.GasBalance(t.Context(), target)); got.Int64() != 10 {
		t.Errorf("%v arrived, want 10", got)
	}
}

// TestCloseWhileSending: callers in flight get an error or a receipt, and nothing hangs.
func TestCloseWhileSending(t *testing.T) {
	c := openChain(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sent := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			client := NewClient(c.RPC())
			for {
				if _, err := client.Transfer(ctx, testKey("gas"), common.Address{1}, big.NewInt(1)); err != nil {
					// A nonce clash is no reason to stop; a closed chain does not answer the next question.
					if _, err := client.Height(ctx); err != nil {
						return
					}
				}
				select {
				case sent <- struct{}{}:
				default:
				}
			}
		})
	}
	<-sent
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
}

// TestNoGoroutineLeft: Close ends every goroutine that Open began, the library's too.
func TestNoGoroutineLeft(t *testing.T) {
	openAndUse := func() {
		cfg := testConfig(t.TempDir())
		cfg.HTTPAddr = "127.0.0.1:0"
		c := must[*Chain](t)(Open(t.Context(), cfg))
		if _, err := NewClient(c.RPC()).Transfer(t.Context(), testKey("gas"), common.Address{1}, big.NewInt(1)); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	openAndUse() // what the library starts once per process
	before := runtime.NumGoroutine()
	for range 3 {
		openAndUse()
	}
	deadline, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for runtime.NumGoroutine() > before {
		if deadline.Err() != nil {
			var dump strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&dump, 1)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), &dump)
		}
		runtime.Gosched()
	}
}
