package faultnet

import (
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"drystone/protocol"
)

// packets is how many writes may be on their way; further ones wait.
const packets = 256

// conn delays what is written to a stream. One goroutine carries it, from wrap until the first error, or until Close and the
// delivery of what was written before.
type conn struct {
	net.Conn
	f    *Faults
	peer protocol.PeerID
	sent chan packet

	closing chan struct{} // closed by Close
	failed  chan struct{} // closed when nothing more is carried
	once    struct{ closing, failed sync.Once }

	mu       sync.Mutex
	deadline time.Time
	moved    chan struct{} // closed and replaced when deadline changes
}

type packet struct {
	data []byte
	due  time.Time
}

func (f *Faults) wrap(peer protocol.PeerID, c net.Conn) net.Conn {
	w := &conn{Conn: c, f: f, peer: peer, sent: make(chan packet, packets), moved: make(chan struct{}),
		closing: make(chan struct{}), failed: make(chan struct{})}
	go w.carry()
	return w
}

// carry delivers what was written, in order, until the stream has failed, or is closed and nothing is left.
func (c *conn) carry() {
	defer c.Conn.Close()
	defer c.fail()
	var last time.Time
	for {
		var p packet
		select {
		case p = <-c.sent:
		default:
			select {
			case p = <-c.sent:
			case <-c.closing:
				return
			}
		}
		if p.due.Before(last) {
			p.due = last
		}
		last = p.due
		if !c.wait(time.Until(p.due)) || !c.f.reach(c.peer, c.failed) {
			return
		}
		if _, err := c.Conn.Write(p.data); err != nil {
			return
		}
	}
}

// wait reports false if the stream ends first.
func (c *conn) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.failed:
		return false
	}
}

// Write returns once the bytes are on their way, which is no proof that they arrive.
func (c *conn) Write(b []byte) (int, error) {
	p := packet{data: slices.Clone(b), due: time.Now().Add(c.f.latency())}
	for {
		c.mu.Lock()
		deadline, moved := c.deadline, c.moved
		c.mu.Unlock()
		var late <-chan time.Time
		if !deadline.IsZero() {
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-c.closing:
			return 0, net.ErrClosed
		case <-c.failed:
			return 0, net.ErrClosed
		default:
		}
		select {
		case c.sent <- p:
			return len(b), nil
		case <-c.closing:
			return 0, net.ErrClosed
		case <-c.failed:
			return 0, net.ErrClosed
		case <-late:
			return 0, os.ErrDeadlineExceeded
		case <-moved:
		}
	}
}

func (c *conn) setWrite(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.moved)
	c.moved = make(chan struct{})
}

func (c *conn) SetDeadline(t time.Time) error {
	c.setWrite(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.setWrite(t)
	return nil
}

func (c *conn) fail() {
	c.once.failed.Do(func() {
		close(c.failed)
		c.Conn.SetWriteDeadline(time.Unix(1, 0)) // of carry
	})
}

// linger bounds how long a closed stream goes on delivering what was written before.
const linger = 5 * time.Second

// Close returns at once; what was written before still arrives, if it can soon.
func (c *conn) Close() error {
	c.once.closing.Do(func() {
		close(c.closing)
		time.AfterFunc(linger, c.fail)
	})
	return c.Conn.SetReadDeadline(time.Unix(1, 0))
}
