package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"drystone/node"
	"drystone/protocol"
)

// progress shows a run as it goes: on a terminal one line that is rewritten below lines that stay, elsewhere only lines
// that stay. It is safe for concurrent use.
type progress struct {
	t         *terminal
	spec      *protocol.RunSpec
	peers     int
	live      bool
	certified chan uint32   // rounds with a result, for whoever evaluates them
	also      func() string // what the rewritten line says beside the network; nil for nothing, set before the first pulse

	mu      sync.Mutex
	start   time.Time
	drawn   bool // a rewritten line stands on the screen
	over    bool // closed: no pulse draws any more
	steps   map[protocol.PeerID]uint32
	losses  map[protocol.PeerID]float64
	tokens  uint64
	current uint32
	doing   string // what the rewritten line says
	net     string // and what it says of the network after that; may be empty
	rounds  map[uint32]*roundSum
}

// roundSum is what happened in one round.
type roundSum struct {
	began   time.Time
	tokens  uint64
	sent    uint64
	reveals uint64
	loss    float64
	trained int
}

func newProgress(t *terminal, spec *protocol.RunSpec, peers int) *progress {
	return &progress{t: t, spec: spec, peers: peers, live: isTerminal(t.err), certified: make(chan uint32, spec.Train.Rounds+1),
		start: time.Now(), steps: map[protocol.PeerID]uint32{}, losses: map[protocol.PeerID]float64{}, rounds: map[uint32]*roundSum{}}
}

// line prints a line that stays.
func (p *progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(fmt.Sprintf(format, args...))
}

func (p *progress) print(text string) {
	p.wipe()
	fmt.Fprintln(p.t.err, text)
}

func (p *progress) wipe() {
	if p.drawn {
		fmt.Fprint(p.t.err, "\r\x1b[K")
		p.drawn = false
	}
}

// status rewrites the live line. Elsewhere than on a terminal it prints nothing.
func (p *progress) status(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.redraw(fmt.Sprintf(format, args...))
}

func (p *progress) redraw(text string) {
	if !p.live {
		return
	}
	p.doing = text
	if text += p.net; text == "" {
		return
	}
	if r := []rune(text); len(r) > 118 {
		text = string(r[:118])
	}
	fmt.Fprint(p.t.err, "\r\x1b[K"+text)
	p.drawn = true
}

// pulse is node.Config.OnPulse: it keeps what the rewritten line says of the network current.
func (p *progress) pulse(n node.Pulse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.net = fmt.Sprintf("  %d peers, mesh %d, up %s, down %s", n.Peers, n.Mesh, mbits(n.Up), mbits(n.Down))
	if n.Fetches > 0 {
		p.net += "; fetching"
		if n.Size > 0 {
			p.net += fmt.Sprintf(" %.1f of %.1f MB", float64(n.Done)/1e6, float64(n.Size)/1e6)
		}
		if n.Left > 0 {
			p.net += fmt.Sprintf(", %v left", n.Left.Round(time.Second))
		}
	}
	if p.also != nil {
		p.net += p.also()
	}
	p.redraw(p.doing)
}

// mbits renders bytes per second.
func mbits(bytes float64) string { return fmt.Sprintf("%.1f Mbit/s", bytes*8/1e6) }

// close leaves the cursor on an empty line.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	p.over = true
}

func (p *progress) sum(round uint32) *roundSum {
	s := p.rounds[round]
	if s == nil {
		s = &roundSum{began: time.Now()}
		p.rounds[round] = s
	}
	return s
}

// event is node.Config.OnEvent.
func (p *progress) event(e node.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case node.EventStep:
		p.steps[e.Peer], p.losses[e.Peer] = e.Step, e.Loss
		p.bars()
	case node.EventTrained:
		s := p.sum(e.Round)
		s.tokens, s.trained, s.loss = s.tokens+e.Count, s.trained+1, s.loss+e.Loss
		p.tokens += e.Count
	case node.EventRevealed:
		if e.Count > 0 {
			s := p.sum(e.Round)
			s.sent, s.reveals = s.sent+e.Count, s.reveals+1
		}
	case node.EventOpen:
		p.sum(e.Round)
		if e.Text != "" {
			p.current = e.Round
			clear(p.steps)
		}
	case node.EventCertified:
		p.certified <- e.Round
	case node.EventConvicted, node.EventPaid, node.EventRefunded, node.EventCouncil, node.EventEnd, node.EventPaused, node.EventOutside, node.EventWaiting, node.EventWarning, node.EventSplit, node.EventFew, node.EventOmitted:
		p.print("  " + e.Text)
	}
}

// notable prints what a person must know and nothing else.
func (p *progress) notable(e node.Event) {
	switch e.Kind {
	case node.EventConvicted, node.EventPaid, node.EventRefunded, node.EventCouncil, node.EventEnd, node.EventPaused, node.EventOutside, node.EventWaiting, node.EventWarning, node.EventSplit, node.EventFew, node.EventOmitted, node.EventSettled, node.EventCertified:
		if e.Text != "" {
			p.line("%s", e.Text)
		}
	}
}

// bars draws how far each trainer is.
func (p *progress) bars() {
	if !p.live {
		return
	}
	var b strings.Builder
	var loss float64
	fmt.Fprintf(&b, "round %d  ", p.current)
	for _, id := range sortedPeers(p.steps) {
		fmt.Fprintf(&b, "%s %d/%d  ", id.Short(), p.steps[id], p.spec.Train.Steps)
		loss += p.losses[id] / float64(len(p.steps))
	}
	elapsed := time.Since(p.start).Seconds()
	fmt.Fprintf(&b, "loss %.3f  %.0f s", loss, elapsed)
	p.redraw(b.String())
}

// round prints a finished round with what it reaches on held-out data and what else the caller knows of it.
func (p *progress) round(round uint32, heldOut, more string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sum(round)
	took := time.Since(s.began).Seconds()
	if s.trained == 0 { // all trainers are elsewhere
		p.print(fmt.Sprintf("round %2d  held-out %s%s  %.1f s", round, heldOut, more, took))
		return
	}
	p.print(fmt.Sprintf("round %2d  held-out %s  training %.3f  %6.0f %s/s  %7d bytes sent by %d trainers%s  %.1f s",
		round, heldOut, s.loss/float64(s.trained), float64(s.tokens)/took, unitOf(p.spec), s.sent, s.reveals, more, took))
}

// unitOf is what the training of a run is counted in.
func unitOf(spec *protocol.RunSpec) string {
	if spec.Model.OnExamples() {
		return "examples"
	}
	return "tokens"
}

// sentPerPeerRound returns the bytes that a trainer sent per round, on average: reveals as they go over the wire.
func (p *progress) sentPerPeerRound() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sent, n uint64
	for _, s := range p.rounds {
		sent, n = sent+s.sent, n+s.reveals
	}
	return sent / max(n, 1)
}

// trained returns the training tokens of all trainers.
func (p *progress) trained() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tokens
}

// sortedPeers returns the keys in order, so that a redrawn line does not jump.
func sortedPeers[V any](m map[protocol.PeerID]V) []protocol.PeerID {
	return slices.SortedFunc(maps.Keys(m), func(a, b protocol.PeerID) int { return bytes.Compare(a[:], b[:]) })
}
