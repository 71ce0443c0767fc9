package cuda

import (
	"errors"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
	"drystone/trainer"
)

// run is a tiny run on bytes, or on examples.
type run struct {
	spec protocol.RunSpec
	id   protocol.Digest
	data *trainer.Dataset
}

func tinyRun(t *testing.T, steps uint32) run {
	t.Helper()
	text := make([]byte, 6000)
	for i, x := range text {
		text[i] = "stone wall hand mortar "[(i*i/7+int(x))%23]
	}
	r := run{spec: protocol.RunSpec{
		Name: "test", Seed: 1, Engine: exact.Version, Founder: protocol.DeriveKey(1, "founder").ID(),
		Model:     protocol.ModelSpec{Family: "llama", Dim: 16, Layers: 1, Heads: 2, KVHeads: 1, FFN: 24, Vocab: 256, Context: 16, NormEps: 1e-5, RopeTheta: 10000, Tied: true},
		Data:      protocol.DataSpec{Tokenizer: "bytes", Tokens: 6000, Holdout: 600},
		Train:     protocol.TrainSpec{Rounds: 4, Steps: steps, Segment: 2, Batch: 2, LR: 3e-3, MinLR: 3e-4, Warmup: 4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1},
		Outer:     protocol.OuterSpec{Optimiser: "sgd", LR: 1},
		Codec:     protocol.CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 4096},
		Aggregate: protocol.AggregateSpec{Rule: "mean", MinPeers: 1},
		Verify:    protocol.VerifySpec{Kind: "segment", Checks: 1, Chunks: 2, Window: 2},
		Payout:    protocol.PayoutSpec{Symbol: "DRY", EpochRounds: 1},
		Quorum:    protocol.QuorumSpec{Aggregators: 1, Threshold: 1},
		Deadlines: protocol.DeadlineSpec{Train: 60, Reveal: 60, Check: 60},
	}}
	var err error
	if r.data, err = trainer.OpenDataset(r.spec.Data, text); err != nil {
		t.Fatal(err)
	}
	if r.id, err = r.spec.ID(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *run) device(t *testing.T) *trainer.Device {
	t.Helper()
	d, err := trainer.NewDevice(&r.spec, r.id, r.data, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func (r *run) train(t *testing.T, d *trainer.Device, a protocol.Assignment) (*trainer.Contribution, error) {
	t.Helper()
	theta, err := d.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	key := protocol.DeriveKey(1, "peer")
	return d.Train(t.Context(), a, theta, trainer.TrainOptions{Peer: key.ID(), Salt: trainer.KeySalt(key, r.id, a.Round)})
}

// A contribution made on a card has the trace root of one made on the processor: every state of every segment, moments
// included, is the same to the bit. So each checks the other.
func TestTrainingOnACard(t *testing.T) {
	steps := uint32(4)
	if *long {
		steps = 200
	}
	r := tinyRun(t, steps)
	a := protocol.Assignment{Run: r.id, Round: 1, Index: 7, Steps: steps}
	cpu, card := r.device(t), r.device(t)
	kernels, sim := simulatedFor(t)
	if err := card.To(kernels); err != nil {
		t.Fatal(err)
	}
	want, err := r.train(t, cpu, a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.train(t, card, a)
	if err != nil {
		t.Fatal(err)
	}
	if got.Root() != want.Root() || card.Path() != "cuda:0" {
		t.Errorf("trace root %v on %s, want %v", got.Root(), card.Path(), want.Root())
	}
	if sim.ran["attention_dkv"] == 0 || sim.ran["adamw"] == 0 {
		t.Errorf("the card did not do it: %v", sim.ran)
	}
	theta, err := card.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	onCard, err := card.Loss(t.Context(), theta, 2)
	if err != nil {
		t.Fatal(err)
	}
	if onCPU, err := cpu.Loss(t.Context(), theta, 2); err != nil || onCard != onCPU {
		t.Errorf("held-out loss %v on the card, %v on the processor, %v", onCard, onCPU, err)
	}
}

// simulatedFor is simCard for a Device, which closes the card itself.
func simulatedFor(t *testing.T) (*Card, *simulated) {
	t.Helper()
	s := newSimulated(t)
	c, err := on(s, Options{Label: "cuda:0"})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// What a card reports ends the job with trainer.ErrDevice and its own error, takes no memory along, and leaves a device that
// does the same work on the processor.
func TestCardFails(t *testing.T) {
	r := tinyRun(t, 2)
	a := protocol.Assignment{Run: r.id, Round: 0, Index: 1, Steps: 2}
	want, err := r.train(t, r.device(t), a)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		result result
		want   error
	}{{unknownError, ErrLost}, {unavailable, ErrLost}, {eccError, ErrFaulty}, {launchFailed, ErrFailed}, {4321, ErrFailed}} {
		d := r.device(t)
		kernels, sim := simulatedFor(t)
		if err := d.To(kernels); err != nil {
			t.Fatal(err)
		}
		sim.pending = c.result
		_, err := r.train(t, d, a)
		var device *exact.DeviceError
		if !errors.Is(err, trainer.ErrDevice) || !errors.Is(err, c.want) || !errors.As(err, &device) {
			t.Errorf("CUDA error %d: %v, want %v", c.result, err, c.want)
		}
		d.ToProcessor()
		if sim.held != 0 || sim.closed != 1 {
			t.Errorf("CUDA error %d: %d bytes are held, the card was closed %d times", c.result, sim.held, sim.closed)
		}
		if got, err := r.train(t, d, a); err != nil || got.Root() != want.Root() {
			t.Errorf("CUDA error %d: on the processor %v", c.result, err)
		}
	}
}

// A card without room says what is needed; it works when there is room again.
func TestCardIsFull(t *testing.T) {
	r := tinyRun(t, 2)
	a := protocol.Assignment{Run: r.id, Round: 0, Index: 1, Steps: 2}
	s := newSimulated(t)
	s.free = reserve + 100<<10
	c, err := on(s, Options{Label: "cuda:0"})
	if err != nil {
		t.Fatal(err)
	}
	d := r.device(t)
	if err := d.To(c); err != nil {
		t.Fatal(err)
	}
	if _, err := r.train(t, d, a); !errors.Is(err, trainer.ErrDevice) || !errors.Is(err, ErrMemory) {
		t.Errorf("%v, want ErrMemory", err)
	}
	if s.held != 0 {
		t.Errorf("%d bytes are still held", s.held)
	}
	s.free = 1 << 30
	c.limit = s.free // another process has gone
	s.free = 0       // and a third came
	if _, err := r.train(t, d, a); !errors.Is(err, ErrMemory) {
		t.Errorf("the driver has none: %v, want ErrMemory", err)
	}
	s.free = 1 << 30
	if _, err := r.train(t, d, a); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// The self-check passes on a card, and finds one whose memory turned a bit.
func TestCardSelfCheck(t *testing.T) {
	if testing.Short() && !*long {
		t.Skip("skipped: the whole workload takes a simulated card a while")
	}
	c, _ := simCard(t)
	if err := exact.SelfCheck(c, 1); err != nil {
		t.Error(err)
	}
}
