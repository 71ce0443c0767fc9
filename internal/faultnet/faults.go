// Package faultnet puts a bad network between the members of a group, for tests and figures: distance, lost packets,
// partitions. It acts on streams, at the sender, so every process of a trial wraps its own:
//
//	f := faultnet.New(seed)
//	streams := f.Streams(host)                    // for what takes them
//	f.Set(150*time.Millisecond, 0.3)              // one way; 30 % of packets lost
//	f.Cut(b, c)                                   // nothing to and from b and c; f.Cut() heals
//
// A lost packet is one that TCP sends again: what was written arrives, later and in order, after 200 ms, 600 ms, 1.4 s
// and so on (RFC 6298 with the timeout that Linux begins at), and holds up what was written after it. A stream to who is
// cut off stalls, as TCP's do, and goes on where it was when the cut is healed; a new one cannot be opened meanwhile. Opening
// one costs no round trip: libp2p negotiates a stream along with its first bytes.
package faultnet

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"drystone/protocol"
)

// Faults is what happens to the streams of one process. It is safe for concurrent use.
type Faults struct {
	mu      sync.Mutex
	rng     *rand.Rand
	delay   time.Duration
	loss    float64
	cut     map[protocol.PeerID]bool
	changed chan struct{} // closed and replaced when cut changes
}

// New returns a perfect network. Losses follow from the seed.
func New(seed uint64) *Faults {
	return &Faults{rng: rand.New(rand.NewPCG(seed, 1)), changed: make(chan struct{})}
}

// Set makes everything written from now on arrive after the delay, and each packet be lost with a probability below 1.
func (f *Faults) Set(delay time.Duration, loss float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay, f.loss = delay, loss
}

// Cut separates this process from these peers, and heals what was cut before.
func (f *Faults) Cut(peers ...protocol.PeerID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = map[protocol.PeerID]bool{}
	for _, p := range peers {
		f.cut[p] = true
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// retransmit is TCP's first timeout.
const retransmit = 200 * time.Millisecond

// latency draws how long a packet takes.
func (f *Faults) latency() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.delay
	for again := retransmit; f.loss > 0 && f.rng.Float64() < f.loss && again < time.Minute; again *= 2 {
		d += again
	}
	return d
}

// reach waits until the peer is not cut off, and reports false if end is closed first.
func (f *Faults) reach(p protocol.PeerID, end <-chan struct{}) bool {
	for {
		f.mu.Lock()
		cut, changed := f.cut[p], f.changed
		f.mu.Unlock()
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-end:
			return false
		}
	}
}

// Streams carries bytes between peers, as gossip.Host does.
type Streams interface {
	HandleStream(name string, fn func(from protocol.PeerID, c net.Conn))
	OpenStream(ctx context.Context, to protocol.PeerID, name string) (net.Conn, error)
}

// Streams puts the faults between inner and who uses it.
func (f *Faults) Streams(inner Streams) Streams { return &streams{f, inner} }

type streams struct {
	f     *Faults
	inner Streams
}

func (s *streams) HandleStream(name string, fn func(protocol.PeerID, net.Conn)) {
	s.inner.HandleStream(name, func(from protocol.PeerID, c net.Conn) { fn(from, s.f.wrap(from, c)) })
}

func (s *streams) OpenStream(ctx context.Context, to protocol.PeerID, name string) (net.Conn, error) {
	if !s.f.reach(to, ctx.Done()) {
		return nil, ctx.Err()
	}
	c, err := s.inner.OpenStream(ctx, to, name)
	if err != nil {
		return nil, err
	}
	return s.f.wrap(to, c), nil
}
