package verify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"drystone/protocol"
)

// recordHead is the bytes before a leaf in the leaves file: its length and its hash.
const recordHead = 4 + tlog.HashSize

var errTorn = errors.New("record is incomplete")

// grow appends one record: the leaf reaches the disk before the hashes are written, which can be computed again.
func (l *Log) grow(leaf []byte) error {
	n := int64(len(l.ends))
	hashes, err := tlog.StoredHashes(n, leaf, tlog.HashReaderFunc(l.readHashes))
	if err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	at := l.end()
	rec := binary.BigEndian.AppendUint32(make([]byte, 0, recordHead+len(leaf)), uint32(len(leaf)))
	rec = append(append(rec, hashes[0][:]...), leaf...)
	if _, err := l.leaves.WriteAt(rec, at); err != nil {
		return fmt.Errorf("write leaf: %w", err)
	}
	if err := l.leaves.Sync(); err != nil {
		return fmt.Errorf("sync leaves: %w", err)
	}
	if err := l.writeHashes(n, hashes); err != nil {
		return err
	}
	l.note(hashes[0], at+int64(len(rec)))
	return nil
}

func (l *Log) end() int64 {
	if len(l.ends) == 0 {
		return 0
	}
	return l.ends[len(l.ends)-1]
}

func (l *Log) note(leaf tlog.Hash, end int64) {
	if _, ok := l.places[protocol.Digest(leaf)]; !ok {
		l.places[protocol.Digest(leaf)] = uint64(len(l.ends))
	}
	l.ends = append(l.ends, end)
}

func (l *Log) writeHashes(n int64, hashes []tlog.Hash) error {
	var b []byte
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	if _, err := l.hashes.WriteAt(b, tlog.StoredHashIndex(0, n)*tlog.HashSize); err != nil {
		return fmt.Errorf("write hashes: %w", err)
	}
	return nil
}

// readHashes implements tlog.HashReader. The caller holds mu.
func (l *Log) readHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if _, err := l.hashes.ReadAt(out[i][:], x*tlog.HashSize); err != nil {
			return nil, fmt.Errorf("read hash %d: %w", x, err)
		}
	}
	return out, nil
}

// readLeaf reads record i and checks it. The caller holds mu.
func (l *Log) readLeaf(i int) ([]byte, error) {
	var from int64
	if i > 0 {
		from = l.ends[i-1]
	}
	leaf, _, _, err := l.record(from, l.ends[i])
	if err != nil {
		return nil, fmt.Errorf("leaf %d: %w: %w", i, ErrCorrupt, err)
	}
	return leaf, nil
}

// record reads the record at offset from in a file of the given length. errTorn means that the file ends within it.
func (l *Log) record(from, length int64) (leaf []byte, hash tlog.Hash, end int64, err error) {
	var head [recordHead]byte
	if length-from < recordHead {
		return nil, hash, 0, errTorn
	}
	if _, err := l.leaves.ReadAt(head[:], from); err != nil {
		return nil, hash, 0, fmt.Errorf("read leaf: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n < 1 || n > MaxLeaf {
		return nil, hash, 0, fmt.Errorf("record at byte %d claims %d bytes, want 1 to %d", from, n, MaxLeaf)
	}
	end = from + recordHead + n
	if end > length {
		return nil, hash, 0, errTorn
	}
	leaf = make([]byte, n)
	if _, err := l.leaves.ReadAt(leaf, from+recordHead); err != nil {
		return nil, hash, 0, fmt.Errorf("read leaf: %w", err)
	}
	copy(hash[:], head[4:])
	if tlog.RecordHash(leaf) != hash {
		return nil, hash, end, fmt.Errorf("record at byte %d does not match its hash", from)
	}
	return leaf, hash, end, nil
}

// recover reads every record, cuts off what a crash left of the last one, and repairs the hashes from the leaves.
func (l *Log) recover() error {
	length, err := l.leaves.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("leaves: %w", err)
	}
	written, err := l.hashes.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("hashes: %w", err)
	}
	for l.end() < length {
		leaf, hash, end, err := l.record(l.end(), length)
		if err != nil {
			return l.cut(length, written, end, err)
		}
		n := int64(len(l.ends))
		hashes, err := tlog.StoredHashes(n, leaf, tlog.HashReaderFunc(l.readHashes))
		if err != nil {
			return fmt.Errorf("hashes: %w", err)
		}
		if err := l.repairHashes(n, hashes, written); err != nil {
			return err
		}
		l.note(hash, end)
	}
	return l.cutHashes(length, written)
}

// repairHashes compares what the hashes file holds for leaf n with what it must hold, and writes it if the file is
// short of it.
func (l *Log) repairHashes(n int64, want []tlog.Hash, written int64) error {
	if have := tlog.StoredHashCount(n+1) * tlog.HashSize; have > written {
		return l.writeHashes(n, want)
	}
	var buf [tlog.HashSize]byte
	for i, h := range want {
		if _, err := l.hashes.ReadAt(buf[:], (tlog.StoredHashIndex(0, n)+int64(i))*tlog.HashSize); err != nil {
			return fmt.Errorf("read hashes: %w", err)
		}
		if buf != h {
			return l.writeHashes(n, want)
		}
	}
	return nil
}

// cut drops an incomplete last record. It is incomplete if the file ends within it, or ends with it and its bytes never
// all arrived, or is zero to its end; and if no hash of it was written, which happens only once it is on the disk.
func (l *Log) cut(length, written, end int64, cause error) error {
	n := int64(len(l.ends))
	if written >= (tlog.StoredHashIndex(0, n)+1)*tlog.HashSize {
		return fmt.Errorf("%w: leaf %d was written and is not whole: %w; remove the log and copy it from another aggregator", ErrCorrupt, n, cause)
	}
	if !errors.Is(cause, errTorn) && end != length {
		zero, err := l.zeroFrom(l.end(), length)
		if err != nil {
			return err
		}
		if !zero {
			return fmt.Errorf("%w: leaf %d: %w; remove the log and copy it from another aggregator", ErrCorrupt, n, cause)
		}
	}
	return l.cutHashes(length, written)
}

func (l *Log) zeroFrom(from, to int64) (bool, error) {
	rest, err := io.ReadAll(io.NewSectionReader(l.leaves, from, min(to-from, 2*MaxLeaf)))
	if err != nil {
		return false, fmt.Errorf("read leaves: %w", err)
	}
	return len(bytes.Trim(rest, "\x00")) == 0, nil
}

// cutHashes makes both files exactly as long as the records that were accepted.
func (l *Log) cutHashes(length, written int64) error {
	n := int64(len(l.ends))
	if written >= (tlog.StoredHashIndex(0, n)+1)*tlog.HashSize {
		return fmt.Errorf("%w: leaf %d was written and is gone; remove the log and copy it from another aggregator", ErrCorrupt, n)
	}
	if length > l.end() {
		if err := l.leaves.Truncate(l.end()); err != nil {
			return fmt.Errorf("cut torn leaf: %w", err)
		}
	}
	if have := tlog.StoredHashCount(n) * tlog.HashSize; written > have {
		if err := l.hashes.Truncate(have); err != nil {
			return fmt.Errorf("cut torn hash: %w", err)
		}
	}
	return nil
}
