package protocol

import (
	"errors"
	"testing"
)

// A reveal proves itself against the commit and the frozen root alone; every part of it that is changed breaks that.
func TestRevealCheck(t *testing.T) {
	w := newWorld(t)
	root := RootOf(w.frozen)
	commit := w.commit.Body
	for shard := range w.payloads {
		if err := w.reveal(shard).Check(w.spec, testParams, nil, &commit, root); err != nil {
			t.Errorf("shard %d: %v", shard, err)
		}
	}
	for name, tt := range map[string]struct {
		change func(r *Reveal)
		path   bool // the error is ErrBadPath
	}{
		"run":                  {func(r *Reveal) { r.Run = Hash("other") }, false},
		"round":                {func(r *Reveal) { r.Round++ }, false},
		"peer":                 {func(r *Reveal) { r.Peer = w.peers[1].ID() }, false},
		"shard beyond":         {func(r *Reveal) { r.Shard = 3 }, false},
		"shard far beyond":     {func(r *Reveal) { r.Shard = 1<<32 - 1 }, false},
		"another shard":        {func(r *Reveal) { r.Shard = 2 }, true},
		"another shard's path": {func(r *Reveal) { r.Shard, r.ShardPath = 2, PathTo(w.shards, 2) }, true},
		"shards of the path":   {func(r *Reveal) { r.ShardPath.Size = 4 }, true},
		"payload":              {func(r *Reveal) { r.Payload = append([]byte{0}, r.Payload...) }, true},
		"payload of another":   {func(r *Reveal) { r.Payload = w.payloads[0] }, true},
		"salt":                 {func(r *Reveal) { r.Salt[0] ^= 1 }, true},
		"start":                {func(r *Reveal) { r.Start.Feedback = Hash("x") }, true},
		"start path index":     {func(r *Reveal) { r.StartPath = PathTo(w.trace, 1) }, true},
		"start path size":      {func(r *Reveal) { r.StartPath.Size++ }, true},
		"end":                  {func(r *Reveal) { r.End.Feedback = Hash("x") }, true},
		"end, payload root":    {func(r *Reveal) { r.End.Payload = Hash("x") }, true},
		"end path index":       {func(r *Reveal) { r.EndPath = PathTo(w.trace, 3) }, true},
		"end path size":        {func(r *Reveal) { r.EndPath.Size-- }, true},
		"frozen path":          {func(r *Reveal) { r.Frozen = PathTo(w.frozen, 1) }, true},
		"no frozen path":       {func(r *Reveal) { r.Frozen = Path{} }, true},
	} {
		r := w.reveal(1)
		tt.change(r)
		if err := r.Check(w.spec, testParams, nil, &commit, root); err == nil || tt.path && !errors.Is(err, ErrBadPath) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(c *Commit){
		"trace":          func(c *Commit) { c.Trace = Hash("x") },
		"open":           func(c *Commit) { c.Open = Hash("x") }, // changes the commit's digest, so the frozen root
		"no steps":       func(c *Commit) { c.Steps = 0 },
		"fewer steps":    func(c *Commit) { c.Steps = 5 },
		"too many steps": func(c *Commit) { c.Steps = w.spec.Train.Steps + 1 },
		"steps wrap":     func(c *Commit) { c.Steps = 1<<32 - 1 },
	} {
		c := commit
		change(&c)
		if err := w.reveal(1).Check(w.spec, testParams, nil, &c, root); err == nil {
			t.Errorf("commit, %s: accepted", name)
		}
	}
	if err := w.reveal(1).Check(w.spec, testParams, nil, &commit, Hash("x")); !errors.Is(err, ErrBadPath) {
		t.Errorf("other frozen root: %v", err)
	}
}

// The salt hides a payload, and the leaf binds it to its peer and its shard.
func TestPayloadLeafBinds(t *testing.T) {
	a, b := DeriveKey(1, "a").ID(), DeriveKey(1, "b").ID()
	p, salt := []byte("payload"), [16]byte{1}
	seen := map[Digest]string{}
	for name, d := range map[string]Digest{
		"itself":        PayloadLeaf(a, 1, p, salt),
		"other peer":    PayloadLeaf(b, 1, p, salt),
		"other shard":   PayloadLeaf(a, 256, p, salt),
		"other payload": PayloadLeaf(a, 1, []byte("payloae"), salt),
		"other salt":    PayloadLeaf(a, 1, p, [16]byte{2}),
	} {
		if other, dup := seen[d]; dup {
			t.Errorf("%s and %s have one leaf", name, other)
		}
		seen[d] = name
	}
}

func TestOutcomeNames(t *testing.T) {
	seen := map[string]bool{}
	for o := Passed; o <= Malformed; o++ {
		if s := o.String(); s == "unknown" || seen[s] {
			t.Errorf("outcome %d is called %q", o, s)
		}
		seen[o.String()] = true
	}
	if Outcome(0).String() != "unknown" || Outcome(6).String() != "unknown" {
		t.Error("an outcome that is none has a name")
	}
}
