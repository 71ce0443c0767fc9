package replica

import (
	"errors"
	"fmt"
	"sync"

	"drystone/aggregate"
	"drystone/internal/durable"
	"drystone/protocol"
)

// compactPromises is how many superfluous records the journal may hold before it is written anew.
const compactPromises = 1024

// Promises are what a member has signed: each is in a journal, on the disk, before its signature leaves the process, so that
// a member that was killed signs the same again and nothing that contradicts it. It is safe for concurrent use.
type Promises struct {
	journal *durable.Journal

	mu      sync.Mutex // guards what follows, and that what is in memory is what the journal will hold
	kept    aggregate.Promises
	records int // in the journal
}

// OpenPromises opens or creates the journal, in a directory that the caller has locked. rounds is how many rounds are
// certified already. Close it.
func OpenPromises(path string, rounds uint32) (*Promises, error) {
	journal, records, err := durable.OpenJournal(path)
	if err != nil {
		return nil, err
	}
	p := &Promises{journal: journal, records: len(records)}
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

// Give returns nil once a promise is on the disk, an aggregate.Refusal if it contradicts another, and an error that wraps
// ErrDisk otherwise.
func (p *Promises) Give(x aggregate.Promise) error {
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
	case errors.Is(err, aggregate.ErrRefused):
		return err
	case err == nil && known:
		err = p.journal.Flush() // who gave it first may still be writing
	case err == nil:
		err = p.journal.Append(b)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return nil
}

// compact writes the journal anew when most of it is forgotten. The caller holds mu.
func (p *Promises) compact() error {
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

// Certified forgets what the end of a round makes useless.
func (p *Promises) Certified(round uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.Forget(round)
}

// Receipts returns the commits of a round that have a receipt.
func (p *Promises) Receipts(round uint32) []protocol.Digest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept.Receipts(round)
}

// Close releases the journal.
func (p *Promises) Close() error { return p.journal.Close() }
