package node

import (
	"context"
	"time"

	"drystone/gossip"
)

// pulseEvery is how often Config.OnPulse is called.
const pulseEvery = time.Second

// Pulse is what a member's network does now.
type Pulse struct {
	Peers    int     // connected
	Mesh     int     // neighbours in the gossip mesh of the statements that rounds wait for
	Up, Down float64 // bytes per second, of everything, since the pulse before
	// Blobs that are being fetched, such as the state that a round starts from: bytes here and in all, as far as sizes are
	// known, and how long the rest takes at the present rate, 0 if that is not known.
	Fetches    int
	Done, Size int64
	Left       time.Duration
}

// pulsemeter makes pulses of counts. One goroutine uses it.
type pulsemeter struct {
	at             time.Time
	up, down, blob uint64
	rate           float64 // of blobs, bytes per second, smoothed over some pulses
}

func (p *pulsemeter) next(t gossip.Traffic, s gossip.Stats, now time.Time) Pulse {
	out := Pulse{Peers: t.Peers, Mesh: t.Topics[gossip.TopicControl].Mesh, Fetches: len(s.Fetches)}
	var up, down uint64
	for _, b := range t.Protocols {
		up, down = up+uint64(b.Out), down+uint64(b.In)
	}
	for _, f := range s.Fetches {
		out.Done, out.Size = out.Done+f.Done, out.Size+max(f.Size, f.Done)
	}
	if seconds := now.Sub(p.at).Seconds(); !p.at.IsZero() && seconds > 0 {
		out.Up, out.Down = float64(up-p.up)/seconds, float64(down-p.down)/seconds
		blob := float64(s.BlobDown-p.blob) / seconds
		if p.rate == 0 {
			p.rate = blob
		}
		p.rate += (blob - p.rate) / 4
	}
	if out.Fetches == 0 {
		p.rate = 0
	}
	if missing := out.Size - out.Done; missing > 0 && p.rate > 1 {
		out.Left = time.Duration(float64(missing) / p.rate * float64(time.Second))
	}
	p.at, p.up, p.down, p.blob = now, up, down, s.BlobDown
	return out
}

// beat calls OnPulse until the member closes.
func (m *member) beat(ctx context.Context) {
	var p pulsemeter
	for {
		m.cfg.OnPulse(p.next(m.host.Traffic(), m.host.Stats(), time.Now()))
		if !waitFor(ctx, pulseEvery) {
			return
		}
	}
}
