package verify

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"drystone/protocol"
)

// CheckExtension checks leaves that somebody else holds before they are appended: that as numbers first, first+1 and so on
// they lead from this log's first leaves to the tree with the given size and root. proof is the holder's
// Consistency(first+len(leaves), size), and empty if that is the whole tree. first is at most Size.
func (l *Log) CheckExtension(first uint64, leaves [][]byte, size uint64, root protocol.Digest, proof []protocol.Digest) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.within(first); err != nil {
		return err
	}
	last := first + uint64(len(leaves))
	if len(leaves) == 0 || last > size || size > 1<<48 {
		return fmt.Errorf("%d leaves after the first %d of %d", len(leaves), first, size)
	}
	// The hashes on disk up to first, and behind them those that the leaves add.
	base := tlog.StoredHashCount(int64(first))
	var added []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if x >= base {
				out[i] = added[x-base]
				continue
			}
			h, err := l.readHashes([]int64{x})
			if err != nil {
				return nil, err
			}
			out[i] = h[0]
		}
		return out, nil
	})
	for i, leaf := range leaves {
		if len(leaf) == 0 || len(leaf) > MaxLeaf {
			return fmt.Errorf("log leaf %d has %d bytes, want 1 to %d", first+uint64(i), len(leaf), MaxLeaf)
		}
		hashes, err := tlog.StoredHashesForRecordHash(int64(first)+int64(i), tlog.RecordHash(leaf), read)
		if err != nil {
			return err
		}
		added = append(added, hashes...)
	}
	have, err := tlog.TreeHash(int64(last), read)
	if err != nil {
		return err
	}
	if last < size {
		return CheckConsistency(last, size, protocol.Digest(have), root, proof)
	}
	if protocol.Digest(have) != root {
		return fmt.Errorf("leaves %d to %d lead to root %s, want %s", first, last, protocol.Digest(have).Short(), root.Short())
	}
	return nil
}
