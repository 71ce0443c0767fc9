package aggregate

import (
	"fmt"
	"slices"

	"drystone/protocol"
)

// PromiseKind says what an aggregator has signed.
type PromiseKind uint8

// Kinds of promises. Their numbers are part of the journal's format.
const (
	PromiseStatement  PromiseKind = 1 // a cosignature under a statement; Number is its round
	PromiseReceipt    PromiseKind = 2 // a receipt for a commit; Number is its round
	PromiseCheckpoint PromiseKind = 3 // a note over the transparency log; Number is its size
	PromiseSettlement PromiseKind = 4 // payouts; Number is the epoch
	PromiseRotation   PromiseKind = 5 // of the contract's signers; Number is its sequence
)

// Promise is something that an aggregator is bound by once its signature has left the process: a second one that
// contradicts it is evidence against it, whoever crashed in between.
type Promise struct {
	_       struct{} `cbor:",toarray"`
	Kind    PromiseKind
	Number  uint64
	Digest  protocol.Digest   // of what is signed; the commit of a receipt
	Step    protocol.Kind     // of a statement; 0 for others
	Prev    protocol.Digest   // that a statement follows
	Commits []protocol.Digest // that a Freeze lists, ascending by peer; nil for others
}

// StatementPromise is the promise in a signature under a statement.
func StatementPromise(s *protocol.Statement) (Promise, error) {
	p := Promise{Kind: PromiseStatement, Number: uint64(s.Round), Digest: s.Digest(), Step: s.Kind, Prev: s.Prev}
	if s.Kind == protocol.KindFreeze {
		body, err := protocol.DecodeBody[protocol.Freeze](s)
		if err != nil {
			return p, err
		}
		for _, f := range body.Commits {
			p.Commits = append(p.Commits, f.Commit)
		}
	}
	return p, nil
}

// ReceiptPromise is the promise in a receipt for a commit.
func ReceiptPromise(round uint32, commit protocol.Digest) Promise {
	return Promise{Kind: PromiseReceipt, Number: uint64(round), Digest: commit}
}

// NumberedPromise is the promise in a signature under the one checkpoint, settlement or rotation that has this number.
func NumberedPromise(kind PromiseKind, number uint64, digest protocol.Digest) Promise {
	return Promise{Kind: kind, Number: number, Digest: digest}
}

// keepNumbered is how many checkpoints, settlements and rotations are remembered of each; older ones are not signed again.
const keepNumbered = 64

// Promises is what one aggregator has signed and is still asked about. The zero value is one that has signed nothing. It
// keeps no time and no disk: whoever uses it writes each promise down before its signature leaves.
type Promises struct {
	round uint32 // rounds before it are over
	all   []Promise
}

// Check returns nil for what may be signed, and whether it was before. A refusal is ErrDiffers for what contradicts a
// promise, and ErrLate for what is too old to tell.
func (p *Promises) Check(x Promise) (known bool, err error) {
	numbered := x.Kind != PromiseStatement && x.Kind != PromiseReceipt
	if !numbered && x.Number < uint64(p.round) {
		return false, refuse(ErrLate, "sign for round %d, which is over", x.Number)
	}
	for i := range p.all {
		old := &p.all[i]
		if same(old, &x) {
			return true, nil
		}
		if contradict(old, &x) || contradict(&x, old) {
			return false, refuse(ErrDiffers, "sign %s, having signed %s", x.what(), old.what())
		}
	}
	if least, full := p.least(x.Kind); numbered && full && x.Number < least {
		return false, refuse(ErrLate, "sign %s, too old to tell what was signed then", x.what())
	}
	return false, nil
}

// same reports whether two promises are one.
func same(a, b *Promise) bool {
	return a.Kind == b.Kind && a.Number == b.Number && a.Digest == b.Digest
}

// contradict reports whether b, another promise, breaks a, in this order.
func contradict(a, b *Promise) bool {
	switch {
	case a.Kind == PromiseStatement && b.Kind == PromiseStatement: // protocol.Statement.Rivals
		return a.Prev == b.Prev || a.Step == b.Step && a.Number == b.Number && a.Step != protocol.KindCouncil
	case a.Kind == PromiseReceipt && b.Kind == PromiseStatement:
		return b.Step == protocol.KindFreeze && a.Number == b.Number && !slices.Contains(b.Commits, a.Digest)
	case a.Kind == PromiseReceipt || b.Kind == PromiseReceipt:
		return false
	}
	return a.Kind == b.Kind && a.Number == b.Number
}

// least returns the least number among the promises of a kind, and whether there are as many as are kept.
func (p *Promises) least(kind PromiseKind) (least uint64, full bool) {
	n := 0
	for i := range p.all {
		if p.all[i].Kind == kind {
			if n == 0 || p.all[i].Number < least {
				least = p.all[i].Number
			}
			n++
		}
	}
	return least, n >= keepNumbered
}

// Note remembers a promise that Check allows.
func (p *Promises) Note(x Promise) { p.all = append(p.all, x) }

// Forget drops what nobody can ask any more when a round is certified: statements and receipts of rounds before it, and
// all but the last numbered promises of a kind. It returns how many promises are left.
func (p *Promises) Forget(certified uint32) int {
	p.round = max(p.round, certified)
	count := map[PromiseKind]int{}
	var kept []Promise
	for _, x := range slices.Backward(p.all) {
		count[x.Kind]++
		rounds := x.Kind == PromiseStatement || x.Kind == PromiseReceipt
		if rounds && x.Number >= uint64(p.round) || !rounds && count[x.Kind] <= keepNumbered {
			kept = append(kept, x)
		}
	}
	slices.Reverse(kept)
	p.all = kept
	return len(kept)
}

// Receipts returns the commits of a round that have a receipt.
func (p *Promises) Receipts(round uint32) (commits []protocol.Digest) {
	for i := range p.all {
		if x := &p.all[i]; x.Kind == PromiseReceipt && x.Number == uint64(round) {
			commits = append(commits, x.Digest)
		}
	}
	return commits
}

// All returns the promises, oldest first. The caller must not change them.
func (p *Promises) All() []Promise { return p.all }

// Encode returns the promise as it is written down.
func (x *Promise) Encode() ([]byte, error) { return protocol.Encode(x) }

// DecodePromise reads a promise of at most protocol.MaxMessage bytes.
func DecodePromise(b []byte) (x Promise, err error) {
	if err := protocol.Decode(b, protocol.MaxMessage, &x); err != nil {
		return x, fmt.Errorf("promise: %w", err)
	}
	if x.Kind < PromiseStatement || x.Kind > PromiseRotation {
		return x, fmt.Errorf("promise of kind %d: %w", x.Kind, protocol.ErrNotCanonical)
	}
	return x, nil
}

func (x *Promise) what() string {
	names := map[PromiseKind]string{PromiseReceipt: "a receipt in round", PromiseCheckpoint: "a checkpoint at size",
		PromiseSettlement: "a settlement of epoch", PromiseRotation: "a rotation with number"}
	if x.Kind == PromiseStatement {
		return fmt.Sprintf("%s %s of round %d", x.Step, x.Digest.Short(), x.Number)
	}
	return fmt.Sprintf("%s %d for %s", names[x.Kind], x.Number, x.Digest.Short())
}
