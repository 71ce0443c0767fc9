package trainer

import (
	"errors"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
)

// card is a device beside the processor: kernels that run on an engine of their own, and fail or err when a test says so.
type card struct {
	*exact.Engine
	wrong  bool
	lost   error
	closed int
}

func (c *card) Path() string { return "card" }
func (c *card) Close()       { c.closed++; c.Engine.Close() }

func (c *card) Wait() error {
	if c.lost != nil {
		return &exact.DeviceError{Err: c.lost}
	}
	return nil
}

func (c *card) Floats(n int) []float32 {
	if c.lost != nil {
		panic(&exact.DeviceError{Err: c.lost})
	}
	return c.Engine.Floats(n)
}

func (c *card) AdamWStep(p, g, m, v []float32, h exact.AdamWParams) {
	c.Engine.AdamWStep(p, g, m, v, h)
	if c.wrong {
		p[0] = -p[0]
	}
}

func onCard(t *testing.T, b *bench) (*card, *Device) {
	t.Helper()
	c := &card{Engine: anEngine(t)}
	d, err := NewDevice(b.spec, b.run, b.data, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if err := d.To(c); err != nil {
		t.Fatal(err)
	}
	return c, d
}

func anEngine(t *testing.T) *exact.Engine {
	t.Helper()
	e, err := exact.New(1)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A card that is lost ends the job with ErrDevice and leaves a device that goes on, on the processor, to the same bits.
func TestLostCard(t *testing.T) {
	b := newBench(t, 1, nil)
	a := b.assignment(1, 7)
	want := b.train(t, a, b.options(1)).Root()
	c, d := onCard(t, b)
	if p := d.Path(); p != "card" {
		t.Errorf("steps run on %s", p)
	}
	if err := d.SelfCheck(ctx, 2); err != nil {
		t.Error(err)
	}
	opt := b.options(1)
	opt.OnStep = func(step uint32, _ float32) {
		if step == 3 {
			c.lost = errors.New("fell off the bus")
		}
	}
	if _, err := d.Train(ctx, a, b.theta, opt); !errors.Is(err, ErrDevice) || !errors.Is(err, c.lost) {
		t.Fatalf("%v, want ErrDevice", err)
	}
	if err := d.SelfCheck(ctx, 1); !errors.Is(err, ErrDevice) {
		t.Errorf("self-check of a lost card: %v", err)
	}
	for range 2 {
		d.ToProcessor()
	}
	if err := b.To(&card{Engine: anEngine(t)}); err != nil { // and another device to a card and back
		t.Error(err)
	}
	b.ToProcessor()
	if p := d.Path(); p == "card" || c.closed != 1 {
		t.Errorf("steps run on %s, the card was closed %d times", p, c.closed)
	}
	got, err := d.Train(ctx, a, b.theta, b.options(1))
	if err != nil || got.Root() != want {
		t.Errorf("on the processor: %v, %v, want %v", got.Root(), err, want)
	}
}

// A card without room fails the plan, not the process.
func TestFullCard(t *testing.T) {
	b := newBench(t, 1, func(s *protocol.RunSpec) { s.Train.MinShards = 1 })
	c, d := onCard(t, b)
	c.lost = errors.New("out of memory")
	if _, err := d.Train(ctx, b.assignment(0, 1), b.theta, b.options(1)); !errors.Is(err, ErrDevice) {
		t.Errorf("%v, want ErrDevice", err)
	}
	c.lost = nil
	if _, err := d.Train(ctx, b.assignment(0, 1), b.theta, b.options(1)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A card that computes wrongly is found out.
func TestWrongCard(t *testing.T) {
	c, d := onCard(t, newBench(t, 1, nil))
	c.wrong = true
	if err := d.SelfCheck(ctx, 1); !errors.Is(err, exact.ErrWrong) {
		t.Errorf("%v, want ErrWrong", err)
	}
}
