// Package ledger turns verified work into what accounts have earned. It is arithmetic only: no I/O, no clock, no hashing
// and no goroutine; every function is pure and may be called concurrently. Package ledger/chain hashes the payout tree
// and pays.
//
// # Units
//
//	token       what PayoutSpec counts in: Budget, EpochCap and PerMillion are whole tokens
//	base unit   10^-18 token, what protocol.Amount and the contracts count in
//	work        training tokens (text, not money) of contributions that were not refuted
//
// # What an epoch pays
//
// An epoch is EpochRounds rounds. Work earns PerMillion tokens per million training tokens, which is a whole number of
// base units:
//
//	earned_a = sum over a's work of  tokens * PerMillion * 10^18 / 10^6
//
// An epoch pays at most EpochCap, and all epochs together at most Budget. If the accounts earned E together and only
// P < E may be paid, every account gets the same share, rounded down:
//
//	P      = min(EpochCap * 10^18, Budget * 10^18 - paid so far)
//	paid_a = earned_a                      if E <= P
//	         floor(earned_a * P / E)       otherwise
//
// What rounding leaves, less than one base unit per account, stays in the budget. What the cap cuts off is not owed
// later: the cap is how a sponsor makes the budget last, and everybody's share of it falls as more peers work.
//
// # From epoch to claim
//
//	payouts, total, err := ledger.Settle(spec.Payout, previous, work)
//	leaves := ledger.Leaves(payouts, hasher)     // hasher: the contract's leaf, from ledger/chain
//
// Payouts are cumulative since the run began, so one claim at any time collects everything that is due, and an epoch
// that nobody claimed is not lost.
package ledger
