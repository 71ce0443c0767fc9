package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
)

// Bounds of a journal, in bytes.
const (
	MaxJournalRecord = 1 << 20
	maxJournal       = 1 << 28
)

// Journal is a file to which records are added, each on the disk before Append returns. A record lies in it as
//
//	+----------------+--------------------------------+------+
//	| length, 4 B BE | CRC-32C of length and data, BE | data |
//	+----------------+--------------------------------+------+
//
// A crash during a write leaves a torn tail, which OpenJournal cuts off: nothing of it was acknowledged. After a write or
// fsync that failed the journal takes nothing more, since nobody knows what is on the disk. It is safe for concurrent use
// by one process; appends that come together share one fsync.
type Journal struct {
	path string
	sync func(*os.File) error // tests let it fail

	disk   sync.Mutex // held while a batch is written; guards f and failed
	f      *os.File
	failed error

	mu   sync.Mutex // guards next
	next *batch
}

// batch is what is written with one fsync.
type batch struct {
	data []byte
	done bool  // guarded by Journal.disk
	err  error // of the write, if done
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const journalHeader = 8

// OpenJournal opens or creates the file and returns the records in it, oldest first. The caller has locked the directory.
func OpenJournal(path string) (*Journal, [][]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		err = WriteFile(path, nil, 0o600)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	if len(data) > maxJournal {
		return nil, nil, fmt.Errorf("open journal %s: %d bytes, limit %d", path, len(data), maxJournal)
	}
	records, good := readJournal(data)
	j := &Journal{path: path, sync: (*os.File).Sync, next: &batch{}}
	if err := j.reopen(); err != nil {
		return nil, nil, err
	}
	if good < len(data) {
		if err := j.cut(int64(good)); err != nil {
			return nil, nil, errors.Join(err, j.f.Close())
		}
	}
	return j, records, nil
}

func (j *Journal) reopen() (err error) {
	if j.f, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	return nil
}

// cut removes a torn tail.
func (j *Journal) cut(size int64) error {
	err := j.f.Truncate(size)
	if err == nil {
		err = j.sync(j.f)
	}
	if err != nil {
		return stepError("cut the torn end of", j.path, err)
	}
	return nil
}

// readJournal returns the whole records from the beginning and how many bytes they take.
func readJournal(data []byte) (records [][]byte, good int) {
	for rest := data; len(rest) >= journalHeader; rest = data[good:] {
		n := binary.BigEndian.Uint32(rest)
		if n == 0 || n > MaxJournalRecord || int(n) > len(rest)-journalHeader {
			break
		}
		record := rest[journalHeader : journalHeader+n]
		if journalSum(record) != binary.BigEndian.Uint32(rest[4:]) {
			break
		}
		records = append(records, record)
		good += journalHeader + int(n)
	}
	return records, good
}

func journalSum(record []byte) uint32 {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(record)))
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, record)
}

func appendJournal(b, record []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(record)))
	b = binary.BigEndian.AppendUint32(b, journalSum(record))
	return append(b, record...)
}

// Append adds a record, of 1 to MaxJournalRecord bytes, and returns when it is on the disk, with whatever was added before.
func (j *Journal) Append(record []byte) error {
	if len(record) == 0 || len(record) > MaxJournalRecord {
		return fmt.Errorf("journal %s: record of %d bytes, limit %d", j.path, len(record), MaxJournalRecord)
	}
	j.mu.Lock()
	b := j.next
	b.data = appendJournal(b.data, record)
	j.mu.Unlock()
	return j.settle(b)
}

// Flush returns when all that was added before is on the disk.
func (j *Journal) Flush() error {
	j.mu.Lock()
	b := j.next
	j.mu.Unlock()
	return j.settle(b)
}

// settle has a batch written. Whoever comes first writes for all that have gathered meanwhile.
func (j *Journal) settle(b *batch) error {
	j.disk.Lock()
	defer j.disk.Unlock()
	if b.done {
		return b.err
	}
	j.mu.Lock()
	j.next = &batch{}
	j.mu.Unlock()
	b.done, b.err = true, j.write(b.data)
	return b.err
}

func (j *Journal) write(data []byte) error {
	if j.failed != nil || len(data) == 0 {
		return j.failed
	}
	if _, err := j.f.Write(data); err != nil {
		j.failed = stepError("write to", j.path, err)
	} else if err := j.sync(j.f); err != nil {
		j.failed = stepError("fsync", j.path, err)
	}
	return j.failed
}

// Replace puts these records in the place of all that are in the file, at once or not at all. What an Append under way adds
// may end before them or after them.
func (j *Journal) Replace(records [][]byte) error {
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.failed != nil {
		return j.failed
	}
	var data []byte
	for _, r := range records {
		data = appendJournal(data, r)
	}
	j.failed = errors.Join(WriteFile(j.path, data, 0o600), j.f.Close())
	if j.failed == nil {
		j.failed = j.reopen()
	}
	return j.failed
}

// Close releases the file.
func (j *Journal) Close() error {
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.failed == nil {
		j.failed = os.ErrClosed
	}
	return j.f.Close()
}
