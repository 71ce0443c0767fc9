package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"drystone/protocol"
)

var ctx = context.Background()

// One assignment has one trace root, whatever the number of threads; the golden file fixes it across versions and
// platforms.
func TestTraceRootIsAFunctionOfTheAssignment(t *testing.T) {
	var text string
	for threads := 1; threads <= 3; threads++ {
		b := newBench(t, threads, nil)
		c := b.train(t, b.assignment(1, 7), b.options(1))
		got := fmt.Sprintf("run %v\ngenesis %v\ntrace %v\nlosses %v\n", b.run, Root(b.theta), c.Root(), c.Losses)
		if text == "" {
			text = got
		}
		if got != text {
			t.Fatalf("%d threads:\n%swant\n%s", threads, got, text)
		}
	}
	name := filepath.Join("testdata", "trace.golden")
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got\n%s want\n%s", text, want)
	}
}

// Passes and recomputation change no bit: a device that uses them reproduces the trace of one that does not.
func TestPassesChangeNoBit(t *testing.T) {
	plain := newBench(t, 2, func(s *protocol.RunSpec) {
		s.Train.Batch, s.Train.Steps, s.Model.Layers = 64, 3, 2
		s.Train.Segment = 1
	})
	a := plain.assignment(0, 3)
	want := plain.train(t, a, plain.options(0))
	for _, train := range []func(*protocol.TrainSpec){
		func(s *protocol.TrainSpec) { s.MicroBatch = 32 },
		func(s *protocol.TrainSpec) { s.Recompute = true },
		func(s *protocol.TrainSpec) { s.MicroBatch, s.Recompute = 32, true },
	} {
		spec := *plain.spec
		train(&spec.Train)
		if id, err := spec.ID(); err != nil || id == plain.run {
			t.Fatalf("RunID %v of %+v is that of the plain run (%v)", id, spec.Train, err)
		}
		d, err := NewDevice(&spec, plain.run, plain.data, 1) // its draws and start are the plain run's
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		got, err := d.Train(ctx, a, plain.theta, plain.options(0))
		if err != nil || got.Root() != want.Root() || !slices.Equal(got.Losses, want.Losses) {
			t.Errorf("%+v: root %v, losses %v; want %v, %v (%v)", spec.Train, got.Root(), got.Losses, want.Root(), want.Losses, err)
		}
	}
}

// Replay of any segment gives the committed state, from the opened state and from the public start.
func TestReplayEqualsTrace(t *testing.T) {
	for _, kind := range []string{"segment", "prefix"} {
		for _, up := range []string{"sparse", "dense", "rice", "int8"} {
			for _, steps := range []uint32{8, 7, 1} {
				t.Run(fmt.Sprintf("%s/%s/%d", kind, up, steps), func(t *testing.T) {
					b := newBench(t, 2, func(s *protocol.RunSpec) {
						s.Verify.Kind, s.Codec.Up = kind, up
						switch up {
						case "dense":
							s.Codec = protocol.CodecSpec{Up: up, ShardParams: 4096}
						case "int8":
							s.Codec = protocol.CodecSpec{Up: up, Decay: 0.95, ShardParams: 4096}
						}
					})
					a := b.assignment(0, steps)
					c := b.train(t, a, b.options(0))
					if got := len(c.States); got != int(b.spec.Segments(steps)) {
						t.Fatalf("%d states for %d steps", got, steps)
					}
					other := newBench(t, 1, func(s *protocol.RunSpec) { *s = *b.spec })
					for seg, o := range checkStructure(t, b, c) {
						got, err := other.ReplayOpening(ctx, a, uint32(seg), b.theta, o)
						if err != nil || got != o.To || got != c.States[seg] {
							t.Fatalf("segment %d: %+v, want %+v (%v)", seg, got, o.To, err)
						}
						s, err := other.Replay(ctx, a, StartState(b.theta), got.Step)
						if err != nil || s.Trace() != o.To {
							t.Fatalf("prefix to segment %d: %+v, want %+v (%v)", seg, s.Trace(), o.To, err)
						}
					}
				})
			}
		}
	}
}

// A changed bit in an opened state changes what replay finds.
func TestReplaySeesOneBit(t *testing.T) {
	b := newBench(t, 1, nil)
	a := b.assignment(0, 8)
	c := b.train(t, a, b.options(0))
	o := checkStructure(t, b, c)[2]
	for _, v := range []*[]byte{&o.Theta, &o.M, &o.V} {
		*v = slices.Clone(*v)
		(*v)[len(*v)/2&^3] ^= 1
		got, err := b.ReplayOpening(ctx, a, 2, b.theta, o)
		if err != nil || got == o.To {
			t.Fatalf("flipped bit went unnoticed (%v)", err)
		}
		(*v)[len(*v)/2&^3] ^= 1
	}
	o.From.Step++
	if _, err := b.ReplayOpening(ctx, a, 2, b.theta, o); !errors.Is(err, ErrMalformed) {
		t.Fatalf("wrong step: %v", err)
	}
	o.From.Step--
	o.M = o.M[4:]
	if _, err := b.ReplayOpening(ctx, a, 2, b.theta, o); !errors.Is(err, ErrMalformed) {
		t.Fatalf("short moments: %v", err)
	}
	if _, err := b.ReplayOpening(ctx, a, 2, b.theta, nil); !errors.Is(err, ErrMalformed) {
		t.Fatalf("no opening: %v", err)
	}
	if _, err := b.ReplayOpening(ctx, a, 4, b.theta, o); !errors.Is(err, ErrAssignment) {
		t.Fatalf("segment 4 of 4: %v", err)
	}
}

// Round r+1 stands on the error feedback that round r left, and the trace says so.
func TestFeedbackContinuity(t *testing.T) {
	b := newBench(t, 1, nil)
	first := b.train(t, b.assignment(0, 8), b.options(0))
	if !first.Start.Feedback.IsZero() || first.End.Feedback != Root(first.After) {
		t.Fatalf("first round: %+v, %+v", first.Start, first.End)
	}
	kept := slices.Clone(first.After)
	opt := b.options(1)
	opt.Feedback = first.After
	second := b.train(t, b.assignment(1, 8), opt)
	if second.Start.Feedback != first.End.Feedback {
		t.Fatal("second round does not stand on the first")
	}
	if !slices.Equal(kept, first.After) {
		t.Fatal("training changed the feedback it was given")
	}
	checkStructure(t, b, second)
	without := b.train(t, b.assignment(1, 8), b.options(1))
	if without.Start.Feedback == second.Start.Feedback || bytes.Equal(without.Payloads[0], second.Payloads[0]) {
		t.Fatal("error feedback has no effect")
	}
	if without.States[3] != second.States[3] {
		t.Fatal("error feedback changed the training itself")
	}
}

// CheckChunk finds any changed value of a chunk.
func TestCheckChunkRefuses(t *testing.T) {
	b := newBench(t, 1, nil)
	c := b.train(t, b.assignment(0, 2), b.options(0))
	o := checkStructure(t, b, c)[0]
	for name, edit := range map[string]func(*protocol.ChunkOpening, []byte){
		"theta":   func(o *protocol.ChunkOpening, _ []byte) { o.Theta[2] ^= 0x40 },
		"after":   func(o *protocol.ChunkOpening, _ []byte) { o.After[0] ^= 1 },
		"before":  func(o *protocol.ChunkOpening, _ []byte) { o.Before = bytes.Repeat([]byte{0x3f}, len(o.After)) },
		"payload": func(_ *protocol.ChunkOpening, p []byte) { p[0] ^= 1 },
	} {
		k := o.Chunks[1]
		k.Theta, k.After = slices.Clone(k.Theta), slices.Clone(k.After)
		payload := slices.Clone(c.Payloads[b.ShardOf(1)])
		edit(&k, payload)
		if err := b.CheckChunk(c.Assignment.Round, b.theta, &k, payload); !errors.Is(err, ErrChunkMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := o.Chunks[0]
	k.After = k.After[4:]
	if err := b.CheckChunk(c.Assignment.Round, b.theta, &k, c.Payloads[0]); !errors.Is(err, ErrMalformed) {
		t.Errorf("short: %v", err)
	}
	k = o.Chunks[0]
	k.Index = 1 << 31
	if err := b.CheckChunk(c.Assignment.Round, b.theta, &k, c.Payloads[0]); !errors.Is(err, ErrMalformed) {
		t.Errorf("index: %v", err)
	}
	if err := b.CheckChunk(c.Assignment.Round, b.theta, &o.Chunks[0], nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("no payload: %v", err)
	}
}

// The adversary passes every check of structure and fails replay on every segment.
func TestFabricatedIsCaughtByReplayOnly(t *testing.T) {
	b := newBench(t, 2, nil)
	seeds := uint64(50)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		a := b.assignment(uint32(seed%4), 8)
		opt := b.options(a.Round)
		c, err := Fabricate(b.spec, a, b.theta, opt, seed)
		if err != nil {
			t.Fatal(err)
		}
		for seg, o := range checkStructure(t, b, c) {
			got, err := b.ReplayOpening(ctx, a, uint32(seg), b.theta, o)
			if err != nil || got.Step != o.To.Step {
				t.Fatalf("seed %d, segment %d: %+v %v", seed, seg, got, err)
			}
			if got.Theta == o.To.Theta || got.M == o.To.M || got.V == o.To.V {
				t.Fatalf("seed %d: segment %d is not caught", seed, seg)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	b := newBench(t, 1, nil)
	c := b.train(t, b.assignment(0, 2), b.options(0))
	good := protocol.OpenRequest{Run: b.run}
	for name, edit := range map[string]func(*protocol.OpenRequest){
		"run":        func(r *protocol.OpenRequest) { r.Run[0] ^= 1 },
		"round":      func(r *protocol.OpenRequest) { r.Round = 1 },
		"segment":    func(r *protocol.OpenRequest) { r.Segment = 1 },
		"huge":       func(r *protocol.OpenRequest) { r.Segment = math.MaxUint32 },
		"chunk":      func(r *protocol.OpenRequest) { r.Chunks = []uint32{math.MaxUint32} },
		"order":      func(r *protocol.OpenRequest) { r.Chunks = []uint32{1, 0} },
		"duplicate":  func(r *protocol.OpenRequest) { r.Chunks = []uint32{1, 1} },
		"too many":   func(r *protocol.OpenRequest) { r.Chunks = make([]uint32, 65) },
		"last chunk": func(r *protocol.OpenRequest) { r.Chunks = []uint32{uint32(chunksOf(b.Params()))} },
	} {
		req := good
		edit(&req)
		if _, err := c.Open(req); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Reveal(99, protocol.Path{}); !errors.Is(err, ErrRequest) {
		t.Errorf("reveal: %v", err)
	}
}

func TestTrainRefuses(t *testing.T) {
	b := newBench(t, 1, nil)
	opt := b.options(0)
	for name, a := range map[string]protocol.Assignment{
		"run":   {Steps: 1},
		"steps": {Run: b.run, Steps: 9},
		"none":  {Run: b.run},
		"round": {Run: b.run, Steps: 1, Round: 4},
	} {
		if _, err := b.Train(ctx, a, b.theta, opt); !errors.Is(err, ErrAssignment) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Train(ctx, b.assignment(0, 1), b.theta[1:], opt); !errors.Is(err, ErrAssignment) {
		t.Errorf("short theta: %v", err)
	}
	opt.Feedback = make([]float32, 3)
	if _, err := b.Train(ctx, b.assignment(0, 1), b.theta, opt); !errors.Is(err, ErrAssignment) {
		t.Errorf("short feedback: %v", err)
	}
	if _, err := b.Train(ctx, b.assignment(0, 1), b.theta, TrainOptions{}); !errors.Is(err, ErrAssignment) {
		t.Errorf("no salt: %v", err)
	}
}

func TestDiverged(t *testing.T) {
	b := newBench(t, 1, nil)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e30} {
		theta := slices.Clone(b.theta)
		for i := range theta {
			theta[i] = bad
		}
		if _, err := b.Train(ctx, b.assignment(0, 1), theta, b.options(0)); !errors.Is(err, ErrDiverged) {
			t.Errorf("train from %v: %v", bad, err)
		}
		if _, err := b.Replay(ctx, b.assignment(0, 1), StartState(theta), 1); !errors.Is(err, ErrDiverged) {
			t.Errorf("replay from %v: %v", bad, err)
		}
	}
	// A state that overflows only in the second moment is noticed too.
	s := State{Theta: b.theta, M: make([]float32, b.Params()), V: make([]float32, b.Params())}
	s.V[3] = float32(math.Inf(1))
	if _, err := b.Replay(ctx, b.assignment(0, 1), s, 1); !errors.Is(err, ErrDiverged) {
		t.Errorf("infinite v: %v", err)
	}
}

// Jobs of several goroutines do not disturb each other, and one that waits gives up with its context.
func TestDeviceIsShared(t *testing.T) {
	b := newBench(t, 2, nil)
	want := b.train(t, b.assignment(0, 4), b.options(0)).Root()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c, err := b.Train(ctx, b.assignment(0, 4), b.theta, b.options(0))
			if err != nil || c.Root() != want {
				t.Errorf("trace differs (%v)", err)
			}
			if _, err := b.Loss(ctx, b.theta, 2); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()

	inside, release := make(chan struct{}), make(chan struct{})
	opt := b.options(0)
	opt.OnStep = func(step uint32, _ float32) {
		if step == 0 {
			close(inside)
			<-release
		}
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := b.Train(running, b.assignment(0, 8), b.theta, opt)
		done <- err
	}()
	<-inside
	waiting, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.Loss(waiting, b.theta, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting job: %v", err)
	}
	stop()
	close(release)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("running job: %v", err)
	}
	b.Close()
	if _, err := b.Loss(ctx, b.theta, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Training lowers the held-out loss, which starts at that of a uniform guess.
func TestTrainingLearns(t *testing.T) {
	b := newBench(t, 2, func(s *protocol.RunSpec) {
		s.Train.Rounds, s.Train.Steps, s.Train.Segment, s.Train.Batch = 1, 150, 50, 8
		s.Train.LR = 1e-2
	})
	before, err := b.Loss(ctx, b.theta, 20)
	if err != nil || math.Abs(before-math.Log(256)) > 0.1 {
		t.Fatalf("loss of theta_0 is %v, want about ln 256 (%v)", before, err)
	}
	s, err := b.Replay(ctx, b.assignment(0, 150), StartState(b.theta), 150)
	if err != nil {
		t.Fatal(err)
	}
	after, err := b.Loss(ctx, s.Theta, 20)
	if err != nil || after > 2 {
		t.Fatalf("loss after training is %v (%v)", after, err)
	}
	t.Logf("held-out loss %.3f -> %.3f, bigram %.3f", before, after, b.data.Bigram())
	one, err1 := b.Sample(ctx, s.Theta, []byte("the stone wall "), 40, [32]byte{1})
	two, err2 := b.Sample(ctx, s.Theta, []byte("the stone wall "), 40, [32]byte{1})
	other, err3 := b.Sample(ctx, s.Theta, nil, 40, [32]byte{2})
	if err := errors.Join(err1, err2, err3); err != nil || len(one) != 40 || !bytes.Equal(one, two) || bytes.Equal(one, other) {
		t.Fatalf("%q, %q, %q: %v", one, two, other, err)
	}
	t.Logf("%q", one)
}

// A rehearsal runs the same steps and leaves no trace: what is trained afterwards is what would have been trained without.
func TestRehearse(t *testing.T) {
	b := newBench(t, 2, nil)
	a := b.assignment(0, b.spec.Train.Steps)
	root := func() protocol.Digest {
		c, err := b.Train(t.Context(), a, b.theta, b.options(0))
		if err != nil {
			t.Fatal(err)
		}
		return c.Root()
	}
	want := root()
	if err := b.Rehearse(t.Context(), a, b.theta, 3); err != nil {
		t.Fatal(err)
	}
	if root() != want {
		t.Error("training after a rehearsal gave another trace")
	}
	if err := b.Rehearse(t.Context(), a, b.theta[1:], 2); !errors.Is(err, ErrAssignment) {
		t.Errorf("theta too short: %v, want ErrAssignment", err)
	}
}
