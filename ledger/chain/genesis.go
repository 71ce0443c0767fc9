package chain

import (
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/params"
)

// storedGenesis returns nil when the directory holds a chain that fits cfg, the genesis to write when it holds none,
// and ErrOtherChain otherwise. With a nil genesis the library uses the stored rules, so a chain keeps those it began
// with whatever a later library version holds for the newest; and with a genesis of its own it would accept a changed
// chain id without a word.
func storedGenesis(stack *node.Node, cfg Config) (*core.Genesis, error) {
	db, err := stack.OpenDatabaseWithOptions("chaindata", node.DatabaseOptions{})
	if err != nil {
		return nil, fmt.Errorf("chain: open database in %s: %w", cfg.Dir, err)
	}
	hash := rawdb.ReadCanonicalHash(db, 0)
	rules := rawdb.ReadChainConfig(db, hash)
	spec := rawdb.ReadGenesisStateSpec(db, hash)
	if err := db.Close(); err != nil {
		return nil, fmt.Errorf("chain: close database in %s: %w", cfg.Dir, err)
	}
	if rules == nil { // nothing there, or a first open that did not get far
		return newGenesis(cfg), nil
	}
	if rules.ChainID == nil || rules.ChainID.Cmp(new(big.Int).SetUint64(cfg.ChainID)) != 0 {
		return nil, fmt.Errorf("%w: %s has chain id %v, not %d; use another directory or the old id",
			ErrOtherChain, cfg.Dir, rules.ChainID, cfg.ChainID)
	}
	var alloc types.GenesisAlloc
	if err := json.Unmarshal(spec, &alloc); err != nil {
		return nil, fmt.Errorf("chain: read genesis of %s: %w", cfg.Dir, err)
	}
	if a, ok := alloc[cfg.GasPayer]; !ok || a.Balance.Cmp(gasPayerBalance()) != 0 {
		return nil, fmt.Errorf("%w: in %s gas is paid by another account than %s; use another directory or the old key",
			ErrOtherChain, cfg.Dir, cfg.GasPayer)
	}
	return nil, nil
}

// newGenesis is a chain with every rule up to Prague from its first block.
func newGenesis(cfg Config) *core.Genesis {
	zero := func() *uint64 { return new(uint64) }
	alloc := core.SystemContractAllocs()
	alloc[cfg.GasPayer] = types.Account{Balance: gasPayerBalance()}
	return &core.Genesis{
		Config: &params.ChainConfig{
			ChainID:                 new(big.Int).SetUint64(cfg.ChainID),
			HomesteadBlock:          common.Big0,
			EIP150Block:             common.Big0,
			EIP155Block:             common.Big0,
			EIP158Block:             common.Big0,
			ByzantiumBlock:          common.Big0,
			ConstantinopleBlock:     common.Big0,
			PetersburgBlock:         common.Big0,
			IstanbulBlock:           common.Big0,
			MuirGlacierBlock:        common.Big0,
			BerlinBlock:             common.Big0,
			LondonBlock:             common.Big0,
			ArrowGlacierBlock:       common.Big0,
			GrayGlacierBlock:        common.Big0,
			TerminalTotalDifficulty: common.Big0,
			ShanghaiTime:            zero(),
			CancunTime:              zero(),
			PragueTime:              zero(),
			BlobScheduleConfig: &params.BlobScheduleConfig{
				Cancun: params.DefaultCancunBlobConfig,
				Prague: params.DefaultPragueBlobConfig,
			},
		},
		GasLimit: blockGasLimit,
		Alloc:    alloc,
	}
}
