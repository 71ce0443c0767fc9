package chain

import (
	"errors"
	"fmt"
	"log/slog"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Config says where the embedded chain lives and who pays for its gas.
type Config struct {
	// Dir holds the chain's files; it is made if missing. One process at a time may open it.
	Dir string
	// ChainID identifies the chain in every signature, 1 to 2^53. It is fixed when the directory is first opened.
	ChainID uint64
	// GasPayer is the one account that has gas from the start, 10^9 ether of it. Like ChainID, it is fixed at first.
	// Others get gas from it by Client.Transfer.
	GasPayer common.Address
	// HTTPAddr, a loopback host:port, turns on JSON-RPC over HTTP; port 0 picks one (see Chain.HTTPAddr). Empty: off.
	HTTPAddr string
	// Logger gets warnings and errors of the chain; nil discards them.
	Logger *slog.Logger
}

// Errors of Open.
var (
	// ErrLocked: another process, or another Chain of this one, has the directory open.
	ErrLocked = errors.New("chain: directory is in use by another process")
	// ErrOtherChain: the directory holds a chain with another id or gas payer.
	ErrOtherChain = errors.New("chain: directory holds another chain")
)

// Validate says what is missing.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("chain: config: Dir is empty")
	case c.ChainID == 0 || c.ChainID > 1<<53:
		return fmt.Errorf("chain: config: ChainID %d is not in 1 to 2^53", c.ChainID)
	case c.GasPayer == (common.Address{}):
		return errors.New("chain: config: GasPayer is the zero address")
	}
	return nil
}

// gasPayerBalance is 10^9 ether in wei.
func gasPayerBalance() *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(27), nil) }
