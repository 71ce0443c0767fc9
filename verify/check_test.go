package verify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/protocol"
)

// answer is an Opener that changes what an honest peer would answer.
type answer struct {
	c      *contribution
	change func(o *protocol.Opening)
	err    error
}

func (a answer) Open(ctx context.Context, r protocol.OpenRequest) (*protocol.Opening, error) {
	o, err := a.c.Open(ctx, r)
	if a.err != nil {
		return nil, a.err
	}
	if a.change != nil {
		a.change(o)
	}
	return o, err
}

// Honest contributions pass every segment and every chunk, with every kind of check and codec, and the verdict's state
// is the committed one.
func TestCheckPassesHonest(t *testing.T) {
	for _, kind := range []string{"segment", "prefix"} {
		for _, up := range []string{"sparse", "dense", "rice", "int8"} {
			t.Run(kind+"/"+up, func(t *testing.T) {
				w := newWorld(t, 9000, kind, up, 2)
				w.round(0, 6)
				c := w.round(1, 5)[1] // five steps: the last segment is short
				for seg := range uint32(3) {
					outcome, state, err := Check(t.Context(), c.task(Challenge{seg, []uint32{0, 1, 2}}), Tools{&toy{c: w.spec.Codec}, c})
					if err != nil || outcome != protocol.Passed || state != c.state(int(seg)+1) {
						t.Fatalf("segment %d: %s, %v", seg, outcome, err)
					}
				}
			})
		}
	}
}

// Any single change of a committed state, in any segment, is caught by the check of that segment; a prefix check of any
// later one catches it too.
func TestCheckCatchesFalseState(t *testing.T) {
	for _, kind := range []string{"segment", "prefix"} {
		w := newWorld(t, 20, kind, "dense", 0)
		rapid.Check(t, func(rt *rapid.T) {
			at := rapid.IntRange(0, 2).Draw(rt, "segment")
			vector := rapid.IntRange(0, 2).Draw(rt, "vector")
			i := rapid.IntRange(0, 19).Draw(rt, "i")
			c := w.contribute(0, 0, 6, protocol.MerkleRoot(floatBytes(w.theta)), cheat{state: func(seg int, s toyState) {
				if seg == at {
					s[vector][i] += 0.25
				}
			}})
			c.commit = protocol.Sign(w.peers[0], protocol.Commit{Run: w.run, Peer: w.peers[0].ID(), Trace: protocol.RootOf(c.leaves), Steps: 6})
			for seg := range 3 {
				outcome, state, err := Check(context.Background(), c.task(Challenge{Segment: uint32(seg)}), Tools{&toy{c: w.spec.Codec}, c})
				if err != nil {
					rt.Fatal(err)
				}
				want := protocol.Passed
				if seg == at || (kind == "prefix" && seg > at) {
					want = protocol.Mismatch
				}
				if outcome != want || state.Step == 0 {
					rt.Fatalf("%s check of segment %d with a lie in %d: %s", kind, seg, at, outcome)
				}
			}
		})
	}
}

func TestCheckOutcomes(t *testing.T) {
	w := newWorld(t, 9000, "segment", "sparse", 2)
	w.round(0, 6)
	cs := w.round(1, 6, cheat{payload: func(p []byte) { p[0] ^= 1 }})
	bad, good := cs[0], cs[1]
	ch := Challenge{Segment: 1, Chunks: []uint32{0, 2}}
	opened := func(change func(o *protocol.Opening)) Tools {
		return Tools{&toy{c: w.spec.Codec}, answer{c: good, change: change}}
	}
	tests := []struct {
		name  string
		c     *contribution
		tools Tools
		want  protocol.Outcome
	}{
		{"honest", good, opened(nil), protocol.Passed},
		{"payload of another vector", bad, Tools{&toy{c: w.spec.Codec}, bad}, protocol.BadPayload},
		{"withheld", good, Tools{&toy{c: w.spec.Codec}, answer{c: good, err: fmt.Errorf("peer: %w", ErrWithheld)}}, protocol.Withheld},
		{"junk", good, Tools{&toy{c: w.spec.Codec}, answer{c: good, err: fmt.Errorf("peer: %w", ErrMalformed)}}, protocol.Malformed},
		{"diverges", good, Tools{&toy{c: w.spec.Codec, err: fmt.Errorf("step 3: %w", ErrDiverged)}, good}, protocol.Mismatch},
		{"state too short", good, opened(func(o *protocol.Opening) { o.M = o.M[4:] }), protocol.Malformed},
		{"no state", good, opened(func(o *protocol.Opening) { o.Theta, o.M, o.V = nil, nil, nil }), protocol.Malformed},
		{"another state", good, opened(func(o *protocol.Opening) { o.V[17] ^= 1 }), protocol.Malformed},
		{"another leaf before", good, opened(func(o *protocol.Opening) { o.From = good.state(2) }), protocol.Malformed},
		{"another segment", good, opened(func(o *protocol.Opening) { o.To, o.ToPath = o.Final, o.FinalPath }), protocol.Malformed},
		{"earlier final state", good, opened(func(o *protocol.Opening) { o.Final, o.FinalPath = o.To, o.ToPath }), protocol.Malformed},
		{"state of another step", good, opened(func(o *protocol.Opening) { o.To.Step++ }), protocol.Malformed},
		{"trace path cut", good, opened(func(o *protocol.Opening) { o.ToPath.Nodes = o.ToPath.Nodes[1:] }), protocol.Malformed},
		{"chunk missing", good, opened(func(o *protocol.Opening) { o.Chunks = o.Chunks[:1] }), protocol.Malformed},
		{"chunk too many", good, opened(func(o *protocol.Opening) { o.Chunks = append(o.Chunks, o.Chunks[0]) }), protocol.Malformed},
		{"chunk not asked for", good, opened(func(o *protocol.Opening) { o.Chunks[1].Index = 1 }), protocol.Malformed},
		{"chunk in another place", good, opened(func(o *protocol.Opening) { o.Chunks[0].ThetaPath.Index = 1 }), protocol.Malformed},
		{"chunk theta", good, opened(func(o *protocol.Opening) { o.Chunks[0].Theta[0] ^= 1 }), protocol.Malformed},
		{"chunk before", good, opened(func(o *protocol.Opening) { o.Chunks[0].Before[0] ^= 1 }), protocol.Malformed},
		{"no chunk before", good, opened(func(o *protocol.Opening) { o.Chunks[0].Before, o.Chunks[0].BeforePath = nil, protocol.Path{} }), protocol.Malformed},
		{"chunk after", good, opened(func(o *protocol.Opening) { o.Chunks[0].After[0] ^= 1 }), protocol.Malformed},
		{"no chunk after", good, opened(func(o *protocol.Opening) { o.Chunks[1].After = nil }), protocol.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			outcome, _, err := Check(t.Context(), tt.c.task(ch), tt.tools)
			if err != nil || outcome != tt.want {
				t.Fatalf("%s, %v, want %s", outcome, err, tt.want)
			}
		})
	}
}

// Opened values that no encoder takes are the peer's fault, and no failure on this side.
func TestChunkWithoutEncoding(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	task := w.round(0, 6)[0].task(Challenge{})
	for _, x := range []float32{float32(math.NaN()), 1e30} {
		bad, err := checkChunk(task, w.codec, &protocol.ChunkOpening{Theta: floatBytes(slices.Repeat([]float32{x}, 40))})
		if bad == nil || err != nil {
			t.Errorf("%v: %v, %v", x, bad, err)
		}
	}
}

// What fails on the verifier's side is an error and never an outcome.
func TestCheckLocalFailure(t *testing.T) {
	w := newWorld(t, 9000, "segment", "sparse", 2)
	c := w.round(0, 6)[0]
	ch := Challenge{Segment: 1, Chunks: []uint32{1}}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context
		change func(t *Task)
		tools  Tools
	}{
		{"engine", t.Context(), nil, Tools{&toy{c: w.spec.Codec, err: os.ErrPermission}, c}},
		{"network", t.Context(), nil, Tools{&toy{c: w.spec.Codec}, answer{c: c, err: os.ErrDeadlineExceeded}}},
		{"context", cancelled, nil, Tools{&toy{c: w.spec.Codec}, c}},
		{"theta", t.Context(), func(t *Task) { t.Theta = make([]float32, 9000) }, Tools{&toy{c: w.spec.Codec}, c}},
		{"theta too short", t.Context(), func(t *Task) { t.Theta = t.Theta[1:] }, Tools{&toy{c: w.spec.Codec}, c}},
		{"payload", t.Context(), func(t *Task) { t.Shards = append([]Shard{{Payload: []byte("x")}}, t.Shards[1:]...) }, Tools{&toy{c: w.spec.Codec}, c}},
		{"shard missing", t.Context(), func(t *Task) { t.Shards = t.Shards[1:] }, Tools{&toy{c: w.spec.Codec}, c}},
		{"segment", t.Context(), func(t *Task) { t.Challenge.Segment = 3 }, Tools{&toy{c: w.spec.Codec}, c}},
		{"chunk", t.Context(), func(t *Task) { t.Challenge.Chunks = []uint32{3} }, Tools{&toy{c: w.spec.Codec}, c}},
		{"assignment", t.Context(), func(t *Task) { t.Assignment.Round++ }, Tools{&toy{c: w.spec.Codec}, c}},
		{"commit", t.Context(), func(t *Task) { t.Commit.Sig[9] ^= 1 }, Tools{&toy{c: w.spec.Codec}, c}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task := c.task(ch)
			if tt.change != nil {
				tt.change(task)
			}
			if outcome, _, err := Check(tt.ctx, task, tt.tools); err == nil || outcome != 0 {
				t.Fatalf("%s, %v", outcome, err)
			}
		})
	}
}

// A contribution that starts from other parameters than the round's, or names error feedback against its codec, is
// malformed before anything is replayed.
func TestCheckStart(t *testing.T) {
	w := newWorld(t, 40, "segment", "dense", 1)
	c := w.round(0, 6)[0]
	for name, change := range map[string]func(t *Task){
		"model":    func(t *Task) { t.Start.Model = protocol.Hash("other") },
		"feedback": func(t *Task) { t.Start.Feedback = protocol.Hash("other") },
	} {
		task, r := c.task(Challenge{Chunks: []uint32{0}}), &toy{c: w.spec.Codec}
		change(task)
		if outcome, _, err := Check(t.Context(), task, Tools{r, c}); err != nil || outcome != protocol.Malformed || r.replays > 0 {
			t.Errorf("%s: %s, %v after %d replays", name, outcome, err, r.replays)
		}
	}
}

// A draw is accepted from the verifier who must make it, for its round alone.
func TestVerifyDraw(t *testing.T) {
	w := newWorld(t, 40, "segment", "dense", 1)
	frozen, set := protocol.Hash("f"), protocol.Hash("s")
	d := must(NewDraw(w.aggs[1], w.bls[1], w.run, 3, frozen, set))(t)
	if err := VerifyDraw(&d, w.council, 3, frozen, set); err != nil {
		t.Fatal(err)
	}
	stranger := must(NewDraw(w.peers[0], w.bls[1], w.run, 3, frozen, set))(t)
	others := must(NewDraw(w.aggs[0], w.bls[1], w.run, 3, frozen, set))(t)
	unsigned := d
	unsigned.Sig[5] ^= 1
	for name, err := range map[string]error{
		"another round":   VerifyDraw(&d, w.council, 4, frozen, set),
		"another freeze":  VerifyDraw(&d, w.council, 3, set, set),
		"another set":     VerifyDraw(&d, w.council, 3, frozen, frozen),
		"stranger":        VerifyDraw(&stranger, w.council, 3, frozen, set),
		"another BLS key": VerifyDraw(&others, w.council, 3, frozen, set),
		"not signed":      VerifyDraw(&unsigned, w.council, 3, frozen, set),
	} {
		if err == nil {
			t.Errorf("%s accepted", name)
		}
	}
	if err := VerifyDraw(&others, w.council, 3, frozen, set); !errors.Is(err, ErrBLSSignature) {
		t.Error(err)
	}
}
