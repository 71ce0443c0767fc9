package verify

import (
	"testing"

	"pgregory.net/rapid"

	"drystone/protocol"
)

// Leaves of a longer log are accepted as they are, in pieces, and refused if one differs, is missing, or is out of place.
func TestCheckExtension(t *testing.T) {
	const n = 40
	whole := openTestLog(t, t.TempDir(), n)
	defer whole.Close()
	part := openTestLog(t, t.TempDir(), n/2)
	defer part.Close()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.IntRange(0, n/2).Draw(t, "first")
		last := rapid.IntRange(first+1, n).Draw(t, "last")
		size := rapid.IntRange(last, n).Draw(t, "size")
		root, err := whole.Root(uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		var proof []protocol.Digest
		if last < size {
			if proof, err = whole.Consistency(uint64(last), uint64(size)); err != nil {
				t.Fatal(err)
			}
		}
		var leaves [][]byte
		for i := first; i < last; i++ {
			leaves = append(leaves, testLeaf(i))
		}
		check := func(first int, leaves [][]byte) error {
			return part.CheckExtension(uint64(first), leaves, uint64(size), root, proof)
		}
		if err := check(first, leaves); err != nil {
			t.Fatalf("leaves %d to %d of %d: %v", first, last, size, err)
		}
		if check(first, leaves[:len(leaves)-1]) == nil {
			t.Fatal("accepted with one leaf too few")
		}
		if first > 0 && check(first-1, leaves) == nil {
			t.Fatal("accepted in another place")
		}
		i := rapid.IntRange(0, len(leaves)-1).Draw(t, "changed")
		leaves[i] = append([]byte("x"), leaves[i]...)
		if check(first, leaves) == nil {
			t.Fatal("accepted with a changed leaf")
		}
	})
	if err := part.CheckExtension(n, [][]byte{{1}}, n+1, protocol.Digest{}, nil); err == nil {
		t.Error("accepted behind a gap")
	}
}
