package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"drystone/internal/cuda"
	"drystone/internal/exact"
	"drystone/internal/gpu"
	"drystone/node"
)

// cardFlags say what to train on and how hard.
type cardFlags struct {
	Device   string  `help:"What to train on: cpu, a card as cuda:0, or auto for the first card if it is fit, else the processor." default:"auto"`
	WaitCard bool    `help:"If the card fails, leave rounds out until it works again, rather than train on the processor."`
	MaxVram  string  `help:"Take at most so much memory of the card, such as 8GB." name:"max-vram" placeholder:"BYTES"`
	MaxPower float64 `help:"Pause while the card draws more watts." placeholder:"WATTS"`
	MaxTemp  int     `help:"Pause while the card is hotter, in degrees Celsius." placeholder:"CELSIUS"`
	IdleOnly bool    `help:"Pause while somebody else uses the card."`
}

// limits are those that the flags name.
func (f *cardFlags) limits() (gpu.Limits, error) {
	l := gpu.Limits{Watts: f.MaxPower, Celsius: f.MaxTemp, IdleOnly: f.IdleOnly}
	if f.MaxVram != "" {
		var err error
		if l.VRAM, err = parseBytes(f.MaxVram); err != nil {
			return l, fmt.Errorf("%w: --max-vram: %w", errUsage, err)
		}
	}
	if l.Watts < 0 || l.Celsius < 0 {
		return l, fmt.Errorf("%w: --max-power and --max-temp must be above 0", errUsage)
	}
	return l, nil
}

// monitor is a gpu.Monitor.
type monitor interface {
	Driver() string
	Cards() ([]gpu.Card, error)
	Card(index int) (gpu.Card, error)
	Close() error
}

// openMonitor finds the driver; tests set it.
var openMonitor = func() (monitor, error) {
	m, err := gpu.Open()
	if err != nil {
		return nil, err
	}
	return m, nil
}

// openKernels opens a card for computing; tests set it.
var openKernels = func(opt cuda.Options) (exact.Kernels, error) { return cuda.Open(opt) }

// cards are the machine's cards as a command uses them.
type cards struct {
	monitor monitor // nil without a driver
	limits  gpu.Limits
	index   int        // of the card that is watched
	pacer   *gpu.Pacer // nil if none is
	trains  bool       // steps run on the watched card
	auto    bool       // and nobody asked for that
	uuid    string     // of it
	wait    bool       // for it, if it fails
}

// open finds the cards and holds the limits against the one that is trained on. Whoever trains on the processor may still want
// to stay out of the way of a game: the limits are then about the first card. tell hears why training pauses, and "" when it
// goes on.
func (f *cardFlags) open(tell func(why string)) (*cards, error) {
	choice, err := gpu.ParseChoice(f.Device)
	if err != nil {
		return nil, fmt.Errorf("%w: --device: %w", errUsage, err)
	}
	limits, err := f.limits()
	if err != nil {
		return nil, err
	}
	c := &cards{limits: limits, index: max(choice.Index, 0), trains: choice.Index >= 0, auto: choice.Auto, wait: f.WaitCard}
	if c.monitor, err = openMonitor(); err != nil {
		if err := c.without(choice, err); err != nil {
			return nil, err
		}
		return c, nil
	}
	if err := c.choose(tell); err != nil {
		return nil, errors.Join(unusable(err), c.Close())
	}
	return c, nil
}

// without returns an error if the flags need the driver, which err says is not there.
func (c *cards) without(choice gpu.Choice, err error) error {
	if choice.Index >= 0 {
		return unusable(fmt.Errorf("--device %s: %w", choice, err))
	}
	if !c.limits.None() {
		return unusable(fmt.Errorf("--max-vram, --max-power, --max-temp and --idle-only are about a card: %w", err))
	}
	return nil
}

// choose looks at the card that is trained on or watched.
func (c *cards) choose(tell func(why string)) error {
	card, err := c.read()
	if c.auto {
		c.trains = err == nil
		if err != nil && c.limits.None() {
			return nil // there is none, or it does not work: nobody asked for it
		}
	}
	if err != nil {
		return fmt.Errorf("cuda:%d: %w", c.index, err)
	}
	if !c.trains && c.limits.VRAM > 0 {
		return errors.New("--max-vram limits training on a card, and it runs on the processor; --memory limits that")
	}
	c.uuid = card.UUID
	if c.trains || !c.limits.None() {
		if c.pacer, err = gpu.NewPacer(c.read, c.limits, os.Getpid(), tell); err != nil {
			return fmt.Errorf("cuda:%d: %w", c.index, err)
		}
	}
	return nil
}

// configure tells a trainer what to train on and how hard.
func (c *cards) configure(cfg *node.Config) {
	cfg.Pace, cfg.Cards = c.pace(), c.all()
	if !c.trains {
		return
	}
	opt := cuda.Options{UUID: c.uuid, Label: fmt.Sprintf("cuda:%d", c.index), Limit: c.limits.VRAM}
	cfg.OpenCard = func() (exact.Kernels, error) { return openKernels(opt) }
	cfg.AwaitCard, cfg.CardOptional = c.wait, c.auto
}

func (c *cards) read() (gpu.Card, error) { return c.monitor.Card(c.index) }

// pace is node.Config.Pace: nil if nothing is limited.
func (c *cards) pace() func(context.Context) error {
	if c.pacer == nil || c.limits.None() {
		return nil
	}
	return c.pacer.Wait
}

// all is node.Config.Cards: nil without a driver.
func (c *cards) all() func() ([]gpu.Card, error) {
	if c.monitor == nil {
		return nil
	}
	return c.monitor.Cards
}

// lines tells of every card.
func (c *cards) lines() []string {
	if c.monitor == nil {
		return nil
	}
	all, err := c.monitor.Cards()
	if err != nil {
		return []string{"cards: " + oneLine(err)}
	}
	var out []string
	for _, card := range all {
		if card.Err != nil {
			out = append(out, card.String())
			continue
		}
		out = append(out, fmt.Sprintf("card %d: %s (driver %s)", card.Index, card, c.monitor.Driver()))
	}
	return out
}

// brief is what the live line says of the card that is watched; empty without one.
func (c *cards) brief() string {
	if c.pacer == nil {
		return ""
	}
	if why := c.pacer.Why(); why != "" {
		return "; paused: " + why
	}
	card, err := c.read()
	if err != nil {
		return "; card: " + oneLine(err)
	}
	text := fmt.Sprintf("; card %d", c.index)
	if card.Busy >= 0 {
		text += fmt.Sprintf(" %d %%", card.Busy)
	}
	if card.Celsius >= 0 {
		text += fmt.Sprintf(" %d C", card.Celsius)
	}
	if card.Watts >= 0 {
		text += fmt.Sprintf(" %.0f W", card.Watts)
	}
	return text
}

// Close lets go of the driver.
func (c *cards) Close() error {
	if c.monitor == nil {
		return nil
	}
	return c.monitor.Close()
}
