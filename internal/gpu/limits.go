package gpu

import (
	"errors"
	"fmt"
)

// Limits is what a person allows on a card. The zero value allows everything.
type Limits struct {
	VRAM     int64   // bytes that this process may take; 0 for no limit
	Watts    float64 // drawn by the card; 0 for no limit
	Celsius  int     // of the chip; 0 for no limit
	IdleOnly bool    // work only while nobody else uses the card
}

// Hysteresis: work that stopped at a limit goes on when the card is so far below it.
const (
	coolBy = 5    // degrees
	saveBy = 0.05 // of the power limit
)

// Shares in percent from which a process uses the card, so that a desktop that redraws its clock or an idle notebook does
// not count.
const (
	usesCompute = 3
	usesDrawing = 15
)

// None reports whether everything is allowed.
func (l Limits) None() bool { return l == Limits{} }

// Check returns an error that wraps ErrLimit unless the card c reports what the limits need, and the limits make sense.
func (l Limits) Check(c Card) error {
	var errs []error
	add := func(broken bool, format string, args ...any) {
		if broken {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrLimit}, args...)...))
		}
	}
	add(l.VRAM < 0 || l.Celsius < 0 || !(l.Watts >= 0), "below zero")
	add(l.Watts > 0 && c.Watts < 0, "%s does not report its power (--max-power)", c.Name)
	add(l.Celsius > 0 && c.Celsius < 0, "%s does not report its temperature (--max-temp)", c.Name)
	add(l.VRAM > 0 && c.Memory >= 0 && l.VRAM > c.Memory, "%s has %.1f GB, less than --max-vram", c.Name, float64(c.Memory)/1e9)
	return errors.Join(errs...)
}

// Room returns the bytes that this process may still take on the card, which holds own of them already: what is free and
// what --max-vram leaves. It is 0 if neither is known.
func (l Limits) Room(c Card, own int64) int64 {
	var room int64
	if c.Memory >= 0 && c.Used >= 0 {
		room = max(c.Memory-c.Used, 0)
	}
	if l.VRAM > 0 && (room == 0 || l.VRAM-own < room) {
		room = max(l.VRAM-own, 0)
	}
	return room
}

// Judge says why not to work on a card now, "" if nothing speaks against it. self is this process. waiting says that it does
// not work already: limits are then a little stricter, and whatever keeps the card busy is somebody else's.
func (l Limits) Judge(c Card, self int, waiting bool) string {
	if l.None() {
		return ""
	}
	if c.Err != nil {
		return "it cannot be read: " + c.Err.Error()
	}
	heat, power := l.Celsius, l.Watts
	if waiting {
		heat, power = heat-coolBy, power*(1-saveBy)
	}
	switch {
	case l.Celsius > 0 && (c.Celsius < 0 || c.Celsius > heat):
		return fmt.Sprintf("%s C, --max-temp is %d C", number(float64(c.Celsius)), l.Celsius)
	case l.Watts > 0 && !(c.Watts >= 0 && c.Watts <= power):
		return fmt.Sprintf("%s W, --max-power is %.0f W", number(c.Watts), l.Watts)
	case l.IdleOnly:
		return l.others(c, self, waiting)
	}
	return ""
}

func number(x float64) string {
	if x < 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.0f", x)
}

// others says who else uses the card. Without shares by process, all that is known is who computes, and that a card on which
// this process does nothing is busy.
func (l Limits) others(c Card, self int, waiting bool) string {
	sampled := false
	for _, p := range c.Processes {
		sampled = sampled || p.Busy >= 0
		if p.PID != self && p.uses() {
			return fmt.Sprintf("process %d uses it", p.PID)
		}
	}
	if waiting && !sampled && c.Busy >= usesDrawing {
		return fmt.Sprintf("somebody else uses it, %d %% of the time", c.Busy)
	}
	return ""
}

func (p Process) uses() bool {
	switch {
	case p.Busy < 0:
		return p.Compute
	case p.Compute:
		return p.Busy >= usesCompute
	}
	return p.Busy >= usesDrawing
}
