package gpu

import (
	"context"
	"sync"
	"time"
)

// How often a Pacer reads its card, and how long somebody else must have left it alone.
const (
	readEvery = time.Second
	quietFor  = 15 * time.Second
)

// Pacer makes work on a card keep to limits.
type Pacer struct {
	read   func() (Card, error)
	limits Limits
	self   int
	tell   func(why string)

	turn   chan struct{} // holds one element while somebody reads or waits; who has it owns the rest
	readAt time.Time
	paused bool

	mu  sync.Mutex
	why string
}

// NewPacer returns a Pacer of the card that read reads, for the process with ID self. tell, which may be nil, hears why work
// stops, and "" when it goes on. The error wraps ErrLimit if the card as it is now cannot be held to the limits, or is what
// read returned.
func NewPacer(read func() (Card, error), limits Limits, self int, tell func(why string)) (*Pacer, error) {
	c, err := read()
	if err != nil {
		return nil, err
	}
	if err := limits.Check(c); err != nil {
		return nil, err
	}
	if tell == nil {
		tell = func(string) {}
	}
	return &Pacer{read: read, limits: limits, self: self, tell: tell, turn: make(chan struct{}, 1)}, nil
}

// Why says why work waits now, "" if it does not.
func (p *Pacer) Why() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

// Wait returns when the limits allow to work, or with ctx's error. It reads the card once a second at most, so it may be
// called before every step.
func (p *Pacer) Wait(ctx context.Context) error {
	if p.limits.None() {
		return ctx.Err()
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !p.paused && !p.readAt.IsZero() && time.Since(p.readAt) < readEvery {
		return ctx.Err()
	}
	var since time.Time // that nothing spoke against work
	for {
		p.readAt = time.Now()
		switch why := p.judge(); {
		case why != "":
			since = time.Time{}
			p.pause(why)
		case since.IsZero():
			since = p.readAt
		}
		if !since.IsZero() && (!p.paused || !p.limits.IdleOnly || time.Since(since) >= quietFor) {
			p.pause("")
			return ctx.Err()
		}
		select {
		case <-time.After(readEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Pacer) judge() string {
	c, err := p.read()
	if c.Err == nil {
		c.Err = err
	}
	return p.limits.Judge(c, p.self, p.paused)
}

// pause notes why work waits, "" that it goes on, and tells of a change between the two.
func (p *Pacer) pause(why string) {
	changed := p.paused != (why != "")
	p.paused = why != ""
	p.mu.Lock()
	p.why = why
	p.mu.Unlock()
	if changed {
		p.tell(why)
	}
}
