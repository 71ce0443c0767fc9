package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const self = 42

func reading() Card {
	return Card{Name: "card", Memory: 24e9, Used: 4e9, Busy: 5, Celsius: 60, Watts: 200, PowerLimit: 350, Clock: 1800, MemoryClock: 9000}
}

func TestJudge(t *testing.T) {
	with := func(change func(*Card)) Card {
		c := reading()
		change(&c)
		return c
	}
	processes := func(busy int, p ...Process) Card {
		return with(func(c *Card) { c.Busy, c.Processes = busy, p })
	}
	heat, power, idle := Limits{Celsius: 70}, Limits{Watts: 250}, Limits{IdleOnly: true}
	mine := Process{PID: self, Busy: 90, Compute: true}
	for _, x := range []struct {
		name    string
		limits  Limits
		card    Card
		waiting bool
		want    string // part of why; "" for go on
	}{
		{"no limits", Limits{}, with(func(c *Card) { c.Celsius = 120 }), false, ""},
		{"no limits, lost", Limits{}, Card{Err: ErrLost}, false, ""},
		{"lost", heat, Card{Err: ErrLost}, false, "cannot be read"},
		{"at the limit", heat, with(func(c *Card) { c.Celsius = 70 }), false, ""},
		{"hot", heat, with(func(c *Card) { c.Celsius = 71 }), false, "71 C, --max-temp is 70 C"},
		{"hardly cooler", heat, with(func(c *Card) { c.Celsius = 66 }), true, "66 C"},
		{"cool again", heat, with(func(c *Card) { c.Celsius = 65 }), true, ""},
		{"no thermometer any more", heat, with(func(c *Card) { c.Celsius = -1 }), false, "unknown C"},
		{"power", power, with(func(c *Card) { c.Watts = 250.5 }), false, "--max-power is 250 W"},
		{"power, waiting", power, with(func(c *Card) { c.Watts = 240 }), true, "240 W"},
		{"less power", power, with(func(c *Card) { c.Watts = 237 }), true, ""},
		{"nobody", idle, processes(0), false, ""},
		{"only this process", idle, processes(99, mine), false, ""},
		{"another computes", idle, processes(99, mine, Process{PID: 7, Busy: 40, Compute: true}), false, "process 7"},
		{"another has it open", idle, processes(99, mine, Process{PID: 7, Busy: 0, Compute: true}), false, ""},
		{"a desktop", idle, processes(99, mine, Process{PID: 7, Busy: 4}), false, ""},
		{"a game", idle, processes(99, mine, Process{PID: 7, Busy: 60}), false, "process 7"},
		{"no shares, another computes", idle, processes(99, Process{PID: 7, Busy: -1, Compute: true}), false, "process 7"},
		{"no shares, a desktop", idle, processes(99, Process{PID: 7, Busy: -1}), false, ""},
		{"no shares, busy while this process waits", idle, processes(60, Process{PID: 7, Busy: -1}), true, "somebody else"},
		{"busy without processes in sight", idle, processes(60), true, "somebody else"},
		{"both at once", Limits{Celsius: 70, IdleOnly: true}, processes(0, Process{PID: 7, Busy: 60}), false, "process 7"},
	} {
		got := x.limits.Judge(x.card, self, x.waiting)
		if (got == "") != (x.want == "") || !strings.Contains(got, x.want) {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
}

// Whoever waits is judged no more mildly than whoever works, and a cooler card never more strictly.
func TestJudgeIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{Celsius: rapid.IntRange(0, 100).Draw(t, "max"), Watts: float64(rapid.IntRange(0, 400).Draw(t, "watts"))}
		c := reading()
		c.Celsius, c.Watts = rapid.IntRange(-1, 110).Draw(t, "celsius"), float64(rapid.IntRange(-1, 500).Draw(t, "power"))
		if l.Judge(c, self, true) == "" && l.Judge(c, self, false) != "" {
			t.Fatal("milder while waiting")
		}
		cooler := c
		cooler.Celsius, cooler.Watts = max(c.Celsius-1, 0), max(c.Watts-1, 0)
		if w := rapid.Bool().Draw(t, "waiting"); l.Judge(c, self, w) == "" && l.Judge(cooler, self, w) != "" {
			t.Fatal("stricter with a cooler card")
		}
	})
}

func TestLimits(t *testing.T) {
	blind := reading()
	blind.Celsius, blind.Watts = -1, -1
	for _, x := range []struct {
		l    Limits
		c    Card
		want string
	}{
		{Limits{VRAM: 20e9, Watts: 100, Celsius: 80, IdleOnly: true}, reading(), ""},
		{Limits{Celsius: 80}, blind, "--max-temp"}, {Limits{Watts: 80}, blind, "--max-power"},
		{Limits{VRAM: 25e9}, reading(), "--max-vram"}, {Limits{VRAM: -1}, reading(), "below zero"},
	} {
		err := x.l.Check(x.c)
		if x.want == "" && err != nil || x.want != "" && (!errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%+v: %v, want %q", x.l, err, x.want)
		}
	}
	for _, x := range []struct {
		vram, own, want int64
	}{{0, 0, 20e9}, {8e9, 0, 8e9}, {8e9, 3e9, 5e9}, {8e9, 9e9, 0}, {22e9, 0, 20e9}} {
		if got := (Limits{VRAM: x.vram}).Room(reading(), x.own); got != x.want {
			t.Errorf("--max-vram %d, %d held: room for %d, want %d", x.vram, x.own, got, x.want)
		}
	}
}

// Work stops within a second of the limit and goes on when the card is cool again; each change is told once.
func TestPacerHeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		reads := 0
		read := func() (Card, error) { // hot from 10 s to 30 s
			reads++
			c := reading()
			if s := time.Since(start); s >= 10*time.Second && s < 30*time.Second {
				c.Celsius = 90
			}
			return c, nil
		}
		var told []string
		p, err := NewPacer(read, Limits{Celsius: 80}, self, func(why string) {
			told = append(told, fmt.Sprintf("%.0f:%s", time.Since(start).Seconds(), why))
		})
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		for time.Since(start) < 60*time.Second {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			steps++
			time.Sleep(10 * time.Millisecond) // a step
		}
		if want := []string{"10:90 C, --max-temp is 80 C", "30:"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if steps < 3900 || steps > 4000 || reads > 70 {
			t.Errorf("%d steps and %d readings", steps, reads)
		}
	})
}

// With --idle-only work goes on only after somebody else left the card alone for a while, not in each pause of theirs.
func TestPacerIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		read := func() (Card, error) { // from 5 s to 65 s somebody else works half of every ten seconds
			c := reading()
			if s := int(time.Since(start).Seconds()); s >= 5 && s < 65 && s%10 >= 5 {
				c.Processes = []Process{{PID: 7, Busy: 80, Compute: true}}
			}
			return c, nil
		}
		changes := 0
		p, err := NewPacer(read, Limits{IdleOnly: true}, self, func(string) { changes++ })
		if err != nil {
			t.Fatal(err)
		}
		for time.Since(start) < 5*time.Second {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at := time.Since(start); at < 75*time.Second || at > 85*time.Second || changes != 2 || p.Why() != "" {
			t.Errorf("went on after %v with %d changes, %q", at, changes, p.Why())
		}
	})
}

// A card that cannot be read is not worked on, and the wait ends with its context.
func TestPacerCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail error
		p, err := NewPacer(func() (Card, error) { return reading(), fail }, Limits{Watts: 300}, self, nil)
		if err != nil {
			t.Fatal(err)
		}
		fail = ErrLost
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan error)
		go func() { done <- p.Wait(ctx) }()
		time.Sleep(10 * time.Second)
		if !strings.Contains(p.Why(), "cannot be read") {
			t.Errorf("waits because %q", p.Why())
		}
		if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) { // a second one waits its turn
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := NewPacer(func() (Card, error) { return Card{}, ErrLost }, Limits{Watts: 300}, self, nil); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
	})
}
