package verify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"drystone/protocol"
)

func testLeaf(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 3+i%5) }

func openTestLog(t testing.TB, dir string, n int) *Log {
	t.Helper()
	l := must(OpenLog(dir))(t)
	for i := int(l.Size()); i < n; i++ {
		if err := l.Append(uint64(i), testLeaf(i)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// RFC 6962, sections 2.1.1 and 2.1.2: every root, path and consistency proof agrees with the tree computed from scratch.
func TestLogAgainstTree(t *testing.T) {
	const n = 40
	l := openTestLog(t, t.TempDir(), n)
	defer l.Close()
	hashes := []protocol.Digest{}
	for i := range n {
		hashes = append(hashes, protocol.LeafHash(testLeaf(i)))
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, n).Draw(t, "size")
		i := rapid.IntRange(0, size-1).Draw(t, "i")
		m := rapid.IntRange(1, size).Draw(t, "m")
		root, err := l.Root(uint64(size))
		if err != nil || root != protocol.RootOf(hashes[:size]) {
			t.Fatalf("root of %d: %s, %v", size, root, err)
		}
		path, err := l.Inclusion(uint64(i), uint64(size))
		if err != nil || path.Check(hashes[i], root) != nil {
			t.Fatalf("path of %d in %d: %v", i, size, err)
		}
		leaf, err := l.Leaf(uint64(i))
		if err != nil || !bytes.Equal(leaf, testLeaf(i)) {
			t.Fatalf("leaf %d: %x, %v", i, leaf, err)
		}
		if at, ok := l.Find(leaf); !ok || at != uint64(i) {
			t.Fatalf("leaf %d found at %d, %t", i, at, ok)
		}
		old := protocol.RootOf(hashes[:m])
		proof, err := l.Consistency(uint64(m), uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckConsistency(uint64(m), uint64(size), old, root, proof); err != nil {
			t.Fatal(err)
		}
		if CheckConsistency(uint64(m), uint64(size), protocol.Hash("other"), root, proof) == nil {
			t.Fatal("another old root accepted")
		}
	})
}

func TestLogAppend(t *testing.T) {
	l := openTestLog(t, t.TempDir(), 5)
	defer l.Close()
	for name, tt := range map[string]struct{ err, want error }{
		"same again":      {l.Append(2, testLeaf(2)), nil},
		"another leaf":    {l.Append(2, testLeaf(3)), ErrFork},
		"gap":             {l.Append(6, testLeaf(6)), ErrGap},
		"root too large":  {second(l.Root(6)), ErrGap},
		"leaf too far":    {second(l.Leaf(5)), ErrGap},
		"leaf at 2^64-1":  {second(l.Leaf(^uint64(0))), ErrGap},
		"path too far":    {second(l.Inclusion(5, 5)), ErrGap},
		"path beyond end": {second(l.Inclusion(0, 6)), ErrGap},
		"no such prefix":  {second(l.Consistency(1, 6)), ErrGap},
	} {
		if !errors.Is(tt.err, tt.want) || (tt.want == nil && tt.err != nil) {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
	for _, leaf := range [][]byte{nil, make([]byte, MaxLeaf+1)} {
		if l.Append(5, leaf) == nil {
			t.Errorf("leaf of %d bytes accepted", len(leaf))
		}
	}
	if l.Size() != 5 {
		t.Fatal(l.Size())
	}
	if root := must(l.Root(0))(t); root != protocol.RootOf(nil) {
		t.Fatal(root)
	}
}

func second[T any](_ T, err error) error { return err }

// Tiles serve every leaf hash (golang.org/x/mod/sumdb/tlog); a tile beyond the end or out of range is refused.
func TestLogTiles(t *testing.T) {
	l := openTestLog(t, t.TempDir(), 11)
	defer l.Close()
	for _, tile := range tlog.NewTiles(2, 0, 11) {
		data, err := l.Tile(tile)
		if err != nil || len(data) != tile.W*tlog.HashSize {
			t.Fatalf("%s: %d bytes, %v", tile.Path(), len(data), err)
		}
		if tile.L == 0 {
			for i := range tile.W {
				want := protocol.LeafHash(testLeaf(int(tile.N)<<2 + i))
				if got := data[i*tlog.HashSize:][:tlog.HashSize]; !bytes.Equal(got, want[:]) {
					t.Fatalf("%s: hash %d", tile.Path(), i)
				}
			}
		}
	}
	for _, tile := range []tlog.Tile{{H: 2, L: 0, N: 3, W: 4}, {H: 0, W: 1}, {H: 2, L: -1, W: 1}, {H: 30, L: 9, W: 1}, {H: 2, N: -1, W: 1}, {H: 2, W: 5}, {H: 8, L: 5, N: 1 << 40, W: 1}} {
		if _, err := l.Tile(tile); err == nil {
			t.Errorf("%+v served", tile)
		}
	}
}

// A crash can cut the last record anywhere, before its hashes were written: what was acknowledged before it survives,
// and the leaf can be appended again.
func TestLogTornLeaf(t *testing.T) {
	dir := t.TempDir()
	openTestLog(t, dir, 6).Close()
	before := readLog(t, dir)
	openTestLog(t, dir, 7).Close()
	after := readLog(t, dir)
	for cut := len(before.leaves); cut <= len(after.leaves); cut++ {
		for name, tail := range map[string][]byte{"short": nil, "zeros": make([]byte, len(after.leaves)-cut)} {
			d := t.TempDir()
			files{append(bytes.Clone(after.leaves[:cut]), tail...), before.hashes}.write(t, d)
			l, err := OpenLog(d)
			if err != nil {
				t.Fatalf("%s at %d of %d: %v", name, cut, len(after.leaves), err)
			}
			if l.Size() < 6 || must(l.Root(6))(t) != rootOf(6) {
				t.Fatalf("%s at %d: %d leaves", name, cut, l.Size())
			}
			l.Close()
			openTestLog(t, d, 9).Close()
			checkLog(t, d, 9)
		}
	}
}

// The hashes are made from the leaves again, wherever a crash cut them.
func TestLogTornHashes(t *testing.T) {
	dir := t.TempDir()
	openTestLog(t, dir, 8).Close()
	whole := readLog(t, dir)
	for cut := 0; cut <= len(whole.hashes); cut += 7 {
		for name, tail := range map[string][]byte{"short": nil, "zeros": make([]byte, len(whole.hashes)-cut)} {
			d := t.TempDir()
			files{whole.leaves, append(bytes.Clone(whole.hashes[:cut]), tail...)}.write(t, d)
			openTestLog(t, d, 10).Close()
			checkLog(t, d, 10)
			_ = name
		}
	}
}

// Damage that no crash explains is reported, not cut off: leaves that were acknowledged are never dropped in silence.
func TestLogDamage(t *testing.T) {
	dir := t.TempDir()
	openTestLog(t, dir, 6).Close()
	whole := readLog(t, dir)
	tests := map[string]files{
		"acknowledged leaf cut": {whole.leaves[:len(whole.leaves)-1], whole.hashes},
		"leaves gone":           {nil, whole.hashes},
	}
	for i := range whole.leaves {
		bad := bytes.Clone(whole.leaves)
		bad[i] ^= 0x10
		tests[fmt.Sprintf("byte %d", i)] = files{bad, whole.hashes}
	}
	for name, f := range tests {
		d := t.TempDir()
		f.write(t, d)
		l, err := OpenLog(d)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			l.Close()
		}
	}
}

// After a write that failed the log does not grow until it is opened again.
func TestLogFailedWrite(t *testing.T) {
	l := openTestLog(t, t.TempDir(), 3)
	l.Close()
	if err := l.Append(3, testLeaf(3)); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
}

// Readers see a whole tree at every size while the log grows.
func TestLogConcurrent(t *testing.T) {
	l := openTestLog(t, t.TempDir(), 1)
	defer l.Close()
	const n = 60
	errs := make(chan error, 1)
	go func() {
		for i := 1; i < n; i++ {
			if err := l.Append(uint64(i), testLeaf(i)); err != nil {
				errs <- err
				return
			}
		}
		errs <- nil
	}()
	for size := uint64(1); size < n; size = l.Size() {
		root, err := l.Root(size)
		if err != nil {
			t.Fatal(err)
		}
		path, err := l.Inclusion(size-1, size)
		if err != nil || path.Check(protocol.LeafHash(testLeaf(int(size-1))), root) != nil {
			t.Fatalf("leaf %d of %d: %v", size-1, size, err)
		}
		select {
		case err := <-errs:
			if err != nil || l.Size() != n {
				t.Fatalf("%d leaves, %v", l.Size(), err)
			}
			return
		default:
		}
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
}

type files struct{ leaves, hashes []byte }

func readLog(t *testing.T, dir string) files {
	t.Helper()
	return files{must(os.ReadFile(filepath.Join(dir, "leaves")))(t), must(os.ReadFile(filepath.Join(dir, "hashes")))(t)}
}

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	for name, data := range map[string][]byte{"leaves": f.leaves, "hashes": f.hashes} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func rootOf(n int) protocol.Digest {
	hashes := []protocol.Digest{}
	for i := range n {
		hashes = append(hashes, protocol.LeafHash(testLeaf(i)))
	}
	return protocol.RootOf(hashes)
}

func checkLog(t *testing.T, dir string, n int) {
	t.Helper()
	l := must(OpenLog(dir))(t)
	defer l.Close()
	if l.Size() != uint64(n) || must(l.Root(uint64(n)))(t) != rootOf(n) {
		t.Fatalf("%d leaves, want %d", l.Size(), n)
	}
	for i := range n {
		if !bytes.Equal(must(l.Leaf(uint64(i)))(t), testLeaf(i)) {
			t.Fatalf("leaf %d differs", i)
		}
	}
}

func FuzzOpenLog(f *testing.F) {
	dir := f.TempDir()
	openTestLog(f, dir, 3).Close()
	leaves, err := os.ReadFile(filepath.Join(dir, "leaves"))
	if err != nil {
		f.Fatal(err)
	}
	hashes, err := os.ReadFile(filepath.Join(dir, "hashes"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(leaves, hashes)
	f.Add(leaves[:len(leaves)-2], hashes[:64])
	f.Fuzz(func(t *testing.T, leaves, hashes []byte) {
		d := t.TempDir()
		files{leaves, hashes}.write(t, d)
		l, err := OpenLog(d)
		if err != nil {
			return
		}
		n := l.Size()
		root := must(l.Root(n))(t)
		if err := l.Append(n, []byte("next")); err != nil {
			t.Fatal(err)
		}
		l.Close()
		l = must(OpenLog(d))(t)
		defer l.Close()
		if l.Size() != n+1 || must(l.Root(n))(t) != root {
			t.Fatalf("%d leaves after one more than %d", l.Size(), n)
		}
	})
}
