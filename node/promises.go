package node

import (
	"errors"
	"fmt"
	"sync"

	"drystone/aggregate"
	"drystone/aggregate/replica"
	"drystone/internal/durable"
	"drystone/protocol"
)

// compactPromises is how many superfluous records the journal may hold before it is written anew.
const compactPromises = 1024

// promises are what this aggregator has signed: each is in the journal, on the disk, before its signature leaves the
// process, so that one that was killed signs the same again and nothing that contradicts it. It is safe for concurrent use.
type promises struct {
	journal *durable.Journal

	mu      sync.Mutex // guards what follows, and that what is in memory is what the journal will hold
	kept    aggregate.Promises
	records int // in the journal
}

// openPromises reads the journal. rounds is how many rounds are certified already.
func openPromises(path string, rounds uint32) (*promises, error) {
	journal, records, err := durable.OpenJournal(path)
	if err != nil {
		return nil, err
	}
	p := &promises{journal: journal, records: len(records)}
	for i, b := range records {
		x, err := aggregate.DecodePromise(b)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: record %d: %w", path, i, err), journal.Close())
		}
		if known, err := p.kept.Check(x); err == nil && !known {
			p.kept.Note(x)
		}
	}
	if rounds > 0 {
		p.kept.Forget(rounds - 1)
	}
	return p, nil
}

// give returns nil once a promise is on the disk, an aggregate.Refusal if it contradicts another, and an error of the disk
// otherwise.
func (p *promises) give(x aggregate.Promise) error {
	b, err := x.Encode()
	if err != nil {
		return err
	}
	p.mu.Lock()
	known, err := p.kept.Check(x)
	if err == nil && !known {
		p.kept.Note(x)
		p.records++
		err = p.compact()
	}
	p.mu.Unlock()
	switch {
	case err != nil:
		return err
	case known:
		return p.journal.Flush() // who gave it first may still be writing
	}
	return p.journal.Append(b)
}

// compact writes the journal anew when most of it is forgotten. The caller holds mu.
func (p *promises) compact() error {
	all := p.kept.All()
	if p.records <= 2*len(all)+compactPromises {
		return nil
	}
	records := make([][]byte, len(all))
	for i := range all {
		var err error
		if records[i], err = all[i].Encode(); err != nil {
			return err
		}
	}
	p.records = len(records)
	return p.journal.Replace(records)
}

// certified forgets what the end of a round makes useless.
func (p *promises) certified(round uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.Forget(round)
}

// receipts returns the commits of a round that have a receipt.
func (p *promises) receipts(round uint32) []protocol.Digest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept.Receipts(round)
}

func (p *promises) close() error { return p.journal.Close() }

// promise is to be called before anything signed leaves. A disk that fails ends the aggregator, as Raft's does.
func (a *Aggregator) promise(x aggregate.Promise) error {
	err := a.promises.give(x)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, aggregate.ErrRefused):
		a.cfg.Log.Warn("not signed", "why", err)
	default:
		a.fail(fmt.Errorf("%w: %w", replica.ErrDisk, err))
	}
	return err
}

// promised cosigns a statement of the chain.
func (a *Aggregator) promised(s *protocol.Statement) (sig protocol.Cosignature, err error) {
	x, err := aggregate.StatementPromise(s)
	if err == nil {
		err = a.promise(x)
	}
	if err != nil {
		return sig, err
	}
	return a.cosign(s), nil
}
