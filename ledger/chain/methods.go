package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

const sendMethod = "eth_sendRawTransaction"

// methodRule bounds one allowed method. maxParams keeps out optional parameters that make a call expensive or strange,
// such as the state overrides of eth_call.
type methodRule struct {
	maxParams int
	check     func(ctx context.Context, upstream *rpc.Client, params []json.RawMessage) error
}

// methods is all that an RPCHandler serves.
var methods = map[string]methodRule{
	"eth_chainId":               {maxParams: 0},
	"net_version":               {maxParams: 0},
	"web3_clientVersion":        {maxParams: 0},
	"eth_blockNumber":           {maxParams: 0},
	"eth_gasPrice":              {maxParams: 0},
	"eth_maxPriorityFeePerGas":  {maxParams: 0},
	"eth_syncing":               {maxParams: 0},
	"eth_feeHistory":            {maxParams: 3, check: checkFeeHistory},
	"eth_getBlockByNumber":      {maxParams: 2},
	"eth_getBlockByHash":        {maxParams: 2},
	"eth_getTransactionByHash":  {maxParams: 1},
	"eth_getTransactionReceipt": {maxParams: 1},
	"eth_getTransactionCount":   {maxParams: 2},
	"eth_getBalance":            {maxParams: 2},
	"eth_getCode":               {maxParams: 2},
	"eth_getStorageAt":          {maxParams: 3},
	"eth_call":                  {maxParams: 2},
	"eth_estimateGas":           {maxParams: 2},
	"eth_getLogs":               {maxParams: 1, check: checkLogs},
	sendMethod:                  {maxParams: 1},
}

// checkFeeHistory bounds the blocks and percentiles of eth_feeHistory.
func checkFeeHistory(_ context.Context, _ *rpc.Client, params []json.RawMessage) error {
	const maxBlocks, maxPercentiles = 128, 16
	if len(params) < 2 {
		return errors.New("eth_feeHistory needs a block count and a newest block")
	}
	var count hexutil.Uint64
	if err := json.Unmarshal(params[0], &count); err != nil {
		var plain uint64 // some clients send a number
		if err := json.Unmarshal(params[0], &plain); err != nil {
			return errors.New("eth_feeHistory: bad block count")
		}
		count = hexutil.Uint64(plain)
	}
	var percentiles []float64
	if len(params) == 3 {
		if err := json.Unmarshal(params[2], &percentiles); err != nil {
			return errors.New("eth_feeHistory: bad percentiles")
		}
	}
	if count > maxBlocks || len(percentiles) > maxPercentiles {
		return fmt.Errorf("eth_feeHistory: at most %d blocks and %d percentiles", maxBlocks, maxPercentiles)
	}
	return nil
}

// checkLogs lets eth_getLogs through for one block by hash, or for a bounded range of blocks, and always for named
// contracts only.
func checkLogs(ctx context.Context, upstream *rpc.Client, params []json.RawMessage) error {
	if len(params) != 1 {
		return errors.New("eth_getLogs needs one filter")
	}
	var filter struct {
		BlockHash *common.Hash     `json:"blockHash"`
		From      *rpc.BlockNumber `json:"fromBlock"`
		To        *rpc.BlockNumber `json:"toBlock"`
		Address   json.RawMessage  `json:"address"`
	}
	if err := json.Unmarshal(params[0], &filter); err != nil {
		return errors.New("eth_getLogs: bad filter")
	}
	if err := checkLogAddresses(filter.Address); err != nil {
		return err
	}
	if filter.BlockHash != nil {
		return nil
	}
	var head hexutil.Uint64
	if err := upstream.CallContext(ctx, &head, "eth_blockNumber"); err != nil {
		return errors.New("eth_getLogs: the chain's height is not known")
	}
	from, to := blockHeight(filter.From, uint64(head)), blockHeight(filter.To, uint64(head))
	if to > from && to-from >= MaxLogBlocks {
		return fmt.Errorf("eth_getLogs: %d blocks, the limit is %d", to-from+1, MaxLogBlocks)
	}
	return nil
}

func checkLogAddresses(raw json.RawMessage) error {
	const maxAddresses = 16
	var one common.Address
	if json.Unmarshal(raw, &one) == nil && one != (common.Address{}) {
		return nil
	}
	var list []common.Address
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 || len(list) > maxAddresses {
		return fmt.Errorf("eth_getLogs: name 1 to %d contract addresses", maxAddresses)
	}
	return nil
}

// blockHeight resolves a filter's bound. Tags below the head are counted as 0 or the head, whichever is cautious:
// "earliest" is 0, all others are near the head.
func blockHeight(n *rpc.BlockNumber, head uint64) uint64 {
	switch {
	case n == nil:
		return head
	case *n == rpc.EarliestBlockNumber:
		return 0
	case *n < 0:
		return head
	}
	return min(uint64(*n), head)
}
