package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"drystone/protocol"
)

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, data []byte) protocol.Digest {
	t.Helper()
	d, err := s.Put(data)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestStore(t *testing.T) {
	s := openStore(t)
	for _, size := range []int{0, 1, protocol.LeafSize, 3*protocol.LeafSize + 5} {
		data := bytes.Repeat([]byte{7}, size)
		d := put(t, s, data)
		if d != protocol.MerkleRoot(data) {
			t.Fatalf("digest %s", d)
		}
		got, err := s.Get(d, int64(size))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("get of %d bytes: %d bytes, %v", size, len(got), err)
		}
		if n, err := s.Size(d); err != nil || n != int64(size) || !s.Has(d) {
			t.Fatalf("size %d, %v, has %v", n, err, s.Has(d))
		}
		if size > 0 {
			if _, err := s.Get(d, int64(size)-1); !errors.Is(err, ErrTooLarge) {
				t.Fatalf("get over the limit: %v", err)
			}
		}
		if put(t, s, data) != d {
			t.Fatal("second put gives another digest")
		}
		if err := errors.Join(s.Delete(d), s.Delete(d)); err != nil || s.Has(d) {
			t.Fatalf("delete: %v, has %v", err, s.Has(d))
		}
	}
}

func TestStoreNotFound(t *testing.T) {
	s := openStore(t)
	d := protocol.Hash("test")
	_, getErr := s.Get(d, 10)
	_, sizeErr := s.Size(d)
	_, openErr := s.Open(d)
	_, readErr := s.ReadAt(d, make([]byte, 1), 0)
	for _, err := range []error{getErr, sizeErr, openErr, readErr} {
		if !errors.Is(err, ErrNotFound) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), d.String()) {
			t.Errorf("error %v", err)
		}
	}
}

// Any damage to a blob's file is noticed, named, and repaired by Put.
func TestStoreCorruption(t *testing.T) {
	s := openStore(t)
	data := bytes.Repeat([]byte("stone"), 10000)
	d := put(t, s, data)
	path := s.path(d)
	rapid.Check(t, func(rt *rapid.T) {
		bad := bytes.Clone(data)
		switch rapid.SampledFrom([]string{"flip", "cut", "grow"}).Draw(rt, "damage") {
		case "flip":
			bad[rapid.IntRange(0, len(bad)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case "cut":
			bad = bad[:rapid.IntRange(0, len(bad)-1).Draw(rt, "size")]
		case "grow":
			bad = append(bad, 0)
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			rt.Fatal(err)
		}
		if _, err := s.Get(d, 1<<20); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
			rt.Fatalf("get of a damaged blob: %v", err)
		}
		if _, err := s.Put(data); err != nil {
			rt.Fatal(err)
		}
		if got, err := s.Get(d, 1<<20); err != nil || !bytes.Equal(got, data) {
			rt.Fatalf("after repair: %v", err)
		}
	})
}

func TestStoreRanges(t *testing.T) {
	s := openStore(t)
	data := make([]byte, 100000)
	for i := range data {
		data[i] = byte(i * i)
	}
	d := put(t, s, data)
	b, err := s.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.IntRange(0, len(data)-1).Draw(t, "off")
		n := rapid.IntRange(1, len(data)-off).Draw(t, "n")
		one, two := make([]byte, n), make([]byte, n)
		if _, err := b.ReadAt(one, int64(off)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadAt(d, two, int64(off)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, data[off:off+n]) || !bytes.Equal(two, one) {
			t.Fatalf("range %d+%d differs", off, n)
		}
	})
	if b.Size() != int64(len(data)) {
		t.Fatalf("size %d", b.Size())
	}
}

func TestOpenStoreSweeps(t *testing.T) {
	s := openStore(t)
	d := put(t, s, []byte("kept"))
	litter := filepath.Join(filepath.Dir(s.path(d)), tmpPrefix+"left-over")
	if err := os.WriteFile(litter, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(s.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(litter); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("temporary file: %v", err)
	}
	if !s.Has(d) {
		t.Fatal("a blob was swept")
	}
}
