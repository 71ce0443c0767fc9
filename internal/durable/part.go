package durable

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"drystone/protocol"
)

// keptParts is how many unfinished blobs OpenStore keeps, the newest.
const keptParts = 8

// Part is the file of a blob that is not whole yet: frames, each behind its big-endian uint32 length, in the order in which
// they came. Who reads them checks them. Not for concurrent use. Close it.
type Part struct {
	f *os.File
}

func (s *Store) partPath(d protocol.Digest) string { return filepath.Join(s.dir, "parts", d.String()) }

// OpenPart opens the part of blob d, or makes an empty one.
func (s *Store) OpenPart(d protocol.Digest) (*Part, error) {
	path := s.partPath(d)
	if err := mkdir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("open part of blob: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open part of blob: %w", err)
	}
	return &Part{f: f}, nil
}

// RemovePart removes the part of blob d. To remove what is not there is no error.
func (s *Store) RemovePart(d protocol.Digest) error {
	if err := os.Remove(s.partPath(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove part of blob %s: %w", d, err)
	}
	return nil
}

// Frames calls yield with each frame, of at most max bytes, until it returns false. The frame is valid during the call. What
// follows the last whole frame, such as the beginning of one that a crash cut off, is removed, so that Append goes on there.
func (p *Part) Frames(max int, yield func(frame []byte) bool) error {
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read part: %w", err)
	}
	r := bufio.NewReaderSize(p.f, 64<<10)
	var end int64
	var buf []byte
	for {
		var head [4]byte
		_, err := io.ReadFull(r, head[:])
		n := int64(binary.BigEndian.Uint32(head[:]))
		if err == nil && n > int64(max) {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			buf = slices.Grow(buf[:0], int(n))[:n]
			_, err = io.ReadFull(r, buf)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if err := p.f.Truncate(end); err != nil {
				return fmt.Errorf("cut part: %w", err)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read part: %w", err)
		}
		end += 4 + n
		if !yield(buf) {
			return nil
		}
	}
}

// Append adds a frame. It does not wait for the disk: a crash may lose or cut frames, which their reader finds out.
func (p *Part) Append(frame []byte) error {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(frame)), uint32(len(frame)))
	if _, err := p.f.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("append to part: %w", err)
	}
	if _, err := p.f.Write(append(b, frame...)); err != nil {
		return stepError("append to", p.f.Name(), err)
	}
	return nil
}

// Close releases the file.
func (p *Part) Close() error { return p.f.Close() }

// prune removes all parts but the newest.
func (s *Store) prune() error {
	dir := filepath.Join(s.dir, "parts")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list parts of blobs: %w", err)
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range infos[min(keptParts, len(infos)):] {
		if err := os.Remove(filepath.Join(dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an old part of a blob: %w", err)
		}
	}
	return nil
}
