package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ethereum/go-ethereum/consensus/misc/eip1559"
	"github.com/ethereum/go-ethereum/core/txpool"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
	"github.com/holiman/uint256"
)

// ErrClosed is returned for work on a Chain that was closed.
var ErrClosed = errors.New("chain: closed")

// sealer turns pending transactions into blocks on disk. One goroutine does it, for the library's block production must
// not run twice at once; senders that arrive while it works share the next block.
type sealer struct {
	backend *eth.Ethereum
	beacon  *catalyst.SimulatedBeacon
	log     *slog.Logger

	requests chan chan error
	quit     chan struct{}
	done     chan struct{}
}

func startSealer(backend *eth.Ethereum, beacon *catalyst.SimulatedBeacon, logger *slog.Logger) *sealer {
	s := &sealer{
		backend:  backend,
		beacon:   beacon,
		log:      logger,
		requests: make(chan chan error, maxConcurrent),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	go s.loop()
	return s
}

// seal returns when all transactions that were executable before the call are in blocks on disk.
func (s *sealer) seal(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case s.requests <- reply:
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("chain: seal: %w", ctx.Err())
	}
	select {
	case err := <-reply:
		return err
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("chain: seal: %w", ctx.Err())
	}
}

// stop ends the goroutine after the block it is at.
func (s *sealer) stop() {
	close(s.quit)
	<-s.done
}

func (s *sealer) loop() {
	defer close(s.done)
	for {
		var waiting []chan error
		select {
		case <-s.quit:
			return
		case first := <-s.requests:
			waiting = append(waiting, first)
		}
		for more := true; more; {
			select {
			case next := <-s.requests:
				waiting = append(waiting, next)
			default:
				more = false
			}
		}
		err := s.sealPending()
		for _, w := range waiting {
			w <- err
		}
	}
}

// sealPending makes blocks until no executable transaction is left, and syncs each. What does not fit the fee of the
// next block stays in the pool.
func (s *sealer) sealPending() (err error) {
	defer func() { // the library panics on broken state; the caller must hear of it, not the process
		if r := recover(); r != nil {
			err = fmt.Errorf("chain: seal: panic: %v", r)
		}
	}()
	const maxBlocks = 64
	for range maxBlocks {
		// The pool works in the background; Sync waits until it has seen all it was given.
		if err := s.backend.TxPool().Sync(); err != nil {
			return fmt.Errorf("chain: sync transaction pool: %w", err)
		}
		if !s.havePending() {
			return nil
		}
		if err := s.sealBlock(); err != nil {
			return err
		}
		if s.lastBlockEmpty() {
			s.log.Warn("transactions pending that no block takes")
			return nil
		}
	}
	return nil
}

// havePending says whether the next block would take anything, by the block builder's own filter.
func (s *sealer) havePending() bool {
	chain := s.backend.BlockChain()
	baseFee := eip1559.CalcBaseFee(chain.Config(), chain.CurrentBlock())
	pending, _ := s.backend.TxPool().Pending(txpool.PendingFilter{
		MinTip:  uint256.NewInt(minTip),
		BaseFee: uint256.MustFromBig(baseFee),
	})
	return len(pending) > 0
}

// sealBlock makes one block. The library's Commit swallows errors, so the height is checked.
func (s *sealer) sealBlock() error {
	before := s.backend.BlockChain().CurrentBlock().Number.Uint64()
	s.beacon.Commit()
	if after := s.backend.BlockChain().CurrentBlock().Number.Uint64(); after != before+1 {
		return fmt.Errorf("chain: block %d was not made: the chain stands at %d", before+1, after)
	}
	if err := s.backend.ChainDb().SyncKeyValue(); err != nil {
		return fmt.Errorf("chain: write block %d through: %w", before+1, err)
	}
	return nil
}

func (s *sealer) lastBlockEmpty() bool {
	chain := s.backend.BlockChain()
	head := chain.CurrentBlock()
	body := chain.GetBody(head.Hash())
	return body == nil || len(body.Transactions) == 0
}
