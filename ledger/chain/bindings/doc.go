// Package bindings holds the code and the Go bindings of the contracts in ../contracts.
//
// Everything in contracts.go is generated: solc (from npm, pinned) compiles the contracts and abigen writes the
// bindings. Only who changes a contract needs node; run
//
//	go generate ./ledger/chain/bindings
//
// and commit contracts.go with sources.sum, which a test compares with the contracts as they stand.
package bindings

//go:generate npm --prefix ../contracts ci --silent --no-audit --no-fund
//go:generate node ../contracts/compile.js ../contracts/node_modules/combined.json sources.sum
//go:generate go run github.com/ethereum/go-ethereum/cmd/abigen --v2 --combined-json ../contracts/node_modules/combined.json --pkg bindings --out contracts.go
