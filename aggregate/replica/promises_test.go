package replica

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

// An aggregator that was killed signs the same again and refuses what contradicts it, also when the last record was torn;
// the journal stays small.
func TestPromisesAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "promises")
	open := func(rounds uint32) *Promises {
		p, err := OpenPromises(path, rounds)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	commit := protocol.Hash("commit")
	freeze := func(root string, commits ...protocol.Frozen) aggregate.Promise {
		s := protocol.NewStatement(protocol.Digest{1}, 3, protocol.Digest{2}, protocol.Freeze{Root: protocol.Hash(root), Commits: commits})
		x, err := aggregate.StatementPromise(&s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	with := freeze("one", protocol.Frozen{Commit: commit})
	p := open(0)
	for _, x := range []aggregate.Promise{aggregate.ReceiptPromise(3, commit), aggregate.NumberedPromise(aggregate.PromiseCheckpoint, 7, commit)} {
		if err := p.Give(x); err != nil {
			t.Fatal(err)
		}
	}
	// Killed here, in the middle of another record.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.Write([]byte{0, 0, 0, 40, 1, 2})
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	p = open(0)
	if got := p.Receipts(3); len(got) != 1 || got[0] != commit {
		t.Errorf("receipts %v", got)
	}
	for name, c := range map[string]struct {
		x    aggregate.Promise
		want error
	}{
		"a Freeze without the commit": {freeze("other"), aggregate.ErrDiffers},
		"another checkpoint":          {aggregate.NumberedPromise(aggregate.PromiseCheckpoint, 7, protocol.Hash("fork")), aggregate.ErrDiffers},
		"the same receipt":            {aggregate.ReceiptPromise(3, commit), nil},
	} {
		if err := p.Give(c.x); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.Give(with); err != nil {
		t.Errorf("the Freeze that has the commit: %v", err)
	}
	p = open(0)
	if err := p.Give(freeze("other", protocol.Frozen{Commit: commit})); !errors.Is(err, aggregate.ErrDiffers) {
		t.Errorf("a second Freeze: %v", err)
	}
	var all sync.WaitGroup
	for r := range uint32(3 * compactPromises / 8) {
		for i := range byte(8) {
			all.Go(func() {
				if err := p.Give(aggregate.ReceiptPromise(r+4, protocol.Hash("many", []byte{i}))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		p.Certified(r + 4)
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 150*2*compactPromises {
		t.Errorf("the journal has %d bytes, %v", st.Size(), err)
	}
	p = open(3*compactPromises/8 + 4)
	if n := len(p.kept.All()); n > 16 {
		t.Errorf("%d promises kept", n)
	}
}

// A disk that fails gives no promise.
func TestPromisesNeedTheDisk(t *testing.T) {
	p, err := OpenPromises(filepath.Join(t.TempDir(), "promises"), 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := p.Give(aggregate.ReceiptPromise(1, protocol.Digest{1})); !errors.Is(err, ErrDisk) {
		t.Errorf("given: %v", err)
	}
}
