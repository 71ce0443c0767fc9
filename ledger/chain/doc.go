// Package chain is where a run's money lives: the contracts that hold and pay it, an embedded EVM chain to put them on,
// and a client that works over any JSON-RPC connection.
//
// # Use
//
// Open starts the embedded chain in a directory. NewClient works over any *rpc.Client: Chain.RPC for the embedded
// chain, rpc.Dial for an endpoint elsewhere, DialFunc for a chain reached through a peer.
//
//	c, err := chain.Open(ctx, chain.Config{Dir: dir, ChainID: 7, GasPayer: addr})
//	client := chain.NewClient(c.RPC())
//	d, err := client.Deploy(ctx, sponsorKey, params)      // token, distributor, escrow; budget paid in
//	err = client.Verify(ctx, d, params)                   // anyone: is it the code and are these the terms?
//	digest := chain.SettlementDigest(d.ChainID, d.Distributor, statement)
//	sig, err := chain.Sign(digest, aggregatorKey)         // t of n do this
//	receipt, err := client.Settle(ctx, anyKey, d, statement, sigs)
//	receipt, err = client.Claim(ctx, relayKey, d, claim)  // pays claim.Account, whoever relays
//
// # Contracts
//
//	sponsor --budget--> RunEscrow --epoch's increase, at most the cap--> Distributor --claims--> accounts
//	   ^                    |                                               ^
//	   +---unspent rest-----+                 Settlement: t-of-n EIP-712 statements
//
// The Distributor creates its escrow in its constructor. The rest goes back to the sponsor when t of n signers declare
// the run finished, or when nothing was settled for the idle timeout. Signers are trusted with the budget up to the cap
// per epoch, and with nothing else: they cannot touch what was already released to others.
//
// # Payout tree
//
//	leaf = keccak256(keccak256(abi.encode(
//	         uint256 chainId | address distributor | bytes32 runId | address token | address account | uint256 cumulative)))
//
// Six words of 32 bytes. Leaves are sorted ascending by hash; a parent is the keccak256 of its two children, smaller first;
// an odd node moves up unchanged. This is what OpenZeppelin's MerkleProof verifies. Amounts are cumulative since the
// run began, so a missed claim is made good by the next one.
//
// # Statement
//
//	domain  EIP712Domain(name "Drystone Settlement", version "1", chainId, verifyingContract = distributor)
//	settle  Settlement(bytes32 runId,uint64 epoch,bytes32 logRoot,bytes32 payoutRoot,uint256 cumulativeTotal)
//	rotate  Rotation(bytes32 runId,uint64 sequence,address[] signers,uint256 threshold)
//	finish  Finish(bytes32 runId,uint64 lastEpoch)
//
// A signature is 65 bytes r|s|v, low s, v of 27 or 28; signatures go to the contract ordered by signer address.
//
// # Embedded chain
//
// One process hosts the chain, so whoever reads it trusts that process for order and liveness; signatures and the log
// are what hold it to account. What it acknowledges is on disk: a call that sends a transaction returns after the block
// with it was written through, and many senders share one block. Transactions that were not acknowledged die with the
// process. The library underneath ends the process when it cannot write its database (a full disk, say), rather than
// return an error.
//
// Goroutines: one sealer per Chain (Open starts it, Close stops it), one accept loop when Config.HTTPAddr is set (the
// same), and the library's own, which Close ends.
package chain
