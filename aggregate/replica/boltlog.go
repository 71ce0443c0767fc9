package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// boltLog is Raft's log and stable store in one bbolt file, for Windows, where raft-wal cannot fsync a directory. It is
// slower: every append is a transaction with two fsyncs. An entry is stored under its index, 8 bytes big-endian, as
//
//	+-----------+-----------+-------------------+-----------------+------------+------+
//	| term, 8 B | type, 1 B | appended at, 8 B  | ext length, 4 B | extensions | data |
//	+-----------+-----------+-------------------+-----------------+------------+------+
//
// with all integers big-endian and the time in nanoseconds since 1970, 0 for none.
type boltLog struct{ db *bbolt.DB }

var (
	bucketLog    = []byte("log")
	bucketStable = []byte("stable")
)

const entryHeader = 8 + 1 + 8 + 4

// openBolt opens or creates the file. The caller holds the directory's lock; the timeout is for a stranger.
func openBolt(dir string) (*boltLog, error) {
	path := filepath.Join(dir, "raft.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucketLog)
		if err == nil {
			_, err = tx.CreateBucketIfNotExists(bucketStable)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("initialise log %s: %w", path, err), db.Close())
	}
	return &boltLog{db: db}, nil
}

func (b *boltLog) close() error { return b.db.Close() }

func indexKey(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }

// edge returns the index of the first or last entry, 0 for none.
func (b *boltLog) edge(last bool) (index uint64, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		k, _ := c.First()
		if last {
			k, _ = c.Last()
		}
		if k != nil {
			index = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return index, err
}

func (b *boltLog) FirstIndex() (uint64, error) { return b.edge(false) }
func (b *boltLog) LastIndex() (uint64, error)  { return b.edge(true) }

// GetLog returns raft.ErrLogNotFound for an index that is not there.
func (b *boltLog) GetLog(index uint64, l *raft.Log) error {
	return b.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketLog).Get(indexKey(index))
		if v == nil {
			return raft.ErrLogNotFound
		}
		return decodeEntry(v, index, l)
	})
}

func (b *boltLog) StoreLog(l *raft.Log) error { return b.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores all or none.
func (b *boltLog) StoreLogs(logs []*raft.Log) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketLog)
		for _, l := range logs {
			if err := bucket.Put(indexKey(l.Index), encodeEntry(l)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteRange deletes the entries from min to max, both included.
func (b *boltLog) DeleteRange(min, max uint64) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketLog)
		c := bucket.Cursor()
		for k, _ := c.Seek(indexKey(min)); k != nil && binary.BigEndian.Uint64(k) <= max; k, _ = c.Seek(indexKey(min)) {
			if err := bucket.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *boltLog) Set(key, value []byte) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketStable).Put(key, value) })
}

// Get returns an empty value for a key that was never set, as raft-wal does.
func (b *boltLog) Get(key []byte) (value []byte, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		value = append(value, tx.Bucket(bucketStable).Get(key)...)
		return nil
	})
	return value, err
}

func (b *boltLog) SetUint64(key []byte, v uint64) error {
	return b.Set(key, binary.BigEndian.AppendUint64(nil, v))
}

// GetUint64 returns 0 for a key that was never set.
func (b *boltLog) GetUint64(key []byte) (uint64, error) {
	v, err := b.Get(key)
	switch {
	case err != nil || len(v) == 0:
		return 0, err
	case len(v) != 8:
		return 0, fmt.Errorf("raft.db: %q holds %d bytes, want 8", key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

func encodeEntry(l *raft.Log) []byte {
	b := make([]byte, 0, entryHeader+len(l.Extensions)+len(l.Data))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Type))
	at := int64(0)
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Extensions)))
	b = append(b, l.Extensions...)
	return append(b, l.Data...)
}

// decodeEntry copies: v is bbolt's memory.
func decodeEntry(v []byte, index uint64, l *raft.Log) error {
	if len(v) < entryHeader || uint64(len(v)-entryHeader) < uint64(binary.BigEndian.Uint32(v[17:])) {
		return fmt.Errorf("raft.db: entry %d is damaged", index)
	}
	ext := entryHeader + int(binary.BigEndian.Uint32(v[17:]))
	*l = raft.Log{Index: index, Term: binary.BigEndian.Uint64(v), Type: raft.LogType(v[8])}
	if at := int64(binary.BigEndian.Uint64(v[9:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	l.Extensions = append(l.Extensions, v[entryHeader:ext]...)
	l.Data = append(l.Data, v[ext:]...)
	return nil
}
