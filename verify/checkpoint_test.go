package verify

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"drystone/protocol"
)

func testCouncil() (*protocol.Council, []protocol.Key) {
	c := &protocol.Council{Run: protocol.Hash("run"), Threshold: 2}
	ks := keys("aggregator", 3)
	for _, k := range ks {
		c.Members = append(c.Members, protocol.Aggregator{ID: k.ID()})
	}
	return c, ks
}

// The text is a C2SP tlog-checkpoint, and it survives signing, merging and opening.
func TestCheckpoint(t *testing.T) {
	c, ks := testCouncil()
	root := protocol.Hash("root")
	notes := [][]byte{}
	for _, k := range ks {
		notes = append(notes, must(SignCheckpoint(k, c.Run, 77, root))(t))
	}
	if want := Origin(c.Run) + "\n77\n"; !strings.HasPrefix(string(notes[0]), want) {
		t.Fatalf("%s", notes[0])
	}
	merged := must(MergeCheckpoints(c, notes[2], notes[0], notes[2]))(t)
	again := must(MergeCheckpoints(c, notes[0], notes[2]))(t)
	if !bytes.Equal(merged, again) {
		t.Fatal("the order of merging matters")
	}
	cp := must(OpenCheckpoint(merged, c))(t)
	if cp.Size != 77 || cp.Root != root || len(cp.Signers) != 2 || cp.Signers[0] != ks[0].ID() || cp.Signers[1] != ks[2].ID() {
		t.Fatalf("%+v", cp)
	}
	if _, err := OpenNote(merged, c.Run, ks[2].ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenNote(merged, c.Run, ks[1].ID()); !errors.Is(err, ErrCheckpoint) {
		t.Fatal(err)
	}
	for i := range notes[0] { // every byte is under the signature or in it
		bad := bytes.Clone(notes[0])
		bad[i] ^= 1
		if _, err := OpenCheckpoint(bad, c); !errors.Is(err, ErrCheckpoint) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
}

func TestCheckpointRefused(t *testing.T) {
	c, ks := testCouncil()
	good := must(SignCheckpoint(ks[0], c.Run, 5, protocol.Hash("root")))(t)
	stranger := must(SignCheckpoint(protocol.DeriveKey(1, "stranger"), c.Run, 5, protocol.Hash("root")))(t)
	otherRun := must(SignCheckpoint(ks[0], protocol.Hash("other"), 5, protocol.Hash("root")))(t)
	other := must(SignCheckpoint(ks[1], c.Run, 6, protocol.Hash("root")))(t)
	for name, err := range map[string]error{
		"stranger":      second(OpenCheckpoint(stranger, c)),
		"another run":   second(OpenCheckpoint(otherRun, c)),
		"empty":         second(OpenCheckpoint(nil, c)),
		"too long":      second(OpenCheckpoint(make([]byte, MaxCheckpoint+1), c)),
		"merge nothing": second(MergeCheckpoints(c)),
		"merge others":  second(MergeCheckpoints(c, good, other)),
		"merge strange": second(MergeCheckpoints(c, good, stranger)),
	} {
		if !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	root := "N0Y3L8zNHm2OBZvCNbYCj0MWpmWkyQAsFzZQzYb+FLQ="
	for _, text := range []string{"", "\n\n\n", Origin(c.Run) + "\n05\n" + root + "\n", Origin(c.Run) + "\n-5\n" + root + "\n",
		Origin(c.Run) + "\n5\n" + root[:40] + "\n", Origin(c.Run) + "\n5\n" + root + "\nmore\n", Origin(c.Run) + "\n5\n" + root} {
		if _, err := parseCheckpoint(text, c.Run); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Two roots at one size under one key convict their signer, and nothing else does.
func TestSplitView(t *testing.T) {
	c, ks := testCouncil()
	ids := []protocol.PeerID{ks[0].ID(), ks[1].ID(), ks[2].ID()}
	sign := func(k int, size uint64, root string) []byte {
		return must(SignCheckpoint(ks[k], c.Run, size, protocol.Hash(root)))(t)
	}
	a := must(MergeCheckpoints(c, sign(0, 9, "x"), sign(1, 9, "x")))(t)
	s, err := FindSplitView(c.Run, a, sign(1, 9, "y"), ids)
	if err != nil || s.Signer != ks[1].ID() || s.Verify() != nil {
		t.Fatalf("%+v, %v", s, err)
	}
	var again SplitView
	if err := protocol.Decode(must(protocol.Encode(s))(t), protocol.MaxMessage, &again); err != nil || again.Verify() != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"the same":       a,
		"another signer": sign(2, 9, "y"),
		"another size":   sign(1, 10, "y"),
		"junk":           []byte("junk"),
	} {
		if _, err := FindSplitView(c.Run, a, b, ids); !errors.Is(err, ErrNoSplit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	framed := *s
	framed.Signer = ks[0].ID()
	if err := framed.Verify(); !errors.Is(err, ErrNoSplit) {
		t.Error(err)
	}
	moved := *s
	moved.Run = protocol.Hash("other")
	if err := moved.Verify(); !errors.Is(err, ErrNoSplit) {
		t.Error(err)
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	c, ks := testCouncil()
	good, err := SignCheckpoint(ks[0], c.Run, 5, protocol.Hash("root"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(Origin(c.Run) + "\n5\n\n\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if _, err := checkpointSize(msg, c.Run); err == nil && len(msg) == 0 {
			t.Fatal("a size from nothing")
		}
		cp, err := OpenCheckpoint(msg, c)
		if err != nil {
			return
		}
		merged, err := MergeCheckpoints(c, msg)
		if err != nil {
			t.Fatal(err)
		}
		again, err := OpenCheckpoint(merged, c)
		if err != nil || again.Size != cp.Size || again.Root != cp.Root || len(again.Signers) != len(cp.Signers) {
			t.Fatalf("%+v became %+v: %v", cp, again, err)
		}
	})
}
