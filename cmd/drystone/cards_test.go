package main

import (
	"errors"
	"strings"
	"testing"

	"drystone/internal/cuda"
	"drystone/internal/exact"
	"drystone/internal/gpu"
	"drystone/node"
)

// fakeMonitor is a driver with these cards.
type fakeMonitor struct {
	cards  []gpu.Card
	closed int
}

func (m *fakeMonitor) Driver() string             { return "550.1" }
func (m *fakeMonitor) Cards() ([]gpu.Card, error) { return m.cards, nil }
func (m *fakeMonitor) Close() error               { m.closed++; return nil }
func (m *fakeMonitor) Card(i int) (gpu.Card, error) {
	if i >= len(m.cards) {
		return gpu.Card{}, gpu.ErrNoCard
	}
	return m.cards[i], m.cards[i].Err
}

// withMonitor sets what the driver says, nil for no driver. Its cards compute on the processor.
func withMonitor(t *testing.T, m *fakeMonitor) {
	t.Helper()
	monitors, kernels := openMonitor, openKernels
	t.Cleanup(func() { openMonitor, openKernels = monitors, kernels })
	openKernels = func(cuda.Options) (exact.Kernels, error) { return exact.New(1) }
	openMonitor = func() (monitor, error) {
		if m == nil {
			return nil, gpu.ErrNoDriver
		}
		return m, nil
	}
}

// What the flags of a card mean, with a driver and without.
func TestCardFlags(t *testing.T) {
	good := gpu.Card{Name: "card", Memory: 8e9, Used: 1e9, Busy: 3, Celsius: 60, Watts: 100, PowerLimit: 200}
	blind := good
	blind.Celsius = -1
	lost := gpu.Card{Err: gpu.ErrLost}
	for _, c := range []struct {
		flags         cardFlags
		card          *gpu.Card // nil: no driver
		want          string    // of the error; "" for none
		paced, trains bool
	}{
		{cardFlags{}, nil, "", false, false},
		{cardFlags{}, &good, "", false, true},
		{cardFlags{}, &lost, "", false, false},
		{cardFlags{Device: "cpu"}, &good, "", false, false},
		{cardFlags{Device: "cpu", IdleOnly: true}, &good, "", true, false},
		{cardFlags{Device: "auto", MaxTemp: 70}, &good, "", true, true},
		{cardFlags{Device: "cuda:0", MaxVram: "2GB"}, &good, "", true, true},
		{cardFlags{Device: "cuda:0"}, &lost, "cuda:0: ", false, false},
		{cardFlags{Device: "cuda:1"}, &good, "cuda:1: no such device", false, false},
		{cardFlags{Device: "cuda:0"}, nil, "--device cuda:0: no NVIDIA driver", false, false},
		{cardFlags{MaxTemp: 70}, nil, "are about a card: no NVIDIA driver", false, false},
		{cardFlags{MaxTemp: 70}, &lost, "fell off the bus", false, false},
		{cardFlags{MaxTemp: 70}, &blind, "--max-temp", false, false},
		{cardFlags{Device: "cpu", MaxVram: "2GB"}, &good, "it runs on the processor", false, false},
		{cardFlags{MaxVram: "2 apples"}, &good, "--max-vram", false, false},
		{cardFlags{MaxPower: -1}, &good, "must be above 0", false, false},
		{cardFlags{Device: "tpu"}, &good, "want auto, cpu, or cuda:N", false, false},
	} {
		m := &fakeMonitor{}
		if c.card != nil {
			m.cards = []gpu.Card{*c.card}
			withMonitor(t, m)
		} else {
			withMonitor(t, nil)
		}
		got, err := c.flags.open(nil)
		if c.want != "" {
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %q", c.flags, err, c.want)
			}
			if got != nil {
				t.Errorf("%+v: cards are open in spite of %v", c.flags, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c.flags, err)
			continue
		}
		var cfg node.Config
		got.configure(&cfg)
		if (cfg.Pace != nil) != c.paced || (cfg.Cards != nil) != (c.card != nil) || (cfg.OpenCard != nil) != c.trains {
			t.Errorf("%+v: paced %t, trains on the card %t", c.flags, cfg.Pace != nil, cfg.OpenCard != nil)
		}
		if err := got.Close(); err != nil || c.card != nil && m.closed != 1 {
			t.Errorf("%+v: closed %d times, %v", c.flags, m.closed, err)
		}
	}
}

// What a person sees of the cards.
func TestCardLines(t *testing.T) {
	m := &fakeMonitor{cards: []gpu.Card{
		{Index: 0, Name: "card", Memory: 8e9, Used: 1e9, Busy: 3, Celsius: 60, Watts: 100, PowerLimit: 200, Clock: -1},
		{Index: 1, Err: gpu.ErrLost},
	}}
	withMonitor(t, m)
	f := cardFlags{MaxTemp: 80}
	c, err := f.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Join(c.lines(), "|")
	if want := "card 0: card, 1.0 of 8.0 GB used, 3 % busy, 60 C, 100 of 200 W (driver 550.1)|card 1: " + gpu.ErrLost.Error(); lines != want {
		t.Errorf("%q, want %q", lines, want)
	}
	if got, want := c.brief(), "; card 0 3 % 60 C 100 W"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	found := examineCards()
	if len(found) != 2 || found[0].State != well || found[1].State != warn {
		t.Errorf("%+v", found)
	}
	withMonitor(t, nil)
	if f := examineCards(); len(f) != 1 || f[0].State != well {
		t.Errorf("%+v", f)
	}
}
