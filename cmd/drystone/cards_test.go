package main

import (
	"errors"
	"strings"
	"testing"

	"drystone/internal/gpu"
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

func withMonitor(t *testing.T, m *fakeMonitor) {
	t.Helper()
	real := openMonitor
	t.Cleanup(func() { openMonitor = real })
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
	for _, c := range []struct {
		flags cardFlags
		card  *gpu.Card // nil: no driver
		want  string    // of the error; "" for none
		paced bool
	}{
		{cardFlags{}, nil, "", false},
		{cardFlags{Device: "cpu"}, &good, "", false},
		{cardFlags{Device: "auto", MaxTemp: 70}, &good, "", true},
		{cardFlags{IdleOnly: true}, &good, "", true},
		{cardFlags{MaxTemp: 70}, nil, "are about a card: no NVIDIA driver", false},
		{cardFlags{MaxTemp: 70}, &blind, "--max-temp", false},
		{cardFlags{MaxVram: "2GB"}, &good, "it runs on the processor", false},
		{cardFlags{MaxVram: "2 apples"}, &good, "--max-vram", false},
		{cardFlags{MaxPower: -1}, &good, "must be above 0", false},
		{cardFlags{Device: "tpu"}, &good, "want auto, cpu, or cuda:N", false},
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
		if err != nil || (got.wait() != nil) != c.paced || (got.all() != nil) != (c.card != nil) {
			t.Errorf("%+v: %v, paced %t", c.flags, err, got.wait() != nil)
			continue
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
