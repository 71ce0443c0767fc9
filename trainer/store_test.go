package trainer

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"drystone/protocol"
)

func openStore(t *testing.T, b *bench, dir string) *ContributionStore {
	t.Helper()
	s, err := OpenContributions(dir, b.spec, b.run, 2)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a store gives back after the process is gone equals what was made, with or without a store.
func TestStoreSurvives(t *testing.T) {
	for _, up := range []string{"sparse", "dense"} {
		for _, kind := range []string{"segment", "prefix"} {
			t.Run(up+"/"+kind, func(t *testing.T) {
				b := newBench(t, 1, func(s *protocol.RunSpec) {
					s.Verify.Kind = kind
					if up == "dense" {
						s.Codec = protocol.CodecSpec{Up: "dense", ShardParams: 4096}
					}
				})
				dir := filepath.Join(t.TempDir(), "contributions")
				opt := b.options(0)
				inMemory := b.train(t, b.assignment(0, 7), opt)
				opt.Store = openStore(t, b, dir)
				made := b.train(t, b.assignment(0, 7), opt)

				again := openStore(t, b, dir)
				back, err := again.Latest()
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range []*Contribution{made, back} {
					if c.Root() != inMemory.Root() || !reflect.DeepEqual(c.Payloads, inMemory.Payloads) || !slices.Equal(c.Salts, inMemory.Salts) ||
						!slices.Equal(c.After, inMemory.After) || !slices.Equal(c.Losses, inMemory.Losses) || c.Tokens() != inMemory.Tokens() || c.Peer != inMemory.Peer {
						t.Fatal("contribution differs")
					}
				}
				if !reflect.DeepEqual(checkStructure(t, b, back), checkStructure(t, b, inMemory)) {
					t.Fatal("openings differ")
				}
				// The next round continues from disk.
				opt = b.options(1)
				opt.Feedback, opt.Store = back.After, again
				next := b.train(t, b.assignment(1, 8), opt)
				if next.Start.Feedback != back.End.Feedback {
					t.Fatal("feedback does not continue")
				}
				checkStructure(t, b, next)
			})
		}
	}
}

func TestStorePrunes(t *testing.T) {
	b := newBench(t, 1, nil)
	dir := t.TempDir()
	s := openStore(t, b, dir)
	if _, err := s.Latest(); !errors.Is(err, ErrNoContribution) {
		t.Fatal(err)
	}
	for round := range uint32(4) {
		opt := b.options(round)
		opt.Store = s
		b.train(t, b.assignment(round, 2), opt)
	}
	if rounds, err := s.Rounds(); err != nil || !slices.Equal(rounds, []uint32{2, 3}) {
		t.Fatalf("rounds %v (%v), want 2 and 3", rounds, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "r00000002.") && !strings.HasPrefix(e.Name(), "r00000003.") {
			t.Errorf("%s is left over", e.Name())
		}
	}
}

// A process killed midway leaves no contribution, and the round can be trained again.
func TestStoreHalfWritten(t *testing.T) {
	b := newBench(t, 1, nil)
	dir := t.TempDir()
	s := openStore(t, b, dir)
	opt := b.options(0)
	opt.Store = s
	whole := b.train(t, b.assignment(0, 8), opt)
	if err := os.Remove(filepath.Join(dir, "r00000000.contribution")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".tmp-r00000000.m-001-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, b, dir)
	if _, err := s.Load(0); !errors.Is(err, ErrNoContribution) {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".tmp-r00000000.m-001-123")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("temporary file stays: %v", err)
	}
	opt.Store = s
	if again := b.train(t, b.assignment(0, 8), opt); again.Root() != whole.Root() {
		t.Fatal("trained again, the contribution differs")
	}
}

func TestStoreNoticesDamage(t *testing.T) {
	b := newBench(t, 1, nil)
	for _, name := range []string{"contribution", "payload-000", "after"} {
		dir := t.TempDir()
		s := openStore(t, b, dir)
		opt := b.options(0)
		opt.Store = s
		b.train(t, b.assignment(0, 2), opt)
		path := filepath.Join(dir, "r00000000."+name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(0); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "r00000000.") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.WriteFile(path, data[:len(data)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s cut short: %v", name, err)
		}
	}
	other, err := OpenContributions(t.TempDir(), b.spec, protocol.Hash("other"), 2)
	if err != nil {
		t.Fatal(err)
	}
	opt := b.options(0)
	opt.Store = other
	if _, err := b.Train(ctx, b.assignment(0, 2), b.theta, opt); !errors.Is(err, ErrAssignment) {
		t.Errorf("store of another run: %v", err)
	}
}

// FuzzRecord checks that no record on disk makes Load panic.
func FuzzRecord(f *testing.F) {
	spec := testSpec(nil)
	run, err := spec.ID()
	if err != nil {
		f.Fatal(err)
	}
	good, err := protocol.Encode(record{Run: run, Steps: 2, States: make([]protocol.TraceState, 1), Losses: make([]byte, 8), Salts: make([]byte, 32)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, "r00000000.contribution"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenContributions(dir, spec, run, 1)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := s.Load(0); err == nil {
			t.Fatalf("loaded without payloads: %+v", c)
		}
	})
}
