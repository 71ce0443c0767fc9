package gpu

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of this package. Card.Err, Open and Pacer.Wait wrap them.
var (
	// ErrNoDriver: this machine has no NVIDIA driver, or none that answers.
	ErrNoDriver = errors.New("no NVIDIA driver")
	// ErrLost: a card fell off the bus, or must be reset. It answers again after a restart at the earliest.
	ErrLost = errors.New("the card does not answer any more (fell off the bus): check power and seating, then restart the machine")
	// ErrDriver: the driver answers with an error.
	ErrDriver = errors.New("NVIDIA's driver reports an error")
	// ErrLimit: a limit cannot be kept on this card.
	ErrLimit = errors.New("limit cannot be kept")
	// ErrNoCard: the device that was asked for is not there.
	ErrNoCard = errors.New("no such device")
)

// Card is a reading of one card. A number that the card does not report is -1.
type Card struct {
	Index       int // in the driver's order, from 0
	UUID        string
	Name        string
	Memory      int64   // bytes
	Used        int64   // bytes, by all processes and the driver
	Busy        int     // percent of the last moments in which it computed
	Celsius     int     // of the chip
	Watts       float64 // drawn now
	PowerLimit  float64 // watts, as the driver enforces it
	Clock       int     // MHz, of the multiprocessors
	MemoryClock int     // MHz
	Throttle    Throttle
	Processes   []Process
	Err         error // why it could not be read; the other fields but Index are then unknown
}

// Process is one process that has the card open.
type Process struct {
	PID     int
	Memory  int64 // bytes, -1 if unknown, as under Windows' own memory management
	Busy    int   // percent of the multiprocessors in the last moments, -1 if unknown
	Compute bool  // it computes, rather than draws
}

// Throttle is why a card's clocks are lower than they could be, as a set.
type Throttle uint8

// Reasons for lower clocks.
const (
	ThrottlePower    Throttle = 1 << iota // the power limit
	ThrottleHeat                          // the chip or its memory is too hot
	ThrottleHardware                      // an external brake, a failing supply, or a fast change of load
)

// String lists the reasons, such as "power, heat"; "" if there is none.
func (t Throttle) String() string {
	var out []string
	for i, name := range []string{"power", "heat", "hardware"} {
		if t&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

// String is one line for people; what is unknown is left out.
func (c Card) String() string {
	if c.Err != nil {
		return fmt.Sprintf("card %d: %v", c.Index, c.Err)
	}
	out := []string{c.Name}
	add := func(known bool, format string, args ...any) {
		if known {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(c.Memory >= 0 && c.Used >= 0, "%.1f of %.1f GB used", float64(c.Used)/1e9, float64(c.Memory)/1e9)
	add(c.Busy >= 0, "%d %% busy", c.Busy)
	add(c.Celsius >= 0, "%d C", c.Celsius)
	add(c.Watts >= 0 && c.PowerLimit >= 0, "%.0f of %.0f W", c.Watts, c.PowerLimit)
	add(c.Watts >= 0 && c.PowerLimit < 0, "%.0f W", c.Watts)
	add(c.Clock >= 0, "%d MHz", c.Clock)
	add(c.Throttle != 0, "slowed by %s", c.Throttle)
	return strings.Join(out, ", ")
}
