package protocol

import (
	"errors"
	"slices"
	"testing"
)

// docs/protocol.md, "Encoding": the updates of the way down are left out where there are none, and refused if there all the same.
func TestUpdatesLeftOut(t *testing.T) {
	run, id := Hash("run"), DeriveKey(1, "a").ID()
	update := UpdateOf([]byte{1, 2, 3})
	cert := cat(0x58, 32, run[:], 0x58, 32, run[:], 0x80)
	one := cat(0x82, 0x58, 32, update.Root[:], 3)
	if got := mustEncode(Certificate{Model: run, Outer: run}); !slices.Equal(got, cat(0x83, cert)) {
		t.Errorf("certificate: %x", got)
	}
	if got := mustEncode(Certificate{Model: run, Outer: run, Updates: []ShardUpdate{update}}); !slices.Equal(got, cat(0x84, cert, 0x81, one)) {
		t.Errorf("certificate with an update: %x", got)
	}
	shard := cat(0x58, 32, run[:], 0x58, 32, run[:], 1, 0x58, 32, run[:], 0x58, 32, run[:], 0x58, 32, run[:], 0xf5, 0x58, 33, id[:])
	s := ShardCertificate{Run: run, RevealSet: run, Shard: 1, Merge: run, Model: run, Outer: run, Finite: true, Aggregator: id}
	if got := mustEncode(s); !slices.Equal(got, cat(0x88, shard)) {
		t.Errorf("shard certificate: %x", got)
	}
	if s.Update = update; !slices.Equal(mustEncode(s), cat(0x89, shard, one)) {
		t.Errorf("shard certificate with an update: %x", mustEncode(s))
	}
	none := cat(0x82, 0x58, 32, make([]byte, 32), 0)
	for name, data := range map[string][]byte{
		"no updates": cat(0x84, cert, 0x80), "null": cat(0x84, cert, 0xf6), "one more": cat(0x85, cert, 0x81, one, 0),
		"no size": cat(0x84, cert, 0x81, 0x81, 0x58, 32, update.Root[:]), "size not shortest": cat(0x84, cert, 0x81, 0x82, 0x58, 32, update.Root[:], 0x18, 3),
		"size too large": cat(0x84, cert, 0x81, 0x82, 0x58, 32, update.Root[:], 0x1b, 0, 0, 0, 1, 0, 0, 0, 0),
	} {
		if err := Decode(data, MaxMessage, new(Certificate)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("certificate, %s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{
		"zero update": cat(0x89, shard, none), "null": cat(0x89, shard, 0xf6), "one more": cat(0x8a, shard, one, 0), "one less": cat(0x87, shard[:len(shard)-35]),
	} {
		if err := Decode(data, MaxMessage, new(ShardCertificate)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("shard certificate, %s: %v", name, err)
		}
	}
}

// A Certificate lists one update for each shard where the run has a way down, none otherwise, and no larger than payloads get.
func TestCheckUpdates(t *testing.T) {
	down := CodecSpec{Up: "dense", ShardParams: 4096, Down: "rice", DownTopK: 64, DownValueBits: 2}
	d := down.Downward()
	bound := uint32(d.PayloadBound())
	root := Hash("payload")
	for _, tt := range []struct {
		name    string
		spec    CodecSpec
		updates []ShardUpdate
		ok      bool
	}{
		{"one each", down, []ShardUpdate{{Root: root, Size: 1}, {Root: root, Size: bound}}, true},
		{"nothing changes", down, down.NoUpdates(5000), true},
		{"one is missing", down, []ShardUpdate{{Root: root, Size: 1}}, false},
		{"all are missing", down, nil, false},
		{"too large", down, []ShardUpdate{{Root: root, Size: bound + 1}, {}}, false},
		{"no root", down, []ShardUpdate{{Size: 1}, {}}, false},
		{"no bytes", down, []ShardUpdate{{Root: root}, {}}, false},
		{"whole states", CodecSpec{Up: "dense", ShardParams: 4096}, nil, true},
		{"whole states and an update", CodecSpec{Up: "dense", ShardParams: 4096}, []ShardUpdate{{}, {}}, false},
	} {
		c := Certificate{Updates: tt.updates}
		if err := c.CheckUpdates(&tt.spec, 5000); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// docs/protocol.md, "The way down": where a shard's part of the outer state lies.
func TestOuterShard(t *testing.T) {
	for _, tt := range []struct {
		outer OuterSpec
		down  string
		width int
	}{
		{OuterSpec{Optimiser: "sgd"}, "", 0}, {OuterSpec{Optimiser: "nesterov"}, "", 1},
		{OuterSpec{Optimiser: "sgd"}, "rice", 1}, {OuterSpec{Optimiser: "nesterov"}, "rice", 2}, {OuterSpec{Optimiser: "fedyogi"}, "int8", 3},
	} {
		s := RunSpec{Outer: tt.outer, Codec: CodecSpec{ShardParams: 4096, Down: tt.down}}
		if lo, hi := s.OuterShard(5000, 1); lo != 4096*tt.width || hi != 5000*tt.width || s.OuterState(5000) != hi {
			t.Errorf("%s, down %q: %d to %d of %d", tt.outer.Optimiser, tt.down, lo, hi, s.OuterState(5000))
		}
	}
}
